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

    /// Rows that wait for a label, and how many have got one.
    struct Queue: Equatable {
        /// The oldest first, each once.
        var rows: [[String]] = []
        /// Labels of rows that had waited, which stand at `from` or behind.
        var answered = 0
    }

    /// The rows that wait, the oldest first, each once.
    ///
    /// - Parameters:
    ///   - from: rows before this one, from 0, were answered for earlier rounds.
    ///   - listedMax: rows that are listed.
    func queue(in lines: some Sequence<Substring>, from: Int64 = 0, listedMax: Int = listedMax) -> Queue {
        var (waiting, order): ([[String]: [String]], [[String]]) = ([:], [])
        var queue = Queue(), place: Int64 = -1
        for line in lines {
            place += 1
            let row = Self.fields(String(line))
            guard row.count == columns.count else { continue }
            let key = Array(row[..<label] + row[(label + 1)...])
            if !Self.isMissing(row[label]) {
                if waiting.removeValue(forKey: key) != nil, place >= from { queue.answered += 1 }
            } else if waiting.updateValue(row, forKey: key) == nil {
                order.append(key)
            }
        }
        for key in order where queue.rows.count < listedMax {
            if let row = waiting.removeValue(forKey: key) { queue.rows.append(row) }
        }
        return queue
    }

    /// The rows in the order of what a label of them is worth: those that no task fits first, then those of which the model is least sure; of equals
    /// the oldest.
    ///
    /// - Parameter worth: of each row.
    static func ranked(_ rows: [[String]], by worth: [Double]) -> [[String]] {
        guard worth.count == rows.count else { return rows }
        return rows.indices.sorted { (-worth[$0], $0) < (-worth[$1], $1) }.map { rows[$0] }
    }

    /// A question of the Open Inference Protocol about rows: every column but the label, as text.
    func question(about rows: some Collection<[String]>) -> JSON {
        let inputs = columns.indices.filter { $0 != label }.map { place -> JSON in
            [
                "name": .string(columns[place]), "datatype": "BYTES", "shape": [.integer(Int64(rows.count))],
                "data": .array(rows.map { Self.isMissing($0[place]) ? .null : .string($0[place]) }),
            ]
        }
        return ["inputs": .array(inputs)]
    }

    /// What labels of rows are worth by an answer of the Open Inference Protocol; nil for one that does not say.
    static func worth(_ answer: JSON, count: Int) -> [Double]? {
        func output(_ name: String) -> [JSON]? { answer["outputs"]?.array?.first { $0["name"]?.string == name }?["data"]?.array }
        guard let probabilities = output("probabilities")?.map({ $0.number ?? 0 }), count > 0, probabilities.count % count == 0,
            !probabilities.isEmpty
        else { return nil }
        let classes = probabilities.count / count
        let unseen = output("unseen")?.map { $0.bool == true }
        return (0..<count).map { row in
            let surest = probabilities[row * classes..<(row + 1) * classes].max() ?? 0
            return (unseen?.count == count && unseen![row] ? 1 : 0) + 1 - surest
        }
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
