/// Why a table cannot be learned from, or asked about.
package struct TableError: Error, Equatable, CustomStringConvertible {
    /// What callers may switch on.
    package enum Code: Equatable, Sendable {
        /// The text is no CSV, or a field is not what its column holds.
        case malformed
        /// More rows or bytes than are read.
        case tooLarge
        /// A column is missing or cannot be used.
        case column
        /// No row has a label.
        case noLabels
        /// All labels are the same.
        case oneClass
        /// A label that the first round did not have.
        case newClass
    }

    /// Decides what a caller does; the message is for people.
    package var code: Code
    /// One sentence: the file, the line and column, the value found, the remedy.
    package var description: String

    /// Made where a table is read or turned into samples.
    package init(_ code: Code, _ description: String) { (self.code, self.description) = (code, description) }
}

/// A table as it was read: columns of words and where each row stood.
package struct TextTable: Sendable, Equatable {
    /// Bounds on what is read into memory.
    package enum Limits {
        /// Data rows.
        package static let rowsMax = 1_000_000
        /// All fields together, bytes.
        package static let bytesMax = 512 << 20
    }

    /// Names of line 1, all different.
    package let columns: [String]
    /// As many words a row as there are columns.
    package private(set) var rows: [[String]] = []
    /// Line of each row in its file.
    package private(set) var lines: [Int] = []
    /// The first file, for messages about the whole.
    package let source: String
    /// Files that rows come from, the first one first, and which of them each row comes from.
    private var files: [String]
    private var fileOfRow: [Int] = []

    /// No row yet. Traps where a name occurs twice.
    package init(columns: [String], source: String) {
        precondition(Set(columns).count == columns.count, "column names must differ")
        (self.columns, self.source, files) = (columns, source, [source])
    }

    /// Reads CSV with a header.
    ///
    /// - Parameters:
    ///   - source: the file's name, for messages.
    ///   - next: gives the next chunk of bytes, nil at the end.
    /// - Throws: `TableError` naming the source and the line; what `next` throws.
    package init(source: String, _ next: () throws -> [UInt8]?) throws {
        var header: [String]?
        var rows: [[String]] = [], lines: [Int] = [], byteCount = 0
        func take(_ line: Int, _ fields: [String]) throws {
            guard let names = header else {
                _ = try CSVColumns(header: fields, required: [])
                header = fields
                return
            }
            guard fields.count == names.count else { throw CSVError.fieldCount(line: line, found: fields.count, expected: names.count) }
            byteCount += fields.reduce(16) { $0 + $1.utf8.count }
            guard rows.count < Limits.rowsMax, byteCount <= Limits.bytesMax else {
                throw TableError(
                    .tooLarge,
                    "\(source), line \(line): more than \(Limits.rowsMax) rows or \(Limits.bytesMax >> 20) MiB; give fewer rows or columns")
            }
            rows.append(fields)
            lines.append(line)
        }
        do {
            var parser = CSVParser()
            while let bytes = try next() { try parser.consume(bytes, take) }
            try parser.finish(take)
            guard let header else { throw CSVError.noHeader }
            self.init(columns: header, source: source)
        } catch let error as CSVError {
            throw TableError(.malformed, "\(source), \(error)")
        }
        (self.rows, self.lines, fileOfRow) = (rows, lines, [Int](repeating: 0, count: rows.count))
    }

    /// Rows, not columns.
    package var count: Int { rows.count }

    /// - Parameter line: where the row stands in the source.
    package mutating func append(_ row: [String], line: Int) {
        precondition(row.count == columns.count, "one word a column")
        rows.append(row)
        lines.append(line)
        fileOfRow.append(0)
    }

    /// Where a row stands: file and line.
    package func place(_ row: Int) -> String { "\(file(row)), line \(lines[row])" }

    /// The file that a row comes from.
    package func file(_ row: Int) -> String { files[fileOfRow[row]] }

    /// The rows at the given positions, in the given order.
    package func rows(_ positions: [Int]) -> TextTable {
        var result = self
        (result.rows, result.lines) = (positions.map { rows[$0] }, positions.map { lines[$0] })
        result.fileOfRow = positions.map { fileOfRow[$0] }
        return result
    }

    /// The same rows with some columns, in the order asked for.
    ///
    /// - Throws: `TableError` naming the source and the column that is not there.
    package func selecting(_ names: [String]) throws(TableError) -> TextTable {
        if names == columns { return self }
        var positions: [Int] = []
        for name in names { positions.append(try position(of: name)) }
        var result = TextTable(columns: names, source: source)
        (result.rows, result.lines) = (rows.map { row in positions.map { row[$0] } }, lines)
        (result.files, result.fileOfRow) = (files, fileOfRow)
        return result
    }

    /// - Parameter other: with the same columns in any order.
    /// - Throws: as `selecting`.
    package mutating func append(contentsOf other: TextTable) throws(TableError) {
        let same = try other.selecting(columns)
        rows += same.rows
        lines += same.lines
        fileOfRow += same.fileOfRow.map { $0 + files.count }
        files += same.files
        guard count <= Limits.rowsMax else {
            throw TableError(.tooLarge, "\(other.source): \(count) rows together with those before; at most \(Limits.rowsMax) are learned")
        }
    }

    /// - Throws: `TableError` naming the source, the column and those there are.
    package func position(of column: String) throws(TableError) -> Int {
        guard let found = columns.firstIndex(of: column) else {
            let some = columns.prefix(20).joined(separator: ", ") + (columns.count > 20 ? ", …" : "")
            throw TableError(.column, "\(source), line 1: no column \"\(column)\" (found: \(some)); fix the header, or the job's columns")
        }
        return found
    }

    /// The words of a column, "" where missing: what is empty or `NA`.
    ///
    /// - Throws: as `position(of:)`.
    package func words(_ column: String) throws(TableError) -> [String] {
        let position = try position(of: column)
        return rows.map { $0[position] == "NA" ? "" : $0[position] }
    }

    /// CSV with a header; every field that needs quotes has them.
    package var csv: [UInt8] {
        var bytes: [UInt8] = []
        for row in [columns] + rows { bytes += csvLine(row) }
        return bytes
    }
}

/// A line of CSV with its line feed; a lone empty field is quoted, so that it is no blank line.
package func csvLine(_ fields: [String]) -> [UInt8] {
    if fields == [""] { return Array("\"\"\n".utf8) }
    let written = fields.map { field in
        let needsQuotes = field.utf8.contains { [0x22, 0x2c, 0x0a, 0x0d].contains($0) }
        guard needsQuotes else { return field }
        return "\"" + String(field.unicodeScalars.flatMap { $0 == "\"" ? ["\"", "\""] : [$0] }.map(Character.init)) + "\""
    }
    return Array((written.joined(separator: ",") + "\n").utf8)
}
