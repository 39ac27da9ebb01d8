import ArgumentParser
import KubernetesClient
import Network
import Resources
import Storage
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `skerry bench update`: a model that is replaced at many edges while they are asked.
struct BenchUpdateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update",
        abstract: "Replace a model at many edges under load: how long until each serves it, and what failed meanwhile.",
        discussion: "Every edge is an agent and a worker with ONNX Runtime, as processes of their own on this machine: about 60 MB each.")

    @Option(help: "Edges, 1 to 500.") var edges = 100
    @Option(help: "Updates, one after the other.") var updates = 3
    @Option(help: "Predictions a second at each edge.") var rate = 5
    @Option(help: "ONNX file with one input of numbers.") var model = "models/thermal-comfort/comfort.onnx"
    @Option(help: "Folder on the disk to use; a new folder is made in it and removed.") var dataDir = FileManager.default
        .temporaryDirectory.path
    @OptionGroup var table: TableOptions

    func validate() throws {
        guard (1...500).contains(edges) else { throw ValidationError("--edges must be 1 to 500, found \(edges)") }
        guard updates >= 1, rate >= 1 else { throw ValidationError("--updates and --rate need at least 1") }
    }

    func run() async throws {
        let file = try SmallFile.read(model, bytesMax: 64 << 20)
        let folder = "\(dataDir)/skerry-bench-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let cluster = try await BenchCluster(folder: folder)
        var rows = AlignedTable(["figure", "value", "unit"])
        do {
            try await UpdateBench(cluster: cluster, edges: edges, updates: updates, rate: rate, model: file).measure(&rows)
        } catch {
            await cluster.stop()
            throw error
        }
        await cluster.stop()
        try say(rows.text(table.format))
    }
}

private struct UpdateBench {
    private static let name = "bench"
    private static let folder = "/home/data/model"

    let cluster: BenchCluster
    let edges: Int
    let updates: Int
    let rate: Int
    let model: [UInt8]

    func measure(_ rows: inout AlignedTable) async throws {
        try await makeModel()
        for edge in 0..<edges { try await cluster.addEdge("e\(edge)") }
        for edge in 0..<edges { try await cluster.client.create(.pod, pod(edge)) }
        var clients: [EdgeClient] = []
        for edge in 0..<edges { clients.append(try await client(edge)) }
        let asking = Task { [clients, rate] in
            await withTaskGroup(of: Void.self) { group in
                for client in clients { group.addTask { await client.ask(perSecond: rate) } }
            }
        }
        try await wait(clients, for: 1)
        let taken = try await update(clients)
        asking.cancel()
        await asking.value
        let asked = clients.reduce(0) { $0 + $1.seen().asked }, failed = clients.reduce(0) { $0 + $1.seen().failed }
        for client in clients { await client.close() }
        rows.rows += [
            ["edges, an agent and a worker each", "\(edges)", ""], ["model", fixed(Double(model.count) / 1e6, decimals: 2), "MB"],
        ]
        for (number, seconds) in taken.enumerated() {
            rows.rows.append(["update \(number + 1), served by every edge after", fixed(seconds, decimals: 2), "s"])
        }
        rows.rows += [["predictions meanwhile", "\(asked)", ""], ["  failed", "\(failed)", ""]]
    }

    /// - Returns: seconds from each update's request until the first answer of the last edge by the new version.
    private func update(_ clients: [EdgeClient]) async throws -> [Double] {
        var taken: [Double] = []
        for number in 2...(updates + 1) {
            try await Task.sleep(for: .seconds(1))
            let begin = ContinuousClock.now
            _ = try await cluster.client.patch(
                KnownKinds.model, ObjectKey(namespace: "default", name: Self.name),
                ObjectPatch(.merge, ["status": ["serving": .integer(Int64(number))]]),
                part: .status)
            try await wait(clients, for: number)
            taken.append((clients.compactMap { $0.seen().since[number] }.max()! - begin) / .seconds(1))
        }
        return taken
    }

    private func wait(_ clients: [EdgeClient], for version: Int) async throws {
        try await cluster.until("every edge serves version \(version)") { clients.allSatisfy { $0.seen().since[version] != nil } }
    }

