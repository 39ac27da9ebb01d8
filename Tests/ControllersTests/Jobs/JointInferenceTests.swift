import Resources
import Synchronization
import TestKit
import Testing

@Suite(.offThePool) struct JointInferenceTests {
    private static let kind = ResourceKind(
        group: "sedna.io", version: "v1alpha1", kind: "JointInferenceService", plural: "jointinferenceservices")

    private func cluster() async throws -> JobCluster {
        var cluster = try await JobCluster(nodes: ["cloud-0", "edge-1"])
        cluster.workers = ["cloud": { _ in nil }, "edge": { _ in nil }]
        var node = try await cluster.server.get(.node, ObjectKey(namespace: "", name: "cloud-0"))
        node[path: ["status", "addresses"]] = [["type": "InternalIP", "address": "10.0.0.7"]]
        try await cluster.server.updateStatus(.node, node)
        return cluster
    }

    private func make(_ cluster: JobCluster) async throws {
        try await cluster.server.create(
            Self.kind,
            [
                "metadata": ["name": "helmet", "namespace": "default"],
                "spec": [
                    "edgeWorker": [
                        "model": ["name": "little"],
                        "hardExampleMining": ["name": "IBT", "parameters": [["key": "threshold_img", "value": "0.9"]]],
                        "template": JobCluster.template("little", node: "edge-1"),
                    ],
                    "cloudWorker": ["model": ["name": "big"], "template": JobCluster.template("big", node: "cloud-0")],
                ],
            ])
    }

    @Test func `both workers get Sedna's variables, and the edge where the cloud's is`() async throws {
        var cluster = try await cluster()
        try await make(cluster)
        #expect(await cluster.rest())
        #expect(cluster.state(Self.kind, "helmet") == "- Pending ModelNotFound")
        try await cluster.makeModel("little", url: "/models/little.onnx")
        try await cluster.makeModel("big", url: "/models/big.onnx")
        #expect(await cluster.rest())
        #expect(cluster.state(Self.kind, "helmet") == "- Running WorkersRunning")
        #expect(cluster.find(Self.kind, "helmet")?["status"]?["active"] == 2)
        let edge = try #require(cluster.find(.pod, "helmet-edge"))
        #expect(JobCluster.variable("BIG_MODEL_IP", edge) == "10.0.0.7")
        #expect(JobCluster.variable("BIG_MODEL_PORT", edge) == "5000")
        #expect(JobCluster.variable("SERVICE_NAME", edge) == "helmet")
        #expect(JobCluster.variable("MODEL_URL", edge) == "/home/data/models/serving/little.onnx")
        #expect(JobCluster.variable("HEM_NAME", edge) == "IBT")
        #expect(JobCluster.variable("JOINT", edge) == "true")
        #expect(edge["spec"]?["restartPolicy"] == "Always")
    }

    @Test func `a Pod of somebody else's that has a worker's name is named`() async throws {
        var cluster = try await cluster()
        for model in ["little", "big"] { try await cluster.makeModel(model) }
        let pod: JSON = [
            "metadata": ["name": "helmet-cloud", "namespace": "default"], "spec": ["containers": [["name": "main", "image": "web:1"]]],
        ]
        try await cluster.server.create(.pod, pod)
        try await make(cluster)
        #expect(await cluster.rest())
        #expect(cluster.state(Self.kind, "helmet") == "- Pending PodNameTaken" && cluster.pods() == ["helmet-cloud", "helmet-edge"])
        #expect(cluster.message(Self.kind, "helmet").hasPrefix("pod helmet-cloud is nobody's worker, and a worker of "))
        try await cluster.server.delete(.pod, ObjectKey(namespace: "default", name: "helmet-cloud"), Deletion(gracePeriodSeconds: 0))
        #expect(await cluster.rest())
        #expect(cluster.state(Self.kind, "helmet") == "- Running WorkersRunning")
    }

