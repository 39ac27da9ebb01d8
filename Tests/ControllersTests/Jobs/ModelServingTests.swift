import Resources
import TestKit
import Testing

/// Models that name the nodes which serve them.
@Suite(.offThePool) struct ModelServingTests {
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

    @Test func `sources and sinks come as folders, Secrets and one variable`() async throws {
        var cluster = try await JobCluster(nodes: ["edge-1"])
        try await cluster.makeModel("little", url: "/models/small/little.onnx")
        let broker: JSON = ["broker": "mqtts://plant", "topic": "rows", "credentialName": "login"]
        try await Self.place(
            cluster,
            [
                "nodes": ["edge-1"], "sources": [["file": ["path": "/data/in/rows.csv"], "id": "n"], ["mqtt": broker]],
                "sinks": [["file": ["path": "/data/in/answers.csv"]], ["file": ["path": "/data/out/answers.jsonl", "maxBytes": 65536]]],
                "deadLetter": ["mqtt": broker],
            ])
        #expect(await cluster.rest())
        let pod = try Self.pod(cluster)
        let paths = (pod["volumes"]?.array ?? []).compactMap { $0["hostPath"]?["path"]?.string }
        #expect(paths == ["/models/small", "/data/in", "/data/out"])
        let secrets = (pod["volumes"]?.array ?? []).compactMap { $0["secret"]?["secretName"]?.string }
        #expect(secrets == ["login"])
        let container = try #require(pod["containers"]?.array?.first)
        let mounts = (container["volumeMounts"]?.array ?? []).compactMap { $0["mountPath"]?.string }
        #expect(
            mounts == [
                "/home/data/model", "/home/data/lives", "/home/data/streams/0", "/home/data/streams/1", "/home/data/streams/secret-0",
            ])
        let variables = container["env"]?.array ?? []
        let node = variables.first { $0["name"] == "NODE_NAME" }?["valueFrom"]?["fieldRef"]?["fieldPath"]
        #expect(node == "spec.nodeName")
        let told = try JSON(parsing: variables.first { $0["name"] == "STREAMS" }?["value"]?.string ?? "")
        let (streams, errors) = ModelStreams.read(told, at: "STREAMS")
        #expect(errors == [] && streams.sources.count == 2 && streams.sinks.count == 2)
        let file = told["sources"]?.array?[0]["file"]
        #expect(file?["path"] == "/home/data/streams/0/rows.csv" && file?["name"] == "/data/in/rows.csv")
        guard case .mqtt(let messages) = streams.sources[1].place, case .file(let second) = streams.sinks[1] else {
            Issue.record("\(told.text)")
            return
        }
        #expect(messages.credentials == "/home/data/streams/secret-0" && messages.isSecure && messages.port == 8883)
        #expect(second.path == "/home/data/streams/1/answers.jsonl" && second.bytesMax == 65536 && second.format == .json)
    }

    @Test func `the worker gets the Model's resources, and a Model says on which node they were not enough`() async throws {
        var cluster = try await JobCluster(nodes: ["edge-1"])
        try await cluster.makeModel("little", url: "/models/small/little.onnx")
        let resources: JSON = ["limits": ["cpu": "500m", "memory": "64Mi"], "requests": ["cpu": "100m"]]
        try await Self.place(cluster, ["nodes": ["edge-1"], "resources": resources])
        #expect(await cluster.rest())
        let given = try Self.pod(cluster)["containers"]?.array?.first?["resources"]
        #expect(given == resources)
        let set = try #require(Self.set(cluster))
        let owner: JSON = [
            "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "little-serve", "uid": set["metadata"]?["uid"] ?? "", "controller": true,
        ]
        try await cluster.server.create(
            .pod,
            [
                "metadata": ["name": "little-serve-x", "namespace": "default", "ownerReferences": [owner]],
                "spec": ["nodeName": "edge-9", "containers": [["name": "infer", "image": "skerry/worker:builtin"]]],
            ])
        func end(_ reason: String) async throws {
            let ended: JSON = [
                "status": [
                    "containerStatuses": [["name": "infer", "lastState": ["terminated": ["reason": .string(reason), "exitCode": 137]]]]
                ]
            ]
            try await cluster.server.patch(
                .pod, ObjectKey(namespace: "default", name: "little-serve-x"), ObjectPatch(.merge, ended), part: .status)
        }
        try await end("OOMKilled")
        #expect(await cluster.rest())
        func condition() -> JSON? {
            cluster.find(JobCluster.model, "little")?["status"]?["conditions"]?.array?.first { $0["type"] == "OutOfMemory" }
        }
        let told = try #require(condition())
        #expect(
            told["status"] == "True" && told["message"]?.string?.contains("edge-9") ?? false
                && told["message"]?.string?.contains("64Mi") ?? false)
        let events = cluster.server.all(.event).filter { $0["reason"] == "OutOfMemory" }
        #expect(events.count == 1 && events[0]["involvedObject"]?["kind"] == "Model")
        try await end("Error")
        #expect(await cluster.rest())
        #expect(condition()?["status"] == "False")
    }

    static let wrongResources: [(JSON, String)] = [
        (["limits": ["memory": "lots"]], "spec.resources.limits.memory"), (["limits": ["memory": "8Mi"]], "at least 32Mi"),
        (["limits": ["memory": "-64Mi"]], "greater than or equal to 0"), (["limits": ["cpu": "1m"]], "at least 10m"),
        (["limits": ["memory": "64Mi"], "requests": ["memory": "128Mi"]], "less than or equal to memory limit of 64Mi"),
        (["limits": ["nvidia.com/gpu": "1"]], "nvidia.com/gpu"), (["claims": [["name": "x"]]], "spec.resources.claims"),
    ]

    @Test(arguments: wrongResources)
    func `resources that are none, or not enough to begin with, are refused with their field`(resources: JSON, words: String) async throws {
        let cluster = try await JobCluster()
        try await cluster.makeModel("little")
        let error = await #expect(throws: APIStatus.self) { try await Self.place(cluster, ["nodes": ["edge-1"], "resources": resources]) }
        let message = error?.message ?? ""
        #expect(message.contains(words), "\(message)")
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
