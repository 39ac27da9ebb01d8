import Controllers
import Reconciliation
import Resources
import TestKit

/// A cluster with jobs: nodes that count the rows of their data sets and run workers whose words the test decides.
struct JobCluster {
    /// What a worker of a Pod says once it runs; nil while it says nothing.
    typealias Worker = @Sendable (JSON) -> WorkerState?

    static let dataset = kind("Dataset", "datasets")
    static let model = kind("Model", "models")
    static let incremental = kind("IncrementalLearningJob", "incrementallearningjobs")
    static let lifelong = kind("LifelongLearningJob", "lifelonglearningjobs")

    private static func kind(_ kind: String, _ plural: String) -> ResourceKind {
        ResourceKind(group: "sedna.io", version: "v1alpha1", kind: kind, plural: plural)
    }

    var simulation: Simulation
    /// By worker type: `train`, `eval`, `collect`, `inference`.
    var workers: [String: Worker] = [:]

    var server: MemoryServer { simulation.server }

    init(
        seed: UInt64 = 1, nodes: [String] = ["edge-1"], recorder: (any KnowledgeRecorder)? = nil, cutter: (any ModelCutter)? = nil
    ) async throws {
        simulation = Simulation(seed: seed) { client in
            // Owners take their Pods with them; nothing else of a cluster is needed here.
            ClusterControllers.all(client).filter { $0.name == "garbage-collector" }
                + OwnControllers.all(client, recorder: recorder, cutter: cutter)
        }
        simulation.faults = .none
        try await simulation.server.create(.namespace, ["metadata": ["name": "default"]])
        for node in nodes {
            let labels: JSON = node.hasPrefix("cloud") ? ["node-role.kubernetes.io/cloud": ""] : [:]
            try await simulation.server.create(.node, ["metadata": ["name": .string(node), "labels": labels]])
        }
        workers["train"] = Self.trained
        workers["eval"] = Self.evaluated(accuracy: 0.7, standing: 0.6)
        workers["collect"] = Self.collected
    }

    // MARK: Workers

    static let trained: Worker = { pod in
        let round = pod["metadata"]?["labels"]?["jobs.skerry.io/round"]?.string ?? ""
        return WorkerState(
            .completed,
            WorkerReport(
                .completed, kind: "train",
                results: [
                    WorkerReport.Result(name: "model.onnx", format: "onnx", digest: digest("model \(round)"), size: 100),
                    WorkerReport.Result(name: "state.json", format: "state", digest: digest("state \(round)"), size: 10),
                ]))
    }

    static let collected: Worker = { pod in
        let name = pod["metadata"]?["name"]?.string ?? ""
        return WorkerState(
            .completed,
            WorkerReport(
                .completed, kind: "collect",
                results: [
                    WorkerReport.Result(name: "train.csv", format: "csv", digest: digest("\(name) train")),
                    WorkerReport.Result(name: "eval.csv", format: "csv", digest: digest("\(name) eval")),
                ]))
    }

    static func evaluated(accuracy: Double, standing: Double, tasks: JSONObject = [:], standingTasks: JSONObject = [:]) -> Worker {
        { pod in
            var results = [
                WorkerReport.Result(name: "new", format: "onnx", metrics: figures(accuracy, tasks))
            ]
            let urls = variable("MODEL_URLS", pod) ?? ""
            if urls.contains(";") {
                results.append(WorkerReport.Result(name: "serving", format: "onnx", metrics: figures(standing, standingTasks)))
            }
            return WorkerState(.completed, WorkerReport(.completed, kind: "eval", results: results))
        }
    }

    private static func figures(_ accuracy: Double, _ tasks: JSONObject) -> JSONObject {
        var figures: JSONObject = ["accuracy": .number(accuracy)]
        if !tasks.isEmpty {
            figures["tasks"] = .object(tasks)
            figures["task_rows"] = .object(tasks.compactMapValues { _, _ in 400 })
        }
        return figures
    }

    static func failing(_ message: String) -> Worker { { _ in WorkerState(.failed, WorkerReport(.failed, message: message)) } }

    /// A digest that is the same for the same words.
    static func digest(_ words: String) -> String {
        let hash = words.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        let part = String(hash, radix: 16)
        return "sha256:" + String(String(repeating: "0", count: 16 - part.count) + part).repeated(4)
    }

    static func variable(_ name: String, _ pod: JSON) -> String? {
        pod["spec"]?["containers"]?.array?.first?["env"]?.array?.first { $0["name"]?.string == name }?["value"]?.string
    }

    static func volume(_ driver: String, _ pod: JSON, at path: String) -> JSON? {
        let name = pod["spec"]?["containers"]?.array?.first?["volumeMounts"]?.array?.first { $0["mountPath"]?.string == path }?["name"]
        let volume = pod["spec"]?["volumes"]?.array?.first { $0["name"] == name }
        return volume?["csi"]?["driver"]?.string == driver ? volume?["csi"]?["volumeAttributes"] : nil
    }

    // MARK: Nodes

