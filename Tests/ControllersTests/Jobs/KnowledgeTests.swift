import Controllers
import Reconciliation
import Resources
import Synchronization
import TestKit
import Testing

/// A knowledge base in memory: what it was told, and what it then knows.
private final class MemoryKnowledge: KnowledgeRecorder {
    private let state = Mutex<(entries: [KnowledgeEntry], refusal: APIStatus?)>(([], nil))

    var entries: [KnowledgeEntry] { state.withLock { $0.entries } }
    func refuse(with status: APIStatus?) { state.withLock { $0.refusal = status } }

    func record(_ entry: KnowledgeEntry) throws(APIStatus) -> KnowledgeSummary {
        if let refusal = state.withLock({ $0.refusal }) { throw refusal }
        let entries = state.withLock { state in
            if !state.entries.contains(entry) { state.entries.append(entry) }
            return state.entries
        }
        let rounds = entries.count
        return KnowledgeSummary(
            tasks: (0..<rounds).map {
                [
                    "task": .string("Task \($0)"), "samples": 10, "last_round": .integer(Int64(rounds)),
                    "metrics": ["labelled_so_far": .number(30 * Double($0 + 1)), "accuracy": .number($0 == 0 ? 0.5 : 0.8)],
                ]
            },
            // Of two jobs of one name the file may be the same.
            models: entries.map {
                ["model": "ab", "name": "model.onnx", "round": .integer($0.round), "is_serving": 1, "tasks": ["Task 0", "Task 1", "gone"]]
            },
            relations: [["kind": "transfer", "from_task": "Task 0", "to_task": .string("Task \(rounds)"), "value": .decimal("0.5")]],
            rounds: entries.map {
                ["round": .integer($0.round), "pod": .string($0.pod), "metrics": ["R[\($0.round)][1]": .decimal("0.5"), "forgetting": 0]]
            },
            samples: ["labelled": 10, "unseen": 2])
    }
}

@Suite(.offThePool) struct KnowledgeTests {
    private static func kind(_ kind: String) -> ResourceKind {
        ResourceKind(group: "knowledge.skerry.io", version: "v1alpha1", kind: kind, plural: kind.lowercased() + "s")
    }

    private func cluster(_ knowledge: MemoryKnowledge, seed: UInt64 = 1) async throws -> JobCluster {
        var cluster = try await JobCluster(seed: seed, recorder: knowledge)
        cluster.workers["train"] = { pod in
            var state = JobCluster.trained(pod)
            let round = pod["metadata"]?["labels"]?["jobs.skerry.io/round"]?.string ?? ""
            state?.report.results.append(
                WorkerReport.Result(name: "round.json", format: "knowledge", digest: JobCluster.digest("record \(round)")))
            return state
        }
        try await cluster.makeDataset()
        try await cluster.makeLifelong()
        return cluster
    }

    @Test func `each round is taken in once, with what became of its model, and shown`() async throws {
        let knowledge = MemoryKnowledge()
        var cluster = try await cluster(knowledge)
        #expect(await cluster.rest())
        cluster.workers["eval"] = JobCluster.evaluated(accuracy: 0.5, standing: 0.7)
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        #expect(knowledge.entries.map(\.round) == [1, 2])
        #expect(knowledge.entries.map(\.isDeployed) == [true, false])
        #expect(knowledge.entries[0].record == JobCluster.digest("record 1"))
        #expect(knowledge.entries[1].reason.hasPrefix("worse: accuracy"))
        let tasks = cluster.server.all(Self.kind("KnowledgeTask"))
        #expect(tasks.compactMap { $0["task"]?.string } == ["Task 0", "Task 1"])
        #expect(tasks.allSatisfy { $0["lastRound"] == 2 })
        // Of the relations only the newest round's are shown.
        #expect(cluster.server.all(Self.kind("KnowledgeRelation")).compactMap { $0["to"]?.string } == ["Task 2"])
        #expect(cluster.server.all(Self.kind("KnowledgeModel")).first?["serving"] == true)
        let status = cluster.find(JobCluster.lifelong, "comfort")?["status"]
        #expect(status?["unrecorded"] == nil)
        #expect(status?["knowledgeBase"]?["AIClasses"]?["numberOfAIClasses"] == 2)
        #expect(status?["knowledgeBase"]?["samples"]?["numberOfUnseenSample"] == 2)
        // 30 rows of one task and 60 of the other, half and four fifths of them right.
        let model = status?["knowledgeBase"]?["AIModels"]?["listOfAIModels"]?.array?.first
        #expect(model?["numberOfTrainSamples"] == 90 && abs((model?["averagePrecision"]?.number ?? 0) - 0.7) < 1e-9)
    }

    @Test func `a knowledge base that is away loses no round, and one that refuses is told of`() async throws {
        let knowledge = MemoryKnowledge()
        knowledge.refuse(with: APIStatus(code: 503, reason: "ServiceUnavailable", message: "away"))
        var cluster = try await cluster(knowledge)
        await cluster.run(steps: 500)
        #expect(cluster.find(JobCluster.lifelong, "comfort")?["status"]?["unrecorded"]?.array?.count == 1)
        knowledge.refuse(with: nil)
        #expect(await cluster.rest())
        #expect(knowledge.entries.map(\.round) == [1])
        knowledge.refuse(with: APIStatus(code: 422, reason: "Invalid", message: "round.json: no JSON"))
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        #expect(knowledge.entries.count == 1)
        #expect(cluster.events("comfort").contains("KnowledgeRefused"))
        #expect(cluster.find(JobCluster.lifelong, "comfort")?["status"]?["unrecorded"] == nil)
    }

