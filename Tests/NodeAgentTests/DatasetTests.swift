import Learning
import Resources
import Storage
import TestKit
import Testing

@testable import NodeAgent

#if canImport(Glibc)
    import Glibc
#endif

/// What is read of data sets, without files and clocks.
@Suite(.offThePool) struct DatasetTests {
    // MARK: Records

    private static let texts = [
        "a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n\r\n3,4", "\u{FEFF}a,b\n\"x, \"\"y\"\"\",\"two\nlines\"\n5,6\n", "\n\na\n\n\n1\n2",
        "name\n5\" pipe\nx\"y\"\n", "a,b,c\n,,\n\"\",,1\n", "ä,ö\n\u{1F600},ß\n",
    ]

    /// Rows by our scanner, fed in pieces.
    private func scanned(_ text: String, piece: Int) throws -> [[String]] {
        var scanner = RecordScanner(.csv)
        var rows: [[String]] = []
        func take(_ record: RecordScanner.Record) {
            var row: [String] = []
            _ = RecordScanner.fields(record.bytes) { _, field in row.append(String(decoding: field, as: UTF8.self)) }
            rows.append(row)
        }
        let bytes = Array(text.utf8)
        var start = 0
        while start < bytes.count {
            let next = Array(bytes[start..<min(bytes.count, start + piece)])
            try next.withUnsafeBytes { buffer in try scanner.consume(buffer) { record throws(DatasetFault) in take(record) } }
            start += next.count
        }
        try scanner.finish { record throws(DatasetFault) in take(record) }
        #expect(scanner.offset == Int64(bytes.count))
        return rows
    }

    @Test(arguments: texts) func `rows are those that the parser of the learning room finds, whatever the pieces`(text: String) throws {
        var parser = CSVParser()
        var wanted: [[String]] = []
        try parser.consume(Array(text.utf8)) { _, fields in wanted.append(fields) }
        try parser.finish { _, fields in wanted.append(fields) }
        // A mark is told from text by its three bytes, which come together here.
        for piece in [3, 4, 7, 1000] { #expect(try scanned(text, piece: piece) == wanted, "in pieces of \(piece)") }
    }

    @Test func `what is no csv is told with its line`() {
        func fault(_ bytes: [UInt8]) -> String {
            var reading = DatasetReading(.init(path: "/x", format: .csv), checkAt: nil)
            do throws(DatasetFault) {
                let result = bytes.withUnsafeBytes { buffer in Result { () throws(DatasetFault) in try reading.consume(buffer) } }
                try result.get()
                _ = try reading.finished()
            } catch { return "\(error.reason.rawValue): \(error.message)" }
            return ""
        }
        #expect(fault(Array("a,b\n1,2\n3\n".utf8)) == "BadFormat: line 3: 1 fields, the header has 2")
        #expect(fault(Array("a,b\n\"1\"2,3\n".utf8)).hasPrefix("BadFormat: line 2: text follows a closing quote"))
        #expect(fault(Array("a,b\n1,\"2\n3\n".utf8)).hasPrefix("BadFormat: line 2: a quoted field is never closed"))
        #expect(fault(Array("a,a\n".utf8)).hasPrefix("BadFormat: line 1: column \"a\" occurs twice"))
        #expect(fault(Array("a\n1\n".utf8) + [0xFF, 0xFE, 0x0A]).hasPrefix("BadFormat: line 3: not valid UTF-8"))
        #expect(fault([UInt8](repeating: 0x61, count: RecordScanner.recordBytesMax + 1)).hasPrefix("TooLarge: line 1"))
        #expect(fault(Array("a,b\n1,2\n".utf8)) == "")
    }

    // MARK: Columns

    private func reading(_ text: String, label: String? = nil, trainedRows: Int64? = nil, checkAt: Int64? = nil) throws -> DatasetReading {
        var reading = DatasetReading(.init(path: "/x", format: .csv, label: label, trainedRows: trainedRows), checkAt: checkAt)
        let bytes = Array(text.utf8)
        let result = bytes.withUnsafeBytes { buffer in Result { () throws(DatasetFault) in try reading.consume(buffer) } }
        try result.get()
        return reading
    }

    @Test func `columns are numbers, texts or empty, with what is missing counted`() throws {
        let reading = try reading("n,t,e,m\n1,x,,1\n-2.5,y,NA,z\n1e3,x,,\n", label: "t")
        let columns = try #require(reading.profile).columns.map(\.json)
        #expect(
            columns[0] == [
                "name": "n", "type": "number", "missing": 0, "distinct": 3, "min": .decimal("-2.5"), "max": .decimal("1000.0"),
                "mean": .decimal("332.8333333333333"),
            ])
        #expect(columns[1] == ["name": "t", "type": "text", "missing": 0, "distinct": 2])
        #expect(columns[2] == ["name": "e", "type": "empty", "missing": 3])
        #expect(columns[3]["type"] == "text" && columns[3]["missing"] == 1)
        #expect(reading.profile?.labels == ["x": 2, "y": 1])
        #expect(reading.rowCount == 3)
    }

