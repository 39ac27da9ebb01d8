import ArgumentParser
import KubernetesClient
import Resources

/// `skerry top`: what nodes and Pods use now.
struct TopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Show what nodes and Pods use of processor and memory, measured now.",
        subcommands: [TopNodesCommand.self, TopPodsCommand.self], defaultSubcommand: TopNodesCommand.self)
}

/// What `metrics.k8s.io` says. Pure.
enum Usage {
    static let nodesPath = "/apis/metrics.k8s.io/v1beta1/nodes"
    static let podsPath = "/apis/metrics.k8s.io/v1beta1/pods"

    static func read(_ client: RESTClient, _ path: String) async throws -> [JSON] {
        let bytes: [UInt8]
        do throws(APIStatus) { bytes = try await client.bytes(path) } catch {
            guard error.code == 404 else { throw error }
            throw CloudError("the server has no metrics.k8s.io; beside another Kubernetes that is its metrics-server's")
        }
        return try JSONParser.parse(bytes, limits: .init(depthMax: 32, bytesMax: 64 << 20))["items"]?.array ?? []
    }

    /// Thousandths of a core.
    static func milliCores(_ usage: JSON?) -> Int64 { value(usage?["cpu"]).map { Int64(($0 * 1000).rounded(.up)) } ?? 0 }
    static func mebibytes(_ usage: JSON?) -> Int64 { value(usage?["memory"]).map { Int64(($0 / 1_048_576).rounded(.up)) } ?? 0 }

    static func value(_ quantity: JSON?) -> Double? {
        guard let text = quantity?.string ?? quantity?.integer.map(String.init) else { return nil }
        let digits = text.prefix { $0.isNumber || $0 == "." || $0 == "-" }
        let factors: [Substring: Double] = [
            "": 1, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 1024, "Mi": 1_048_576,
            "Gi": 1_073_741_824,
            "Ti": 1_099_511_627_776,
        ]
        guard let number = Double(digits), let factor = factors[text.dropFirst(digits.count)] else { return nil }
        return number * factor
    }

    static func share(_ part: Double, of whole: JSON?) -> String {
        guard let whole = value(whole), whole > 0 else { return "" }
        return "\(Int64((part / whole * 100).rounded()))%"
    }
}

struct TopNodesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "nodes", abstract: "Show what nodes use (the default).")

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var table: TableOptions

    func run() async throws {
        try await cluster.with { client, _ in
            let metrics = Dictionary(
                try await Usage.read(client, Usage.nodesPath).map { (ObjectKey($0).name, $0["usage"]) }, uniquingKeysWith: { $1 })
            var rows = AlignedTable(["NODE", "CPU_MILLI", "CPU", "MEMORY_MIB", "MEMORY"], texts: ["NODE", "CPU", "MEMORY"])
            rows.rows = try await client.listAll(.node, ListQuery(limit: 500)).items.map { node in
                let name = ObjectKey(node).name, room = node["status"]?["allocatable"]
                // A node that cannot be asked now.
                guard let usage = metrics[name] ?? nil else { return [name, "", "", "", ""] }
                let (cores, mebibytes) = (Usage.milliCores(usage), Usage.mebibytes(usage))
                return [
                    name, String(cores), Usage.share(Double(cores) / 1000, of: room?["cpu"]), String(mebibytes),
                    Usage.share(Double(mebibytes) * 1_048_576, of: room?["memory"]),
                ]
            }
            try say(rows.text(table.format))
        }
    }
}

struct TopPodsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pods", abstract: "Show what Pods use, those that use most of the processor first.")

    @OptionGroup var cluster: ClusterOptions
    @OptionGroup var table: TableOptions
    @Option(name: [.customShort("n"), .customLong("namespace")], help: "Only this namespace.") var namespace: String?
    @Option(help: "Only Pods of this node.") var node: String?

    func run() async throws {
        try await cluster.with { client, _ in
            let pods = try await client.listAll(.pod, ListQuery(namespace: namespace ?? "", limit: 500)).items
            let places = Dictionary(pods.map { (ObjectKey($0), $0["spec"]?["nodeName"]?.string ?? "") }, uniquingKeysWith: { $1 })
            var rows = AlignedTable(["NAMESPACE", "POD", "NODE", "CPU_MILLI", "MEMORY_MIB"], texts: ["NAMESPACE", "POD", "NODE"])
            let used = try await Usage.read(client, Usage.podsPath).map { item in
                let containers = (item["containers"]?.array ?? []).map { $0["usage"] }
                return (
                    ObjectKey(item), containers.reduce(0) { $0 + Usage.milliCores($1) }, containers.reduce(0) { $0 + Usage.mebibytes($1) }
                )
            }
            rows.rows = used.filter { key, _, _ in places[key].map { node == nil || $0 == node } ?? false }
                .sorted { ($1.1, $0.0) < ($0.1, $1.0) }
                .map { key, cores, mebibytes in [key.namespace, key.name, places[key] ?? "", String(cores), String(mebibytes)] }
            try say(rows.text(table.format))
        }
    }
}
