import KnowledgeBase
import Storage
import TestKit
import Testing

@Suite struct QueryTests {
    /// A knowledge base with two rounds, on a connection that could write: what refuses is the query.
    private func knowledge() throws -> KnowledgeBase {
        let knowledge = try KnowledgeBase(.memory)
        try knowledge.record(try .example(), at: 1_700_000_000)
        var second = try RoundRecord.example(1)
        second.samples[0].state = .quarantine
        second.samples.removeLast(2)
        second.metrics.merge(["R[1][0]": 0.5, "R[1][1]": 0.75, "R[0][1]": 0.25]) { $1 }
        try knowledge.record(second, at: 1_700_000_100)
        return knowledge
    }

    private func rows(_ sql: String, _ limits: QueryLimits = QueryLimits()) throws -> CollectedRows {
        var sink = CollectedRows()
        try knowledge().query(sql, limits, now: { .zero }, into: &sink)
        return sink
    }

    @Test(arguments: [
        ("INSERT INTO job VALUES (9, 'a', 'b')", "it would write to job"),
        ("DELETE FROM sample", "it would write to sample"),
        ("DELETE FROM sample RETURNING *", "it would write to sample"),
        ("WITH x AS (SELECT 1) UPDATE job SET name = 'x'", "it would write to job"),
        ("REPLACE INTO word VALUES (1, 'x')", "it would write to word"),
        ("DROP TABLE sample", "refused"),
        ("CREATE TABLE t (v)", "refused"),
        ("CREATE TEMP TABLE t AS SELECT * FROM sample", "refused"),
        ("CREATE TRIGGER t AFTER INSERT ON job BEGIN SELECT 1; END", "refused"),
        ("ALTER TABLE job RENAME TO jobs", "refused"),
        ("ATTACH '/tmp/x.db' AS x", "ATTACH would open another file"),
        ("DETACH main", "refused"),
        ("PRAGMA user_version", "PRAGMA user_version is not allowed"),
        ("PRAGMA user_version = 3", "PRAGMA user_version is not allowed"),
        ("SELECT * FROM pragma_database_list", "refused"),
        ("SELECT load_extension('x.so')", "load_extension would run foreign code"),
        ("BEGIN", "BEGIN"), ("COMMIT", "BEGIN"), ("SAVEPOINT s", "BEGIN"),
        ("VACUUM", "returns no rows"), ("VACUUM INTO '/tmp/x.db'", "returns no rows"),
        ("ANALYZE", "refused"), ("REINDEX", "refused"),
        ("", "no statement"), ("-- nothing", "no statement"),
        ("SELECT 1; DELETE FROM sample", "more than one statement"),
        ("SELECT missing FROM samples", "line 1, column 8 of the query: no such column: missing"),
        ("SELECT job,\n  \"é\", round\nFROM samples", "line 2, column 3"),
        ("SELECT 'é' || missing", "line 1, column 15"),
        ("SELECT * FROM sampels", "the views are adapters, datasets, decisions"),
        ("SELEC 1", "line 1, column 1 of the query"),
        ("SELECT 1\0; DELETE FROM sample", "NUL"),
    ])
    func `a query that would do more than read, or is none, is refused with the reason`(_ sql: String, _ words: String) throws {
        let error = #expect(throws: KnowledgeError.self) { try rows(sql) }
        #expect(error?.code == .refusedQuery)
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }

    @Test func `a refusal changes nothing, and the next record and query work`() throws {
        let knowledge = try knowledge()
        var sink = CollectedRows()
        #expect(throws: KnowledgeError.self) { try knowledge.query("DELETE FROM sample", now: { .zero }, into: &sink) }
        #expect(try knowledge.record(try .example(), at: 1) == .alreadyRecorded)
        #expect(try knowledge.record(try .example(2), at: 1) == .recorded)
        try knowledge.query("SELECT count(*) FROM rounds", now: { .zero }, into: &sink)
        #expect(sink.rows == [[.integer(3)]])
    }

