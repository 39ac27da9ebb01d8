import Learning
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A CSV file that lines are appended to; memory stays at one line.
final class LineAppender {
    private let path: String
    private let bytesMax: Int
    private var descriptor: Int32 = -1
    private var size = 0
    private let header: [String]

    /// Opens or makes the file with its header.
    ///
    /// - Parameter bytesMax: what is beyond is dropped.
    /// - Throws: `FileWriteError`.
    init(path: String, header: [String], bytesMax: Int) throws(FileWriteError) {
        (self.path, self.header, self.bytesMax) = (path, header, bytesMax)
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
            throw .cannotCreate(path: path, reason: String(cString: strerror(errno)))
        }
        size = Int(status.st_size)
        if size == 0 { try write(csvLine(header)) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// - Returns: whether it was written: false beyond the bound.
    @discardableResult
    func append(_ fields: [String]) throws(FileWriteError) -> Bool {
        let line = csvLine(fields)
        guard size + line.count <= bytesMax else { return false }
        try write(line)
        return true
    }

    private func write(_ bytes: [UInt8]) throws(FileWriteError) {
        // One call a line: a reader never finds half of one that another worker's line has split.
        let written = bytes.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress!, $0.count) }
        guard written == bytes.count else {
            throw .cannotWrite(path: path, bytesWritten: max(written, 0), reason: String(cString: strerror(errno)))
        }
        size += bytes.count
    }
}

private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int { write(descriptor, bytes, count) }

/// Reads the whole rows that are appended to a CSV file, each once; a file that was replaced is read from its beginning.
struct RowFollower {
    /// Rows handed out at a time.
    private static let rowsMax = 1000
    private static let chunkBytes = 1 << 20
    private let path: String
    private var inode: UInt64 = 0
    private var offset = 0
    private var parser = CSVParser()
    private var columns: [String]?
    private var waiting: [(line: Int, fields: [String])] = []
    /// Rows of another number of fields than the header since `next` was called last, in words.
    private(set) var refused: [String] = []

    init(path: String) { self.path = path }

    /// Rows that have come since the last call; nil where there is none.
    ///
    /// - Throws: `TableError` naming the line; `FileReadError`.
    mutating func next() throws -> TextTable? {
        refused = []
        if waiting.isEmpty { try read() }
        guard let columns, !waiting.isEmpty else { return nil }
        var table = TextTable(columns: columns, source: path)
        for row in waiting.prefix(Self.rowsMax) { table.append(row.fields, line: row.line) }
        waiting.removeFirst(min(Self.rowsMax, waiting.count))
        return table
    }

    private mutating func read() throws {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw FileReadError.cannotRead(path: path, reason: String(cString: strerror(errno))) }
        if UInt64(status.st_ino) != inode || status.st_size < offset {
            (inode, offset, parser, columns) = (UInt64(status.st_ino), 0, CSVParser(), nil)
        }
        guard status.st_size > offset else { return }
        var bytes = [UInt8](repeating: 0, count: min(Self.chunkBytes, Int(status.st_size) - offset))
        let count = bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress!, $0.count, off_t(offset)) }
        guard count >= 0 else { throw FileReadError.cannotRead(path: path, reason: String(cString: strerror(errno))) }
        offset += count
        do {
            var found = columns, rows: [(Int, [String])] = [], wrong: [String] = []
            try parser.consume(Array(bytes.prefix(count))) { line, fields in
                guard let header = found else {
                    _ = try CSVColumns(header: fields, required: [])
                    found = fields
                    return
                }
                if fields.count == header.count {
                    rows.append((line, fields))
                } else {
                    wrong.append("\(path), \(CSVError.fieldCount(line: line, found: fields.count, expected: header.count))")
                }
            }
            (columns, refused) = (found, wrong)
            waiting += rows.map { (line: $0.0, fields: $0.1) }
        } catch let error as CSVError {
            throw TableError(.malformed, "\(path), \(error)")
        }
    }
}
