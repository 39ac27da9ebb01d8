import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Keeps other processes from opening the same store; gone with this object, and with the process however it ends.
final class FileLock: Sendable {
    /// A child that is just being started holds what its parent had open until it becomes its own program: not yet a reason to refuse.
    private static let patience = (tries: 20, microseconds: UInt32(25_000))
    private let descriptor: Mutex<Int32?>

    /// Waits half a second for a lock that is about to be let go.
    ///
    /// - Throws: `RevisionError.inUse`; `.failed` when the lock file cannot be made.
    init(_ path: String) throws(RevisionError) {
        let opened = open(path + ".lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard opened >= 0 else { throw .failed("opening \(path).lock: \(String(cString: strerror(errno)))") }
        var tries = 1
        while flock(opened, LOCK_EX | LOCK_NB) != 0 {
            guard tries < Self.patience.tries else {
                close(opened)
                throw .inUse(file: path)
            }
            tries += 1
            usleep(Self.patience.microseconds)
        }
        descriptor = Mutex(opened)
    }

    /// Lets others open the store. Calling it twice is harmless.
    func release() {
        descriptor.withLock {
            if let opened = $0 { close(opened) }
            $0 = nil
        }
    }

    deinit { release() }
}
