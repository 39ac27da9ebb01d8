import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `Tests/complaints.txt`: every complaint and advisory that concerns cloud and edges has tests, and those it names are there.
@Suite struct ComplaintTests {
    private struct Row {
        let word: String
        let file: String
        let test: String
    }

    private static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }

    private static func rows() throws -> [Row] {
        try text("Tests/complaints.txt").split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            let cells = line.split(separator: "|").map { $0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed() }.map { String($0) }
            try #require(cells.count == 4, "\(line)")
            return Row(word: cells[0], file: cells[2], test: cells[3])
        }
    }

    @Test func `every test that the table of complaints names is there`() throws {
        var files: [String: String] = [:]
        for row in try Self.rows() {
            let text = try files[row.file] ?? Self.text("Tests/\(row.file)")
            files[row.file] = text
            #expect(text.contains("func `\(row.test)`("), "\(row.word): \(row.file) has no test `\(row.test)`")
        }
    }

    @Test func `no complaint of those that concern cloud and edges is left out`() throws {
        let words = Set(try Self.rows().map(\.word))
        let complaints = Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 15].map { "C\($0)" })
        #expect(complaints.subtracting(words) == [])
        let advisories = (73...80).map { "CVE-2022-310\($0)" } + [62_182, 62_369, 62_370, 62_371, 82_473].map { "CVE-2026-\($0)" }
        #expect(Set(advisories).subtracting(words) == [])
    }
}
