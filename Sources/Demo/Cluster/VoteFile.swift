#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The file of an edge's votes, which grows.
enum VoteFile {
    /// Adds whole lines; the file is made the first time.
    ///
    /// - Throws: `ClusterError`.
    static func append(_ bytes: [UInt8], to path: String) throws(ClusterError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        func failed() -> ClusterError { ClusterError("cannot write \(path): \(String(cString: strerror(errno))); free space there") }
        guard descriptor >= 0 else { throw failed() }
        defer { close(descriptor) }
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress! + start, $0.count - start) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw failed() }
            start += count
        }
    }
}
