import KnowledgeBase
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A record is written as it is read.
@Suite struct RoundRecordEncodingTests {
    @Test(arguments: ["round-0", "round-1"])
    func `an example is read, written and read again as the same record`(name: String) throws {
        let text = try Data(contentsOf: URL(filePath: "examples/knowledge-base/\(name).json"))
        let record = try RoundRecord(json: text, name: name)
        #expect(!record.tasks.isEmpty && !record.samples.isEmpty && !record.decisions.isEmpty)
        let written = try record.json()
        #expect(try RoundRecord(json: written, name: "written") == record)
        #expect(try RoundRecord(json: written, name: "written").json() == written)
    }

    @Test func `every field survives, and a figure that JSON has not is refused`() throws {
        var record = try RoundRecord.example(3)
        #expect(try RoundRecord(json: try record.json(), name: "written") == record)
        record.metrics["loss"] = .nan
        #expect(throws: KnowledgeError.self) { try record.json() }
    }
}
