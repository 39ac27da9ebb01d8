#if canImport(Glibc)
    import Glibc
#endif

/// Files and folders by path, for the process runtime: bounded, with errors as the system's sentences.
enum SystemFiles {
    /// Why a file or folder could not be had.
    struct Failure: Error, CustomStringConvertible {
        let what: String
        let code: Int32
        var description: String { "\(what): \(String(cString: strerror(code)))" }
    }

    /// The content of a file; nil if there is none, or it is larger than `bytesMax`.
    static func read(_ path: String, bytesMax: Int = 1 << 20) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        return read(descriptor: file, bytesMax: bytesMax)
    }

    /// Everything up to the end of a descriptor; nil if that is more than `bytesMax`, or can't be read.
    static func read(descriptor: Int32, bytesMax: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0, bytes.count + count <= bytesMax else { return nil }
            if count == 0 { return bytes }
            bytes += buffer[..<count]
        }
    }

    static func text(_ path: String, bytesMax: Int = 1 << 20) -> String? {
        read(path, bytesMax: bytesMax).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Writes a file that the kernel serves, as those of control groups are.
    static func put(_ text: String, _ path: String) -> Bool {
        let file = open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        let bytes = Array(text.utf8)
        return Glibc.write(file, bytes, bytes.count) == bytes.count
    }

    /// Writes all of some bytes. False once that is not possible.
    static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var start = 0
            while start < buffer.count {
                let count = Glibc.write(descriptor, buffer.baseAddress! + start, buffer.count - start)
                if count < 0, errno == EINTR { continue }
                if count <= 0 { return false }
                start += count
            }
            return true
        }
    }

    /// Makes a folder with those above it.
    static func makeFolder(_ path: String, mode: mode_t = 0o755) throws(Failure) {
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let cut = path.lastIndex(of: "/"), cut > path.startIndex else {
            throw Failure(what: "cannot make folder \(path)", code: errno)
        }
        try makeFolder(String(path[..<cut]), mode: mode)
        if mkdir(path, mode) != 0, errno != EEXIST { throw Failure(what: "cannot make folder \(path)", code: errno) }
    }

    /// Names in a folder, sorted; none if there is no such folder.
    static func names(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    static func isFolder(_ path: String) -> Bool { mode(path).map { $0 & S_IFMT == S_IFDIR } ?? false }

    /// Type and permissions of what a path leads to; nil if that is nothing.
    static func mode(_ path: String) -> mode_t? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode : nil
    }

    /// Whether something is mounted on a folder: it lies on another device than the folder around it.
    static func isMountPoint(_ path: String) -> Bool {
        var (own, outer) = (stat(), stat())
        return stat(path, &own) == 0 && stat(path + "/..", &outer) == 0 && own.st_dev != outer.st_dev
    }

    /// Entries that are looked at for `usage`; a folder with more counts as full.
    private static let entriesMax = 200_000

    /// Bytes that a folder takes on the disk, links not followed; counted no further than just beyond a limit.
    static func usage(_ path: String, upTo limit: Int64) -> Int64 {
        var (total, count): (Int64, Int) = (0, 0)
        var folders = [path]
        while let folder = folders.popLast(), total <= limit {
            for name in names(folder) {
                var status = stat()
                guard lstat("\(folder)/\(name)", &status) == 0 else { continue }
                count += 1
                guard count <= entriesMax else { return .max }
                total += Int64(status.st_blocks) * 512
                if status.st_mode & S_IFMT == S_IFDIR { folders.append("\(folder)/\(name)") }
            }
        }
        return total
    }

    /// Removes a file, or a folder with all in it; symbolic links are removed, never followed. Harmless if there is none.
    static func remove(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            unlink(path)
            return
        }
        for name in names(path) { remove("\(path)/\(name)") }
        rmdir(path)
    }
}

/// What the kernel says of processes and of this machine's present run.
enum SystemFacts {
    /// Another one after every start of the machine; empty where that is not told.
    static let bootID = (SystemFiles.text("/proc/sys/kernel/random/boot_id") ?? "").filter { !$0.isWhitespace }

    /// When a process began, in clock ticks since the machine started: with its id and the boot it names one process for ever. Nil if
    /// there is none, or it has ended and is only waited for.
    static func startTicks(_ process: pid_t) -> UInt64? {
        guard let text = SystemFiles.text("/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        // Behind the name, which may hold anything, fields are numbered from 3.
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
        return UInt64(fields[19])
    }

    /// Time of the day in nanoseconds.
    static func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
