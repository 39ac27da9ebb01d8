import Resources

/// A table whose rows wait for labels: a row without one waits until the same row comes again with it. Pure.
struct LabelTable: Sendable {
    /// Rows that are listed at a time.
    static let listedMax = 1000
    /// Rows that are taken at a time.
    static let takenMax = 10_000

    let columns: [String]
    let label: Int

    /// - Parameters:
    ///   - header: the first line of the file.
    ///   - label: the column that holds the label.
    /// - Throws: a sentence that names the columns there are.
    init(header: String, label: String) throws(LabelRefusal) {
        columns = Self.fields(header)
        guard let place = columns.firstIndex(of: label) else {
            throw LabelRefusal(422, "no column \"\(label)\" for the label (found: \(columns.joined(separator: ", "))); fix spec.label")
        }
        self.label = place
    }

    /// The rows that wait, the oldest first, each once.
    func waiting(in lines: some Sequence<Substring>) -> [[String]] {
        var (waiting, order): ([[String]: [String]], [[String]]) = ([:], [])
        for line in lines {
            let row = Self.fields(String(line))
            guard row.count == columns.count else { continue }
            let key = Array(row[..<label] + row[(label + 1)...])
            if !Self.isMissing(row[label]) {
                waiting[key] = nil
            } else if waiting.updateValue(row, forKey: key) == nil {
                order.append(key)
            }
        }
        var listed: [[String]] = []
        for key in order where listed.count < Self.listedMax {
            if let row = waiting.removeValue(forKey: key) { listed.append(row) }
        }
        return listed
    }

    /// Lines to append for rows that were given a label.
    ///
    /// - Parameter rows: the values of each by column.
    /// - Throws: the first row that lacks a column, has another, or has no label.
    func lines(_ rows: [[String: String]]) throws(LabelRefusal) -> [String] {
        guard !rows.isEmpty, rows.count <= Self.takenMax else {
            throw LabelRefusal(400, "\(rows.count) rows; 1 to \(Self.takenMax) are taken at a time")
        }
        var lines: [String] = []
        for (place, row) in rows.enumerated() {
            if let missing = columns.first(where: { row[$0] == nil }) {
                throw LabelRefusal(400, "row \(place + 1): no column \"\(missing)\"; give all: \(columns.joined(separator: ", "))")
            }
            if let other = row.keys.sorted().first(where: { !columns.contains($0) }) {
                throw LabelRefusal(
                    400, "row \(place + 1): the data set has no column \"\(other)\"; it has: \(columns.joined(separator: ", "))")
            }
            guard !Self.isMissing(row[columns[label]]!) else {
                throw LabelRefusal(400, "row \(place + 1): column \"\(columns[label])\" is empty; it is to hold the label")
            }
            lines.append(columns.map { Self.quoted(row[$0]!) }.joined(separator: ","))
        }
        return lines
    }

    /// The rows of a CSV with a header, by column.
    static func rows(csv: String) throws(LabelRefusal) -> [[String: String]] {
        let lines = csv.split(whereSeparator: \.isNewline)
        guard let header = lines.first else { throw LabelRefusal(400, "the table is empty; give a header and rows") }
        let names = fields(String(header))
        guard Set(names).count == names.count else { throw LabelRefusal(400, "line 1: a column occurs twice") }
        var rows: [[String: String]] = []
        for (place, line) in lines.dropFirst().enumerated() {
            let cells = fields(String(line))
            guard cells.count == names.count else {
                throw LabelRefusal(400, "row \(place + 1): \(cells.count) fields, the header has \(names.count)")
            }
            rows.append(Dictionary(zip(names, cells), uniquingKeysWith: { $1 }))
        }
        return rows
    }

    /// A list of objects, or one.
    static func rows(json: JSON) throws(LabelRefusal) -> [[String: String]] {
        var rows: [[String: String]] = []
        for (place, value) in (json.array ?? [json]).enumerated() {
            guard let object = value.object else { throw LabelRefusal(400, "row \(place + 1): expected an object of columns") }
            rows.append(Dictionary(object.map { ($0.0, $0.1.string ?? ($0.1 == .null ? "" : $0.1.text)) }, uniquingKeysWith: { $1 }))
        }
        return rows
    }

    private static func isMissing(_ text: String) -> Bool { ["", "NA"].contains(text) }

    /// The fields of one line, RFC 4180.
    static func fields(_ line: String) -> [String] {
        var (fields, field, isQuoted): ([String], [UInt8], Bool) = ([], [], false)
        let bytes = Array(line.utf8)
        var place = 0
        while place < bytes.count {
            let byte = bytes[place]
            switch byte {
            case UInt8(ascii: "\"") where isQuoted && place + 1 < bytes.count && bytes[place + 1] == byte:
                field.append(byte)
                place += 1
            case UInt8(ascii: "\""): isQuoted.toggle()
            case UInt8(ascii: ",") where !isQuoted:
                fields.append(String(decoding: field, as: UTF8.self))
                field = []
            case 13 where place == bytes.count - 1: break
            default: field.append(byte)
            }
            place += 1
        }
        return fields + [String(decoding: field, as: UTF8.self)]
    }

    /// A line break in a field would make rows of its own.
    private static func quoted(_ field: String) -> String {
        let plain = String(field.map { $0.isNewline ? " " : $0 })
        return plain.contains { ",\"".contains($0) } ? "\"" + plain.replacing("\"", with: "\"\"") + "\"" : plain
    }
}

/// Why labels are not taken, with a code of HTTP.
struct LabelRefusal: Error, Sendable, Equatable {
    var code: Int
    var message: String

    init(_ code: Int, _ message: String) { (self.code, self.message) = (code, message) }
}
