#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A file without a name for children to read: it goes when this process goes, however it goes.
final class PassedFile {
    /// Where children find it while this value lives.
    let path: String
    private let descriptor: Int32

    /// Why it could not be made.
    struct Failure: Error, CustomStringConvertible {
        var reason: String
        var description: String { "cannot pass a file to a worker: \(reason); free space in TMPDIR" }
    }

    /// - Parameter folder: for temporary files.
    init(_ bytes: [UInt8], folder: String) throws(Failure) {
        var template = Array("\(folder)/skerry-XXXXXX".utf8CString)
        descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw Failure(reason: String(cString: strerror(errno))) }
        #if os(Linux)
            // Still to be opened through this process, and gone with it.
            unlink(template)
            path = "/proc/\(getpid())/fd/\(descriptor)"
        #else
            path = String(cString: template)
        #endif
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + start, $0.count - start) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                let reason = String(cString: strerror(errno))
                close(descriptor)
                throw Failure(reason: reason)
            }
            start += count
        }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }

    deinit {
        #if !os(Linux)
            unlink(path)
        #endif
        close(descriptor)
    }
}
