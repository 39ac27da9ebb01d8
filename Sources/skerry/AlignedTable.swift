/// Rows for people (aligned columns) or for programs (CSV).
struct AlignedTable {
    enum Format: String, CaseIterable { case table, csv }

    let head: [String]
    var rows: [[String]] = []

    init(_ head: [String]) { self.head = head }

    func text(_ format: Format) -> String {
        let lines = [head] + rows
        guard format == .table else { return lines.map { $0.map(Self.quoted).joined(separator: ",") }.joined(separator: "\n") }
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