    @Test(arguments: 1...20) func `killed at any write, the knowledge base has each round once`(_ seed: UInt64) async throws {
        let knowledge = MemoryKnowledge()
        var cluster = try await cluster(knowledge, seed: seed)
        cluster.simulation.faults = Simulation.Faults()
        await cluster.run(steps: 500)
        try await cluster.count("rows", 1600)
        await cluster.run(steps: 500)
        #expect(await cluster.rest(quietSeconds: 300))
        let rounds = cluster.find(JobCluster.lifelong, "comfort")?["status"]?["rounds"]?.array?.compactMap { $0["round"]?.integer }
        #expect(knowledge.entries.map(\.round) == rounds)
        #expect(cluster.server.all(Self.kind("KnowledgeTask")).count == knowledge.entries.count)
    }

    @Test func `a job that is made again after one of its name shows what is its own`() async throws {
        let knowledge = MemoryKnowledge()
        var cluster = try await cluster(knowledge)
        #expect(await cluster.rest())
        let first = try #require(cluster.find(JobCluster.lifelong, "comfort")?["metadata"]?["uid"])
        try await cluster.server.delete(JobCluster.lifelong, ObjectKey(namespace: "default", name: "comfort"), Deletion())
        #expect(await cluster.rest())
        try await cluster.makeLifelong()
        #expect(await cluster.rest())
        let second = try #require(cluster.find(JobCluster.lifelong, "comfort")?["metadata"]?["uid"])
        #expect(first != second)
        #expect(knowledge.entries.map(\.round) == [1, 1] && Set(knowledge.entries.map(\.pod)).count == 2)
        let rounds = cluster.server.all(Self.kind("KnowledgeRound")), models = cluster.server.all(Self.kind("KnowledgeModel"))
        #expect(rounds.count == 1 && models.count == 1)
        #expect(rounds.first?["accuracies"] == ["1": .decimal("0.5")] && rounds.first?["accuracy"]?.number == 0.5)
        #expect(rounds.first?["metadata"]?["ownerReferences"]?.array?.first?["uid"] == second)
        #expect(cluster.find(JobCluster.lifelong, "comfort")?["status"]?["unrecorded"] == nil)
        #expect(cluster.find(JobCluster.model, "comfort")?["spec"]?["url"]?.string == JobCluster.digest("model 1"))
    }

    @Test func `of a worker that records nothing the model is taken in, its figures and what it went on from`() async throws {
        let knowledge = MemoryKnowledge()
        var cluster = try await JobCluster(recorder: knowledge)
        try await cluster.makeDataset()
        try await cluster.makeModel("initial", url: JobCluster.digest("by hand"))
        try await cluster.makeModel("deployed", url: "/models/deployed.onnx")
        try await cluster.makeIncremental()
        #expect(await cluster.rest())
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        cluster.workers["eval"] = JobCluster.evaluated(accuracy: 0.5, standing: 0.7)
        try await cluster.count("rows", 2200)
        #expect(await cluster.rest())
        #expect(knowledge.entries.map(\.round) == [1, 2, 3] && knowledge.entries.map(\.isDeployed) == [true, true, false])
        #expect(knowledge.entries.map(\.model) == (1...3).map { JobCluster.digest("model \($0)") })
        let bases = ["by hand", "model 1", "model 2"].map { JobCluster.digest($0) }
        #expect(knowledge.entries.map(\.made) == bases.map { MadeModel(format: "onnx", size: 100, base: $0) })
        #expect(knowledge.entries.map(\.record) == ["", "", ""] && knowledge.entries[2].figures["accuracy"] == 0.5)
        let status = cluster.find(JobCluster.incremental, "helmet")?["status"]
        #expect(status?["unrecorded"] == nil && status?["knowledgeBase"] == nil)
        #expect(cluster.server.all(Self.kind("KnowledgeRound")).count == 3)
        #expect(cluster.events("helmet").contains("KnowledgeRecorded"))
    }

    @Test func `a job of each kind may have the same name, and each shows its own`() async throws {
        let knowledge = MemoryKnowledge()
        var cluster = try await cluster(knowledge)
        for samples in [1000, 1600, 2200] as [Int64] {
            try await cluster.count("rows", samples)
            #expect(await cluster.rest())
        }
        // The Pods of its first round are gone, so that there is room for others of their names.
        try await cluster.makeModel("initial")
        try await cluster.makeModel("deployed", url: "/models/deployed.onnx")
        try await cluster.makeIncremental("comfort")
        #expect(await cluster.rest())
        func owners() -> [String: Int] {
            let kinds = cluster.server.all(Self.kind("KnowledgeRound")).compactMap {
                $0["metadata"]?["ownerReferences"]?.array?.first?["kind"]?.string
            }
            return Dictionary(kinds.map { ($0, 1) }, uniquingKeysWith: +)
        }
        #expect(owners() == ["LifelongLearningJob": 3, "IncrementalLearningJob": 1])
        try await cluster.server.delete(JobCluster.incremental, ObjectKey(namespace: "default", name: "comfort"), Deletion())
        #expect(await cluster.rest())
        #expect(owners() == ["LifelongLearningJob": 3])
    }

    @Test func `what a job learned is shown no longer than there is the job`() async throws {
        let knowledge = MemoryKnowledge()
        var cluster = try await cluster(knowledge)
        #expect(await cluster.rest())
        #expect(!cluster.server.all(Self.kind("KnowledgeTask")).isEmpty)
        try await cluster.server.delete(JobCluster.lifelong, ObjectKey(namespace: "default", name: "comfort"), Deletion())
        #expect(await cluster.rest())
        for kind in ["KnowledgeTask", "KnowledgeModel", "KnowledgeRelation"] { #expect(cluster.server.all(Self.kind(kind)).isEmpty) }
    }
}
