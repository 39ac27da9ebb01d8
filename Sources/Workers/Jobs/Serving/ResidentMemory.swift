#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What a process keeps in memory without need.
enum ResidentMemory {
    /// Bytes of the list of mappings that are read; what stands behind is left as it is.
    private static let listBytesMax = 1 << 20

    /// Gives back what only loading a model needed: free blocks of the heap, and pages of program code, which come back from the file when they run
    /// again. Takes some milliseconds; safe at any time, from any thread.
    static func giveBack() {
        #if os(Linux)
            // The C library's own, which Swift's module of it leaves out.
            typealias Trim = @convention(c) (Int) -> Int32
            if let trim = dlsym(nil, "malloc_trim") { _ = unsafeBitCast(trim, to: Trim.self)(0) }
            for (start, end) in codeRanges(of: list()) {
                // Never written to: private pages of code are as the file has them.
                if let pointer = UnsafeMutableRawPointer(bitPattern: start) { madvise(pointer, Int(end - start), Int32(MADV_DONTNEED)) }
            }
        #endif
    }

    /// Bytes of the process that are in memory now; 0 where the kernel does not say.
    static var bytes: Int {
        guard let file = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var part = [UInt8](repeating: 0, count: 256)
        let count = fread(&part, 1, part.count, file)
        let words = String(decoding: part.prefix(count), as: UTF8.self).split(separator: " ")
        return words.count > 1 ? (Int(words[1]) ?? 0) * Int(getpagesize()) : 0
    }

    /// Mappings of code from files, by the kernel's list: `7f12-7f34 r-xp 00000000 08:01 1234 /path`.
    static func codeRanges(of list: String) -> [(UInt, UInt)] {
        list.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
            guard fields.count == 6, fields[1] == "r-xp", fields[5].first(where: { $0 != " " }) == "/" else { return nil }
            let ends = fields[0].split(separator: "-")
            guard ends.count == 2, let start = UInt(ends[0], radix: 16), let end = UInt(ends[1], radix: 16), start < end else { return nil }
            return (start, end)
        }
    }

    private static func list() -> String {
        guard let file = fopen("/proc/self/maps", "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 14)
        while bytes.count < listBytesMax {
            let count = fread(&part, 1, part.count, file)
            guard count > 0 else { break }
            bytes += part[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
