import KnowledgeBase
import Storage
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct KnowledgeFileTests {
    static let fixtures = "Tests/KnowledgeBaseTests/Fixtures"

    @Test(arguments: 1...KnowledgeBase.schemaVersion)
    func `a file of every released version opens, keeps its rounds and becomes what a new file is`(_ version: Int) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/k.db"
        try FileManager.default.copyItem(atPath: "\(Self.fixtures)/schema-\(version).db", toPath: path)
        let old = try SQLiteDatabase(.file(path))
        #expect(try old.value("PRAGMA user_version") == SQLiteValue(version), "the fixture is what its name says")
        let knowledge = try KnowledgeBase(.file(path))
        for number in 0...1 {
            let file = "examples/knowledge-base/round-\(number).json"
            let round = try RoundRecord(json: try Data(contentsOf: URL(filePath: file)), name: file)
            #expect(try knowledge.round(round.job, number, pod: round.pod) == (try round.canonical()))
            #expect(try knowledge.record(round, at: 1) == .alreadyRecorded)
        }
        let fresh = folder.path + "/new.db"
        _ = try KnowledgeBase(.file(fresh))
        #expect(try schema(of: path) == schema(of: fresh), "a released step was changed: add a step instead")
        #expect(try old.value("PRAGMA integrity_check") == "ok")
    }

    @Test func `a file of a newer program is refused, whichever way it is opened, and left alone`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/k.db"
        _ = try KnowledgeBase(.file(path))
        try SQLiteDatabase(.file(path)).execute("PRAGMA user_version = 77")
        for access in [SQLiteOptions.Access.create, .readWrite, .readOnly] {
            let error = #expect(throws: SQLiteError.self) { try KnowledgeBase(.file(path), SQLiteOptions(access)) }
            #expect(error?.code == .newerSchema)
            #expect(error?.description.contains("version 77") == true)
            #expect(error?.description.contains("use the newer program") == true)
        }
        #expect(try SQLiteDatabase(.file(path)).value("PRAGMA user_version") == 77)
    }

    @Test func `reading refuses a file of an older program with the command that brings it up`() throws {
        #expect(throws: Never.self) { try KnowledgeBase.checkReadable(version: KnowledgeBase.schemaVersion, of: "k.db") }
        let error = #expect(throws: KnowledgeError.self) { try KnowledgeBase.checkReadable(version: -1, of: "k.db") }
        #expect(error?.code == .olderSchema)
        #expect(error?.description.contains("skerry kb upgrade --kb k.db") == true)
    }

    @Test func `a missing, empty, foreign or damaged file is told apart`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/k.db"
        func refusal(_ access: SQLiteOptions.Access = .readOnly) -> (any Error)? {
            #expect(throws: (any Error).self) { try KnowledgeBase(.file(path), SQLiteOptions(access)) }
        }
        #expect((refusal() as? SQLiteError)?.code == .cannotOpen)
        #expect(!FileManager.default.fileExists(atPath: path), "reading makes no file")
        try Data().write(to: URL(filePath: path))
        #expect((refusal() as? KnowledgeError)?.code == .empty)
        try Data("record_id,round\n1,2\n".utf8).write(to: URL(filePath: path))
        #expect((refusal() as? SQLiteError)?.code == .notADatabase)
        #expect((refusal(.create) as? SQLiteError)?.code == .notADatabase)
        try FileManager.default.removeItem(atPath: path)
        try SQLiteDatabase(.file(path)).execute("CREATE TABLE t (v)")
        #expect((refusal() as? SQLiteError)?.code == .foreignSchema)
        #expect((refusal(.create) as? SQLiteError)?.code == .foreignSchema)
    }

    @Test func `damage in the middle of a file is found when it is met, and never becomes a snapshot`() throws {
        let folder = try TemporaryFolder()
        let (path, snapshot) = (folder.path + "/k.db", folder.path + "/snapshot.db")
        try KnowledgeBase(.file(path)).record(try .example(0, samples: 5000), at: 1)
        var bytes = try Data(contentsOf: URL(filePath: path))
        let pages = bytes.count / 4096
        for page in pages - 15..<pages { for byte in 0..<64 { bytes[page * 4096 + byte] = 0xa5 } }
        try bytes.write(to: URL(filePath: path))
        let knowledge = try KnowledgeBase(.file(path), KnowledgeBase.readingOptions())
        var sink = CollectedRows()
        let error = #expect(throws: SQLiteError.self) { try knowledge.query("SELECT * FROM samples", now: { .zero }, into: &sink) }
        #expect(error?.code == .corrupt)
        #expect(error?.description.contains("restore it from a snapshot") == true)
        #expect(throws: SQLiteError.self) { try knowledge.export(to: snapshot) }
        #expect(!FileManager.default.fileExists(atPath: snapshot))
    }

    @Test func `a file that another program holds is waited for and then refused`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/k.db"
        try KnowledgeBase(.file(path)).record(try .example(), at: 1)
        let holder = try SQLiteDatabase(.file(path))
        try holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        try holder.execute("UPDATE round SET pod = pod")
        let error = #expect(throws: SQLiteError.self) {
            try KnowledgeBase(.file(path), KnowledgeBase.readingOptions(wait: .milliseconds(1)))
        }
        #expect(error?.code == .busy)
    }

    @Test func `a snapshot holds the same rounds, and is read where nothing can be written`() throws {
        let folder = try TemporaryFolder()
        let snapshot = folder.path + "/sealed/snapshot.db"
        try FileManager.default.createDirectory(atPath: folder.path + "/sealed", withIntermediateDirectories: true)
        let knowledge = try KnowledgeBase(.file(folder.path + "/k.db"))
        let round = try RoundRecord.example()
        try knowledge.record(round, at: 1)
        try knowledge.export(to: snapshot)
        try knowledge.record(try .example(1), at: 1)
        let error = #expect(throws: SQLiteError.self) { try knowledge.export(to: snapshot) }
        #expect(error?.code == .cannotOpen)
        let copy = try KnowledgeBase(.file(snapshot), KnowledgeBase.readingOptions())
        #expect(try copy.roundNames().count == 1)
        #expect(try copy.round(round.job, 0, pod: "train") == (try round.canonical()))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/sealed") == ["snapshot.db"], "no log beside it")
    }

    @Test func `the tables themselves refuse what a record may not hold`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/k.db"
        try KnowledgeBase(.file(path)).record(try .example(), at: 1)
        let database = try SQLiteDatabase(.file(path))
        func code(_ sql: String) -> SQLiteError.Code? { #expect(throws: SQLiteError.self) { try database.execute(sql) }?.code }
        #expect(code("INSERT INTO sample VALUES (1, 1, 99, 1, 9, NULL, NULL)") == .constraint(.foreignKey))
        #expect(code("INSERT INTO sample VALUES (1, 1, 99, 7, 1, NULL, NULL)") == .constraint(.foreignKey))
        #expect(code("INSERT INTO sample VALUES (1, 1, 1.5, 1, 1, NULL, NULL)") == .constraint(.check))
        #expect(code("INSERT INTO sample VALUES (1, 1, 99, 1, 'x', NULL, NULL)") == .constraint(.other), "STRICT: a text is no number")
        #expect(code("INSERT INTO decision VALUES (1, 99, 1, NULL, NULL, NULL, NULL, NULL, '')") == .constraint(.check))
        #expect(code("UPDATE model SET digest = 'abc'") == .constraint(.check))
        #expect(code("INSERT INTO model_parent SELECT round_id, model_id, model_id FROM round_model") == .constraint(.check))
        #expect(code("DELETE FROM task") == .constraint(.foreignKey))
        #expect(code("UPDATE round SET number = -1") == .constraint(.check))
    }

    private func schema(of path: String) throws -> [String] {
        try SQLiteDatabase(.file(path)).map("SELECT type, name, sql FROM sqlite_master ORDER BY type, name") { row in
            "\(try row.text(0)) \(try row.text(1)): \(try row.optionalText(2) ?? "")"
        }
    }
}
