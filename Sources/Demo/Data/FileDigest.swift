import Crypto

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What a file's bytes are, as stored.
package struct FileDigest: Sendable, Equatable {
    /// Lower-case hexadecimal.
    package var sha256: String
    /// Size as stored, compressed or not.
    package var bytes: Int

    /// Reads the whole file in bounded memory; blocks.
    ///
    /// - Throws: `DataError.cannotRead`.
    package init(path: String) throws(DataError) {
        guard let file = fopen(path, "rb") else { throw .cannotRead(path: path, reason: String(cString: strerror(errno))) }
        defer { fclose(file) }
        var hasher = SHA256()
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        bytes = 0
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { break }
            hasher.update(data: buffer[..<count])
            bytes += count
        }
        guard ferror(file) == 0 else { throw .cannotRead(path: path, reason: "reading failed after \(bytes) bytes") }
        sha256 = hasher.finalize().map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }
}
