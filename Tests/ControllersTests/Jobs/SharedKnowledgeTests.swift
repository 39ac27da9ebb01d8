import Resources
import TestKit
import Testing

/// A job begins with what another one knows, where both say so.
@Suite(.offThePool) struct SharedKnowledgeTests {
    private let kind = JobCluster.lifelong

    /// A giver with a deployed round, and a taker that waits for it with rows of its own.
    private func cluster(seed: UInt64 = 1, sharing: JSON?) async throws -> JobCluster {
        var cluster = try await JobCluster(seed: seed)
        try await cluster.makeDataset("rows")
        try await cluster.makeDataset("other")
        try await cluster.makeLifelong("giver") { spec in
            if let sharing { spec["knowledge"] = ["shareWith": sharing] }
        }
        #expect(await cluster.rest())
        try await makeTaker(cluster)
        return cluster
    }

    private func makeTaker(_ cluster: JobCluster) async throws {
        try await cluster.makeLifelong("taker") { spec in
            spec["dataset"] = ["name": "other", "trainProb": .decimal("0.8")]
            spec["knowledge"] = ["from": "giver"]
        }
    }

    private func knowledge(_ pod: JSON?) -> String? {
        pod.flatMap { JobCluster.volume("files.skerry.io", $0, at: "/home/data/knowledge")?["state.json"]?.string }
    }

    @Test(arguments: [JSON.array(["taker"]), ["other", "*"]])
    func `the first round goes on from what the giver deployed, and later ones from the taker's own`(_ sharing: JSON) async throws {
        var cluster = try await cluster(sharing: sharing)
        #expect(await cluster.rest())
        let first = try #require(cluster.find(.pod, "taker-train-2"))
        #expect(knowledge(first) == JobCluster.digest("state 1"))
        #expect(JobCluster.variable("HAS_COMPLETED_INITIAL_TRAINING", first) == "true")
        let words = ["ROUND", "KNOWLEDGE_FROM", "KNOWLEDGE_ROUND", "KNOWLEDGE_STATE"].map { JobCluster.variable($0, first) }
        #expect(words == ["2", "giver", "1", "taken"])
        var status = try #require(cluster.find(kind, "taker")?["status"])
        #expect(status["knowledge"]?["job"] == "giver" && status["knowledge"]?["round"] == 1)
        #expect(status["knowledge"]?["digest"]?.string == JobCluster.digest("state 1"))
        #expect(status["round"] == 2 && status["model"] == "taker/1" && status["results"]?["Deployed"] == 1)
        #expect(cluster.events("taker").contains("KnowledgeTaken"))
        // The giver learns on; the taker has its own now.
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        try await cluster.count("other", 1600)
        #expect(await cluster.rest())
        let second = try #require(cluster.find(.pod, "taker-train-3"))
        #expect(knowledge(second) == JobCluster.digest("state 2") && JobCluster.variable("KNOWLEDGE_STATE", second) == "own")
        #expect(JobCluster.variable("KNOWLEDGE_FROM", second) == "giver")
        status = try #require(cluster.find(kind, "taker")?["status"])
        #expect(status["knowledge"]?["digest"]?.string == JobCluster.digest("state 1"))
        #expect(cluster.events("taker").count { $0 == "KnowledgeTaken" } == 1)
        // A job that neither gives nor takes is told nothing of it.
        #expect(JobCluster.variable("KNOWLEDGE_FROM", try #require(cluster.find(.pod, "giver-train-2"))) == nil)
    }

