#if canImport(Glibc)
    import Glibc
#endif

/// What to put into a volume of the node's own files.
struct VolumeFill: Sendable {
    enum Part: Sendable {
        /// A file of the node's store, under a name of its own.
        case link(name: String, from: String)
        case bytes(name: String, [UInt8])
        /// Rows of a Dataset and a file that describes them.
        case rows(DatasetRows)
    }

    /// Name of the volume.
    var volume: String
    /// Put into the volume one by one, whole, in this order, while programs read it; what is not among them goes last. Otherwise the volume
    /// appears at once with all of them, and is not touched again.
    var isLive: Bool
    var parts: [Part]
}

/// Fills volumes with files of the node.
enum VolumeFiller {
    static func fill(_ fill: VolumeFill, _ folder: String) throws {
        if fill.isLive {
            try SystemFiles.makeFolder(folder)
            var names: Set<String> = []
            for part in fill.parts { names.formUnion(try put(part, in: folder)) }
            for name in SystemFiles.names(folder) where !names.contains(name) { SystemFiles.remove("\(folder)/\(name)") }
            return
        }
        guard !SystemFiles.isFolder(folder) else { return }
        let next = "\(folder).new"
        SystemFiles.remove(next)
        try SystemFiles.makeFolder(next)
        for part in fill.parts { _ = try put(part, in: next) }
        guard rename(next, folder) == 0 else { throw SystemFiles.Failure(what: "cannot make folder \(folder)", code: errno) }
    }

    /// - Returns: the names of the files.
    private static func put(_ part: VolumeFill.Part, in folder: String) throws -> [String] {
        switch part {
        case .link(let name, let source):
            try link(source, "\(folder)/\(name)")
            return [name]
        case .bytes(let name, let bytes):
            let path = "\(folder)/\(name)"
            if SystemFiles.read(path, bytesMax: max(1, bytes.count)) == bytes { return [name] }
            try write(bytes, path)
            return [name]
        case .rows(let rows): return try rows.write(to: folder)
        }
    }

    /// The same file under another name where that is possible, as within a file system: nothing is copied, and it stays when the store
    /// lets go of it. Volumes of this sort are mounted for reading only.
    private static func link(_ source: String, _ path: String) throws {
        let next = "\(path).new"
        unlink(next)
        // Any user that a container runs as may read it; the store's own folder is closed to others.
        chmod(source, 0o444)
        if Glibc.link(source, next) != 0 { try copy(source, next) }
        guard rename(next, path) == 0 else { throw SystemFiles.Failure(what: "cannot make file \(path)", code: errno) }
        // Two names of one file: rename leaves both.
        unlink(next)
    }

    private static func copy(_ source: String, _ path: String) throws {
        let reading = open(source, O_RDONLY | O_CLOEXEC)
        guard reading >= 0 else { throw SystemFiles.Failure(what: "cannot read \(source)", code: errno) }
        defer { close(reading) }
        let writing = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o444)
        guard writing >= 0 else { throw SystemFiles.Failure(what: "cannot create \(path)", code: errno) }
        defer { close(writing) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = read(reading, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SystemFiles.Failure(what: "cannot read \(source)", code: errno) }
            if count == 0 { return }
            guard SystemFiles.write(Array(buffer[..<count]), to: writing) else {
                throw SystemFiles.Failure(what: "cannot write \(path)", code: errno)
            }
        }
    }

    private static func write(_ bytes: [UInt8], _ path: String) throws {
        let next = "\(path).new"
        let file = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard file >= 0 else { throw SystemFiles.Failure(what: "cannot create \(next)", code: errno) }
        let isWritten = SystemFiles.write(bytes, to: file)
        close(file)
        guard isWritten, rename(next, path) == 0 else { throw SystemFiles.Failure(what: "cannot write \(path)", code: errno) }
    }
}
