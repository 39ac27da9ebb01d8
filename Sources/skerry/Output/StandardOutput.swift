#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Standard output in large pieces; a failure to write is an error and not a silence.
final class StandardOutput {
    private static let pieceBytes = 64 << 10
    private var waiting: [UInt8] = []

    func write(_ text: String) throws { try write(Array(text.utf8)) }

    func write(_ bytes: [UInt8]) throws {
        waiting += bytes
        if waiting.count >= Self.pieceBytes { try flush() }
    }

    /// To be called at the end: nothing is written when the object goes.
    func flush() throws {
        var start = 0
        while start < waiting.count {
            let count = waiting[start...].withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw OutputError(reason: String(cString: strerror(errno))) }
            start += count
        }
        waiting = []
    }
}

/// Why standard output could not be written.
struct OutputError: Error, CustomStringConvertible {
    var reason: String
    var description: String { "cannot write to standard output: \(reason); what is there is not all" }
}

/// Writes a line of results to standard output.
///
/// - Throws: `OutputError`; a full disk behind a redirection ends the program with a failure.
func say(_ line: String) throws {
    let output = StandardOutput()
    try output.write(line + "\n")
    try output.flush()
}

/// Writes a line for a person to standard error.
func writeError(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    // Nothing is left to tell a person when standard error itself fails.
    _ = write(STDERR_FILENO, bytes, bytes.count)
}
