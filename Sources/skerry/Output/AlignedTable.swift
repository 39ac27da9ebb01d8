import Resources

/// Rows for people (aligned columns) or for programs (CSV, JSON).
struct AlignedTable {
    enum Format: String, CaseIterable { case table, csv, json }

    let head: [String]
    /// Columns of names, which stay text in JSON even where they are all digits.
    private let texts: Set<String>
    var rows: [[String]] = []

    init(_ head: [String], texts: Set<String> = []) {
        self.head = head
        self.texts = texts
    }

    func text(_ format: Format) -> String {
        switch format {
        case .table: aligned
        case .csv: ([head] + rows).map { $0.map(Self.quoted).joined(separator: ",") }.joined(separator: "\n")
        case .json: json.text
        }
    }

    /// An object a row, its keys the words of the head in lower case; numbers are numbers, and an empty cell or "–" is null.
    var json: JSON {
        let columns = head.map { (key: Self.key($0), isText: texts.contains($0)) }
        return .array(
            rows.map { row in .object(JSONObject(zip(columns, row).map { ($0.key, Self.value($1, isText: $0.isText)) })) })
    }

    private var aligned: String {
        let lines = [head] + rows
        let widths = head.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        return lines.map { line in
            let cells = line.indices.map { column in
                let padding = String(repeating: " ", count: widths[column] - line[column].count)
                return column == 0 ? line[column] + padding : padding + line[column]
            }
            return cells.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    private static func quoted(_ cell: String) -> String {
        cell.contains { ",\"\n".contains($0) } ? "\"" + cell.replacing("\"", with: "\"\"") + "\"" : cell
    }

    /// "% OVER SINGLE_TASK" is percent_over_single_task.
    private static func key(_ head: String) -> String {
        let spelled = head.lowercased().replacing("%", with: " percent ")
        return spelled.split { !($0.isLetter || $0.isNumber || $0 == "_") }.joined(separator: "_")
    }

    private static func value(_ cell: String, isText: Bool) -> JSON {
        if cell.isEmpty || cell == "–" { return .null }
        if isText { return .string(cell) }
        let digits = cell.first == "+" ? String(cell.dropFirst()) : cell
        if let integer = Int64(digits) { return .integer(integer) }
        let isDecimal = Double(digits)?.isFinite == true && digits.allSatisfy { "-.0123456789".contains($0) }
        return isDecimal ? .decimal(digits) : .string(cell)
    }
}

/// Several tables of one command: one after the other for people, one JSON document for programs.
struct Sheets {
    private var sheets: [(name: String, title: String?, table: AlignedTable)] = []

    /// - Parameters:
    ///   - name: the key in the JSON document.
    ///   - title: a line above the table, for people.
    mutating func add(_ name: String, title: String? = nil, _ table: AlignedTable) { sheets.append((name, title, table)) }

    func text(_ format: AlignedTable.Format) -> String {
        guard format != .json else { return JSON.object(JSONObject(sheets.map { ($0.name, $0.table.json) })).text }
        return sheets.map { sheet in
            let title = sheet.title.map { (format == .csv ? "# " : "") + $0 + "\n" } ?? ""
            return title + sheet.table.text(format)
        }.joined(separator: "\n\n")
    }
}

/// A number with a fixed count of decimals; "–" where there is none.
func fixed(_ value: Double?, decimals: Int = 4, sign: Bool = false) -> String {
    guard let value, value.isFinite else { return "–" }
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    let scaled = Int((abs(value) * scale).rounded())
    let digits = String(scaled)
    let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
    let prefix = value < 0 && scaled > 0 ? "-" : sign ? "+" : ""
    return decimals == 0 ? prefix + padded : "\(prefix)\(padded.dropLast(decimals)).\(padded.suffix(decimals))"
}