    /// What agents do: take bound Pods up, and write what their workers say.
    func runAgents() async -> Bool {
        var hasActed = false
        let nodes = Set(server.all(.node).compactMap { $0["metadata"]?["name"] })
        for pod in server.all(.pod) where nodes.contains(pod["spec"]?["nodeName"] ?? .null) {
            if pod["metadata"]?["deletionTimestamp"] != nil {
                hasActed = (try? await server.delete(.pod, ObjectKey(pod), Deletion(gracePeriodSeconds: 0))) != nil || hasActed
                continue
            }
            let labels = pod["metadata"]?["labels"]
            let type = labels?.object?.first { $0.0.hasSuffix(".sedna.io/worker-type") }?.1.string ?? ""
            var status: JSON = pod["status"] ?? [:]
            if let state = workers[type]?(pod) {
                status["conditions"] = [state.condition(since: server.now)]
                status["phase"] = state.reason == .completed ? "Succeeded" : state.reason == .running ? "Running" : "Failed"
            } else {
                status["phase"] = "Running"
            }
            let known = pod["status"]?["conditions"]?.array?.first?["message"]
            guard status["phase"] != pod["status"]?["phase"] || known != status["conditions"]?.array?.first?["message"] else { continue }
            var new = pod
            new["status"] = status
            hasActed = (try? await server.updateStatus(.pod, new)) != nil || hasActed
        }
        return hasActed
    }

    /// Lets everything happen until nothing is left to do.
    mutating func rest(quietSeconds: Int64 = 150) async -> Bool {
        let copy = self
        return await simulation.settle(quietSeconds: quietSeconds) { _ in await copy.runAgents() }
    }

    /// Steps with faults, agents in between.
    mutating func run(steps: Int) async {
        for _ in 0..<steps {
            if await simulation.step() { continue }
            if await !runAgents() { simulation.advance(seconds: 5) }
        }
    }

    // MARK: Objects

    func makeDataset(_ name: String = "rows", node: String = "edge-1", samples: Int64? = 1000) async throws {
        try await server.create(
            Self.dataset,
            [
                "metadata": ["name": .string(name), "namespace": "default"],
                "spec": ["url": "/data/rows.csv", "format": "csv", "nodeName": .string(node)],
            ])
        if let samples { try await count(name, samples) }
    }

    func count(_ name: String, _ samples: Int64, version: Int64 = 1) async throws {
        var dataset = try await server.get(Self.dataset, ObjectKey(namespace: "default", name: name))
        dataset["status"] = ["numberOfSamples": .integer(samples), "version": .integer(version)]
        try await server.updateStatus(Self.dataset, dataset)
    }

    func makeModel(_ name: String, url: String = "/models/base.onnx") async throws {
        try await server.create(
            Self.model,
            ["metadata": ["name": .string(name), "namespace": "default"], "spec": ["url": .string(url), "format": "onnx"]])
    }

    static func template(_ command: String, node: String? = nil) -> JSON {
        var spec: JSON = ["containers": [["name": "main", "image": "worker:1", "command": [.string(command)]]]]
        if let node { spec["nodeName"] = .string(node) }
        return ["spec": spec]
    }

    static func trigger(_ threshold: Int64 = 500, period: Int64 = 60) -> JSON {
        [
            "checkPeriodSeconds": .integer(period),
            "condition": ["operator": ">", "threshold": .integer(threshold), "metric": "num_of_samples"],
        ]
    }

    func makeIncremental(_ name: String = "helmet", change: (inout JSON) -> Void = { _ in }) async throws {
        var spec: JSON = [
            "dataset": ["name": "rows", "trainProb": .decimal("0.8")], "initialModel": ["name": "initial"], "outputDir": "/output",
            "trainSpec": ["template": Self.template("train"), "trigger": Self.trigger()],
            "evalSpec": ["template": Self.template("eval")],
            "deploySpec": [
                "model": ["name": "deployed", "hotUpdateEnabled": true], "template": Self.template("infer"),
                "trigger": ["condition": ["operator": ">", "threshold": .decimal("0.01"), "metric": "accuracy_delta"]],
                "hardExampleMining": ["name": "IBT", "parameters": [["key": "threshold_img", "value": "0.9"]]],
            ],
        ]
        change(&spec)
        try await server.create(Self.incremental, ["metadata": ["name": .string(name), "namespace": "default"], "spec": spec])
    }

    func makeLifelong(_ name: String = "comfort", change: (inout JSON) -> Void = { _ in }) async throws {
        var spec: JSON = [
            "dataset": ["name": "rows", "trainProb": .decimal("0.8")], "outputDir": "/output",
            "trainSpec": ["template": Self.template("train"), "trigger": Self.trigger()],
            "evalSpec": ["template": Self.template("eval")], "deploySpec": ["template": Self.template("infer")],
        ]
        change(&spec)
        try await server.create(Self.lifelong, ["metadata": ["name": .string(name), "namespace": "default"], "spec": spec])
    }

    func find(_ kind: ResourceKind, _ name: String) -> JSON? { server.find(kind, ObjectKey(namespace: "default", name: name)) }

    func patch(_ kind: ResourceKind, _ name: String, _ body: JSON) async throws {
        _ = try await server.patch(kind, ObjectKey(namespace: "default", name: name), ObjectPatch(.merge, body), part: .whole)
    }

    /// Type, stage and reason of the condition that stands last; the one that is True of Sedna's.
    func state(_ kind: ResourceKind, _ name: String) -> String {
        let last = find(kind, name)?["status"]?["conditions"]?.array?.last
        return ["stage", "type", "reason"].map { last?[$0]?.string ?? "-" }.joined(separator: " ")
    }

    func message(_ kind: ResourceKind, _ name: String) -> String {
        find(kind, name)?["status"]?["conditions"]?.array?.last?["message"]?.string ?? ""
    }

    func pods() -> [String] { server.all(.pod).compactMap { $0["metadata"]?["name"]?.string } }

    func events(_ name: String) -> [String] {
        server.all(.event).filter { $0["involvedObject"]?["name"]?.string == name }.compactMap { $0["reason"]?.string }
    }
}

extension String {
    fileprivate func repeated(_ count: Int) -> String { String(repeating: self, count: count) }
}
