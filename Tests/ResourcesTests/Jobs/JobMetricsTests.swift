import Resources
import Testing

@Suite struct JobMetricsTests {
    static let status: JSON = [
        "round": 4, "stage": "Train", "samples": 1200, "accuracy": .decimal("0.61"), "gain": .decimal("-0.0123"), "model": "rooms/3",
        "results": ["Deployed": 3, "Failed": 1],
        "rounds": [
            ["round": 3, "result": "Deployed", "version": 3, "accuracy": .decimal("0.65")],
            ["round": 4, "result": "Kept", "version": 3, "accuracy": .decimal("0.61")],
        ],
        "conditions": [
            ["type": "Deployed", "status": "True"],
            [
                "type": "Waiting", "status": "True", "stage": "Train", "reason": "TriggerNotMet",
                "lastTransitionTime": "2027-01-15T08:00:00Z",
            ],
        ],
        "matrix": ["rounds": [3, 4], "backwardTransfer": .decimal("0.0099"), "forgetting": 0],
        "knowledgeBase": [
            "AIModels": ["numberOfAIModels": 5], "AIClasses": ["numberOfAIClasses": 4], "relations": 12,
            "samplesByState": ["labelled": 1100, "unseen": 90, "hard": 10],
        ],
    ]

    static func job(_ name: String, kind: String = "LifelongLearningJob", _ status: JSON = [:]) -> JSON {
        ["kind": .string(kind), "metadata": ["name": .string(name), "namespace": "lab"], "status": status]
    }

    @Test func `a job's status becomes lines that Prometheus reads, each figure with its kind and help`() {
        let text = JobMetrics.text([Self.job("rooms", Self.status), Self.job("new"), Self.job("old", ["round": 2])], of: 3)
        let of = #"namespace="lab",kind="LifelongLearningJob",job="rooms""#
        for line in [
            "skerry_job_round{\(of)} 4", #"skerry_job_rounds_total{\#(of),result="Deployed"} 3"#,
            #"skerry_job_rounds_total{\#(of),result="Failed"} 1"#, #"skerry_job_stage{\#(of),stage="Train",phase="Waiting"} 1"#,
            "skerry_job_transition_timestamp_seconds{\(of)} 1800000000", "skerry_job_samples{\(of)} 1200",
            "skerry_job_accuracy{\(of)} 0.61", "skerry_job_serving_accuracy{\(of)} 0.65", "skerry_job_gain{\(of)} -0.0123",
            "skerry_job_backward_transfer{\(of)} 0.0099", "skerry_job_forgetting{\(of)} 0", "skerry_knowledge_tasks{\(of)} 4",
            "skerry_knowledge_models{\(of)} 5", "skerry_knowledge_relations{\(of)} 12",
            #"skerry_knowledge_samples{\#(of),state="unseen"} 90"#, "skerry_jobs_left_out 0",
        ] {
            #expect(text.contains("\n\(line)\n"), "\(line)")
        }
        #expect(text.contains(#"skerry_job_round{namespace="lab",kind="LifelongLearningJob",job="old"} 2"#))
        // Nothing is said of what is not known.
        #expect(!text.contains(#"job="new""#) && !text.contains("forward_transfer"))
        Self.expectReadable(text)
    }

    @Test func `no word of an object ends its label or its line`() {
        var status = Self.status
        let word = "a\"} 1\nfake 2\\\r"
        status["results"] = .object([word: 7])
        let text = JobMetrics.text([Self.job(word, kind: word, status)], of: 1)
        Self.expectReadable(text)
        #expect(!text.split(separator: "\n").contains { $0.hasPrefix("fake") })
        #expect(text.contains(#"result="a\"} 1\nfake 2\\ "} 7"#))
    }

    @Test func `a status that somebody else wrote breaks nothing`() {
        let text = JobMetrics.text(
            [Self.job("odd", ["round": "many", "results": ["Deployed": "all"], "conditions": 5, "matrix": [1], "accuracy": .null])], of: 1)
        #expect(!text.contains("odd"))
        Self.expectReadable(text)
    }

    @Test func `a thousand jobs are told of, and how many are left out`() {
        let jobs = (0..<JobMetrics.jobsMax + 5).map { Self.job("job-\($0)", ["round": 1]) }
        let text = JobMetrics.text(jobs, of: jobs.count)
        #expect(text.contains("\nskerry_jobs_left_out 5\n"))
        let told = text.split(separator: "\n").count { $0.hasPrefix("skerry_job_round{") }
        #expect(told == JobMetrics.jobsMax)
        var results = JSONObject()
        for number in 0..<100 { results["r\(number)"] = 1 }
        let many = JobMetrics.text([Self.job("many", ["results": .object(results)])], of: 1)
        let lines = many.split(separator: "\n").count { $0.hasPrefix("skerry_job_rounds_total{") }
        #expect(lines == 16)
    }

    /// As a reader of the format takes it: HELP, TYPE, then the figure's lines, each with a number; no figure twice.
    private static func expectReadable(_ text: String) {
        #expect(text.hasSuffix("\n"))
        var names: Set<Substring> = [], current: Substring = ""
        for line in text.utf8.split(separator: 0x0a).map({ Substring($0) }) {
            let words = line.split(separator: " ", maxSplits: 3)
            if line.hasPrefix("# HELP ") {
                let isNew = names.insert(words[2]).inserted
                #expect(isNew, "\(line)")
                current = words[2]
            } else if line.hasPrefix("# TYPE ") {
                let isRight = words[2] == current && ["gauge", "counter"].contains(words[3])
                #expect(isRight, "\(line)")
            } else {
                let name = line.prefix { $0 != "{" && $0 != " " }
                let value = line.split(separator: " ").last.flatMap { Double($0) }
                #expect(name == current && value != nil, "\(line)")
            }
        }
    }
}
