import Resources
import TestKit
import Testing

@Suite(.offThePool) struct ReplicaSetTests {
    private func made(_ cluster: Cluster, replicas: Int64 = 2) async throws -> JSON {
        try await cluster.server.create(
            .replicaSet,
            [
                "metadata": ["name": "web", "namespace": "default"],
                "spec": [
                    "replicas": .integer(replicas), "selector": ["matchLabels": ["app": "web"]], "template": cluster.template("app:1"),
                ],
            ])
    }

    @Test func `a Pod that nobody controls is taken if the selector finds it, and counts`() async throws {
        var cluster = try await Cluster()
        try await cluster.addNode("n0")
        try await cluster.makePod("mine", labels: ["app": "web"])
        let set = try await made(cluster)
        #expect(await cluster.rest())
        #expect(cluster.active().count == 2)
        #expect(cluster.find(.pod, "mine")?["metadata"]?["ownerReferences"]?.array?.first?["uid"] == set["metadata"]?["uid"])
    }

    @Test func `a Pod whose labels leave the selector is let go and replaced`() async throws {
        var cluster = try await Cluster()
        try await cluster.addNode("n0")
        _ = try await made(cluster)
        #expect(await cluster.rest())
        let name = cluster.active()[0]["metadata"]?["name"]?.string ?? ""
        try await cluster.patch(.pod, name, ["metadata": ["labels": ["app": "debug"]]])
        #expect(await cluster.rest())
        #expect(cluster.active().count == 3)
        #expect(cluster.find(.pod, name)?["metadata"]?["ownerReferences"] == nil)
    }

    @Test func `a Pod that fails or is deleted is replaced`() async throws {
        var cluster = try await Cluster()
        try await cluster.addNode("n0")
        _ = try await made(cluster)
        #expect(await cluster.rest())
        let names = cluster.active().compactMap { $0["metadata"]?["name"]?.string }
        try await cluster.server.delete(.pod, ObjectKey(namespace: "default", name: names[0]), Deletion())
        var failed = try #require(cluster.find(.pod, names[1]))
        failed[path: ["status", "phase"]] = "Failed"
        try await cluster.server.updateStatus(.pod, failed)
        #expect(await cluster.rest())
        #expect(cluster.active().count == 2)
        #expect(cluster.find(.replicaSet, "web")?["status"]?["readyReplicas"] == 2)
    }

    @Test func `when there are too many, those go first that nobody would miss`() async throws {
        var cluster = try await Cluster()
        try await cluster.addNode("n0", pods: 4)
        _ = try await made(cluster, replicas: 4)
        #expect(await cluster.rest())
        let cheap = cluster.active()[2]["metadata"]?["name"]?.string ?? ""
        try await cluster.patch(.pod, cheap, ["metadata": ["annotations": ["controller.kubernetes.io/pod-deletion-cost": "-5"]]])
        try await cluster.patch(.replicaSet, "web", ["spec": ["replicas": 6]])
        #expect(await cluster.rest())
        #expect(cluster.active().count == 6)
        // Two have no place on the node: they go first, then the one that costs least.
        try await cluster.patch(.replicaSet, "web", ["spec": ["replicas": 3]])
        #expect(await cluster.rest())
        #expect(cluster.active().allSatisfy { $0["spec"]?["nodeName"] == "n0" })
        #expect(cluster.find(.pod, cheap) == nil)
        #expect(cluster.events("web").contains { $0.hasPrefix("SuccessfulDelete: Deleted pod: ") })
    }

    @Test func `a template the server refuses is told in a condition and an Event`() async throws {
        var cluster = try await Cluster()
        let set = try await made(cluster)
        // The namespace vanishes under it: Pods can't be made any more.
        try await cluster.patch(.replicaSet, "web", ["spec": ["template": ["metadata": ["finalizers": ["no good"]]]]])
        #expect(set["status"]?["conditions"] == nil)
        #expect(await cluster.rest())
        #expect(cluster.condition(.replicaSet, "web", "ReplicaFailure") == "True FailedCreate")
        #expect(cluster.events("web").contains { $0.hasPrefix("FailedCreate: Error creating: Pod \"web-") })
        try await cluster.patch(.replicaSet, "web", ["spec": ["template": ["metadata": ["finalizers": .null]]]])
        #expect(await cluster.rest(quietSeconds: 600))
        #expect(cluster.condition(.replicaSet, "web", "ReplicaFailure") == nil)
        #expect(cluster.active().count == 2)
    }
}
