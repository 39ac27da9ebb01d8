import Resources
import TestKit
import Testing

/// A new version first answers a share of the requests.
@Suite(.offThePool) struct CanaryTests {
    private let kind = JobCluster.lifelong

    private static func serving(_ version: Int64, _ trial: JSONObject = [:]) -> JobCluster.Worker {
        var figures: JSONObject = ["inferenceNumber": 10]
        for (name, value) in trial { figures[name] = value }
        return RollbackTests.serving(version, figures)
    }

    /// What the newest round has come to.
    private static func result(_ cluster: JobCluster) -> String? {
        cluster.find(JobCluster.lifelong, "comfort")?["status"]?["rounds"]?.array?.last?["result"]?.string
    }

    /// Version 1 serves, version 2 is on trial.
    private func cluster(seed: UInt64 = 1, deploy: JSON = [:]) async throws -> JobCluster {
        var cluster = try await JobCluster(seed: seed)
        cluster.workers["inference"] = Self.serving(1)
        try await cluster.makeDataset()
        try await cluster.makeLifelong {
            $0[path: ["deploySpec", "canary"]] = .decimal("0.25")
            $0[path: ["deploySpec", "canaryRequests"]] = 40
            for (key, value) in deploy.object ?? [:] { $0[path: ["deploySpec", key]] = value }
        }
        #expect(await cluster.rest())
        // The first version has nothing to be tried beside.
        #expect(Self.result(cluster) == "Deployed")
        cluster.workers["inference"] = Self.serving(1, ["canaryVersion": "2", "canaryRequests": 7])
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        return cluster
    }

    @Test func `workers get the share, and the round waits for their word`() async throws {
        var cluster = try await cluster()
        let pod = try #require(cluster.find(.pod, "comfort-infer"))
        #expect(JobCluster.variable("CANARY_SHARE", pod) == "0.25" && JobCluster.variable("CANARY_REQUESTS", pod) == "40")
        #expect(cluster.state(kind, "comfort") == "Deploy Running OnTrial")
        let words = "version 2 answers a share of 0.25 of the requests on trial at 1 worker: 7 so far, 40"
        #expect(cluster.message(kind, "comfort").contains(words))
        let deployed = cluster.find(kind, "comfort")?["status"]?["conditions"]?.array?.first { $0["type"] == "Deployed" }?["status"]
        #expect(deployed == "False")
        cluster.workers["inference"] = Self.serving(2, ["canaryPassed": "2"])
        #expect(await cluster.rest())
        #expect(Self.result(cluster) == "Deployed")
        #expect(cluster.find(kind, "comfort")?["status"]?["model"] == "comfort/2")
    }