    @Test func `numbers are read as the standard library reads them`() {
        for text in ["0", "-0.5", "12.25", "123456789012345", "1234567890123456789", "0.1", "3.14159265358979", "1e-3", ".5", "5.", "-7"] {
            let bytes = Array(text.utf8)
            let found = bytes.withUnsafeBufferPointer { ColumnProfile.number($0) }
            #expect(
                found == Double(text) || text == "5." && found == 5 || text == ".5" && found == 0.5, "\(text): \(String(describing: found))"
            )
        }
        for text in ["x", "1,5", "nan", "inf", "--1", "-", ".", "1.2.3", "0x10p"] {
            let bytes = Array(text.utf8)
            #expect(bytes.withUnsafeBufferPointer { ColumnProfile.number($0) } == nil, "\(text)")
        }
    }

    @Test func `a column that is distributed otherwise is named, and one that is not is left alone`() throws {
        var text = "same,moved,word\n"
        for row in 0..<2000 {
            let value = (row * 7919) % 1000
            let isLater = row >= 1000
            text += "\(value),\(isLater ? value + 600 : value),\(isLater && row % 2 == 0 ? "new" : "old")\n"
        }
        let drift = try #require(try reading(text, trainedRows: 1000).drift(since: nil))
        #expect(Set(drift.columns.map { $0.column }) == ["moved", "word"])
        #expect(drift.since == "the rows that were trained on")
        let before = try #require(try reading(text.split(separator: "\n").prefix(1001).joined(separator: "\n") + "\n").profile)
        let again = try #require(try reading(text.split(separator: "\n").prefix(1001).joined(separator: "\n") + "\n").drift(since: before))
        #expect(again.columns.isEmpty)
        let index = try reading(text, trainedRows: 1000).driftIndex(since: nil)
        #expect(index == drift.columns.first?.index && index ?? 0 > 0.25)
        let few = try reading("a\n1\n").drift(since: try reading("a\n9\n").profile)
        #expect(few?.columns.count == nil, "too few rows say nothing")
    }

    // MARK: Status

    @Test func `a status says what has changed, once, and forgets labels that are gone`() throws {
        let now = Timestamp(seconds: 1_700_000_000)
        let first = DatasetStatusPlan(reading: try reading("a,l\n1,x\n2,y\n", label: "l"), byteCount: 12, version: 1)
        var status = MergePatch.apply(try #require(first.change(from: nil, at: now)), to: [:])
        #expect(status["numberOfSamples"] == 2 && status["version"] == 1 && status["byteCount"] == 12)
        #expect(status["digest"]?.string == ArtifactDigest(of: Array("a,l\n1,x\n2,y\n".utf8)).description)
        #expect(status["labels"] == ["x": 1, "y": 1])
        #expect(first.change(from: status, at: Timestamp(seconds: 1_800_000_000)) == nil)
        let second = DatasetStatusPlan(reading: try reading("a,l\n1,z\n", label: "l"), byteCount: 8, version: 2)
        status = MergePatch.apply(try #require(second.change(from: status, at: now)), to: status)
        #expect(status["labels"] == ["z": 1] && status["version"] == 2)
        let broken = DatasetStatusPlan(version: 2, fault: DatasetFault(.notFound, "/x: there is no such file"))
        let change = try #require(broken.change(from: status, at: now))
        #expect(change["numberOfSamples"] == nil, "what was counted stays")
        status = MergePatch.apply(change, to: status)
        #expect(status["conditions"]?.array?.first?["reason"] == "NotFound")
        #expect(DatasetStatusPlan(version: 1, fault: DatasetFault(.notFound, "x")).change(from: nil, at: now)?["numberOfSamples"] == 0)
    }

    @Test func `the digest after some rows tells an append from a replacement`() throws {
        let old = try reading("a\n1\n2\n")
        #expect(try reading("a\n1\n2\n3\n", checkAt: 2).checkedDigest == old.digest.value)
        #expect(try reading("a\n1\n9\n3\n", checkAt: 2).checkedDigest != old.digest.value)
        #expect(try reading("a\r\n1\r\n2", checkAt: 2).finished().checkedDigest == old.digest.value, "line ends count for nothing")
        #expect(try reading("a\n1\n", checkAt: 2).checkedDigest == nil)
    }
}
