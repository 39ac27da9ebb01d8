import KnowledgeBase
import Storage
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct RowWriterTests {
    private func written(_ format: RowFormat, _ columns: [String], _ rows: [[SQLiteValue]]) throws -> String {
        var text = ""
        var writer = RowWriter(format) { text += $0 }
        try writer.begin(columns.map { RowColumn(name: $0) })
        for row in rows { try writer.add(row) }
        try writer.end()
        return text
    }

    @Test func `CSV tells null from an empty text, and quotes what must be`() throws {
        let text = try written(
            .csv, ["a", "b,c"], [[.null, ""], ["say \"hi\"\r\n", 1], [0.1, .blob([0, 255])], ["a,b", .real(1e300)]])
        #expect(text == "a,\"b,c\"\n,\"\"\n\"say \"\"hi\"\"\r\n\",1\n0.1,00ff\n\"a,b\",1e+300\n")
    }

    @Test func `JSON is read back as it was meant`() throws {
        struct Row: Decodable, Equatable {
            var a: String?
            var b: Double
            var a_2: String
        }
        let odd = "\"\\\u{0}\u{1f}\u{7f}\u{9b}é🌡️\u{2028}"
        let text = try written(.json, ["a", "b", "a"], [[.text(odd), 0.1, "x"], [.null, 3, .blob([1])]])
        let rows = try JSONDecoder().decode([Row].self, from: Data(text.utf8))
        #expect(rows == [Row(a: odd, b: 0.1, a_2: "x"), Row(a: nil, b: 3, a_2: "01")])
        #expect(try JSONDecoder().decode([Row].self, from: Data(try written(.json, ["a"], []).utf8)) == [])
        #expect(try written(.json, ["x"], [[.real(.infinity)]]).contains("\"inf\""))
    }

    @Test func `a table has headings, aligned columns and nothing that a terminal would obey`() throws {
        let text = try written(.table, ["task", "value"], [["summer", 0.30000000000000004], ["\u{1b}[2J\u{202e}x", .null], ["é", 12]])
        let lines = ["TASK\(String(repeating: " ", count: 17))VALUE", "summer\(String(repeating: " ", count: 15))0.3"]
        #expect(text == (lines + [#"\u{1b}[2J\u{202e}x   <none>"#, "é\(String(repeating: " ", count: 20))12", ""]).joined(separator: "\n"))
    }

    @Test func `a table of many rows is written in pages, and none is lost`() throws {
        let rows = (0..<1203).map { [SQLiteValue($0), .text(String(repeating: "x", count: $0 % 7))] }
        let lines = try written(.table, ["n", "t"], rows).split(separator: "\n")
        #expect(lines.count == 1204)
        #expect(lines.dropFirst().compactMap { $0.split(separator: " ").first.flatMap { Int($0) } } == Array(0..<1203))
    }
}
