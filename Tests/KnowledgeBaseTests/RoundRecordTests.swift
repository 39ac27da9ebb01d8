import KnowledgeBase
import Storage
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct RoundRecordTests {
    static let faults: [(words: String, change: @Sendable (inout RoundRecord) -> Void)] = [
        ("the number of a round", { $0.round = -1 }),
        ("pod is empty", { $0.pod = "" }),
        ("control characters", { $0.pod = "a\u{1b}[2J" }),
        ("control characters", { $0.tasks[0].name = "a\u{9b}2J" }),
        ("257 bytes", { $0.tasks[0].name = String(repeating: "x", count: 257) }),
        ("the task \"winter|fan\" appears twice", { $0.tasks[1].name = "winter|fan" }),
        ("which is not in the record's tasks", { $0.samples[0].task = "spring" }),
        ("which is not in the record's tasks", { $0.models[0].tasks = ["spring"] }),
        ("which is not in the record's tasks", { $0.relations[0].to = "spring" }),
        ("which is not in the record's tasks", { $0.adapters[0].task = "spring" }),
        ("which is not in the record's tasks", { $0.decisions[0].task = "spring" }),
        ("which is not in the record's datasets", { $0.samples[0].dataset = "nothing" }),
        ("which is not in the record's datasets", { $0.models[0].datasets = ["nothing"] }),
        ("the sample 1 of \"survey\" appears twice", { $0.samples[0].key = .number(1) }),
        ("the data set \"survey\" appears twice", { $0.datasets[1].name = "survey" }),
        ("appears twice", { $0.models[1].digest = $0.models[0].digest }),
        (
            "the adapter of the site \"12/7\" appears twice",
            {
                $0.adapters[1].kind = "site"; $0.adapters[0].subject = "12/7"
            }
        ),
        ("the relation transfer from", { $0.relations.append($0.relations[0]) }),
        ("names one of its tasks twice", { $0.models[0].tasks = ["summer|air", "summer|air"] }),
        ("is no SHA-256", { $0.models[0].digest = digest(255).uppercased() }),
        ("is no SHA-256", { $0.datasets[0].digest = "abc" }),
        ("its own parent", { $0.models[0].parents = [$0.models[0].digest] }),
        ("-1 samples of task", { $0.tasks[0].sampleCount = -1 }),
        ("-1 rows of data set", { $0.datasets[0].rowCount = -1 }),
        ("figure \"p\" of decision 1 is nan", { $0.decisions[0].figures["p"] = .nan }),
        ("decision 2 is inf", { $0.decisions[1].after = .infinity }),
        ("the score of sample 0 is inf", { $0.samples[0].score = .infinity }),
        ("is nan", { $0.relations[0].value = .nan }),
        ("all finite", { $0.adapters[0].weights[0] = .nan }),
        ("decision 3 has no reason", { $0.decisions[2].reason = "" }),
        (
            "at most 100000 fit into one round",
            {
                $0.tasks = (0...RoundLimits.itemsMax).map { RoundRecord.Task(name: "\($0)") }
            }
        ),
    ]

    @Test(arguments: faults.indices)
    func `a record that contradicts itself is refused with the object and the value`(_ index: Int) throws {
        var round = try RoundRecord.example()
        Self.faults[index].change(&round)
        let error = #expect(throws: KnowledgeError.self) { try round.canonical() }
        #expect(error?.code == .invalidRecord)
        #expect(error?.description.contains(Self.faults[index].words) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("of comfort/lifelong") == true)
        let knowledge = try KnowledgeBase(.memory)
        #expect(try knowledgeCode { try knowledge.record(round, at: 1) } == .invalidRecord)
        #expect(try knowledge.roundNames().isEmpty)
    }

    @Test func `the canonical form of a canonical record is itself`() throws {
        let round = try RoundRecord.example().canonical()
        #expect(try round.canonical() == round)
    }

    @Test(arguments: ["", "/", "a/", "/b", "A/b", "a/b/c", "-a", "a_b", "a/" + String(repeating: "b", count: 254), "a b"])
    func `a name of a job that Kubernetes would refuse is refused`(_ text: String) throws {
        #expect(try knowledgeCode { _ = try JobName(text) } == .invalidRecord)
    }

    @Test func `a job without a namespace is of the default one`() throws {
        #expect(try JobName("comfort") == JobName(namespace: "default", name: "comfort"))
        #expect(try JobName("team-1/comfort.v2").description == "team-1/comfort.v2")
    }

    @Test func `a record is read from JSON with its defaults`() throws {
        let text = """
            {"job": "a/b", "round": 3, "pod": "p", "datasets": [{"name": "d", "sha256": "\(digest(1))", "rows": 4}],
             "tasks": [{"name": "t"}], "models": [{"sha256": "\(digest(2))", "name": "m", "size_bytes": 5}],
             "adapters": [{"kind": "site", "subject": "s", "weights": [0.5, 1]}],
             "samples": [{"dataset": "d", "key": 1, "state": "hard"}, {"dataset": "d", "key": "1", "state": "labelled", "task": "t", "score": 2}],
             "relations": [{"kind": "k", "from": "t", "to": "t", "value": 1}], "decisions": [{"action": "keep", "reason": "so"}],
             "metrics": {"x": 1}}
            """
        let record = try RoundRecord(json: Data(text.utf8), name: "round.json")
        var expected = RoundRecord(job: try JobName("a/b"), round: 3, pod: "p")
        expected.datasets = [.init(name: "d", digest: digest(1), rowCount: 4)]
        expected.tasks = [.init(name: "t")]
        expected.models = [.init(digest: digest(2), name: "m", sizeBytes: 5)]
        expected.adapters = [.init(kind: "site", subject: "s", weights: [0.5, 1])]
        expected.samples = [
            .init(dataset: "d", key: .number(1), state: .hard), .init(dataset: "d", key: .text("1"), state: .labelled, task: "t", score: 2),
        ]
        expected.relations = [.init(kind: "k", from: "t", to: "t", value: 1)]
        expected.decisions = [.init(action: "keep", reason: "so")]
        expected.metrics = ["x": 1]
        #expect(record == expected)
    }

    @Test(arguments: [
        ("{\"job\": \"a\",\n \"round\": 1,, }", "line 2, column 13: a name in \"quotes\" is expected, ',' is found"),
        ("{\"job\": \"a\"", "line 1, column 12: ',' or '}' is expected, the end is found"),
        ("{\"job\": nul}", "line 1, column 9: a value is expected, 'n' is found"),
        ("{\"job\": \"a\tb\"}", "a control character in a text"),
        ("[1, 2] x", "line 1, column 8: the end is expected, 'x' is found"),
        (String(repeating: "[", count: 100_000), "more than 128 values inside each other"),
        ("{\"job\": \"a\", \"round\": 1, \"pod\": \"p\", \"sampels\": []}", "unknown field \"sampels\"; the fields are job, round"),
        ("{\"job\": \"a\", \"pod\": \"p\"}", "has no field \"round\""),
        ("{\"job\": \"a\", \"round\": \"x\", \"pod\": \"p\"}", "round:"),
        ("{\"job\": \"A B\", \"round\": 1, \"pod\": \"p\"}", "\"A B\" is no name of a job"),
        (
            "{\"job\": \"a\", \"round\": 1, \"pod\": \"p\", \"samples\": [{\"dataset\": \"d\", \"key\": 1, \"state\": \"odd\"}]}",
            "samples[0].state: \"odd\" is no state; give one of labelled, unseen, hard, quarantine"
        ),
        (
            "{\"job\": \"a\", \"round\": 1, \"pod\": \"p\", \"samples\": [{\"dataset\": \"d\", \"key\": 1.5, \"state\": \"hard\"}]}",
            "samples[0].key: a key is a text or a whole number"
        ),
        (
            "{\"job\": \"a\", \"round\": 1, \"pod\": \"p\", \"tasks\": [{\"name\": \"t\", \"colour\": 1}]}",
            "tasks[0]: unknown field \"colour\""
        ),
        ("", "r.json"),
    ])
    func `JSON that is no record is refused with the file and the place`(_ text: String, _ words: String) throws {
        let error = #expect(throws: KnowledgeError.self) { try RoundRecord(json: Data(text.utf8), name: "r.json") }
        #expect(error?.description.hasPrefix("r.json: ") == true)
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }
}
