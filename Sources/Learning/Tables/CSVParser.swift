/// Why CSV text was refused; each case names the line (counted from 1, the header is line 1).
package enum CSVError: Error, Equatable, CustomStringConvertible {
    case fieldTooLong(line: Int, limitBytes: Int)
    case tooManyFields(line: Int, limit: Int)
    case textAfterQuote(line: Int)
    case unclosedQuote(line: Int)
    case invalidUTF8(line: Int)
    case noHeader
    case fieldCount(line: Int, found: Int, expected: Int)
    case missingColumn(name: String, found: [String])
    case doubledColumn(name: String)
    case notANumber(line: Int, column: String, found: String)

    /// One sentence: the line, the column where one is at fault, the text found and the remedy.
    package var description: String {
        switch self {
        case .fieldTooLong(let line, let limit): "line \(line): a field is longer than \(limit) bytes; is a quote missing?"
        case .tooManyFields(let line, let limit): "line \(line): more than \(limit) fields"
        case .textAfterQuote(let line): "line \(line): text follows a closing quote; write a quote inside a field twice"
        case .unclosedQuote(let line): "line \(line): a quoted field is never closed"
        case .invalidUTF8(let line): "line \(line): not valid UTF-8; save the file as UTF-8"
        case .noHeader: "the file is empty: line 1 must name the columns"
        case .fieldCount(let line, let found, let expected):
            "line \(line): \(found) fields, the header has \(expected)"
        case .missingColumn(let name, let found):
            "no column \"\(name)\" (found: \(found.joined(separator: ", "))); fix the header, line 1"
        case .doubledColumn(let name): "column \"\(name)\" occurs twice; fix the header, line 1"
        case .notANumber(let line, let column, let found):
            "line \(line), column \"\(column)\": \"\(found.prefix(40))\" is not a number; correct it or leave it empty"
        }
    }
}

/// A streaming CSV parser (RFC 4180: quoted fields, doubled quotes, line breaks inside quotes; CRLF or LF; a UTF-8 byte order mark is skipped).
///
/// Feed it chunks of any size; memory is bounded by one row. Blank lines are skipped.
package struct CSVParser {
    /// Longest field, bytes.
    package static let fieldBytesMax = 1 << 20
    /// Most fields in a row.
    package static let fieldsMax = 4096

    private enum State { case fieldStart, plain, quoted, quoteInQuoted }
    private var state = State.fieldStart
    private var field: [UInt8] = []
    private var row: [String] = []
    private var line = 1
    private var rowLine = 1
    private var markBytes: [UInt8] = []
    private var isPastMark = false

    /// Reads one text from its beginning; take another parser for another text.
    package init() {}

    /// Parses one chunk and hands every completed row, with the line it starts on, to `body`.
    package mutating func consume(_ bytes: [UInt8], _ body: (_ line: Int, _ fields: [String]) throws -> Void) throws {
        for byte in bytes {
            if !isPastMark {
                if try skipsMark(byte, body) { continue }
            }
            try step(byte, body)
        }
    }

    /// Hands over a last row that has no line break.
    package mutating func finish(_ body: (_ line: Int, _ fields: [String]) throws -> Void) throws {
        if !isPastMark {
            isPastMark = true
            for byte in markBytes { try step(byte, body) }
        }
        if state == .quoted { throw CSVError.unclosedQuote(line: rowLine) }
        if !(row.isEmpty && field.isEmpty && state == .fieldStart) { try endRow(body) }
    }

    private mutating func skipsMark(_ byte: UInt8, _ body: (Int, [String]) throws -> Void) throws -> Bool {
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        if byte == mark[markBytes.count] {
            markBytes.append(byte)
            isPastMark = markBytes.count == mark.count
            return true
        }
        isPastMark = true
        for earlier in markBytes { try step(earlier, body) }
        return false
    }

    private mutating func step(_ byte: UInt8, _ body: (Int, [String]) throws -> Void) throws {
        let quote = UInt8(ascii: "\""), comma = UInt8(ascii: ","), newline = UInt8(ascii: "\n"), carriage = UInt8(ascii: "\r")
        switch (state, byte) {
        case (.quoted, quote): state = .quoteInQuoted
        case (.quoted, _):
            if byte == newline { line += 1 }
            try append(byte)
        case (.quoteInQuoted, quote):
            try append(quote)
            state = .quoted
        case (.fieldStart, quote): state = .quoted
        case (_, comma): try endField()
        case (_, newline):
            try endRow(body)
            line += 1
            rowLine = line
        case (.quoteInQuoted, carriage): break
        case (.quoteInQuoted, _): throw CSVError.textAfterQuote(line: line)
        case (_, _):
            try append(byte)
            state = .plain
        }
    }

    private mutating func append(_ byte: UInt8) throws {
        guard field.count < Self.fieldBytesMax else { throw CSVError.fieldTooLong(line: line, limitBytes: Self.fieldBytesMax) }
        field.append(byte)
    }

    private mutating func endField() throws {
        guard row.count < Self.fieldsMax else { throw CSVError.tooManyFields(line: rowLine, limit: Self.fieldsMax) }
        guard let text = String(validating: field, as: UTF8.self) else { throw CSVError.invalidUTF8(line: line) }
        row.append(text)
        field.removeAll(keepingCapacity: true)
        state = .fieldStart
    }

    private mutating func endRow(_ body: (Int, [String]) throws -> Void) throws {
        if field.last == UInt8(ascii: "\r") && state == .plain {
            field.removeLast()
        }
        let isBlank = row.isEmpty && field.isEmpty && state != .quoteInQuoted
        try endField()
        defer { row.removeAll(keepingCapacity: true) }
        if !isBlank { try body(rowLine, row) }
    }
}

