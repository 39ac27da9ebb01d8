import Resources
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
}
