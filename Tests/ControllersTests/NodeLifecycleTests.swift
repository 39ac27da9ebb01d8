import Controllers
import Reconciliation
import Resources
import TestKit
import Testing

@Suite(.offThePool) struct NodeLifecycleTests {
    private func taints(_ cluster: Cluster, _ node: String) -> [String] {
        (cluster.find(.node, node)?["spec"]?["taints"]?.array ?? []).map { "\($0["key"]?.string ?? ""):\($0["effect"]?.string ?? "")" }
    }

    private func withNode() async throws -> Cluster {
        var cluster = try await Cluster()
        try await cluster.addNode("edge")
        try await cluster.makePod("stays")
        try await cluster.makePod(
            "asks",
            [
                "tolerations": [
                    ["key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300]
                ]
            ])
        #expect(await cluster.rest())
        return cluster
    }

    @Test func `a silent node is marked and tainted, and its Pods stay unless they ask to go`() async throws {
        var cluster = try await withNode()
        cluster.alive = []
        cluster.simulation.advance(seconds: 60)
        #expect(await cluster.rest(quietSeconds: 120))
        #expect(cluster.condition(.node, "edge", "Ready") == "Unknown NodeStatusUnknown")
        #expect(taints(cluster, "edge") == ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"])
        #expect(cluster.condition(.pod, "stays", "Ready") == "False NodeNotReady")
        #expect(cluster.find(.pod, "asks")?["metadata"]?["deletionTimestamp"] == nil, "too early")
        #expect(await cluster.rest(quietSeconds: 400))
        #expect(cluster.find(.pod, "asks")?["metadata"]?["deletionTimestamp"] != nil)
        #expect(cluster.find(.pod, "stays")?["metadata"]?["deletionTimestamp"] == nil)
        #expect(cluster.events("asks").contains("TaintManagerEviction: Marking for deletion Pod default/asks"))
        // A new Pod does not go there.
        try await cluster.makePod("later")
        #expect(await cluster.rest())
        #expect(cluster.find(.pod, "later")?["spec"]?["nodeName"] == nil)
    }

    @Test func `a Lease renewed in time is no reason to look at its node, and every other change of it is`() async throws {
        let cluster = try await Cluster()
        var loop = ReconcileLoop(ClusterControllers.all(cluster.server, nodeGraceSeconds: 40))
        var revision = 0
        func wakes(_ seconds: Int64?) -> Bool {
            revision += 1
            var lease: JSON = [
                "metadata": ["namespace": "kube-node-lease", "name": "edge", "resourceVersion": .string("\(revision)")], "spec": [:],
            ]
            if let seconds { lease[path: ["spec", "renewTime"]] = .string(Timestamp(seconds: seconds).text) }
            loop.received(.modified(lease), of: .lease)
            return !loop.takeWoken().isEmpty
        }
        // News, in time, in time, so late that the node may have counted as silent, a clock that went back, the same, none, again.
        let times: [Int64?] = [100, 110, 150, 191, 100, 100, nil, 100]
        let woken = times.map(wakes)
        #expect(woken == [true, false, false, true, true, false, true, true])
    }

    @Test func `a node that is heard of again loses its taints`() async throws {
        var cluster = try await withNode()
        cluster.alive = []
        cluster.simulation.advance(seconds: 60)
        #expect(await cluster.rest(quietSeconds: 60))
        #expect(!taints(cluster, "edge").isEmpty)
        cluster.alive = ["edge"]
        #expect(await cluster.rest())
        #expect(taints(cluster, "edge").isEmpty)
        #expect(cluster.condition(.node, "edge", "Ready") == "True KubeletReady")
        #expect(cluster.find(.pod, "asks")?["metadata"]?["deletionTimestamp"] == nil)
        #expect(cluster.condition(.pod, "stays", "Ready") == "True KubeletReady")
    }

    @Test func `a node that says it is not ready, or is closed, is tainted so`() async throws {
        var cluster = try await withNode()
        var node = try #require(cluster.find(.node, "edge"))
        node[path: ["status", "conditions"]] = [
            ["type": "Ready", "status": "False", "reason": "KubeletNotReady"],
            ["type": "DiskPressure", "status": "True", "reason": "Full"],
        ]
        try await cluster.server.updateStatus(.node, node)
        try await cluster.patch(.node, "edge", ["spec": ["unschedulable": true]])
        #expect(await cluster.rest())
        #expect(
            Set(taints(cluster, "edge")) == [
                "node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute",
                "node.kubernetes.io/disk-pressure:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule",
            ])
    }

    @Test func `a taint that a person sets puts out every Pod that does not tolerate it`() async throws {
        var cluster = try await withNode()
        try await cluster.makePod("tolerant", ["tolerations": [["key": "maintenance", "operator": "Exists"]]])
        #expect(await cluster.rest())
        try await cluster.patch(.node, "edge", ["spec": ["taints": [["key": "maintenance", "effect": "NoExecute"]]]])
        #expect(await cluster.rest())
        #expect(cluster.server.all(.pod).compactMap { $0["metadata"]?["name"]?.string } == ["tolerant"])
    }

    @Test func `a Pod that comes to a node with such a taint, or to a node that is not there, is put out too`() async throws {
        var cluster = try await withNode()
        try await cluster.patch(.node, "edge", ["spec": ["taints": [["key": "maintenance", "effect": "NoExecute"]]]])
        #expect(await cluster.rest())
        try await cluster.makePod("late", ["nodeName": "edge"])
        try await cluster.makePod("lost", ["nodeName": "nowhere"])
        #expect(await cluster.rest())
        #expect(cluster.server.all(.pod).isEmpty)
    }

    @Test func `the Pods of a node that is deleted are deleted`() async throws {
        var cluster = try await withNode()
        cluster.alive = []
        try await cluster.server.delete(.node, ObjectKey(name: "edge"), Deletion())
        #expect(await cluster.rest())
        #expect(cluster.server.all(.pod).isEmpty)
    }
}