/// The columns a reader asks for, found once in the header; every later row is checked for its number of fields.
package struct CSVColumns: Sendable {
    private let indices: [String: Int]
    /// Number of fields in the header.
    package let count: Int

    /// - Throws: `CSVError.missingColumn` for a required name that is not there, `.doubledColumn` for a name that occurs twice.
    package init(header: [String], required: [String]) throws {
        var indices: [String: Int] = [:]
        for (index, name) in header.enumerated() {
            guard indices.updateValue(index, forKey: name) == nil else { throw CSVError.doubledColumn(name: name) }
        }
        for name in required where indices[name] == nil { throw CSVError.missingColumn(name: name, found: header) }
        self.indices = indices
        count = header.count
    }

    /// Position of a column that `required` named.
    package func index(_ name: String) -> Int {
        guard let index = indices[name] else { preconditionFailure("column \(name) was not declared as required") }
        return index
    }
}

/// Reads a whole CSV stream with a header.
///
/// - Parameters:
///   - next: gives the next chunk of bytes, nil at the end.
///   - required: columns that must be there.
///   - body: called for every row after the header with its line, its fields and the columns.
package func readCSV(
    _ next: () throws -> [UInt8]?, required: [String],
    _ body: (_ line: Int, _ fields: [String], _ columns: CSVColumns) throws -> Void
) throws {
    var parser = CSVParser()
    var columns: CSVColumns?
    func take(_ line: Int, _ fields: [String]) throws {
        guard let known = columns else {
            columns = try CSVColumns(header: fields, required: required)
            return
        }
        guard fields.count == known.count else {
            throw CSVError.fieldCount(line: line, found: fields.count, expected: known.count)
        }
        try body(line, fields, known)
    }
    while let bytes = try next() { try parser.consume(bytes, take) }
    try parser.finish(take)
    if columns == nil { throw CSVError.noHeader }
}

/// A number in a CSV field: nil where it is empty or `NA`.
///
/// - Throws: `CSVError.notANumber` for any other text, and for infinities.
package func csvNumber(_ text: String, line: Int, column: String) throws -> Double? {
    if text.isEmpty || text == "NA" { return nil }
    guard let value = Double(text), value.isFinite else { throw CSVError.notANumber(line: line, column: column, found: text) }
    return value
}
