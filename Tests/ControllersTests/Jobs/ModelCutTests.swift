import Controllers
import Resources
import Synchronization
import TestKit
import Testing

/// Nodes' parts of a job's model.
@Suite(.offThePool) struct ModelCutTests {
    /// Cuts by naming what it was asked for.
    final class Cutter: ModelCutter {
        let fault = Mutex<String?>(nil)

        func cut(
            _ files: [String: String], places: String, datasets: [String]
        ) async throws(APIStatus) -> [String: (digest: String, size: Int64)] {
            if let fault = fault.withLock({ $0 }) { throw APIStatus(code: 503, reason: "ServiceUnavailable", message: fault) }
            return files.mapValues { (Self.digest($0, places, datasets), 7) }
        }

        static func digest(_ file: String, _ places: String, _ datasets: [String]) -> String {
            JobCluster.digest("\(file) \(places) \(datasets.joined(separator: "+"))")
        }
    }

    private static let trained: JobCluster.Worker = { pod in
        var state = JobCluster.trained(pod)
        let round = pod["metadata"]?["labels"]?["jobs.skerry.io/round"]?.string ?? ""
        let places = WorkerReport.Result(name: "places.bin", format: "places", digest: JobCluster.digest("places \(round)"), size: 5)
        state?.report.results.append(places)
        return state
    }

    /// Two nodes with data, and a cloud that trains.
    private static func cluster(_ cutter: Cutter, seed: UInt64 = 1) async throws -> JobCluster {
        var cluster = try await JobCluster(seed: seed, nodes: ["cloud-0", "edge-1", "edge-2"], cutter: cutter)
        cluster.workers["train"] = trained
        try await cluster.makeDataset("rows", node: "edge-1", samples: 600)
        try await cluster.makeDataset("more", node: "edge-2", samples: 300)
        try await cluster.makeDataset("most", node: "edge-2", samples: 300)
        try await cluster.makeLifelong { $0["additionalDatasets"] = [["name": "more"], ["name": "most"]] }
        return cluster
    }

    private static func serving(_ name: String, _ cluster: JobCluster) -> JSON? {
        cluster.find(JobCluster.model, name).flatMap { model in
            let entry = ModelVersions(model)
            return entry.version(entry.serving)
        }
    }

    private static func shown(_ node: String, _ cluster: JobCluster) -> String? {
        let pod = cluster.server.all(.pod).first {
            $0["spec"]?["nodeName"]?.string == node && $0["metadata"]?["name"]?.string?.hasPrefix("comfort-infer") == true
        }
        return pod.flatMap { JobCluster.volume("models.skerry.io", $0, at: "/home/data/model")?["model"]?.string }
    }

