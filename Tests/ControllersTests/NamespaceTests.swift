import Resources
import TestKit
import Testing

@Suite(.offThePool) struct NamespaceTests {
    private static let configMap = GarbageCollectionTests.configMap

    @Test func `a namespace goes with everything in it, and nothing else`() async throws {
        var cluster = try await Cluster(namespaces: ["default", "kube-node-lease", "old"])
        try await cluster.addNode("n0")
        for name in ["a", "b"] {
            for space in ["default", "old"] {
                try await cluster.server.create(Self.configMap, ["metadata": ["name": .string(name), "namespace": .string(space)]])
            }
        }
        try await cluster.server.create(
            .deployment,
            [
                "metadata": ["name": "web", "namespace": "old"],
                "spec": ["replicas": 2, "selector": ["matchLabels": ["app": "web"]], "template": cluster.template("app:1")],
            ])
        #expect(await cluster.rest())
        #expect(cluster.active().count == 2)
        try await cluster.server.delete(.namespace, ObjectKey(name: "old"), Deletion())
        #expect(await cluster.rest())
        #expect(cluster.server.all(.namespace).compactMap { $0["metadata"]?["name"]?.string } == ["default", "kube-node-lease"])
        for kind in try await cluster.server.kinds() where kind.isNamespaced {
            #expect(cluster.server.all(kind).allSatisfy { $0["metadata"]?["namespace"] != "old" }, "\(kind)")
        }
        #expect(cluster.server.all(Self.configMap).count == 2)
    }

    @Test func `what holds a namespace back is said in its conditions`() async throws {
        var cluster = try await Cluster(namespaces: ["default", "kube-node-lease", "old"])
        try await cluster.server.create(
            Self.configMap, ["metadata": ["name": "held", "namespace": "old", "finalizers": ["example.com/hold"]]])
        #expect(await cluster.rest())
        try await cluster.server.delete(.namespace, ObjectKey(name: "old"), Deletion())
        #expect(await cluster.rest())
        let conditions = cluster.find(.namespace, "old")?["status"]?["conditions"]?.array ?? []
        let messages = Dictionary(uniqueKeysWithValues: conditions.map { ($0["type"]?.string ?? "", $0["message"]?.string ?? "") })
        #expect(messages["NamespaceContentRemaining"] == "Some resources are remaining: configmaps. has 1 resource instances")
        #expect(
            messages["NamespaceFinalizersRemaining"]
                == "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances")
        _ = try await cluster.server.patch(
            Self.configMap, ObjectKey(namespace: "old", name: "held"), ObjectPatch(.merge, ["metadata": ["finalizers": .null]]),
            part: .whole)
        #expect(await cluster.rest())
        #expect(cluster.find(.namespace, "old") == nil)
    }

    @Test func `every namespace has its ServiceAccount, also after somebody deleted it`() async throws {
        var cluster = try await Cluster()
        #expect(await cluster.rest())
        #expect(cluster.find(.serviceAccount, "default") != nil)
        try await cluster.server.delete(.serviceAccount, ObjectKey(namespace: "default", name: "default"), Deletion())
        #expect(await cluster.rest())
        #expect(cluster.find(.serviceAccount, "default") != nil)
    }

    @Test func `Events are forgotten after an hour`() async throws {
        var cluster = try await Cluster()
        try await cluster.makePod("waits")
        #expect(await cluster.rest())
        #expect(!cluster.events("waits").isEmpty)
        cluster.simulation.advance(seconds: 3700)
        #expect(await cluster.rest())
        #expect(cluster.server.all(.event).isEmpty)
    }
}
