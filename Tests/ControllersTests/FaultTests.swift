import Resources
import TestKit
import Testing

/// The same end is reached whatever happens on the way: events lost, repeated, out of order between kinds, watches that expire, the
/// program killed before or after any of its writes.
@Suite(.offThePool) struct FaultTests {
    private static let partCount = 6

    /// What a cluster is, without what differs from run to run: uids, derived names, times, counts of Events.
    private func summary(_ cluster: Cluster) -> [String] {
        var lines: [String] = []
        for pod in cluster.server.all(.pod) {
            let image = pod["spec"]?["containers"]?.array?.first?["image"]?.string ?? ""
            let owner = pod["metadata"]?["ownerReferences"]?.array?.first?["kind"]?.string ?? "nobody"
            lines.append(
                "pod \(image) of \(owner) \(pod["status"]?["phase"]?.string ?? "") \(pod["metadata"]?["deletionTimestamp"] == nil)")
        }
        for kind in [ResourceKind.deployment, .daemonSet, .replicaSet] {
            for object in cluster.server.all(kind) {
                var status = object["status"] ?? [:]
                let conditions = (status["conditions"]?.array ?? []).map { "\($0["type"]?.string ?? "")=\($0["reason"]?.string ?? "")" }
                status["conditions"] = nil
                status["observedGeneration"] = nil
                status["collisionCount"] = nil
                let image = object["spec"]?["template"]?["spec"]?["containers"]?.array?.first?["image"]?.string ?? ""
                lines.append("\(kind) \(image) \(object["spec"]?["replicas"]?.text ?? "") \(status.text) \(conditions.sorted())")
            }
        }
        for kind in [ResourceKind.namespace, .node, GarbageCollectionTests.configMap, .serviceAccount] {
            for object in cluster.server.all(kind) { lines.append("\(kind) \(ObjectKey(object))") }
        }
        return lines.sorted()
    }

    private func cluster(seed: UInt64) async throws -> Cluster {
        var cluster = try await Cluster(seed: seed, namespaces: ["default", "kube-node-lease", "old"])
        for index in 0..<3 { try await cluster.addNode("n\(index)") }
        return cluster
    }

    /// What users do, a step at a time.
    private func act(_ cluster: Cluster, _ step: Int) async throws {
        switch step {
        case 0:
            try await cluster.makeDeployment(replicas: 4)
            try await cluster.makeDaemonSet()
        case 1:
            try await cluster.setImage(.deployment, "web", "app:2")
            let owner = try await cluster.server.create(
                GarbageCollectionTests.configMap, ["metadata": ["name": "owner", "namespace": "default"]])
            for index in 0..<3 {
                try await cluster.server.create(
                    GarbageCollectionTests.configMap,
                    [
                        "metadata": [
                            "name": .string("child\(index)"), "namespace": "default",
                            "ownerReferences": [cluster.owner(owner, blocks: true)],
                        ]
                    ])
            }
        case 2:
            try await cluster.patch(.deployment, "web", ["spec": ["replicas": 6]])
            try await cluster.setImage(.daemonSet, "agent", "app:2")
            try await cluster.server.delete(
                GarbageCollectionTests.configMap, ObjectKey(namespace: "default", name: "owner"), Deletion(propagation: .foreground))
        case 3:
            try await cluster.setImage(.deployment, "web", "app:3")
            try await cluster.server.create(GarbageCollectionTests.configMap, ["metadata": ["name": "x", "namespace": "old"]])
            try await cluster.server.delete(.namespace, ObjectKey(name: "old"), Deletion())
        case 4: try await cluster.patch(.deployment, "web", ["spec": ["replicas": 2]])
        default: break
        }
    }

    private func expected() async throws -> [String] {
        var cluster = try await cluster(seed: 1)
        for step in 0..<5 {
            try await act(cluster, step)
            #expect(await cluster.rest())
        }
        return summary(cluster)
    }

    @Test func `faults of every kind lead to the same end as none`() async throws {
        let expected = try await expected()
        #expect(expected.contains { $0.hasPrefix("deployments.apps app:3 2 ") } && expected.count { $0.hasPrefix("pod app:3") } == 2)
        var kills = 0
        for seed in UInt64(1)...40 {
            var cluster = try await cluster(seed: seed)
            cluster.simulation.faults = .init()
            for step in 0..<5 {
                try await act(cluster, step)
                // Sometimes users are faster than the controllers, sometimes not.
                await cluster.run(steps: Int.random(in: 0..<400, using: &cluster.simulation.random)) { _ in }
            }
            kills += cluster.simulation.killCount
            #expect(await cluster.rest(quietSeconds: 900), "seed \(seed) does not come to rest")
            // How many old ReplicaSets there are depends on how far each rollout came: those without Pods do not count.
            let found = summary(cluster).filter { !$0.hasPrefix("replicasets.apps") || !$0.contains(" 0 {") }
            #expect(found == expected.filter { !$0.hasPrefix("replicasets.apps") || !$0.contains(" 0 {") }, "seed \(seed)")
        }
        #expect(kills > 100, "only \(kills) kills: the test proves little")
    }

    /// Every write, in parts that run beside each other.
    @Test(arguments: 0..<partCount) func `killed before or after any single write, everything comes out the same`(part: Int) async throws {
        func run(_ stop: StoppingClient.Stop?) async throws -> (summary: [String], writes: Int, isStopped: Bool) {
            var cluster = try await cluster(seed: 7)
            try await act(cluster, 0)
            #expect(await cluster.rest())
            try await act(cluster, 1)
            try await act(cluster, 2)
            let before = cluster.server.writeCount
            cluster.simulation.client.revive(stop: stop)
            var isStopped = false
            while true {
                let isIdle = await !cluster.simulation.stepWithoutReviving()
                if cluster.simulation.client.isStopped {
                    isStopped = true
                    cluster.simulation.restart()
                    break
                }
                if isIdle, await !cluster.runAgents() { break }
            }
            let writes = cluster.server.writeCount - before
            #expect(await cluster.rest(quietSeconds: 300))
            return (summary(cluster), writes, isStopped)
        }
        let whole = try await run(nil)
        #expect(whole.writes > 60)
        var stops = 0
        for write in stride(from: 1 + part, through: whole.writes, by: Self.partCount) {
            for stop in [StoppingClient.Stop.before(write: write), .after(write: write)] {
                let result = try await run(stop)
                stops += result.isStopped ? 1 : 0
                #expect(result.summary == whole.summary, "\(stop)")
            }
        }
        #expect(stops > 100 / Self.partCount, "only \(stops) runs were stopped")
    }
}