    @Test func `each node serves a part of the model, cut by its own data sets, and the next version follows`() async throws {
        var cluster = try await Self.cluster(Cutter())
        #expect(await cluster.rest())
        #expect(Self.shown("edge-1", cluster) == "comfort.edge-1" && Self.shown("edge-2", cluster) == "comfort.edge-2")
        let (whole, places) = (JobCluster.digest("model 1"), JobCluster.digest("places 1"))
        let part = try #require(Self.serving("comfort.edge-2", cluster))
        #expect(part["digest"]?.string == Cutter.digest(whole, places, ["more", "most"]) && part["version"] == 1 && part["size"] == 7)
        #expect(part["files"] == nil && part["signature"] == nil)
        #expect(Self.serving("comfort.edge-1", cluster)?["digest"]?.string == Cutter.digest(whole, places, ["rows"]))
        // What parts are cut by is a file of the whole, and training goes on from it.
        #expect(Self.serving("comfort", cluster)?["files"]?["places.bin"]?.string == places)
        let train = try #require(cluster.find(.pod, "comfort-train-1"))
        #expect(JobCluster.variable("TRAIN_DATASETS", train) == "rows;more;most")
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest())
        let next = try #require(Self.serving("comfort.edge-1", cluster))
        #expect(next["version"] == 2)
        #expect(next["digest"]?.string == Cutter.digest(JobCluster.digest("model 2"), JobCluster.digest("places 2"), ["rows"]))
        let again = try #require(cluster.find(.pod, "comfort-train-2"))
        let knowledge = JobCluster.volume("files.skerry.io", again, at: "/home/data/knowledge")
        #expect(knowledge?["places.bin"]?.string == places)
        // Rows are judged at their node by what it serves anyway.
        let collect = try #require(cluster.find(.pod, "comfort-collect-0-2"))
        let judged = JobCluster.volume("files.skerry.io", collect, at: "/home/data/models/serving")
        #expect(judged?["model.onnx"]?.string == Cutter.digest(whole, places, ["rows"]))
        // With the job everything goes.
        try await cluster.server.delete(JobCluster.lifelong, ObjectKey(namespace: "default", name: "comfort"), Deletion())
        #expect(await cluster.rest())
        #expect(cluster.server.all(JobCluster.model).isEmpty)
    }

    @Test func `a part that cannot be cut says so, what serves goes on, and it is made once that is mended`() async throws {
        let cutter = Cutter()
        var cluster = try await Self.cluster(cutter)
        #expect(await cluster.rest())
        cutter.fault.withLock { $0 = "there is no room" }
        try await cluster.count("rows", 1600)
        #expect(await cluster.rest(quietSeconds: 20))
        #expect(Self.serving("comfort", cluster)?["version"] == 2)
        #expect(Self.serving("comfort.edge-1", cluster)?["version"] == 1)
        let condition = cluster.find(JobCluster.model, "comfort.edge-1")?["status"]?["conditions"]?.array?.first { $0["type"] == "Cut" }
        #expect(condition?["message"]?.string == "version 2 of model comfort cannot be cut for node edge-1: there is no room")
        #expect(cluster.events("comfort.edge-1") == ["CannotBeCut"])
        cutter.fault.withLock { $0 = nil }
        #expect(await cluster.rest())
        #expect(Self.serving("comfort.edge-1", cluster)?["version"] == 2)
    }

    @Test func `a node that serves for all, and the one node that has data, get the whole`() async throws {
        var cluster = try await JobCluster(nodes: ["cloud-0", "edge-1", "edge-2"], cutter: Cutter())
        cluster.workers["train"] = Self.trained
        try await cluster.makeDataset("rows", node: "edge-1", samples: 600)
        try await cluster.makeDataset("more", node: "edge-2", samples: 300)
        try await cluster.makeLifelong {
            $0["additionalDatasets"] = [["name": "more"]]
            $0[path: ["deploySpec", "template"]] = JobCluster.template("infer", node: "edge-2")
        }
        try await cluster.makeLifelong("alone")
        #expect(await cluster.rest())
        #expect(Self.shown("edge-2", cluster) == "comfort")
        #expect(cluster.find(JobCluster.model, "alone.edge-1") == nil && cluster.find(JobCluster.model, "alone") != nil)
    }

    @Test func `a name that somebody else has is not taken`() async throws {
        var cluster = try await Self.cluster(Cutter())
        try await cluster.makeModel("comfort.edge-1")
        #expect(await cluster.rest())
        #expect(cluster.find(JobCluster.model, "comfort.edge-1")?["status"]?["versions"] == nil)
        #expect(Self.shown("edge-1", cluster) == nil)
        #expect(cluster.message(JobCluster.lifelong, "comfort").contains("model comfort.edge-1 is somebody else's"))
    }

    @Test(arguments: 1...8) func `killed at any write, parts are those of the version that serves`(_ seed: UInt64) async throws {
        var cluster = try await Self.cluster(Cutter(), seed: seed)
        cluster.simulation.faults = Simulation.Faults()
        await cluster.run(steps: 500)
        try await cluster.count("rows", 1600)
        await cluster.run(steps: 500)
        #expect(await cluster.rest(quietSeconds: 300))
        let whole = try #require(Self.serving("comfort", cluster))
        for (node, datasets) in [("edge-1", ["rows"]), ("edge-2", ["more", "most"])] {
            let part = try #require(Self.serving("comfort.\(node)", cluster))
            #expect(part["version"] == whole["version"])
            let places = whole["files"]?["places.bin"]?.string ?? ""
            #expect(part["digest"]?.string == Cutter.digest(whole["digest"]?.string ?? "", places, datasets))
        }
    }
}