    @Test func `a connection for reading cannot write even without the questions of the compiler`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/k.db"
        try KnowledgeBase(.file(path)).record(try .example(), at: 1)
        let reader = try SQLiteDatabase(.file(path), KnowledgeBase.readingOptions())
        let error = #expect(throws: SQLiteError.self) { try reader.execute("DELETE FROM sample") }
        #expect(error?.code == .readOnly)
        let knowledge = try KnowledgeBase(.file(path), KnowledgeBase.readingOptions())
        let refusal = #expect(throws: SQLiteError.self) { try knowledge.record(try .example(1), at: 1) }
        #expect(refusal?.code == .readOnly)
    }

    @Test func `an endless query is stopped when its time is over`() throws {
        let endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"
        // The clock moves a second with every look.
        var looks = 0
        var sink = CollectedRows()
        let error = #expect(throws: KnowledgeError.self) {
            try knowledge().query(
                endless,
                now: {
                    looks += 1
                    return .seconds(looks)
                }, into: &sink)
        }
        #expect(error?.code == .timeLimit)
        #expect(error?.description.contains("--time-limit") == true)
        #expect(looks == 11, "10 seconds after the first look")
    }

    @Test func `a result beyond the limit is cut there, and that is an error`() throws {
        var limits = QueryLimits()
        limits.rowsMax = 3
        #expect(try rows("SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3", limits).rows.count == 3)
        var sink = CollectedRows()
        let error = #expect(throws: KnowledgeError.self) {
            try knowledge().query("SELECT * FROM sample_history", limits, now: { .zero }, into: &sink)
        }
        #expect(error?.code == .sizeLimit)
        #expect(error?.description.contains("more than 3 rows") == true)
        #expect(sink.rows.count == 3 && sink.isEnded)
        limits.bytesMax = 1000
        #expect(try knowledgeCode { _ = try rows("SELECT hex(zeroblob(501))", limits) } == .sizeLimit)
        #expect(try rows("SELECT hex(zeroblob(499))", limits).rows.count == 1)
    }

    @Test func `a value that would fill the memory is refused`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/k.db"
        _ = try KnowledgeBase(.file(path))
        let reader = try KnowledgeBase(.file(path), KnowledgeBase.readingOptions())
        var sink = CollectedRows()
        #expect(try knowledgeCode { try reader.query("SELECT zeroblob(1000000000)", now: { .zero }, into: &sink) } == .sizeLimit)
    }

    @Test func `every view answers, and says what was recorded`() throws {
        let knowledge = try knowledge()
        var views = CollectedRows()
        try knowledge.query("SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY name", now: { .zero }, into: &views)
        #expect(views.rows.count == 15)
        for case .text(let view) in views.rows.map({ $0[0] }) {
            var sink = CollectedRows()
            try knowledge.query("SELECT * FROM \"\(view)\"", now: { .zero }, into: &sink)
            #expect(!sink.rows.isEmpty, "\(view)")
        }
        func one(_ sql: String) throws -> [SQLiteValue] {
            var sink = CollectedRows()
            try knowledge.query(sql, now: { .zero }, into: &sink)
            return try #require(sink.rows.first)
        }
        #expect(
            try one("SELECT job, recorded_at, tasks, models, adapters, samples, relations, decisions, metrics FROM rounds WHERE round = 0")
                == [
                    "comfort/lifelong", "2023-11-14T22:13:20Z", 2, 2, 2, 7, 2, 3, "BWT=-0.001, accuracy=0.6",
                ])
        #expect(
            try one("SELECT attributes, first_round, last_round, samples, metrics FROM tasks WHERE task = 'winter|fan'") == [
                "cooling=fan, season=winter", 0, 1, 2, "accuracy=0.3",
            ])
        #expect(try one("SELECT count(*) FROM samples") == [7], "each sample once")
        #expect(try one("SELECT count(*) FROM sample_history") == [12])
        #expect(try one("SELECT state, round FROM samples WHERE dataset = 'survey' AND key = 0") == ["quarantine", 1])
        #expect(try one("SELECT state, round FROM samples WHERE key = '7'") == ["quarantine", 0], "the text 7 is not the number 7")
        #expect(try one("SELECT task, model, round FROM serving") == [.null, .text(digest(101)), 1])
        #expect(try one("SELECT figures, reason FROM decisions WHERE action = 'keep'") == ["p=0.01, rows=12.0", "worse: ½"])
        #expect(
            try one("SELECT from_task, to_task, value, rows FROM relations WHERE kind = 'transfer'") == [
                "summer|air", "winter|fan", -0.02, 12,
            ])
        #expect(try one("SELECT is_serving, tasks FROM models WHERE round = 1 AND name = 'comfort'") == [1, "summer|air, winter|fan"])
        #expect(try one("SELECT is_serving FROM models WHERE round = 0 AND name = 'comfort'") == [0])
    }

    @Test func `the R matrix is a view, and what was held back or taken back does not serve`() throws {
        let knowledge = try knowledge()
        func all(_ sql: String) throws -> [[SQLiteValue]] {
            var sink = CollectedRows()
            try knowledge.query(sql, now: { .zero }, into: &sink)
            return sink.rows
        }
        #expect(
            try all("SELECT after_round, on_round, accuracy FROM matrix ORDER BY 1, 2") == [[0, 1, 0.25], [1, 0, 0.5], [1, 1, 0.75]])
        var sink = CollectedRows()
        try knowledge.list(.matrix(job: JobName("comfort/lifelong"), round: 1, rows: nil), for: .table, into: &sink)
        #expect(sink.rows.count == 2)
        var rollback = RoundRecord(job: try JobName("comfort/lifelong"), round: 1, pod: "train.rollback")
        rollback.decisions = [.init(action: "rollback", subject: "sha256:\(digest(101))", reason: "unseenShare > 0.5")]
        try knowledge.record(rollback, at: 1_700_000_200)
        #expect(try all("SELECT task, model, round FROM serving") == [[.null, .text(digest(100)), 0]])
        #expect(try knowledge.record(rollback, at: 1_700_000_300) == .alreadyRecorded)
    }

    @Test func `a question of the program gives only what its conditions say`() throws {
        let knowledge = try knowledge()
        try knowledge.record(try .example(0, job: "other/job"), at: 1)
        func count(_ listing: Listing) throws -> Int {
            var counts: [Int] = []
            for format in RowFormat.allCases {
                var sink = CollectedRows()
                try knowledge.list(listing, for: format, into: &sink)
                #expect(sink.rows.allSatisfy { $0.count == sink.columns.count })
                counts.append(sink.rows.count)
            }
            #expect(Set(counts).count == 1, "the format changes no rows")
            return counts[0]
        }
        let job = try JobName("comfort/lifelong")
        #expect(try count(.rounds(job: nil, round: nil)) == 3)
        #expect(try count(.rounds(job: job, round: nil)) == 2)
        #expect(try count(.rounds(job: job, round: 1)) == 1)
        #expect(try count(.tasks(job: nil, task: nil, attribute: nil)) == 4)
        #expect(try count(.tasks(job: job, task: "winter|fan", attribute: nil)) == 1)
        #expect(try count(.tasks(job: job, task: nil, attribute: (name: "season", value: "summer"))) == 1)
        #expect(try count(.tasks(job: nil, task: nil, attribute: (name: "season", value: "spring"))) == 0)
        #expect(try count(.models(job: job, round: nil, task: nil, isServing: false)) == 4)
        #expect(try count(.models(job: job, round: nil, task: "winter|fan", isServing: false)) == 2)
        #expect(try count(.models(job: job, round: nil, task: nil, isServing: true)) == 1)
        #expect(try count(.samples(job: job, round: nil, task: nil, state: nil, dataset: nil, limit: nil)) == 7)
        #expect(try count(.samples(job: job, round: 1, task: nil, state: nil, dataset: nil, limit: nil)) == 5)
        #expect(try count(.samples(job: job, round: nil, task: nil, state: .quarantine, dataset: nil, limit: nil)) == 2)
        #expect(try count(.samples(job: nil, round: nil, task: "summer|air", state: .hard, dataset: "survey", limit: nil)) == 4)
        #expect(try count(.samples(job: nil, round: nil, task: nil, state: nil, dataset: nil, limit: 2)) == 2)
        #expect(try count(.relations(job: job, round: 0, task: nil, kind: nil)) == 2)
        #expect(try count(.relations(job: nil, round: nil, task: "winter|fan", kind: "transfer")) == 3)
        #expect(try count(.decisions(job: job, round: nil, task: nil, action: "deploy")) == 2)
        #expect(try count(.decisions(job: nil, round: nil, task: "winter|fan", action: nil)) == 3)
        #expect(try count(.adapters(job: job, round: 1, kind: "site", subject: "12/summer")) == 1)
    }

    @Test func `in JSON, lists and figures are lists and objects`() throws {
        var text = ""
        var writer = RowWriter(.json) { text += $0 }
        try knowledge().list(.models(job: nil, round: 1, task: "winter|fan", isServing: false), for: .json, into: &writer)
        #expect(text.contains(#""tasks":["summer|air","winter|fan"]"#))
        #expect(text.contains(#""parents":["\#(digest(99))"]"#))
        #expect(text.contains(#""metrics":{"accuracy":0.6,"log_loss":0.87}"#))
    }
}
