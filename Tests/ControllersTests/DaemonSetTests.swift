import Resources
import TestKit
import Testing

@Suite(.offThePool) struct DaemonSetTests {
    private func nodes(_ cluster: Cluster) -> [String] {
        cluster.active().compactMap { $0["spec"]?["nodeName"]?.string }.sorted()
    }

    @Test func `every node that it may run on gets one Pod, also nodes that come later`() async throws {
        var cluster = try await Cluster()
        try await cluster.addNode("n0")
        try await cluster.addNode("n1", labels: ["edge": "yes"])
        try await cluster.addNode("n2", taints: [["key": "private", "effect": "NoSchedule"]])
        try await cluster.makeDaemonSet()
        #expect(await cluster.rest())
        #expect(nodes(cluster) == ["n0", "n1"])
        try await cluster.addNode("n3")
        #expect(await cluster.rest())
        #expect(nodes(cluster) == ["n0", "n1", "n3"])
        let status = try #require(cluster.find(.daemonSet, "agent")?["status"])
        for field in ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "numberAvailable", "updatedNumberScheduled"] {
            #expect(status[field] == 3, "\(field)")
        }
        #expect(status["numberMisscheduled"] == 0 && status["numberUnavailable"] == nil)
    }

    @Test func `a node that no longer matches loses its Pod, and one that is closed keeps it`() async throws {
        var cluster = try await Cluster()
        for name in ["n0", "n1"] { try await cluster.addNode(name, labels: ["edge": "yes"]) }
        try await cluster.makeDaemonSet(spec: [
            "template": cluster.template("app:1", app: "agent") { $0[path: ["spec", "nodeSelector"]] = ["edge": "yes"] }
        ])
        #expect(await cluster.rest())
        #expect(nodes(cluster) == ["n0", "n1"])
        try await cluster.patch(.node, "n0", ["metadata": ["labels": ["edge": "no"]]])
        try await cluster.patch(.node, "n1", ["spec": ["unschedulable": true]])
        #expect(await cluster.rest())
        #expect(nodes(cluster) == ["n1"])
    }

    @Test func `a rolling update takes down no more nodes at a time than it may`() async throws {
        for (unavailable, surge) in [(1, 0), (2, 0), (0, 1)] as [(Int64, Int64)] {
            var cluster = try await Cluster()
            for index in 0..<4 { try await cluster.addNode("n\(index)") }
            try await cluster.makeDaemonSet(
                spec: ["updateStrategy": ["rollingUpdate": ["maxUnavailable": .integer(unavailable), "maxSurge": .integer(surge)]]])
            #expect(await cluster.rest())
            try await cluster.setImage(.daemonSet, "agent", "app:2")
            var fewest = 4
            await cluster.run(steps: 2500) { server in
                let ready = server.all(.pod).filter { pod in
                    pod["metadata"]?["deletionTimestamp"] == nil
                        && pod["status"]?["conditions"]?.array?.contains { $0["type"] == "Ready" && $0["status"] == "True" } ?? false
                }
                fewest = min(fewest, Set(ready.compactMap { $0["spec"]?["nodeName"]?.string }).count)
            }
            #expect(await cluster.rest())
            #expect(cluster.images() == Array(repeating: "app:2", count: 4), "\(unavailable) \(surge)")
            #expect(fewest >= 4 - Int(unavailable), "\(unavailable) \(surge): \(fewest)")
        }
    }

    @Test func `OnDelete changes a Pod only when somebody deletes it, and every template is kept as a revision`() async throws {
        var cluster = try await Cluster()
        for index in 0..<2 { try await cluster.addNode("n\(index)") }
        try await cluster.makeDaemonSet(spec: ["updateStrategy": ["type": "OnDelete"]])
        #expect(await cluster.rest())
        try await cluster.setImage(.daemonSet, "agent", "app:2")
        #expect(await cluster.rest())
        #expect(cluster.images() == ["app:1", "app:1"])
        let name = cluster.active()[0]["metadata"]?["name"]?.string ?? ""
        try await cluster.server.delete(.pod, ObjectKey(namespace: "default", name: name), Deletion())
        #expect(await cluster.rest())
        #expect(cluster.images() == ["app:1", "app:2"])
        #expect(cluster.find(.daemonSet, "agent")?["status"]?["updatedNumberScheduled"] == 1)
        #expect(cluster.server.all(.controllerRevision).compactMap { $0["revision"]?.integer }.sorted() == [1, 2])
        // The first template again: its revision becomes the newest.
        try await cluster.setImage(.daemonSet, "agent", "app:1")
        #expect(await cluster.rest())
        #expect(cluster.server.all(.controllerRevision).compactMap { $0["revision"]?.integer }.sorted() == [2, 3])
    }

    @Test func `a Pod that fails is replaced, but not in a circle without a pause`() async throws {
        var cluster = try await Cluster()
        try await cluster.addNode("n0")
        try await cluster.makeDaemonSet(image: "failing:1")
        let start = cluster.server.now.seconds
        await cluster.run(steps: 600) { _ in }
        let seconds = cluster.server.now.seconds - start
        let made = cluster.server.all(.event).filter { $0["reason"] == "SuccessfulCreate" }.compactMap { $0["count"]?.integer }.reduce(0, +)
        #expect(seconds > 100 && made >= 2)
        #expect(made <= seconds / 30 + 2, "\(made) Pods in \(seconds) s")
        #expect(cluster.events("agent").contains { $0.hasPrefix("FailedDaemonPod: Found failed daemon pod default/agent-") })
    }
}
