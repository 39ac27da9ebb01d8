import Learning
import Testing

@Suite struct CSVParserTests {
    /// Parses the text in chunks of a given size.
    static func rows(_ text: [UInt8], chunk: Int = .max) throws -> [[String]] {
        var parser = CSVParser()
        var rows: [[String]] = []
        var start = 0
        while start < text.count {
            let end = start + min(chunk, text.count - start)
            try parser.consume(Array(text[start..<end])) { rows.append($1) }
            start = end
        }
        try parser.finish { rows.append($1) }
        return rows
    }

    static func rows(_ text: String) throws -> [[String]] { try rows(Array(text.utf8)) }

    @Test(arguments: [1, 2, 3, 7, 1000])
    func `quotes, CRLF, a byte order mark and empty fields read the same in chunks of any size`(_ chunk: Int) throws {
        let text = "\u{FEFF}a,b,c\r\n\"x, \"\"y\"\"\",,\"line\r\nbreak\"\r\n\r\n1,2,"
        #expect(try Self.rows(Array(text.utf8), chunk: chunk) == [["a", "b", "c"], ["x, \"y\"", "", "line\r\nbreak"], ["1", "2", ""]])
    }

    @Test func `a quote that is never closed names the line it began on`() {
        #expect(throws: CSVError.unclosedQuote(line: 2)) { try Self.rows("a\n\"b\nc") }
    }

    @Test func `text after a closing quote is refused`() {
        #expect(throws: CSVError.textAfterQuote(line: 1)) { try Self.rows("\"a\"b,c") }
    }

    @Test func `invalid UTF-8 is refused with its line`() {
        #expect(throws: CSVError.invalidUTF8(line: 2)) { try Self.rows(Array("a\n".utf8) + [0xFF]) }
    }

    @Test func `a field without end is refused before it fills the memory`() {
        let flood = [UInt8](repeating: UInt8(ascii: "x"), count: CSVParser.fieldBytesMax + 1)
        #expect(throws: CSVError.fieldTooLong(line: 1, limitBytes: CSVParser.fieldBytesMax)) { try Self.rows(flood) }
    }

    static func table(_ text: String, required: [String]) throws {
        var rest: [UInt8]? = Array(text.utf8)
        try readCSV(
            {
                defer { rest = nil }; return rest
            }, required: required
        ) { _, _, _ in }
    }

    @Test func `a missing column is named with the columns found`() {
        #expect(throws: CSVError.missingColumn(name: "b", found: ["a", "c"])) { try Self.table("a,c\n", required: ["a", "b"]) }
    }

    @Test func `a doubled column is refused`() {
        #expect(throws: CSVError.doubledColumn(name: "a")) { try Self.table("a,a\n", required: ["a"]) }
    }

    @Test func `a row with another number of fields than the header is refused`() {
        #expect(throws: CSVError.fieldCount(line: 3, found: 1, expected: 2)) { try Self.table("a,b\n1,2\n3\n", required: ["a"]) }
    }

    @Test func `an empty file is refused`() {
        #expect(throws: CSVError.noHeader) { try Self.table("", required: ["a"]) }
    }

    @Test(arguments: ["abc", "inf", "1e999", "1,5"])
    func `what is not a finite number is refused`(_ text: String) {
        #expect(throws: CSVError.notANumber(line: 4, column: "ta", found: text)) { try csvNumber(text, line: 4, column: "ta") }
    }
}
