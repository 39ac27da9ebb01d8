import KnowledgeBase
import Storage
import TestKit
import Testing

@Suite struct RoundRecordingTests {
    @Test func `a round comes back as it was recorded, in one order`() throws {
        let knowledge = try KnowledgeBase(.memory)
        let round = try RoundRecord.example()
        #expect(try knowledge.record(round, at: 1) == .recorded)
        let back = try knowledge.round(round.job, 0, pod: "train")
        #expect(back == (try round.canonical()))
        #expect(back != round, "the example is not in order, or the comparison compares nothing")
        #expect(try knowledge.round(round.job, 1, pod: "train") == nil)
        #expect(try knowledge.round(round.job, 0, pod: "other") == nil)
        #expect(try knowledge.round(JobName("other/lifelong"), 0, pod: "train") == nil)
    }

    @Test func `recording twice is recording once, whatever the order and the hour`() throws {
        let knowledge = try KnowledgeBase(.memory)
        var round = try RoundRecord.example()
        try knowledge.record(round, at: 1)
        let before = try everything(knowledge)
        round.samples.reverse()
        round.tasks.reverse()
        round.models[0].tasks.reverse()
        #expect(try knowledge.record(round, at: 2) == .alreadyRecorded)
        #expect(try everything(knowledge) == before)
    }

    static let changes: [(String, @Sendable (inout RoundRecord) -> Void)] = [
        ("datasets", { $0.datasets.append(.init(name: "more", digest: digest(5), rowCount: 1)) }),
        ("tasks", { $0.tasks[0].sampleCount += 1 }),
        ("tasks", { $0.tasks[0].metrics["accuracy"] = 0.3 }),
        ("tasks", { $0.tasks[0].attributes["season"] = "summer" }),
        ("models", { $0.models[0].metrics["accuracy"]! += 1e-15 }),
        ("models", { $0.models[0].parents = [] }),
        ("adapters", { $0.adapters[0].weights[1] = 0 }),
        ("samples", { $0.samples[0].state = .quarantine }),
        ("samples", { $0.samples[0].score = nil }),
        ("samples (7, not 6)", { $0.samples.removeLast() }),
        ("relations", { $0.relations[0].value = 0 }),
        ("decisions", { $0.decisions.swapAt(0, 1) }),
        ("decisions", { $0.decisions[2].reason = "because" }),
        ("metrics", { $0.metrics["accuracy"] = nil }),
    ]

    @Test(arguments: changes.indices)
    func `a round recorded with another content is refused, says where it differs, and changes nothing`(_ index: Int) throws {
        let knowledge = try KnowledgeBase(.memory)
        let round = try RoundRecord.example()
        try knowledge.record(round, at: 1)
        let before = try everything(knowledge)
        var other = round
        Self.changes[index].1(&other)
        let error = #expect(throws: KnowledgeError.self) { try knowledge.record(other, at: 1) }
        #expect(error?.code == .differentContent)
        #expect(error?.description.contains("differs in \(Self.changes[index].0)") == true, "\(error?.description ?? "")")
        #expect(try everything(knowledge) == before)
    }

    @Test func `rounds and pods and jobs are kept apart, and share tasks, data and models within a job`() throws {
        let knowledge = try KnowledgeBase(.memory)
        let records = [
            try RoundRecord.example(), try RoundRecord.example(1), try RoundRecord.example(1, pod: "second"),
            try RoundRecord.example(0, job: "other/lifelong"), try RoundRecord.example(0, job: "comfort/other"),
        ]
        for record in records { #expect(try knowledge.record(record, at: 1) == .recorded) }
        for record in records {
            #expect(try knowledge.round(record.job, record.round, pod: record.pod) == (try record.canonical()))
            #expect(try knowledge.record(record, at: 1) == .alreadyRecorded)
        }
        #expect(try knowledge.roundNames().count == 5)
        let counts = try rows(knowledge, "SELECT (SELECT count(*) FROM task), (SELECT count(*) FROM dataset), (SELECT count(*) FROM model)")
        #expect(counts == [[.integer(6), .integer(2), .integer(7)]])
    }

    @Test func `a known task, model or data set that is described otherwise is refused`() throws {
        let knowledge = try KnowledgeBase(.memory)
        try knowledge.record(try .example(), at: 1)
        func code(_ change: (inout RoundRecord) -> Void) throws -> KnowledgeError.Code? {
            var round = try RoundRecord.example(1)
            change(&round)
            return try knowledgeCode { try knowledge.record(round, at: 1) }
        }
        let before = try everything(knowledge)
        #expect(try code { $0.tasks[0].attributes["season"] = "spring" } == .redefined)
        #expect(try code { $0.tasks[0].attributes = [:] } == .redefined)
        #expect(try code { $0.models[1].sizeBytes += 1 } == .redefined)
        #expect(try code { $0.models[1].format = "onnx" } == .redefined)
        #expect(try code { $0.datasets[0].rowCount += 1 } == .redefined)
        #expect(try code { $0.models[0].parents = [digest(12345)] } == .invalidRecord)
        #expect(try code { $0.decisions[1].model = digest(12345) } == .invalidRecord)
        #expect(try everything(knowledge) == before, "a refused round leaves nothing")
        #expect(try code { $0.models.removeLast() } == nil, "a parent may have been recorded before")
    }

    @Test func `a full disk leaves the last complete round, and the next attempt works`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/k.db"
        let first = try RoundRecord.example(0, samples: 500)
        try KnowledgeBase(.file(path)).record(first, at: 1)
        let second = try RoundRecord.example(1, samples: 50_000)
        var options = SQLiteOptions()
        options.pageCountMax = 100
        let small = try KnowledgeBase(.file(path), options)
        let error = #expect(throws: SQLiteError.self) { try small.record(second, at: 2) }
        #expect(error?.code == .full)
        #expect(try small.roundNames().count == 1)
        #expect(try small.round(first.job, 0, pod: "train") == (try first.canonical()))
        let roomy = try KnowledgeBase(.file(path))
        #expect(try roomy.record(second, at: 2) == .recorded)
        #expect(
            try rows(roomy, "SELECT round, samples FROM rounds ORDER BY round") == [
                [.integer(0), .integer(503)], [.integer(1), .integer(50_003)],
            ])
    }

    @Test func `a second writer is told that the file is locked, and nothing of its round stays`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/k.db"
        var impatient = SQLiteOptions()
        impatient.busyTimeout = .milliseconds(1)
        let knowledge = try KnowledgeBase(.file(path), impatient)
        let other = try SQLiteDatabase(.file(path))
        try other.transaction {
            let error = #expect(throws: SQLiteError.self) { try knowledge.record(try .example(), at: 1) }
            #expect(error?.code == .busy)
            #expect(error?.description.contains(path) == true)
        }
        #expect(try knowledge.roundNames().isEmpty)
        #expect(try knowledge.record(try .example(), at: 1) == .recorded)
    }

    private func rows(_ knowledge: KnowledgeBase, _ sql: String) throws -> [[SQLiteValue]] {
        var sink = CollectedRows()
        try knowledge.query(sql, now: { .zero }, into: &sink)
        return sink.rows
    }

    /// Every row of every table, for comparing.
    private func everything(_ knowledge: KnowledgeBase) throws -> [[[SQLiteValue]]] {
        let tables = try rows(knowledge, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return try tables.map { table in
            guard case .text(let name) = table[0] else { return [] }
            return try rows(knowledge, "SELECT * FROM \"\(name)\"")
        }
    }
}