    @Test func `a version that a worker refuses is taken back, and its rows are learned again`() async throws {
        var cluster = try await cluster()
        cluster.workers["inference"] = Self.serving(
            1, ["canaryVersion": "", "canaryRefused": "2", "canaryResult": "version 2 was rolled back: it failed at 6 of 9 requests"])
        #expect(await cluster.rest())
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 1)
        #expect(cluster.state(kind, "comfort") == "Deploy Failed RolledBack")
        #expect(
            cluster.message(kind, "comfort")
                == "round 2: version 2 was taken back, version 1 serves again: on trial: pod comfort-infer on node edge-1: "
                + "version 2 was rolled back: it failed at 6 of 9 requests")
        let status = try #require(cluster.find(kind, "comfort")?["status"])
        #expect(status["rounds"]?.array?.last?["result"] == "RolledBack" && status["model"] == "comfort/1")
        #expect(status["withdrawn"] == [.string(JobCluster.digest("model 2"))])
        #expect(status["state"]?.array?.first?["digest"]?.string == JobCluster.digest("state 1"))
        try await cluster.count("rows", 2200)
        cluster.workers["inference"] = Self.serving(1, ["canaryVersion": "3", "canaryRefused": "2"])
        #expect(await cluster.rest())
        #expect(cluster.state(kind, "comfort") == "Deploy Running OnTrial")
        cluster.workers["inference"] = Self.serving(3, ["canaryPassed": "3", "canaryRefused": "2"])
        #expect(await cluster.rest())
        #expect(cluster.find(kind, "comfort")?["status"]?["rounds"]?.array?.last?["samples"] == 1200)
    }

    @Test func `a worker that refuses late takes the version back too`() async throws {
        var cluster = try await cluster()
        cluster.workers["inference"] = Self.serving(2, ["canaryPassed": "2"])
        #expect(await cluster.rest())
        #expect(Self.result(cluster) == "Deployed")
        cluster.workers["inference"] = Self.serving(1, ["canaryRefused": "2", "canaryResult": "slow"])
        #expect(await cluster.rest())
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 1)
        #expect(cluster.find(kind, "comfort")?["status"]?["rounds"]?.array?.last?["result"] == "RolledBack")
    }

    @Test func `workers that have all gone on with a version without a trial end it`() async throws {
        var cluster = try await cluster()
        cluster.workers["inference"] = Self.serving(2, ["canaryVersion": ""])
        #expect(await cluster.rest())
        #expect(Self.result(cluster) == "Deployed" && cluster.find(kind, "comfort")?["status"]?["model"] == "comfort/2")
    }

    @Test func `where nobody asks, the time ends a trial; a suspended job takes the version along`() async throws {
        var cluster = try await cluster(deploy: ["canarySeconds": 3000])
        #expect(cluster.state(kind, "comfort") == "Deploy Running OnTrial")
        var other = try await self.cluster()
        cluster.simulation.advance(seconds: 3000)
        #expect(await cluster.rest())
        #expect(Self.result(cluster) == "Deployed")
        try await other.patch(kind, "comfort", ["spec": ["suspend": true]])
        #expect(await other.rest())
        #expect(other.find(JobCluster.model, "comfort")?["status"]?["serving"] == 1)
        let status = other.find(kind, "comfort")?["status"]
        #expect(status?["rounds"]?.array?.last?["result"] == "Cancelled" && status?["withdrawn"] == nil)
    }

    @Test(arguments: 1...12) func `killed at any write, a refused version is taken back once`(_ seed: UInt64) async throws {
        var cluster = try await cluster(seed: seed)
        cluster.simulation.faults = Simulation.Faults()
        cluster.workers["inference"] = Self.serving(1, ["canaryRefused": "2", "canaryResult": "it failed"])
        await cluster.run(steps: 500)
        #expect(await cluster.rest(quietSeconds: 300))
        #expect(cluster.find(JobCluster.model, "comfort")?["status"]?["serving"] == 1)
        let status = cluster.find(kind, "comfort")?["status"]
        #expect(status?["rounds"]?.array?.compactMap { $0["result"]?.string } == ["Deployed", "RolledBack"])
        #expect(status?["withdrawn"]?.array?.count == 1)
    }

    @Test func `a share that is none, and bounds without a share, are refused`() async throws {
        let cluster = try await JobCluster()
        for (deploy, words) in [
            (["canary": 1] as JSON, "spec.deploySpec.canary: Invalid value: 1: must be a share of the requests, above 0 and below 1"),
            (["canary": 0], "above 0 and below 1"), (["canaryRequests": 5], "there is no trial without spec.deploySpec.canary"),
            (["canary": .decimal("0.1"), "canarySeconds": 0], "must be from 1 to 604800"),
            (["canary": .decimal("0.1"), "model": ["name": "m", "hotUpdateEnabled": false]], "updated hot"),
        ] {
            do {
                try await cluster.makeLifelong { spec in
                    for (key, value) in deploy.object ?? [:] { spec[path: ["deploySpec", key]] = value }
                }
                Issue.record("\(deploy.text) was taken")
            } catch let status as APIStatus { #expect(status.message.contains(words)) }
        }
    }
}
