import Learning
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Labelled rows that a node has seen, the newest of each site, and what was told over HTTP in a file.
struct LabelKeeper {
    /// A row as it came, and its label among the fields.
    struct Row: Hashable {
        var columns: [String]
        var fields: [String]
    }

    /// Rows that are kept; the oldest go.
    static let rowsMax = 4096
    /// Of the file of rows that were told.
    static let fileBytesMax = 16 << 20
    static let fileName = "labels.jsonl"

    private let label: String
    private let id: String?
    /// Nil where nothing is kept over a restart.
    private let file: String?
    private(set) var rows: [String: (number: Int, row: Row)] = [:]
    private var count = 0

    /// Reads what an earlier life was told; lines that are none are left out.
    ///
    /// - Parameters:
    ///   - label: the column of the label; `id` that names a row, where there is one.
    ///   - folder: where `labels.jsonl` is kept.
    /// - Throws: `FileReadError`, `FileWriteError`, `WorkerInputError` naming the file.
    init(label: String, id: String?, folder: String?) throws {
        (self.label, self.id) = (label, id)
        file = folder.map { "\($0)/\(Self.fileName)" }
        guard let folder, let file else { return }
        try WorkerFile.makeFolder(folder)
        guard WorkerFile.exists(file) else { return }
        for line in try WorkerFile.read(file, limit: 2 * Self.fileBytesMax).split(separator: UInt8(ascii: "\n")) {
            guard let json = try? JSONParser.parse(Array(line)), let columns = json["columns"]?.array?.compactMap(\.string),
                let fields = json["fields"]?.array?.compactMap(\.string), columns.count == fields.count
            else { continue }
            take(Row(columns: columns, fields: fields))
        }
        // What is written anew is bounded by the rows that are kept.
        try WorkerFile.write(ordered.flatMap { Self.line($0.row) }, folder, Self.fileName)
    }

    /// In the order in which they came.
    var ordered: [(number: Int, row: Row)] { rows.values.sorted { $0.number < $1.number } }

    /// Takes the rows of a table that have a label; of a row met twice the later label counts.
    ///
    /// - Returns: how many were taken.
    mutating func take(_ table: TextTable) -> Int {
        guard let place = table.columns.firstIndex(of: label) else { return 0 }
        let labelled = table.rows.filter { !$0[place].isEmpty && $0[place] != "NA" }
        for fields in labelled { take(Row(columns: table.columns, fields: fields)) }
        return labelled.count
    }

    /// The same, and on the disk when it returns.
    ///
    /// - Throws: `InferenceRefusal` 409 where there is no folder to keep them in, 507 for a full disk or file.
    mutating func told(_ table: TextTable) throws -> Int {
        guard let file else {
            throw InferenceRefusal(
                409, "labels would be lost by a restart: set ADAPT_URL to a folder of the worker, or give them in the data set")
        }
        guard let place = table.columns.firstIndex(of: label) else {
            throw InferenceRefusal(400, "no input is called \"\(label)\", the column of the label")
        }
        let lines = table.rows.filter { !$0[place].isEmpty && $0[place] != "NA" }.flatMap {
            Self.line(Row(columns: table.columns, fields: $0))
        }
        try Self.append(lines, to: file)
        return take(table)
    }

    private mutating func take(_ row: Row) {
        count += 1
        rows[key(row)] = (count, row)
        guard rows.count > Self.rowsMax, let oldest = rows.min(by: { $0.value.number < $1.value.number }) else { return }
        rows[oldest.key] = nil
    }

    private func key(_ row: Row) -> String {
        if let id, let place = row.columns.firstIndex(of: id) { return row.fields[place] }
        return zip(row.columns, row.fields).filter { $0.0 != label }.sorted { $0.0 < $1.0 }.map { "\($0.0)=\($0.1)" }.joined(
            separator: "\n")
    }

    private static func line(_ row: Row) -> [UInt8] {
        JSON.object(["columns": .array(row.columns.map { .string($0) }), "fields": .array(row.fields.map { .string($0) })]).bytes() + [0x0a]
    }

    private static func append(_ bytes: [UInt8], to path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        defer { if file >= 0 { close(file) } }
        var status = stat()
        guard file >= 0, fstat(file, &status) == 0, Int(status.st_size) + bytes.count <= fileBytesMax,
            bytes.withUnsafeBytes({ write(file, $0.baseAddress!, $0.count) }) == bytes.count, fsync(file) == 0
        else {
            throw InferenceRefusal(
                507, "\(path) cannot take \(bytes.count) bytes more (at most \(fileBytesMax) in all); the label was not taken")
        }
    }
}
