import Resources
import TestKit
import Testing

@Suite(.offThePool) struct GarbageCollectionTests {
    static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")

    @discardableResult
    private func make(_ cluster: Cluster, _ name: String, owners: [JSON] = [], finalizers: [JSON] = [], namespace: String = "default")
        async throws -> JSON
    {
        var metadata: JSON = ["name": .string(name), "namespace": .string(namespace)]
        if !owners.isEmpty { metadata["ownerReferences"] = .array(owners) }
        if !finalizers.isEmpty { metadata["finalizers"] = .array(finalizers) }
        return try await cluster.server.create(Self.configMap, ["metadata": metadata])
    }

    private func delete(_ cluster: Cluster, _ name: String, _ propagation: Deletion.Propagation) async throws {
        try await cluster.server.delete(
            Self.configMap, ObjectKey(namespace: "default", name: name), Deletion(propagation: propagation))
    }

    private func names(_ cluster: Cluster) -> [String] {
        cluster.server.all(Self.configMap).compactMap { $0["metadata"]?["name"]?.string }
    }

    @Test func `in the background, dependents follow their owner, down to the last`() async throws {
        var cluster = try await Cluster()
        let owner = try await make(cluster, "owner")
        let child = try await make(cluster, "child", owners: [cluster.owner(owner)])
        try await make(cluster, "grandchild", owners: [cluster.owner(child)])
        try await make(cluster, "stranger")
        #expect(await cluster.rest())
        try await delete(cluster, "owner", .background)
        #expect(names(cluster) == ["child", "grandchild", "stranger"])
        #expect(await cluster.rest())
        #expect(names(cluster) == ["stranger"])
    }

    @Test func `in the foreground, an owner stays until those that block it are gone, and does not wait for others`() async throws {
        var cluster = try await Cluster()
        let owner = try await make(cluster, "owner")
        try await make(cluster, "blocking", owners: [cluster.owner(owner, blocks: true)], finalizers: ["example.com/hold"])
        try await make(cluster, "other", owners: [cluster.owner(owner)], finalizers: ["example.com/hold"])
        #expect(await cluster.rest())
        try await delete(cluster, "owner", .foreground)
        #expect(await cluster.rest())
        #expect(names(cluster) == ["blocking", "other", "owner"])
        try await cluster.patch(Self.configMap, "blocking", ["metadata": ["finalizers": .null]])
        #expect(await cluster.rest())
        #expect(names(cluster) == ["other"])
    }

    @Test func `orphans stay, and name their owner no more`() async throws {
        var cluster = try await Cluster()
        let owner = try await make(cluster, "owner")
        try await make(cluster, "child", owners: [cluster.owner(owner)])
        #expect(await cluster.rest())
        try await delete(cluster, "owner", .orphan)
        #expect(await cluster.rest())
        #expect(names(cluster) == ["child"])
        #expect(cluster.find(Self.configMap, "child")?["metadata"]?["ownerReferences"] == nil)
    }

    @Test func `one living owner is enough, and references to dead ones go`() async throws {
        var cluster = try await Cluster()
        let first = try await make(cluster, "first")
        let second = try await make(cluster, "second")
        try await make(cluster, "child", owners: [cluster.owner(first), cluster.owner(second)])
        #expect(await cluster.rest())
        try await delete(cluster, "first", .background)
        #expect(await cluster.rest())
        #expect(names(cluster) == ["child", "second"])
        #expect(cluster.find(Self.configMap, "child")?["metadata"]?["ownerReferences"]?.array?.compactMap { $0["name"] } == ["second"])
    }

    @Test func `an owner that never was, or was another of the name, does not hold an object`() async throws {
        var cluster = try await Cluster()
        var missing = cluster.owner(try await make(cluster, "owner"))
        missing["uid"] = "somebody-else"
        try await make(cluster, "child", owners: [missing])
        #expect(await cluster.rest())
        #expect(names(cluster) == ["owner"])
    }

    @Test func `an owner in another namespace is none, and an Event says so`() async throws {
        var cluster = try await Cluster(namespaces: ["default", "kube-node-lease", "far"])
        let owner = try await make(cluster, "owner", namespace: "far")
        try await make(cluster, "child", owners: [cluster.owner(owner)])
        #expect(await cluster.rest())
        #expect(names(cluster) == ["owner"])
        #expect(
            cluster.events("child").first?.hasPrefix("OwnerRefInvalidNamespace: ownerRef [v1/ConfigMap, namespace: default, name: owner")
                ?? false)
    }

    @Test func `an owner of a kind that is not served keeps its dependents`() async throws {
        var cluster = try await Cluster()
        try await make(cluster, "child", owners: [["apiVersion": "x.io/v1", "kind": "Gadget", "name": "g", "uid": "u"]])
        #expect(await cluster.rest())
        #expect(names(cluster) == ["child"])
    }

    @Test func `two that block each other in the foreground both go`() async throws {
        var cluster = try await Cluster()
        let first = try await make(cluster, "first")
        let second = try await make(cluster, "second", owners: [cluster.owner(first, blocks: true)])
        try await cluster.patch(Self.configMap, "first", ["metadata": ["ownerReferences": [cluster.owner(second, blocks: true)]]])
        #expect(await cluster.rest())
        try await delete(cluster, "first", .foreground)
        #expect(await cluster.rest())
        #expect(names(cluster).isEmpty)
    }
}
