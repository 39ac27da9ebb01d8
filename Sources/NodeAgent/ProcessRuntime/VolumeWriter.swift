#if canImport(Glibc)
    import Glibc
#endif

/// Writes the files of a volume so that a reader sees all of the old or all of the new: they lie in a folder `..NUMBER`, which the link
/// `..data` points to, and each name in the volume is a link through `..data`, as Kubernetes has it.
enum VolumeWriter {
    /// Puts the files in the place of those that are there. Nothing is touched if they are the same.
    ///
    /// - Parameters:
    ///   - user, group: who the files belong to; nil for this process's.
    /// - Returns: whether anything has changed.
    static func write(_ files: [VolumeFiles.File], to folder: String, user: Int64?, group: Int64?) throws(SystemFiles.Failure) -> Bool {
        try SystemFiles.makeFolder(folder)
        let current = link("\(folder)/..data")
        if let current, holds(files, "\(folder)/\(current)") { return false }
        let number = (current.flatMap { Int($0.dropFirst(2)) } ?? 0) + 1
        let next = "..\(number)"
        SystemFiles.remove("\(folder)/\(next)")
        try SystemFiles.makeFolder("\(folder)/\(next)")
        for file in files { try write(file, "\(folder)/\(next)", user, group) }
        if let user { chown("\(folder)/\(next)", uid_t(truncatingIfNeeded: user), gid_t(truncatingIfNeeded: group ?? user)) }
        // The one step in which everything changes.
        try put(next, at: "\(folder)/..data", by: "\(folder)/..data_tmp")
        let names = Set(files.map { String($0.path.split(separator: "/")[0]) })
        for name in names where link("\(folder)/\(name)") != "..data/\(name)" {
            try put("..data/\(name)", at: "\(folder)/\(name)", by: "\(folder)/..name_tmp")
        }
        for name in SystemFiles.names(folder) where name != next && name != "..data" && !names.contains(name) {
            SystemFiles.remove("\(folder)/\(name)")
        }
        return true
    }

    private static func put(_ target: String, at path: String, by temporary: String) throws(SystemFiles.Failure) {
        unlink(temporary)
        guard symlink(target, temporary) == 0, rename(temporary, path) == 0 else {
            throw SystemFiles.Failure(what: "cannot make link \(path)", code: errno)
        }
    }

    private static func link(_ path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { readlink(path, $0.baseAddress!, $0.count) }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    /// Whether a folder holds these files and no others.
    private static func holds(_ files: [VolumeFiles.File], _ folder: String) -> Bool {
        var paths: Set<String> = []
        for file in files {
            paths.insert(file.path)
            guard SystemFiles.mode("\(folder)/\(file.path)").map({ $0 & 0o777 == mode_t(file.mode) }) == true,
                SystemFiles.read("\(folder)/\(file.path)", bytesMax: max(file.bytes.count, 1)) == file.bytes
            else { return false }
        }
        func count(_ path: String) -> Int {
            SystemFiles.names(path).reduce(0) { $0 + (SystemFiles.isFolder("\(path)/\($1)") ? count("\(path)/\($1)") : 1) }
        }
        return count(folder) == paths.count
    }

    private static func write(_ file: VolumeFiles.File, _ folder: String, _ user: Int64?, _ group: Int64?) throws(SystemFiles.Failure) {
        let path = "\(folder)/\(file.path)"
        if let cut = path.lastIndex(of: "/") { try SystemFiles.makeFolder(String(path[..<cut])) }
        // Closed to others from the first byte on.
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw SystemFiles.Failure(what: "cannot create \(path)", code: errno) }
        defer { close(descriptor) }
        guard SystemFiles.write(file.bytes, to: descriptor) else { throw SystemFiles.Failure(what: "cannot write \(path)", code: errno) }
        if let user { fchown(descriptor, uid_t(truncatingIfNeeded: user), gid_t(truncatingIfNeeded: group ?? user)) }
        fchmod(descriptor, mode_t(file.mode))
    }
}