    @Test func `what is not shared is not taken, until the giver says so`() async throws {
        var cluster = try await cluster(sharing: ["somebody"])
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "taker") == "Train Waiting KnowledgeNotShared")
        #expect(
            cluster.message(kind, "taker")
                == "spec.knowledge.from: job giver does not share its knowledge with taker; add the name to its spec.knowledge.shareWith")
        #expect(!cluster.pods().contains { $0.hasPrefix("taker-") })
        try await cluster.patch(kind, "giver", ["spec": ["knowledge": ["shareWith": ["taker"]]]])
        #expect(await cluster.rest())
        #expect(knowledge(cluster.find(.pod, "taker-train-2")) == JobCluster.digest("state 1"))
    }

    @Test func `a giver that is not there, or has nothing yet, is waited for`() async throws {
        var cluster = try await JobCluster()
        try await cluster.makeDataset("rows", samples: 10)
        try await cluster.makeDataset("other")
        try await makeTaker(cluster)
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "taker") == "Train Waiting JobNotFound")
        try await cluster.makeLifelong("giver") { $0["knowledge"] = ["shareWith": ["*"]] }
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "taker") == "Train Waiting KnowledgeNotReady")
        try await cluster.count("rows", 1000)
        #expect(await cluster.rest())
        #expect(knowledge(cluster.find(.pod, "taker-train-2")) == JobCluster.digest("state 1"))
    }

    @Test func `jobs that take from each other say so, and begin once one of them begins by itself`() async throws {
        var cluster = try await JobCluster()
        let jobs = ["first": "third", "second": "first", "third": "second", "beside": "third"]
        for (name, from) in jobs.sorted(by: { $0.key < $1.key }) {
            try await cluster.makeDataset("\(name)-rows")
            try await cluster.makeLifelong(name) { spec in
                spec["dataset"] = ["name": .string("\(name)-rows"), "trainProb": .decimal("0.8")]
                spec["knowledge"] = ["from": .string(from), "shareWith": ["*"]]
            }
        }
        #expect(await cluster.rest())
        for name in jobs.keys { #expect(cluster.state(kind, name) == "Train Waiting KnowledgeCircle", "\(name)") }
        #expect(
            cluster.message(kind, "second")
                == "spec.knowledge.from: second takes from first, first takes from third, third takes from second, and none of them can begin;"
                + " remove the field from one of them")
        #expect(cluster.message(kind, "beside").hasPrefix("spec.knowledge.from: third takes from second, second takes"))
        #expect(cluster.pods().isEmpty)
        try await cluster.patch(kind, "third", ["spec": ["knowledge": ["from": .null]]])
        #expect(await cluster.rest())
        for (name, round) in [("third", 1), ("first", 2), ("beside", 2), ("second", 3)] as [(String, JSON)] {
            #expect(cluster.find(kind, name)?["status"]?["round"] == round, "\(name)")
        }
    }

    @Test func `what was taken stays when the giver goes or shares no more`() async throws {
        var cluster = try await cluster(sharing: ["taker"])
        // Its first round changes nothing: it has no state of its own, and begins with the same again.
        cluster.workers["train"] = JobCluster.failing("no such thing")
        try await cluster.patch(
            kind, "taker", ["spec": ["trainSpec": ["template": JobCluster.template("train"), "backoffLimit": 0]]])
        #expect(await cluster.rest())
        #expect(cluster.find(kind, "taker")?["status"]?["knowledge"]?["round"] == 1)
        try await cluster.server.delete(kind, ObjectKey(namespace: "default", name: "giver"), Deletion())
        cluster.workers["train"] = JobCluster.trained
        try await cluster.count("other", 1600)
        #expect(await cluster.rest())
        let train = try #require(cluster.find(.pod, "taker-train-3"))
        #expect(knowledge(train) == JobCluster.digest("state 1") && JobCluster.variable("KNOWLEDGE_STATE", train) == "taken")
        let results = cluster.find(kind, "taker")?["status"]?["results"]
        #expect(results?["Failed"] == 1 && results?["Deployed"] == 1)
    }

    @Test func `a giver keeps its rows for others only where all of them may leave their node`() async throws {
        for (privacy, kept) in [(JSON.object([:]), nil), (["rule": "all"], "kept"), (["rule": "all", "columns": ["a"]], nil)] {
            var cluster = try await JobCluster()
            try await cluster.makeDataset()
            try await cluster.makeLifelong("giver") { spec in
                spec["knowledge"] = ["shareWith": ["taker"]]
                if privacy != [:] { spec["privacy"] = privacy }
            }
            #expect(await cluster.rest())
            let train = try #require(cluster.find(.pod, "giver-train-1"))
            #expect(JobCluster.variable("STATE_ROWS", train) == kept, "\(privacy.text)")
        }
    }

    @Test(arguments: 1...5) func `a controller that is killed at any line takes the same once`(seed: UInt64) async throws {
        var cluster = try await cluster(seed: seed, sharing: ["taker"])
        cluster.simulation.faults = Simulation.Faults()
        await cluster.run(steps: 400)
        cluster.simulation.faults = .none
        #expect(await cluster.rest())
        let status = try #require(cluster.find(kind, "taker")?["status"])
        #expect(status["knowledge"]?["digest"]?.string == JobCluster.digest("state 1"))
        #expect(status["round"] == 2 && status["model"] == "taker/1" && status["results"] == ["Deployed": 1])
    }
}
