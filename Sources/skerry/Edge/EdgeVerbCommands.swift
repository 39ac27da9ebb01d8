import ArgumentParser
import Identity
import Inference
import Resources

struct EdgeStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show on the node itself how its Pods, its link to the cloud and its reports stand.")

    @OptionGroup var node: NodeOptions
    @OptionGroup var table: TableOptions

    func run() async throws {
        try await node.with { node in
            let status = try await node.get("/edge/v1/status")
            let pods = try await node.get("/api/v1/pods", asTable: true)
            var sheets = Sheets()
            sheets.add("node", Self.node(status))
            sheets.add("pods", title: "", Self.pods(pods))
            try say(sheets.text(table.format))
        }
    }

    private static func node(_ status: JSON) -> AlignedTable {
        let cloud = status["cloud"]
        let link = cloud?["isConnected"] == true ? (cloud?["isSynced"] == true ? "in step" : "connected") : "away"
        var rows = AlignedTable(
            ["NODE", "CLOUD", "LINK", "OBJECTS", "REPORTS WAITING", "REPORTS DROPPED", "VERSION", "FAILURE"],
            texts: ["NODE", "CLOUD", "VERSION", "FAILURE"])
        rows.rows = [
            [
                status["node"]?.string ?? "", cloud?["address"]?.string ?? "", link, status["objects"]?.text ?? "",
                status["reports"]?["waiting"]?.text ?? "", status["reports"]?["dropped"]?.text ?? "", status["version"]?.string ?? "",
                cloud?["failure"]?.string ?? "",
            ]
        ]
        return rows
    }

    /// The columns that `kubectl get pods` shows, with the namespace before them.
    private static func pods(_ answer: JSON) -> AlignedTable {
        let columns = (answer["columnDefinitions"]?.array ?? []).enumerated().filter { $0.element["priority"]?.integer == 0 }
        let heads = columns.map { ($0.element["name"]?.string ?? "").uppercased() }
        var rows = AlignedTable(["NAMESPACE"] + heads, texts: ["NAMESPACE", "NAME"])
        rows.rows = (answer["rows"]?.array ?? []).map { row in
            let cells = row["cells"]?.array ?? []
            return [row["object"]?["metadata"]?["namespace"]?.string ?? ""]
                + columns.map { column in
                    guard cells.indices.contains(column.offset) else { return "" }
                    return cells[column.offset].string ?? cells[column.offset].text
                }
        }
        return rows
    }
}

struct EdgeLogsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "Print on the node itself what a container has printed.")

    @OptionGroup var node: NodeOptions
    @Argument(help: "NAME or NAMESPACE/NAME of the Pod.") var pod: String
    @Option(name: [.customShort("c"), .customLong("container")], help: "The container, where the Pod has several.") var container: String?
    @Flag(name: [.customShort("f"), .customLong("follow")], help: "Go on until the container ends.") var follows = false
    @Flag(name: [.customShort("p"), .customLong("previous")], help: "Of the life before this one.") var previous = false
    @Flag(help: "Begin each line with its time.") var timestamps = false
    @Option(help: "Only so many lines at the end.") var tail: Int?

    func validate() throws {
        if let tail, tail < 0 { throw ValidationError("--tail \(tail): expected 0 or more") }
        if let container, !NameRules.isLabel(container) { throw ValidationError("--container \(container): no container is called so") }
    }

    func run() async throws {
        try await node.with { node in
            let pod = try await node.pod(pod)
            var query = ["follow=\(follows)", "previous=\(previous)", "timestamps=\(timestamps)"]
            if let tail { query.append("tailLines=\(tail)") }
            if let container { query.append("container=\(container)") }
            let output = StandardOutput()
            try await node.follow(
                "/api/v1/namespaces/\(pod.namespace)/pods/\(pod.name)/log", query: query.joined(separator: "&")
            ) { bytes in
                try output.write(bytes)
                try output.flush()
            }
        }
    }
}

struct EdgeRestartCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restart", abstract: "End a Pod's containers on the node itself; each begins a new life at once.",
        discussion: "A container that has failed again and again, and waits, need not wait any longer.")

    @OptionGroup var node: NodeOptions
    @Argument(help: "NAME or NAMESPACE/NAME of the Pod.") var pod: String
    @Argument(help: "One container (default: all that have begun).") var container: String?

    func run() async throws {
        try await node.with { node in
            let pod = try await node.pod(pod)
            let body: JSON = [
                "namespace": .string(pod.namespace), "pod": .string(pod.name), "container": .string(container ?? ""),
            ]
            let answer = try await node.post("/edge/v1/restart", body)
            let names = (answer["containers"]?.array ?? []).compactMap(\.string)
            try say(names.map { "container/\(pod.name)/\($0) restarted" }.joined(separator: "\n"))
        }
    }
}

struct EdgeDeployCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deploy", abstract: "Run Pods on the node itself, which need no cloud and which the cloud does not see.",
        discussion: """
            FILE is a manifest of Pods and ConfigMaps in YAML or JSON: they lie in the namespace skerry-local of this node and stay, over
            restarts, until 'skerry edge remove POD'. Or it is a model (.onnx): it is checked, copied into the node's folder, and a worker \
            process of its own serves it, as Pod NAME and under /v2/models/NAME of the node's port.
            """)

    @OptionGroup var node: NodeOptions
    @Argument(help: "A manifest, or a model that ends in .onnx.") var file: String
    @Option(help: "Name of a model's Pod (default: that of the file).") var name: String?
    @Option(help: "Signature of a model, which a cluster may ask for (default: FILE.sig, or model.sig beside it, where there is one).")
    var signature: String?

    func run() async throws {
        let objects = try file.hasSuffix(".onnx") ? [model()] : LocalManifest.read(file)
        try await node.with { node in
            let answer = try await node.post("/edge/v1/deploy", ["objects": .array(objects)])
            try say((answer["objects"]?.array ?? []).compactMap(\.string).joined(separator: "\n"))
        }
    }

    private func model() throws -> JSON {
        let name = name ?? String((file.split(separator: "/").last ?? "").dropLast(".onnx".count)).lowercased().replacing("_", with: "-")
        guard NameRules.isLabel(name) else {
            throw ValidationError("--name: \"\(name)\" is no name of a Pod; give one of lower-case letters, digits and '-'")
        }
        let bytes: [UInt8]
        do { bytes = try SmallFile.read(file, bytesMax: ModelLimits.edge.bytes) } catch {
            throw CloudError("cannot read \(file): \(error)")
        }
        do { _ = try ModelFile(bytes) } catch { throw CloudError("\(file): \(error)") }
        return try LocalManifest.pod(ofModel: bytes, signature: try signatureBytes(), name: name, folder: node.dataDir)
    }

    private func signatureBytes() throws -> [UInt8]? {
        let folder = file.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let beside = [file + ".sig", (folder.isEmpty ? "." : folder) + "/" + ModelFolder.signatureName]
        guard let path = signature ?? beside.first(where: { ModelKeyFile.isThere($0) }) else { return nil }
        return try ModelKeyFile.read(path, bytesMax: ModelSignature.bytesMax)
    }
}

struct EdgeRemoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "End a Pod that 'skerry edge deploy' runs on the node.")

    @OptionGroup var node: NodeOptions
    @Argument(help: "NAME of the Pod.") var pod: String

    func run() async throws {
        let word = pod.split(separator: "/").last.map(String.init) ?? ""
        try await node.with { node in try await node.post("/edge/v1/remove", ["pod": .string(word)]) }
        try say("pod/\(word) is being removed")
    }
}
