import KnowledgeBase
import Storage
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct KnowledgeCommandTests {
    static let examples = ["examples/knowledge-base/round-0.json", "examples/knowledge-base/round-1.json"]
    private let folder: TemporaryFolder
    private let file: String

    /// The examples are recorded.
    init() throws {
        folder = try TemporaryFolder()
        file = folder.path + "/knowledge.db"
        let result = try Program.run(["kb", "record", "--kb", file] + Self.examples, in: folder)
        try #require(result.status == 0, "\(result.errors)")
        #expect(
            result.output == """
                recorded: round 0 of comfort/lifelong, pod train-0
                recorded: round 1 of comfort/lifelong, pod train-1

                """)
    }

    private func kb(_ arguments: String...) throws -> Program.Ending {
        try Program.run(["kb"] + arguments, in: folder, environment: ["SKERRY_KB": file])
    }

    @Test(arguments: ["rounds", "tasks", "models", "samples", "relations", "decisions", "adapters"])
    func `every listing prints rows for people, for scripts and for spreadsheets`(_ name: String) throws {
        let table = try kb(name)
        #expect(table.status == 0 && table.errors.isEmpty)
        let lines = table.output.split(separator: "\n")
        #expect(lines.count > 1 && lines[0].hasPrefix("JOB "))
        #expect(lines.dropFirst().allSatisfy { $0.hasPrefix("comfort/lifelong ") })
        let json = try kb(name, "-o", "json")
        let objects = try JSONDecoder().decode([Job].self, from: Data(json.output.utf8))
        #expect(objects.count == lines.count - 1 && objects.allSatisfy { $0.job == "comfort/lifelong" })
        let csv = try kb(name, "-o", "csv")
        #expect(csv.output.split(separator: "\n").count == lines.count)
        #expect(try kb(name, "--job", "comfort/other", "-o", "json").output == "[]\n")
    }

    private struct Job: Decodable {
        var job: String
    }

    @Test func `filters give what they say`() throws {
        #expect(try kb("samples", "--state", "unseen", "-o", "csv").output.split(separator: "\n").count == 3)
        #expect(try kb("samples", "--round", "0", "-o", "csv").output.split(separator: "\n").count == 7)
        #expect(try kb("samples", "--limit", "4", "-o", "csv").output.split(separator: "\n").count == 5)
        #expect(try kb("tasks", "--attribute", "season=summer", "-o", "csv").output.contains("summer|air conditioned"))
        #expect(try !kb("tasks", "--attribute", "season=summer", "-o", "csv").output.contains("winter|"))
        #expect(try kb("models", "--serving", "-o", "csv").output.split(separator: "\n").count == 3)
        #expect(try kb("decisions", "--action", "keep").output.contains("the new model is worse by 0.01, more than the gate allows"))
        #expect(try kb("relations", "--kind", "transfer", "--round", "1", "-o", "csv").output.contains("0.051,3"))
    }

    @Test func `a query answers, and one that writes is refused and has changed nothing`() throws {
        let answer = try kb("query", "SELECT state, count(*) AS samples FROM samples GROUP BY state ORDER BY state", "-o", "csv")
        #expect(answer.output == "state,samples\nlabelled,7\nquarantine,1\nunseen,2\n")
        for statement in ["DELETE FROM sample", "PRAGMA journal_mode = DELETE", "ATTACH '\(folder.path)/x.db' AS x"] {
            let refusal = try kb("query", statement)
            #expect(refusal.status == 1 && refusal.output.isEmpty)
            #expect(refusal.errors.contains("the query is refused"))
        }
        #expect(try kb("query", "SELECT count(*) AS n FROM sample", "-o", "csv").output == "n\n11\n")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).contains("x.db") == false)
        let slow = try kb(
            "query", "--time-limit", "0.05", "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c")
        #expect(slow.status == 1 && slow.errors.contains("stopped after 0.05 seconds"))
        let long = try kb("query", "--rows-max", "2", "-o", "csv", "SELECT key FROM samples")
        #expect(long.status == 1 && long.errors.contains("more than 2 rows"))
        #expect(long.output == "key\n1\n2\n")
        #expect(try kb("query", "SELECT\n x FROM rounds").errors.contains("line 2, column 2 of the query: no such column: x"))
    }

    @Test func `an exported snapshot answers as the original, and is not overwritten unasked`() throws {
        let snapshot = folder.path + "/snapshot.db"
        #expect(try kb("export", snapshot).output == snapshot + "\n")
        let again = try kb("export", snapshot)
        #expect(again.status == 1 && again.errors.contains("a file of this name exists"))
        #expect(try kb("export", "--replace", snapshot).status == 0)
        #expect(try kb("models", "-o", "json", "--kb", snapshot).output == kb("models", "-o", "json").output)
        let own = try kb("export", "--replace", file)
        #expect(own.status == 1 && own.errors.contains("it is the database itself"))
        let full = try kb("export", "/dev/full")
        #expect(full.status == 1)
    }

    @Test func `recording again is harmless, and another content is refused`() throws {
        let again = try kb("record", Self.examples[1])
        #expect(again.status == 0 && again.output == "known already: round 1 of comfort/lifelong, pod train-1\n")
        let text = String(decoding: try Data(contentsOf: URL(filePath: Self.examples[1])), as: UTF8.self)
        let changed = folder.path + "/changed.json"
        try Data(text.replacing("\"after\": 0.6,", with: "\"after\": 0.7,").utf8).write(to: URL(filePath: changed))
        let refusal = try kb("record", changed)
        #expect(refusal.status == 1 && refusal.errors.contains("differs in decisions, entry 1 of 2"))
        try Data(text.replacing("\"train-1\"", with: "\"train-2\"").utf8).write(to: URL(filePath: changed))
        #expect(try kb("record", changed).output == "recorded: round 1 of comfort/lifelong, pod train-2\n")
        try Data("{\"job\": \"x\",\n\n \"round\" 1}".utf8).write(to: URL(filePath: changed))
        let broken = try kb("record", changed)
        #expect(broken.status == 1 && broken.errors.contains("\(changed): ") && broken.errors.contains("line 3"))
        #expect(try kb("record", folder.path + "/none.json").status == 1)
    }

    @Test func `a file that is no knowledge base gets one clear message and exit 1`() throws {
        let path = folder.path + "/other.db"
        func refusal() throws -> String {
            let result = try kb("rounds", "--kb", path)
            #expect(result.status == 1 && result.output.isEmpty)
            #expect(result.errors.hasPrefix("Error: ") && result.errors.split(separator: "\n").count == 1, "\(result.errors)")
            return result.errors
        }
        #expect(try refusal().contains("cannot open \(path)"))
        try Data().write(to: URL(filePath: path))
        #expect(try refusal().contains("holds no knowledge base yet"))
        try Data("hello, this is no database".utf8).write(to: URL(filePath: path))
        #expect(try refusal().contains("\(path) is not a SQLite database"))
        try FileManager.default.removeItem(atPath: path)
        try SQLiteDatabase(.file(path)).execute("CREATE TABLE t (v)")
        #expect(try refusal().contains("no knowledge base; name another file"))
        try FileManager.default.removeItem(atPath: path)
        try KnowledgeBase(.file(file)).export(to: path)
        try SQLiteDatabase(.file(path)).execute("PRAGMA user_version = 99")
        #expect(try refusal().contains("is a knowledge base of version 99"))
        try FileManager.default.removeItem(atPath: path)
        try KnowledgeBase(.file(file)).export(to: path)
        var bytes = try Data(contentsOf: URL(filePath: path))
        for index in 4096..<bytes.count { bytes[index] = 0x5a }
        try bytes.write(to: URL(filePath: path))
        #expect(try refusal().contains("\(path) is damaged"))
    }

    @Test func `a file that another program holds is waited for as long as asked`() throws {
        let holder = try SQLiteDatabase(.file(file))
        try holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        try holder.execute("UPDATE round SET pod = pod")
        let result = try kb("rounds", "--wait", "0.05")
        #expect(result.status == 1 && result.errors.contains("is locked by another connection"))
    }

    @Test func `who names no knowledge base, where none lies, is told how to name one`() throws {
        let result = try Program.run(["kb", "tasks"], in: folder, current: folder.path)
        #expect(result.status == 1 && result.output.isEmpty)
        #expect(result.errors.contains("skerry-demo/knowledge.db, which the demo leaves, is not here; give --kb FILE"))
    }

    @Test func `bad usage exits with 2`() throws {
        let usages = [
            ["samples", "--state", "odd"], ["rounds", "-o", "xml"], ["rounds", "--job", "A/b"], ["tasks", "--attribute", "season"],
            ["query"],
            ["query", "--rows-max", "0", "SELECT 1"], ["query", "--time-limit", "-1", "SELECT 1"], ["rounds", "--wait", "-1"], ["nothing"],
        ]
        for usage in usages {
            let result = try Program.run(["kb"] + usage, in: folder, environment: ["SKERRY_KB": file])
            #expect(result.status == 2 && result.output.isEmpty, "\(usage): \(result)")
        }
    }

    @Test func `output that cannot be written is a failure`() throws {
        let result = try Program.run(
            ["-c", "exec \(Program.path) kb samples --kb \(file) > /dev/full"], executable: "/bin/sh", in: folder)
        #expect(result.status == 1 && result.errors.contains("cannot write to standard output"))
    }

    @Test func `a file of an older program is read only after an upgrade, which keeps what it knows`() throws {
        let old = folder.path + "/old.db"
        try FileManager.default.copyItem(atPath: "Tests/KnowledgeBaseTests/Fixtures/schema-1.db", toPath: old)
        let before = try Data(contentsOf: URL(filePath: old))
        let refusal = try kb("rounds", "--kb", old)
        #expect(refusal.status == 1 && refusal.errors.contains("skerry kb upgrade --kb \(old)"))
        #expect(try Data(contentsOf: URL(filePath: old)) == before, "reading changes nothing")
        #expect(try kb("upgrade", "--kb", old).status == 0)
        #expect(try kb("decisions", "--kb", old, "-o", "json").output == kb("decisions", "-o", "json").output)
        #expect(try kb("models", "--serving", "--kb", old, "-o", "json").output == kb("models", "--serving", "-o", "json").output)
    }

    @Test func `a current file is upgraded to what it is, a missing one is not made`() throws {
        #expect(try kb("upgrade").output == "\(file): version \(KnowledgeBase.schemaVersion)\n")
        #expect(try kb("upgrade", "--kb", folder.path + "/none.db").status == 1)
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/none.db"))
    }
}
