import Resources

/// Which nodes get an edge worker of a joint inference service. Pure.
struct EdgePlaces: Sendable {
    /// A worker on each of these, by name; nil: one worker, wherever its template lets it go.
    let nodes: [String]?
    /// Why nodes that the service names get none, a sentence each.
    let missing: [String]
    /// Reasons by node that is not ready, of those that have a worker.
    private let absent: [String: String]

    /// - Parameters:
    ///   - worker: `spec.edgeWorker`.
    ///   - nodes: all.
    init(_ worker: JSON, nodes: [JSON]) {
        let names = (worker["nodes"]?.array ?? []).compactMap(\.string), labels = worker["nodeSelector"]?.object ?? [:]
        absent = Dictionary(nodes.compactMap { node in Self.absence(node).map { (node.name, $0) } }, uniquingKeysWith: { $1 })
        guard !names.isEmpty || !labels.isEmpty else {
            (self.nodes, missing) = (nil, [])
            return
        }
        let spec = Self.placed(worker["template"]?["spec"] ?? [:])
        func isWanted(_ node: JSON) -> Bool {
            guard labels.allSatisfy({ node.labels[$0] == $1 }) else { return false }
            if names.isEmpty || names.contains(node.name) { return true }
            // Where the large model may be is no edge; who wants a worker there says so.
            return names.contains("*") && node.labels["node-role.kubernetes.io/cloud"] == nil
        }
        let fit = Set(
            nodes.filter { !$0.isBeingDeleted && isWanted($0) && NodeFit.matches($0, spec) && NodeFit.untolerated($0, spec) == nil }
                .map(\.name))
        let known = Set(nodes.map(\.name))
        self.nodes = fit.sorted()
        missing = names.filter { $0 != "*" && !fit.contains($0) }.map { name in
            known.contains(name)
                ? "node \(name) has other labels, or a taint, than spec.edgeWorker asks for"
                : "node \(name) is not known to this cloud; join it, or take it out of spec.edgeWorker.nodes"
        }
    }

    /// What identifies a node among the workers of a service: short, and a host's name.
    static func word(_ node: String) -> String {
        let isPlain = node.utf8.count <= 24 && !node.contains(".")
        return isPlain ? node : "\(node.prefix(18).filter { $0 != "." })-\(StableHash.word(node, letters: 5))"
    }

    /// A worker of one node, made like the Pods of a DaemonSet: it stays where the node is ill or closed, and placement puts it there.
    static func put(_ pod: JSON, on node: String) -> JSON {
        var pod = pod
        var spec = placed(pod["spec"] ?? [:])
        spec[path: ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"]] = [
            "nodeSelectorTerms": [["matchFields": [["key": "metadata.name", "operator": "In", "values": [.string(node)]]]]]
        ]
        pod["spec"] = spec
        return pod
    }

    private static func placed(_ spec: JSON) -> JSON {
        var spec = spec
        let kept: [JSON] = ["not-ready", "unreachable"].map {
            ["key": .string("node.kubernetes.io/\($0)"), "operator": "Exists", "effect": "NoSchedule"]
        }
        spec["tolerations"] = .array(DaemonSetPlan.tolerations(of: spec) + kept)
        return spec
    }

    /// Why a node does not answer; nil for one that does, and one that has not said anything yet.
    private static func absence(_ node: JSON) -> String? {
        guard let ready = node.condition("Ready"), ready["status"]?.string != "True" else { return nil }
        return ready["reason"]?.string ?? "NotReady"
    }

    func isAbsent(_ node: String) -> Bool { absent[node] != nil }

    /// `node e2 is not ready (NodeStatusUnknown)`, of at most five nodes; empty where all are ready.
    func absence(of nodes: [String]) -> String {
        let gone = nodes.filter { absent[$0] != nil }
        guard !gone.isEmpty else { return "" }
        let names = gone.prefix(5).map { "\($0) (\(absent[$0] ?? ""))" }.joined(separator: ", ")
        let more = gone.count > 5 ? " and \(gone.count - 5) more" : ""
        return gone.count == 1 ? "node \(names) is not ready" : "nodes \(names)\(more) are not ready"
    }
}