    /// All versions at once: the file itself, then with another producer's version within it, which makes it another file.
    private func makeModel() async throws {
        var versions: [JSON] = []
        for number in 1...(updates + 1) {
            // ModelProto.producer_version is field 3; of a field that comes twice the later counts.
            let text = Array("bench \(number)".utf8)
            let digest = try await cluster.upload(model + [3 << 3 | 2, UInt8(text.count)] + text)
            versions.append([
                "version": .integer(Int64(number)), "digest": .string("\(digest)"), "format": "onnx",
                "createdAt": "2026-01-01T00:00:00Z",
            ])
        }
        try await cluster.client.create(
            KnownKinds.model,
            ["metadata": ["namespace": "default", "name": .string(Self.name)], "spec": ["url": "/model", "format": "onnx"]])
        _ = try await cluster.client.patch(
            KnownKinds.model, ObjectKey(namespace: "default", name: Self.name),
            ObjectPatch(.merge, ["status": ["versions": .array(versions), "serving": 1]]), part: .status)
    }

    private func pod(_ edge: Int) -> JSON {
        let variables = [
            "MODEL_URL": "\(Self.folder)/model.onnx", "MODEL_HOT_UPDATE_CONFIG": "\(Self.folder)/model_config.json", "INFERENCE_PORT": "0",
            "MODEL_NAME": Self.name, "LC_PERIOD": "5",
        ]
        let container: JSON = [
            "name": "infer", "image": .string(WorkerContract.builtInImage), "args": ["infer"],
            "env": .array(variables.sorted { $0.key < $1.key }.map { ["name": .string($0.key), "value": .string($0.value)] }),
            "volumeMounts": [["name": "model", "mountPath": .string(Self.folder)]],
        ]
        return [
            "metadata": [
                "namespace": "default", "name": .string("infer-\(edge)"), "labels": [.init(WorkerContract.workerLabel): "true"],
            ],
            "spec": [
                "nodeName": .string("e\(edge)"), "terminationGracePeriodSeconds": 1, "containers": [container],
                "volumes": [WorkerContract.Volume.model.volume("model", ["model": Self.name])],
            ],
        ]
    }

    /// Of an edge's worker, once it has told where it listens.
    private func client(_ edge: Int) async throws -> EdgeClient {
        var address = ""
        try await cluster.until("the worker of e\(edge) serves", every: .milliseconds(200)) {
            let pod = try await cluster.client.get(.pod, ObjectKey(namespace: "default", name: "infer-\(edge)"))
            guard let told = WorkerState(pod)?.report.ownerInfo, !(told["modelVersion"]?.string ?? "").isEmpty else { return false }
            address = told["address"]?.string ?? ""
            return !address.isEmpty
        }
        let port = address.split(separator: ":").last.flatMap { Int($0) } ?? 0
        return try await EdgeClient(port: port, model: Self.name)
    }
}

/// Asks the worker of one edge, as a program beside it would.
private final class EdgeClient: Sendable {
    struct Seen {
        var asked = 0
        var failed = 0
        /// When each version answered first.
        var since: [Int: ContinuousClock.Instant] = [:]
    }

    private let http: PooledHTTPClient
    private let request: HTTPRequest
    private let state = Mutex(Seen())

    init(port: Int, model: String) async throws {
        http = try PooledHTTPClient(host: "127.0.0.1", port: port, trust: nil)
        let metadata = try JSON(
            parsing: String(decoding: try await http.send(HTTPRequest(method: "GET", path: "/v2/models/\(model)")).body, as: UTF8.self))
        guard let input = metadata["inputs"]?.array?.first, let width = input["shape"]?.array?.last?.integer, (1...4096).contains(width)
        else {
            throw CloudError("the model has no input of numbers: \(metadata)")
        }
        let row: JSON = [
            "name": input["name"] ?? "", "datatype": "FP32", "shape": [1, .integer(width)],
            "data": .array([JSON](repeating: 1, count: Int(width))),
        ]
        let body: JSON = ["inputs": [row]]
        request = HTTPRequest(
            method: "POST", path: "/v2/models/\(model)/infer", headers: ["Content-Type": "application/json"], body: body.bytes())
    }

    func seen() -> Seen { state.withLock { $0 } }

    func ask(perSecond rate: Int) async {
        while !Task.isCancelled {
            let answer = try? await http.send(request)
            if Task.isCancelled { return }
            let body = answer.flatMap { try? JSON(parsing: String(decoding: $0.body, as: UTF8.self)) }
            let version = body?["model_version"]?.string.flatMap { Int($0) }
            state.withLock { state in
                state.asked += 1
                guard answer?.status == 200, let version else { return state.failed += 1 }
                if state.since[version] == nil { state.since[version] = .now }
            }
            try? await Task.sleep(for: .milliseconds(1000 / rate))
        }
    }

    func close() async { await http.close() }
}