    @Test func `none of the counters is left out of a worker that adapts, tries versions and reads streams as well`() async throws {
        var cluster = try await cluster()
        try await cluster.makeModel("little")
        try await cluster.makeModel("big")
        cluster.workers["edge"] = { _ in
            var report = WorkerReport(.running, kind: "inference")
            for number in 0..<45 { report.ownerInfo["counter\(number)"] = .integer(1) }
            report.ownerInfo["uploadNumber"] = 20
            return WorkerState(.running, report)
        }
        try await make(cluster)
        #expect(await cluster.rest())
        let metrics = try #require(cluster.find(Self.kind, "helmet")?["status"]?["metrics"]?.array)
        #expect(metrics.count == 46 && metrics.last == ["key": "uploadNumber", "value": "20"])
    }

    @Test func `the edge's counters come to the status, and a failure is not for ever`() async throws {
        var cluster = try await cluster()
        try await cluster.makeModel("little")
        try await cluster.makeModel("big")
        cluster.workers["edge"] = { _ in
            var report = WorkerReport(.running, kind: "inference")
            report.ownerInfo = ["inferenceNumber": 100, "hardExampleNumber": 7, "uploadCloudRatio": .decimal("0.07"), "startTime": "now"]
            return WorkerState(.running, report)
        }
        cluster.workers["cloud"] = JobCluster.failing("no memory")
        try await make(cluster)
        await cluster.run(steps: 400)
        #expect(cluster.events("helmet").contains("WorkerFailed"))
        cluster.workers["cloud"] = { _ in nil }
        #expect(await cluster.rest())
        let status = try #require(cluster.find(Self.kind, "helmet")?["status"])
        #expect(cluster.state(Self.kind, "helmet") == "- Running WorkersRunning")
        #expect(
            status["metrics"] == [
                ["key": "hardExampleNumber", "value": "7"], ["key": "inferenceNumber", "value": "100"],
                ["key": "uploadCloudRatio", "value": "0.07"],
            ])
    }

    // MARK: - Many edges

    /// A service of the nodes that `edges` describes, beside what the template asks for.
    private func makeMany(_ cluster: JobCluster, _ edges: JSONObject) async throws {
        try await cluster.makeModel("little")
        try await cluster.makeModel("big")
        var edge: JSON = [
            "model": ["name": "little"], "hardExampleMining": ["name": "Margin"], "template": JobCluster.template("little"),
        ]
        for (name, value) in edges { edge[name] = value }
        try await cluster.server.create(
            Self.kind,
            [
                "metadata": ["name": "helmet", "namespace": "default"],
                "spec": [
                    "edgeWorker": edge,
                    "cloudWorker": ["model": ["name": "big"], "template": JobCluster.template("big", node: "cloud-0")],
                ],
            ])
    }

    private func makeNode(_ cluster: JobCluster, _ name: String, labels: JSON = [:]) async throws {
        try await cluster.server.create(.node, ["metadata": ["name": .string(name), "labels": labels]])
    }

    /// Lets everything happen, with a placement that puts each Pod where its affinity wants it, and an end of Pods whose node is gone.
    private func rest(_ cluster: inout JobCluster) async throws {
        for _ in 0..<2 {
            #expect(await cluster.rest())
            let nodes = Set(cluster.server.all(.node).compactMap { $0["metadata"]?["name"] })
            for pod in cluster.server.all(.pod) where pod["metadata"]?["deletionTimestamp"] != nil {
                guard let node = pod["spec"]?["nodeName"], !nodes.contains(node) else { continue }
                try await cluster.server.delete(.pod, ObjectKey(pod), Deletion(gracePeriodSeconds: 0))
            }
            for pod in cluster.server.all(.pod) where pod["spec"]?["nodeName"] == nil {
                let terms = pod["spec"]?["affinity"]?["nodeAffinity"]?["requiredDuringSchedulingIgnoredDuringExecution"]
                let node = terms?["nodeSelectorTerms"]?.array?.first?["matchFields"]?.array?.first?["values"]?.array?.first
                try await cluster.patch(.pod, pod["metadata"]?["name"]?.string ?? "", ["spec": ["nodeName": node ?? .null]])
            }
        }
        #expect(await cluster.rest())
    }

    private func status(_ cluster: JobCluster) -> JSON { cluster.find(Self.kind, "helmet")?["status"] ?? [:] }

    private func metric(_ name: String, _ cluster: JobCluster) -> String? {
        status(cluster)["metrics"]?.array?.first { $0["key"]?.string == name }?["value"]?.string
    }

    private func workers(_ cluster: JobCluster) -> [String] {
        (status(cluster)["workers"]?.array ?? []).map { worker in
            ["name", "node", "state"].compactMap { worker[$0]?.string }.joined(separator: " ")
        }
    }

    @Test func `a service for all nodes has a worker on every edge, later ones too, and none on those that have left`() async throws {
        var cluster = try await cluster()
        try await makeNode(cluster, "edge-2")
        try await makeMany(cluster, ["nodes": ["*"]])
        try await rest(&cluster)
        #expect(cluster.pods().sorted() == ["helmet-cloud", "helmet-edge-edge-1", "helmet-edge-edge-2"])
        #expect(cluster.state(Self.kind, "helmet") == "- Running WorkersRunning")
        #expect(cluster.message(Self.kind, "helmet") == "the cloud worker runs, and 2 edge workers")
        #expect(status(cluster)["active"] == 3)
        #expect(workers(cluster) == ["helmet-edge-edge-1 edge-1 Running", "helmet-edge-edge-2 edge-2 Running"])
        let pod = try #require(cluster.find(.pod, "helmet-edge-edge-2"))
        #expect(JobCluster.variable("BIG_MODEL_IP", pod) == "10.0.0.7")
        let owner = try #require(pod["metadata"]?["ownerReferences"]?.array?.first)
        #expect(owner["kind"] == "JointInferenceService" && owner["controller"] == true)

        try await makeNode(cluster, "edge-3.site.example")
        try await cluster.server.delete(.node, ObjectKey(namespace: "", name: "edge-1"), Deletion())
        try await rest(&cluster)
        let names = cluster.pods().sorted()
        #expect(names.count == 3 && names[1] == "helmet-edge-edge-2" && names[2].hasPrefix("helmet-edge-edge-3siteexampl-"))
        #expect(cluster.state(Self.kind, "helmet") == "- Running WorkersRunning")
    }

    @Test func `nodes by name and by labels have a worker each, and one that is not known or does not fit is named`() async throws {
        var cluster = try await cluster()
        try await makeNode(cluster, "edge-2", labels: ["line": "north"])
        try await makeNode(cluster, "edge-3", labels: ["line": "north"])
        try await makeMany(cluster, ["nodeSelector": ["line": "north"]])
        try await rest(&cluster)
        #expect(cluster.pods().sorted() == ["helmet-cloud", "helmet-edge-edge-2", "helmet-edge-edge-3"])

        // Another label is another set of nodes.
        try await cluster.server.update(.node, ["metadata": ["name": "edge-3", "labels": [:]]])
        try await rest(&cluster)
        #expect(cluster.pods().sorted() == ["helmet-cloud", "helmet-edge-edge-2"])

        let names: JSON = ["cloud-0", "edge-1", "edge-9"]
        try await cluster.patch(Self.kind, "helmet", ["spec": ["edgeWorker": ["nodes": names, "nodeSelector": .null]]])
        try await rest(&cluster)
        #expect(cluster.pods().sorted() == ["helmet-cloud", "helmet-edge-cloud-0", "helmet-edge-edge-1"])
        #expect(cluster.state(Self.kind, "helmet") == "- Pending NodeNotFound")
        let words = "node edge-9 is not known to this cloud; join it, or take it out of spec.edgeWorker.nodes"
        #expect(cluster.message(Self.kind, "helmet") == words)

        var node = try await cluster.server.get(.node, ObjectKey(namespace: "", name: "edge-1"))
        node["spec"] = ["taints": [["key": "dedicated", "value": "press", "effect": "NoSchedule"]]]
        try await cluster.server.update(.node, node)
        try await cluster.patch(Self.kind, "helmet", ["spec": ["edgeWorker": ["nodes": ["edge-1"]]]])
        try await rest(&cluster)
        #expect(cluster.pods() == ["helmet-cloud"])
        #expect(cluster.message(Self.kind, "helmet") == "node edge-1 has other labels, or a taint, than spec.edgeWorker asks for")

        try await cluster.patch(Self.kind, "helmet", ["spec": ["edgeWorker": ["nodes": .null, "nodeSelector": ["line": "south"]]]])
        try await rest(&cluster)
        #expect(cluster.state(Self.kind, "helmet") == "- Pending NoNodes")
    }

    @Test func `a node that is not ready is named, and the others answer`() async throws {
        var cluster = try await cluster()
        try await makeNode(cluster, "edge-2")
        try await makeMany(cluster, ["nodes": ["*"]])
        try await rest(&cluster)
        var node = try await cluster.server.get(.node, ObjectKey(namespace: "", name: "edge-2"))
        node["status"] = ["conditions": [["type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"]]]
        try await cluster.server.updateStatus(.node, node)
        try await rest(&cluster)
        #expect(cluster.state(Self.kind, "helmet") == "- Running NodeNotReady")
        let words = "the cloud worker runs, and 2 edge workers; node edge-2 (NodeStatusUnknown) is not ready"
        #expect(cluster.message(Self.kind, "helmet") == words)
        #expect(workers(cluster) == ["helmet-edge-edge-1 edge-1 Running", "helmet-edge-edge-2 edge-2 NodeNotReady"])
    }

    @Test func `counters are those of all workers together, also of those that began anew or are gone`() async throws {
        var cluster = try await cluster()
        try await makeNode(cluster, "edge-2")
        let counts = Counts()
        cluster.workers["edge"] = { counts.state($0["spec"]?["nodeName"]?.string ?? "") }
        counts.set("edge-1", answered: 100, uploads: 10, latency: 300, threshold: "0.2")
        counts.set("edge-2", answered: 300, uploads: 50, latency: 200, threshold: "0.4")
        try await makeMany(cluster, ["nodes": ["*"]])
        try await rest(&cluster)
        #expect(metric("inferenceNumber", cluster) == "400")
        #expect(metric("uploadNumber", cluster) == "60")
        #expect(metric("uploadCloudRatio", cluster) == "0.15")
        #expect(metric("latencyP99Micros", cluster) == "300")
        #expect(metric("hardnessThreshold", cluster) == "0.35")
        #expect(metric("modelVersion", cluster) == "7")
        #expect(metric("address", cluster) == nil)
        let second = try #require(status(cluster)["workers"]?.array?.last)
        #expect(second["address"] == "127.0.0.1:300")
        #expect(second["counts"] == ["inferenceNumber": 300, "uploadNumber": 50])

        // A worker that counts from the beginning again: what it had counted stays.
        counts.set("edge-1", answered: 5, uploads: 1, latency: 300, threshold: "0.2")
        try await rest(&cluster)
        #expect(metric("inferenceNumber", cluster) == "405")
        #expect(metric("uploadNumber", cluster) == "61")

        // So does what a node has counted that is gone.
        try await cluster.server.delete(.node, ObjectKey(namespace: "", name: "edge-2"), Deletion())
        try await rest(&cluster)
        #expect(workers(cluster) == ["helmet-edge-edge-1 edge-1 Running"])
        #expect(metric("inferenceNumber", cluster) == "405")
        #expect(metric("uploadCloudRatio", cluster) == "0.1506")
        #expect(status(cluster)["past"] == ["inferenceNumber": 400, "uploadNumber": 60])
    }

    /// What the workers of each node say.
    private final class Counts: Sendable {
        private let told = Mutex<[String: JSONObject]>([:])

        func set(_ node: String, answered: Int64, uploads: Int64, latency: Int64, threshold: String) {
            told.withLock {
                $0[node] = [
                    "inferenceNumber": .integer(answered), "uploadNumber": .integer(uploads), "latencyP99Micros": .integer(latency),
                    "uploadCloudRatio": 0, "hardnessThreshold": .decimal(threshold), "modelVersion": "7",
                    "address": .string("127.0.0.1:\(answered)"), "startTime": "now",
                ]
            }
        }

        func state(_ node: String) -> WorkerState? {
            guard let info = told.withLock({ $0[node] }) else { return nil }
            var report = WorkerReport(.running, kind: "inference")
            report.ownerInfo = info
            return WorkerState(.running, report)
        }
    }
}
