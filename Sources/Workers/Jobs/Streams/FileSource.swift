import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where rows come from. Used on one queue.
protocol StreamSource: AnyObject {
    /// Rows that have come; none after a while without any. Not before the ones before are acknowledged, or `drop` was called.
    ///
    /// - Throws: why none can be had now.
    func next() throws -> [StreamRecord]
    /// Says that the rows of the last `next` are done with.
    ///
    /// - Throws: they may come again.
    func acknowledge() throws
    /// Gives up what is open, so that `next` begins where the last acknowledgement was.
    func drop()
}

/// Follows a file of rows as it grows. A file that was renamed is read to its end before the new one is begun; one that was cut or written
/// anew is read from its beginning. How far it was read stands in a hidden file beside it.
final class FileSource: StreamSource {
    /// How far a file was read.
    struct Position: Equatable {
        /// The file, by its number in the file system.
        var inode: UInt64 = 0
        /// Bytes.
        var offset = 0
        /// Lines before the offset.
        var line = 0
        var header: [String]?
        /// Digest of the bytes before the offset: another file of the same number is known by it.
        var mark = ""

        init() {}

        /// - Returns: nil for text that is no position.
        init?(_ json: JSON) {
            guard let inode = json["inode"]?.string.flatMap({ UInt64($0) }), let offset = json["offset"]?.integer, offset >= 0,
                let line = json["line"]?.integer, line >= 0, let mark = json["mark"]?.string
            else { return nil }
            (self.inode, self.offset, self.line, self.mark) = (inode, Int(offset), Int(line), mark)
            header = json["header"]?.array?.compactMap(\.string)
        }

        var json: JSON {
            var json: JSON = [
                "inode": .string("\(inode)"), "offset": .integer(Int64(offset)), "line": .integer(Int64(line)), "mark": .string(mark),
            ]
            if let header { json["header"] = .array(header.map { .string($0) }) }
            return json
        }
    }

    /// Rows that are handed out at a time.
    static let rowsMax = 256
    /// Bytes of a row.
    static let rowBytesMax = 1 << 20
    private static let markBytes = 256
    private let file: ModelStreams.File
    private let name: String
    private let idColumn: String?
    private let keptAt: String
    private var descriptor: Int32 = -1
    private var position = Position()
    /// Within a row that is too long.
    private var isSkipping = false

    /// - Parameters:
    ///   - name: of the file, as the Model has it.
    ///   - reader: tells the positions of several readers of one file apart.
    init(_ file: ModelStreams.File, name: String, idColumn: String?, reader: String) {
        (self.file, self.name, self.idColumn) = (file, name, idColumn)
        keptAt = "\(WorkerFile.folder(of: file.path))/.\(file.path.split(separator: "/").last ?? "").\(reader).position"
    }

    deinit { drop() }

    func drop() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    func acknowledge() throws {
        let kept = try WholeFile(path: keptAt)
        try kept.write(position.json.bytes())
        try kept.commit()
    }

    func next() throws -> [StreamRecord] {
        if descriptor < 0 {
            guard try open() else { return [] }
        }
        if try isAnotherText() { begin() }
        let found = try read()
        guard found.isEmpty, let new = Self.status(file.path), UInt64(new.st_ino) != position.inode else { return found }
        // Renamed, and read to its end: but for a last line without an end, which nobody will add to any more.
        if let last = try rest() { return [last] }
        drop()
        try open(file.path)
        begin()
        return try read()
    }

    // MARK: - Which file

    /// - Returns: whether there is a file.
    private func open() throws -> Bool {
        position = Position()
        isSkipping = false
        if WorkerFile.exists(keptAt), let bytes = try? WorkerFile.read(keptAt, limit: 1 << 22),
            let kept = (try? JSONParser.parse(bytes)).flatMap({ Position($0) })
        {
            for path in try candidates() where Self.status(path).map({ UInt64($0.st_ino) }) == kept.inode {
                try open(path)
                position = kept
                if try !isAnotherText() { return true }
                drop()
            }
        }
        guard Self.status(file.path) != nil else { return false }
        try open(file.path)
        begin()
        return true
    }

