import Resources
import TestKit
import Testing

@Suite(.offThePool) struct PlacementTests {
    private func node(_ cluster: Cluster, _ pod: String) -> String? { cluster.find(.pod, pod)?["spec"]?["nodeName"]?.string }

    private func message(_ cluster: Cluster, _ pod: String) -> String? {
        cluster.find(.pod, pod)?["status"]?["conditions"]?.array?.first { $0["type"] == "PodScheduled" }?["message"]?.string
    }

    private func requesting(_ cpu: String) -> JSON {
        ["containers": [["name": "main", "image": "app:1", "resources": ["requests": ["cpu": .string(cpu)]]]]]
    }

    @Test func `a Pod goes where its selector, affinity and tolerations let it`() async throws {
        var cluster = try await Cluster()
        try await cluster.addNode("plain")
        try await cluster.addNode("edge", labels: ["zone": "edge", "size": "3"])
        try await cluster.addNode("gpu", labels: ["zone": "gpu"], taints: [["key": "gpu", "value": "a100", "effect": "NoSchedule"]])
        try await cluster.makePod("by-selector", ["nodeSelector": ["zone": "edge"]])
        func affinity(_ expression: JSON) -> JSON {
            [
                "affinity": [
                    "nodeAffinity": [
                        "requiredDuringSchedulingIgnoredDuringExecution": ["nodeSelectorTerms": [["matchExpressions": [expression]]]]
                    ]
                ]
            ]
        }
        try await cluster.makePod("by-affinity", affinity(["key": "size", "operator": "Gt", "values": ["2"]]))
        var tolerant = affinity(["key": "zone", "operator": "In", "values": ["gpu"]])
        tolerant["tolerations"] = [["key": "gpu", "operator": "Equal", "value": "a100", "effect": "NoSchedule"]]
        try await cluster.makePod("tolerant", tolerant)
        try await cluster.makePod("intolerant", ["nodeSelector": ["zone": "gpu"]])
        #expect(await cluster.rest())
        #expect(node(cluster, "by-selector") == "edge" && node(cluster, "by-affinity") == "edge" && node(cluster, "tolerant") == "gpu")
        #expect(node(cluster, "intolerant") == nil)
        #expect(
            message(cluster, "intolerant")
                == "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: a100}, 2 node(s) didn't match Pod's node affinity/selector."
        )
        #expect(cluster.condition(.pod, "intolerant", "PodScheduled") == "False Unschedulable")
        #expect(cluster.events("tolerant") == ["Scheduled: Successfully assigned default/tolerant to gpu"])
        #expect(cluster.events("intolerant").first?.hasPrefix("FailedScheduling: 0/3 nodes are available") ?? false)
    }

    @Test func `requests never exceed what a node has, and room that is freed is used`() async throws {
        var cluster = try await Cluster()
        try await cluster.addNode("n0", cpu: "2")
        try await cluster.addNode("n1", cpu: "1500m")
        for index in 0..<5 { try await cluster.makePod("p\(index)", requesting("900m")) }
        #expect(await cluster.rest())
        let placed = (0..<5).filter { node(cluster, "p\($0)") != nil }
        #expect(placed.count == 3)
        let waiting = try #require((0..<5).first { !placed.contains($0) })
        #expect(message(cluster, "p\(waiting)") == "0/2 nodes are available: 2 Insufficient cpu.")
        try await cluster.server.delete(.pod, ObjectKey(namespace: "default", name: "p\(placed[0])"), Deletion())
        #expect(await cluster.rest())
        #expect((0..<5).filter { node(cluster, "p\($0)") != nil }.count == 3)
    }

    @Test func `without nodes, and with gates, a Pod waits and says why`() async throws {
        var cluster = try await Cluster()
        try await cluster.makePod("early")
        try await cluster.makePod("gated", ["schedulingGates": [["name": "example.com/wait"]]])
        try await cluster.makePod("others", ["schedulerName": "mine"])
        #expect(await cluster.rest())
        #expect(message(cluster, "early") == "no nodes available to schedule pods")
        #expect(cluster.condition(.pod, "gated", "PodScheduled") == "False SchedulingGated")
        try await cluster.addNode("n0")
        #expect(await cluster.rest())
        #expect(node(cluster, "early") == "n0" && node(cluster, "gated") == nil && node(cluster, "others") == nil)
    }

    @Test func `the Pods of one owner spread over nodes, and required spread holds`() async throws {
        var cluster = try await Cluster()
        for (index, zone) in ["a", "a", "b"].enumerated() { try await cluster.addNode("n\(index)", labels: ["zone": .string(zone)]) }
        // A Pod can only be placed on nodes that have been seen.
        #expect(await cluster.rest())
        try await cluster.makeDeployment(replicas: 3)
        #expect(await cluster.rest())
        #expect(cluster.active().compactMap { $0["spec"]?["nodeName"]?.string }.sorted() == ["n0", "n1", "n2"])
        let spread: JSON = [
            "topologySpreadConstraints": [
                [
                    "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": ["matchLabels": ["app": "even"]],
                ]
            ]
        ]
        for index in 0..<4 { try await cluster.makePod("even\(index)", spread, labels: ["app": "even"]) }
        try await cluster.patch(.node, "n2", ["spec": ["unschedulable": true]])
        #expect(await cluster.rest())
        let zones = (0..<4).map { node(cluster, "even\($0)") }
        #expect(zones.compactMap { $0 }.count { $0 != "n2" } <= zones.compactMap { $0 }.count { $0 == "n2" } + 1)
    }

    @Test func `Pods that must not share a node don't`() async throws {
        var cluster = try await Cluster()
        for name in ["n0", "n1"] { try await cluster.addNode(name, labels: ["host": .string(name)]) }
        let apart: JSON = [
            "affinity": [
                "podAntiAffinity": [
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        ["topologyKey": "host", "labelSelector": ["matchLabels": ["app": "db"]]]
                    ]
                ]
            ]
        ]
        for index in 0..<3 { try await cluster.makePod("db\(index)", apart, labels: ["app": "db"]) }
        #expect(await cluster.rest())
        #expect(Set((0..<3).map { node(cluster, "db\($0)") }) == ["n0", "n1", nil])
    }
}
