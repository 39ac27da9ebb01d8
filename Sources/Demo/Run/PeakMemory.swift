#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The most memory a process has held at once, MiB.
package enum PeakMemory {
    /// Of this process since it began.
    package static var ofThisProcess: Double {
        var usage = rusage()
        #if canImport(Glibc)
            getrusage(RUSAGE_SELF.rawValue, &usage)
            return Double(usage.ru_maxrss) / 1024
        #else
            getrusage(RUSAGE_SELF, &usage)
            return Double(usage.ru_maxrss) / 1_048_576
        #endif
    }

    /// Of a running child; nil where the system does not tell.
    ///
    /// `getrusage` for children will not do: until a child becomes another program its memory is its parent's.
    package static func ofProcess(_ id: Int32) -> Double? {
        guard let file = fopen("/proc/\(id)/status", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self).split { " \t\n".contains($0) }
            if words.first == "VmHWM:", words.count > 1, let kibibytes = Double(words[1]) { return kibibytes / 1024 }
        }
        return nil
    }
}
