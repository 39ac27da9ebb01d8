#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Files that are read whole, as settings and keys are.
enum SmallFile {
    /// The bytes of a file.
    ///
    /// - Throws: `CloudError` with the system's reason, or for a file of more than `bytesMax` bytes.
    static func read(_ path: String, bytesMax: Int) throws -> [UInt8] {
        guard let file = fopen(path, "re") else { throw CloudError(String(cString: strerror(errno))) }
        defer { fclose(file) }
        // One more than is taken, so that a longer file is noticed and refused.
        let bytes = [UInt8](unsafeUninitializedCapacity: bytesMax + 1) { buffer, count in
            count = fread(buffer.baseAddress, 1, buffer.count, file)
        }
        guard ferror(file) == 0 else { throw CloudError("reading failed") }
        guard bytes.count <= bytesMax else { throw CloudError("it has more than the \(bytesMax) bytes that are read") }
        return bytes
    }
}