    /// The file, and what it may have been renamed to.
    private func candidates() throws -> [String] {
        let folder = WorkerFile.folder(of: file.path), base = String(file.path.split(separator: "/").last ?? "")
        let names = (try? WorkerFile.names(in: folder)) ?? []
        return [file.path] + names.filter { $0 != base && $0.hasPrefix(base) }.prefix(1000).map { "\(folder)/\($0)" }
    }

    private func open(_ path: String) throws {
        descriptor = systemOpen(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StreamFault("cannot read \(name): \(String(cString: strerror(errno))); let the worker read it") }
    }

    /// From the beginning of the file that is open.
    private func begin() {
        var status = stat()
        _ = fstat(descriptor, &status)
        position = Position()
        position.inode = UInt64(status.st_ino)
        isSkipping = false
    }

    private static func status(_ path: String) -> stat? {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG ? status : nil
    }

    /// Whether the file was cut, or written anew.
    private func isAnotherText() throws -> Bool {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw StreamFault("cannot read \(name): \(String(cString: strerror(errno)))") }
        if Int(status.st_size) < position.offset { return true }
        return try !position.mark.isEmpty && mark(before: position.offset) != position.mark
    }

    private func mark(before offset: Int) throws -> String {
        let count = min(offset, Self.markBytes)
        return count == 0 ? "" : String(ArtifactDigest(of: try bytes(at: offset - count, count)).hex.prefix(16))
    }

    // MARK: - Rows

    private func bytes(at offset: Int, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let found = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress!, count, off_t(offset)) }
        guard found >= 0 else { throw StreamFault("cannot read \(name): \(String(cString: strerror(errno)))") }
        return Array(bytes.prefix(found))
    }

    private func read() throws -> [StreamRecord] {
        let chunk = try bytes(at: position.offset, Self.rowBytesMax + 1)
        var (records, start, isQuoted): ([StreamRecord], Int, Bool) = ([], 0, false)
        for (place, byte) in chunk.enumerated() {
            if byte == 0x22, file.format == .csv, !isSkipping { isQuoted.toggle() }
            guard byte == 0x0a, !isQuoted else { continue }
            try take(Array(chunk[start..<place]), &records)
            start = place + 1
            if records.count >= Self.rowsMax { break }
        }
        if start == 0, chunk.count > Self.rowBytesMax {
            if !isSkipping {
                let reason = "a row of more than \(Self.rowBytesMax) bytes; is a quote missing?"
                records.append(StreamRecord(unreadable: reason, raw: chunk, source: name, line: position.line + 1))
            }
            isSkipping = true
            start = chunk.count
        }
        guard start > 0 else { return [] }
        position.offset += start
        position.mark = try mark(before: position.offset)
        // Lines that say nothing are done with as well.
        if records.isEmpty { try acknowledge() }
        return records
    }

    /// A last line without an end.
    private func rest() throws -> StreamRecord? {
        let chunk = try bytes(at: position.offset, Self.rowBytesMax)
        var records: [StreamRecord] = []
        guard !chunk.isEmpty else { return nil }
        try take(chunk, &records)
        position.offset += chunk.count
        position.mark = try mark(before: position.offset)
        return records.first
    }

    private func take(_ line: [UInt8], _ records: inout [StreamRecord]) throws {
        position.line += 1
        if isSkipping { return isSkipping = false }
        var line = line
        if line.last == 0x0d { line.removeLast() }
        if position.line == 1, line.starts(with: [0xef, 0xbb, 0xbf]) { line.removeFirst(3) }
        guard !line.isEmpty else { return }
        guard file.format == .csv else {
            return records.append(StreamRecord(json: line, idColumn: idColumn, source: name, line: position.line))
        }
        guard let header = position.header else {
            position.header = try header(line)
            return
        }
        records.append(StreamRecord(csv: line, columns: header, idColumn: idColumn, source: name, line: position.line))
    }

    private func header(_ line: [UInt8]) throws -> [String] {
        do {
            let names = try StreamRecord.fields(line)
            guard Set(names).count == names.count else { throw StreamFault("a column occurs twice") }
            return names
        } catch {
            position.line -= 1
            throw StreamFault("\(name), line \(position.line + 1): \(error); the first line must name the columns")
        }
    }
}

private func systemOpen(_ path: String, _ flags: Int32) -> Int32 { open(path, flags) }
