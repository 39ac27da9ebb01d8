package import Storage

/// A column of a result.
package struct RowColumn: Equatable, Sendable {
    /// As the query says it; may appear twice in a result.
    package var name: String
    /// Whether its texts are JSON and may be put into JSON as they are.
    package var isJSON = false

    /// Made from a query's columns, which are plain values, and from a listing's, which may be JSON.
    package init(name: String, isJSON: Bool = false) {
        self.name = name
        self.isJSON = isJSON
    }
}

/// Takes the rows of a query as they come.
package protocol RowSink {
    /// Once, before the rows, also where there are none.
    mutating func begin(_ columns: [RowColumn]) throws
    mutating func add(_ row: [SQLiteValue]) throws
    /// Once, after the last row, also when a limit cut them off. Not called when a query fails in its middle.
    mutating func end() throws
}

/// How rows are written.
package enum RowFormat: String, CaseIterable, Sendable {
    /// Columns under headings, for people: digits are rounded, control characters shown and not sent.
    case table
    /// An array with one object a row.
    case json
    /// RFC 4180 with line feeds: an empty field is null, `""` an empty text.
    case csv
}

/// Writes rows as text, in bounded memory.
package struct RowWriter: RowSink {
    /// Rows of a table that share their column widths.
    private static let tableRows = 500

    private let format: RowFormat
    private let write: (String) throws -> Void
    private var columns: [RowColumn] = []
    private var names: [String] = []
    private var page: [[String]] = []
    private var widths: [Int] = []
    private var rowCount = 0

    /// - Parameter write: given one or more whole lines at a time.
    package init(_ format: RowFormat, _ write: @escaping (String) throws -> Void) {
        self.format = format
        self.write = write
    }

    /// Writes the heading of CSV; a table's waits for the width of its first rows, JSON has none.
    package mutating func begin(_ columns: [RowColumn]) throws {
        self.columns = columns
        names = Self.distinct(columns.map(\.name))
        switch format {
        case .table: page = [columns.map { Self.visible($0.name.uppercased()) }]
        case .csv: try write(columns.map { Self.csvField($0.name) }.joined(separator: ",") + "\n")
        case .json: break
        }
    }

    /// Writes the row, or keeps up to 500 of a table until their widths are known.
    package mutating func add(_ row: [SQLiteValue]) throws {
        rowCount += 1
        switch format {
        case .table:
            page.append(row.map(Self.cell))
            if page.count > Self.tableRows { try writePage() }
        case .csv: try write(row.map(Self.csvField).joined(separator: ",") + "\n")
        case .json: try write((rowCount == 1 ? "[\n" : ",\n") + object(row))
        }
    }

    /// Writes the rest of a table, or closes JSON's array; no rows are `[]`.
    package mutating func end() throws {
        switch format {
        case .table: try writePage()
        case .csv: break
        case .json: try write(rowCount == 0 ? "[]\n" : "\n]\n")
        }
    }

    private mutating func writePage() throws {
        if widths.isEmpty { widths = [Int](repeating: 0, count: columns.count) }
        for row in page { for (column, text) in row.enumerated() { widths[column] = max(widths[column], text.count) } }
        for row in page {
            var line = ""
            for (column, text) in row.enumerated() {
                line += text
                // Nothing is aligned behind the last column.
                if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - text.count + 3) }
            }
            try write(line + "\n")
        }
        page = []
    }

    private func object(_ row: [SQLiteValue]) -> String {
        let fields = zip(zip(names, columns), row).map { column, value in
            if column.1.isJSON, case .text(let json) = value { return "\(Self.jsonText(column.0)):\(json)" }
            return "\(Self.jsonText(column.0)):\(Self.json(value))"
        }
        return "  {\(fields.joined(separator: ", "))}"
    }

    /// Names that repeat get a number: an object holds each once.
    private static func distinct(_ names: [String]) -> [String] {
        var used = Set<String>()
        return names.map { name in
            var candidate = name
            var number = 2
            while !used.insert(candidate).inserted {
                candidate = "\(name)_\(number)"
                number += 1
            }
            return candidate
        }
    }

    private static func cell(_ value: SQLiteValue) -> String {
        switch value {
        case .null: "<none>"
        case .integer(let number): "\(number)"
        // Six digits behind the point are enough for eyes; the other formats are exact.
        case .real(let number): abs(number) < 1e9 && abs(number) >= 1e-3 ? "\((number * 1e6).rounded() / 1e6)" : "\(number)"
        case .text(let text): visible(text)
        case .blob(let bytes): hex(bytes)
        }
    }

    /// Control characters in a file would otherwise be obeyed by the terminal.
    private static func visible(_ text: String) -> String {
        if text.utf8.allSatisfy({ (0x20..<0x7f).contains($0) }) { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func csvField(_ value: SQLiteValue) -> String {
        switch value {
        case .null: ""
        case .integer(let number): "\(number)"
        case .real(let number): "\(number)"
        case .text(let text): csvField(text)
        case .blob(let bytes): hex(bytes)
        }
    }

    private static func csvField(_ text: String) -> String {
        guard text.isEmpty || text.utf8.contains(where: { [0x22, 0x2c, 0x0a, 0x0d].contains($0) }) else { return text }
        return "\"\(text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\""
    }

    private static func json(_ value: SQLiteValue) -> String {
        switch value {
        case .null: "null"
        case .integer(let number): "\(number)"
        // JSON has no infinity.
        case .real(let number): number.isFinite ? "\(number)" : "\"\(number)\""
        case .text(let text): jsonText(text)
        case .blob(let bytes): "\"\(hex(bytes))\""
        }
    }

    private static func jsonText(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
