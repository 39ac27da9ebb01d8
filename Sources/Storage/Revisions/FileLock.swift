#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Keeps other processes from opening the same store; gone with this object, and with the process however it ends.
final class FileLock: Sendable {
    private let descriptor: Int32

    /// - Throws: `RevisionError.inUse`; `.failed` when the lock file cannot be made.
    init(_ path: String) throws(RevisionError) {
        descriptor = open(path + ".lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .failed("opening \(path).lock: \(String(cString: strerror(errno)))") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw .inUse(file: path)
        }
    }

    deinit { close(descriptor) }
}
