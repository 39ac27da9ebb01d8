import Resources
import TestKit
import Testing

/// Models that name the nodes which serve them.
@Suite struct ModelServingTests {
    static func place(_ cluster: JobCluster, _ spec: JSON) async throws {
        try await cluster.server.patch(
            JobCluster.model, ObjectKey(namespace: "default", name: "little"), ObjectPatch(.merge, ["spec": spec]), part: .whole)
    }

    static func set(_ cluster: JobCluster) -> JSON? { cluster.find(.daemonSet, "little-serve") }

    static func pod(_ cluster: JobCluster) throws -> JSON {
        try #require(set(cluster)?["spec"]?["template"]?["spec"])
    }

    @Test func `a Model without nodes is served nowhere, and one with nodes by a worker on each`() async throws {
        var cluster = try await JobCluster(nodes: ["cloud-0", "edge-1"])
        try await cluster.makeModel("little", url: "/models/small/little.onnx")
        #expect(await cluster.rest())
        #expect(Self.set(cluster) == nil)
        try await Self.place(cluster, ["nodes": ["edge-1"]])
        #expect(await cluster.rest())
        let set = try #require(Self.set(cluster)), pod = try Self.pod(cluster)
        let owner = set["metadata"]?["ownerReferences"]?.array?.first?["kind"]
        #expect(owner == "Model")
        let container = try #require(pod["containers"]?.array?.first)
        #expect(container["image"] == "skerry/worker:builtin" && container["args"] == ["infer"])
        let variables = Dictionary(
            (container["env"]?.array ?? []).map { ($0["name"]?.string ?? "", $0["value"]?.string ?? "") }, uniquingKeysWith: { $1 })
        #expect(variables["MODEL_URL"] == "/home/data/model/little.onnx" && variables["MODEL_NAME"] == "little")
        let path = pod["volumes"]?.array?.first?["hostPath"]?["path"]
        #expect(path == "/models/small")
        let text = (pod["affinity"] ?? .null).text
        #expect(text.contains("kubernetes.io/hostname") && text.contains("edge-1"))
        let labels = set["spec"]?["template"]?["metadata"]?["labels"]
        #expect(labels?["jobs.skerry.io/worker"] == "true" && labels == set["spec"]?["selector"]?["matchLabels"])
    }

    @Test func `other nodes change the worker, and no nodes end it`() async throws {
        var cluster = try await JobCluster(nodes: ["cloud-0", "edge-1"])
        try await cluster.makeModel("little", url: "sha256:" + String(repeating: "a", count: 64))
        try await Self.place(cluster, ["nodes": ["*"]])
        #expect(await cluster.rest())
        let pod = try Self.pod(cluster)
        let driver = pod["volumes"]?.array?.first?["csi"]?["driver"]
        #expect(pod["affinity"] == nil && driver == "models.skerry.io")
        let uid = Self.set(cluster)?["metadata"]?["uid"]
        try await Self.place(cluster, ["nodes": .null, "nodeSelector": ["kind": "gateway"]])
        #expect(await cluster.rest())
        let selector = try Self.pod(cluster)["nodeSelector"]
        #expect(selector == ["kind": "gateway"] && Self.set(cluster)?["metadata"]?["uid"] == uid)
        try await Self.place(cluster, ["nodeSelector": .null])
        #expect(await cluster.rest())
        #expect(Self.set(cluster) == nil)
    }

    @Test func `a name that belongs to somebody else is left alone`() async throws {
        var cluster = try await JobCluster()
        let labels: JSON = ["a": "b"]
        try await cluster.server.create(
            .daemonSet,
            [
                "metadata": ["name": "little-serve", "namespace": "default"],
                "spec": [
                    "selector": ["matchLabels": labels],
                    "template": ["metadata": ["labels": labels], "spec": ["containers": [["name": "c", "image": "own:1"]]]],
                ],
            ])
        try await cluster.makeModel("little")
        try await Self.place(cluster, ["nodes": ["edge-1"]])
        #expect(await cluster.rest())
        let image = try Self.pod(cluster)["containers"]?.array?.first?["image"]
        #expect(image == "own:1")
    }

    @Test(arguments: [["Edge_1"], ["a b"], [""]]) func `nodes that are no names are refused`(nodes: [String]) async throws {
        let cluster = try await JobCluster()
        try await cluster.makeModel("little")
        let list: JSON = .array(nodes.map { .string($0) })
        await #expect(throws: APIStatus.self) { try await Self.place(cluster, ["nodes": list]) }
    }
}
