import Crypto

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// SHA-256 of a file's bytes as stored, in lower-case hexadecimal.
func fileSHA256(_ path: String) throws -> String {
    guard let file = fopen(path, "rb") else { throw FileDigestError(path: path, reason: String(cString: strerror(errno))) }
    defer { fclose(file) }
    var hasher = SHA256()
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { break }
        hasher.update(data: buffer[..<count])
    }
    guard ferror(file) == 0 else { throw FileDigestError(path: path, reason: "reading failed") }
    return hasher.finalize().map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
}

/// Why a file's digest could not be taken.
struct FileDigestError: Error, CustomStringConvertible {
    var path: String
    var reason: String
    var description: String { "cannot read \(path): \(reason); check --data" }
}

/// Writes a line for a person to standard error.
func writeError(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    // Nothing is left to tell a person when standard error itself fails.
    _ = write(STDERR_FILENO, bytes, bytes.count)
}
