import Resources
import TestKit
import Testing

/// A version that does badly where it serves goes back to the one before.
@Suite(.offThePool) struct RollbackTests {
    private let kind = JobCluster.lifelong

    /// What a worker tells of the version it serves.
    static func serving(_ version: Int64, _ counters: JSONObject) -> JobCluster.Worker {
        { _ in
            var report = WorkerReport(.running, kind: "inference")
            report.ownerInfo = counters
            report.ownerInfo["modelVersion"] = .string("\(version)")
            return WorkerState(.running, report)
        }
    }

    /// Two rounds deployed; version 2 serves.
    private func cluster(seed: UInt64 = 1, rules: JSON) async throws -> JobCluster {
        var cluster = try await JobCluster(seed: seed)
        cluster.workers["inference"] = Self.serving(1, ["inferenceNumber": 100, "unseenNumber": 1])
        try await cluster.makeDataset()
        try await cluster.makeLifelong { $0[path: ["deploySpec", "rollback"]] = rules }
        #expect(await cluster.rest())
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 2)
        return cluster
    }

    private static let rules: JSON = [["metric": "unseenShare", "operator": ">", "threshold": .decimal("0.5")]]

    @Test func `live figures above a rule bring the version before back, and the next round learns anew`() async throws {
        var cluster = try await cluster(rules: Self.rules)
        cluster.workers["inference"] = Self.serving(2, ["inferenceNumber": 120, "unseenNumber": 10])
        #expect(await cluster.rest())
        // 9 of 19 after the first report say nothing yet.
        cluster.workers["inference"] = Self.serving(2, ["inferenceNumber": 139, "unseenNumber": 29])
        #expect(await cluster.rest())
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 2)
        cluster.workers["inference"] = Self.serving(2, ["inferenceNumber": 180, "unseenNumber": 55])
        #expect(await cluster.rest())
        let model = try #require(cluster.find(JobCluster.model, "comfort"))
        #expect(model["status"]?["serving"] == 1 && model["status"]?["previous"] == 2)
        let reason = "unseenShare > 0.5 of its live figures: it is 0.7500 after 60 predictions"
        #expect(cluster.state(kind, "comfort") == "Deploy Failed RolledBack")
        #expect(cluster.message(kind, "comfort") == "round 2: version 2 was taken back, version 1 serves again: \(reason)")
        #expect(cluster.events("comfort").contains("DeployFailed"))
        let status = try #require(cluster.find(kind, "comfort")?["status"])
        #expect(status["rounds"]?.array?.last?["result"] == "RolledBack" && status["model"] == "comfort/1")
        #expect(status["rollback"] == nil && status["previous"] == nil && status["live"] == nil)
        #expect(status["state"]?.array?.first?["digest"]?.string == JobCluster.digest("state 1"))
        // The rows of the bad round are learned again, on top of what served before.
        try await cluster.count("rows", 2200)
        #expect(await cluster.rest())
        let train = try #require(cluster.find(.pod, "comfort-train-3"))
        #expect(
            JobCluster.volume("files.skerry.io", train, at: "/home/data/knowledge")?["state.json"]?.string == JobCluster.digest("state 1"))
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 3)
        #expect(cluster.find(kind, "comfort")?["status"]?["rounds"]?.array?.last?["samples"] == 1200)
    }

    @Test func `the same model is not deployed again`() async throws {
        var cluster = try await cluster(rules: Self.rules)
        cluster.workers["inference"] = Self.serving(2, ["inferenceNumber": 0, "unseenNumber": 0])
        #expect(await cluster.rest())
        cluster.workers["inference"] = Self.serving(2, ["inferenceNumber": 40, "unseenNumber": 40])
        #expect(await cluster.rest())
        cluster.workers["train"] = { pod in
            var state = JobCluster.trained(pod)
            state?.report.results[0].digest = JobCluster.digest("model 2")
            return state
        }
        try await cluster.count("rows", 2200)
        #expect(await cluster.rest())
        let round = cluster.find(kind, "comfort")?["status"]?["rounds"]?.array?.last
        #expect(round?["reason"] == "the same model was taken back before by its live figures")
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 1)
    }

    @Test func `a worker that begins anew counts from zero, and slow answers count alone`() async throws {
        var cluster = try await cluster(
            rules: [
                ["metric": "errors", "operator": ">=", "threshold": 5, "samples": 1],
                ["metric": "latencyP99Micros", "operator": ">", "threshold": 9000],
            ])
        cluster.workers["inference"] = Self.serving(2, ["inferenceNumber": 500, "errors": 50, "latencyP99Micros": 800])
        #expect(await cluster.rest())
        cluster.workers["inference"] = Self.serving(2, ["inferenceNumber": 3, "errors": 4, "latencyP99Micros": 800])
        #expect(await cluster.rest())
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 2)
        cluster.workers["inference"] = Self.serving(2, ["inferenceNumber": 30, "errors": 4, "latencyP99Micros": 12000])
        #expect(await cluster.rest())
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 1)
        #expect(cluster.message(kind, "comfort").contains("latencyP99Micros > 9000 of its live figures: it is 12000.0000"))
    }

    @Test func `the first version has nothing to go back to, which is told once`() async throws {
        var cluster = try await JobCluster()
        cluster.workers["inference"] = Self.serving(1, ["inferenceNumber": 0, "unseenNumber": 0])
        try await cluster.makeDataset()
        try await cluster.makeLifelong { $0[path: ["deploySpec", "rollback"]] = Self.rules }
        #expect(await cluster.rest())
        for count in Int64(1)...3 {
            cluster.workers["inference"] = Self.serving(1, ["inferenceNumber": .integer(count * 50), "unseenNumber": .integer(count * 50)])
            #expect(await cluster.rest())
        }
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 1)
        #expect(cluster.events("comfort").count { $0 == "RollbackImpossible" } == 1)
    }

    @Test(arguments: 1...12) func `killed at any write, a version is taken back once`(_ seed: UInt64) async throws {
        var cluster = try await cluster(seed: seed, rules: Self.rules)
        cluster.simulation.faults = Simulation.Faults()
        cluster.workers["inference"] = Self.serving(2, ["inferenceNumber": 0, "unseenNumber": 0])
        await cluster.run(steps: 300)
        cluster.workers["inference"] = Self.serving(2, ["inferenceNumber": 90, "unseenNumber": 60])
        await cluster.run(steps: 500)
        #expect(await cluster.rest(quietSeconds: 300))
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 1)
        let status = cluster.find(kind, "comfort")?["status"]
        #expect(status?["rounds"]?.array?.compactMap { $0["result"]?.string } == ["Deployed", "RolledBack"])
        #expect(status?["withdrawn"]?.array?.count == 1)
    }
}
