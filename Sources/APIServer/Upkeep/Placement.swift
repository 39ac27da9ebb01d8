import Resources

/// Which node a waiting Pod goes to. Pure: nodes and Pods in, a decision out.
///
/// A node is fit if it is ready, open for new Pods, has the labels that `nodeSelector` and required node affinity ask for, no taint that
/// the Pod does not tolerate, and room for what the Pod requests. Of several, the one with most of its cores and memory left is taken.
struct Placement {
    /// What a node has left.
    private struct Room {
        let node: JSON
        var free: [String: Double]
    }

    private static let resources = ["cpu", "memory", "ephemeral-storage"]
    private var rooms: [Room]

    /// - Parameter pods: all Pods; those with a node that have not ended take room on it.
    init(nodes: [JSON], pods: [JSON]) {
        rooms = nodes.map { node in
            var free: [String: Double] = [:]
            for resource in Self.resources + ["pods"] { free[resource] = Quantity(node["status"]?["allocatable"]?[resource])?.value }
            return Room(node: node, free: free)
        }
        for pod in pods where !Self.hasEnded(pod) {
            guard let name = pod["spec"]?["nodeName"], let index = rooms.firstIndex(where: { $0.node["metadata"]?["name"] == name }) else {
                continue
            }
            take(pod, index)
        }
    }

    static func hasEnded(_ pod: JSON) -> Bool { ["Succeeded", "Failed"].contains(pod["status"]?["phase"]?.string) }

    private mutating func take(_ pod: JSON, _ index: Int) {
        let requests = Self.requests(pod)
        for (resource, amount) in requests { rooms[index].free[resource]? -= amount }
        rooms[index].free["pods"]? -= 1
    }

    /// What a Pod asks for: its containers together, or its largest init container.
    private static func requests(_ pod: JSON) -> [String: Double] {
        var result: [String: Double] = [:]
        for resource in resources {
            func amount(_ container: JSON) -> Double {
                Quantity(container["resources"]?["requests"]?[resource] ?? container["resources"]?["limits"]?[resource])?.value ?? 0
            }
            let together = (pod["spec"]?["containers"]?.array ?? []).reduce(0) { $0 + amount($1) }
            let largest = (pod["spec"]?["initContainers"]?.array ?? []).map(amount).max() ?? 0
            result[resource] = max(together, largest)
        }
        return result
    }

    enum Decision: Equatable {
        case node(String)
        /// No node is fit; a sentence that counts why.
        case none(String)
    }

    /// Places a Pod; the room is taken, so that the next Pod does not count on it.
    mutating func place(_ pod: JSON) -> Decision {
        let requests = Self.requests(pod)
        var refusals: [String: Int] = [:]
        var best: (index: Int, share: Double)?
        for (index, room) in rooms.enumerated() {
            if let reason = Self.refusal(room.node, pod, room.free, requests) {
                refusals[reason, default: 0] += 1
                continue
            }
            let share = Self.shareLeft(room.node, room.free, requests)
            if best == nil || share > best!.share { best = (index, share) }
        }
        if let best {
            take(pod, best.index)
            return .node(rooms[best.index].node["metadata"]?["name"]?.string ?? "")
        }
        let reasons = refusals.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
        return .none("0/\(rooms.count) nodes are available" + (reasons.isEmpty ? "" : ": " + reasons.joined(separator: ", ")) + ".")
    }

    /// Cores and memory left after the Pod, each as a share of the node's, averaged; 0 for a node that does not say what it has.
    private static func shareLeft(_ node: JSON, _ free: [String: Double], _ requests: [String: Double]) -> Double {
        let shares = ["cpu", "memory"].map { resource -> Double in
            guard let total = Quantity(node["status"]?["allocatable"]?[resource])?.value, total > 0, let left = free[resource] else {
                return 0
            }
            return (left - (requests[resource] ?? 0)) / total
        }
        return shares.reduce(0, +) / 2
    }

    private static func refusal(_ node: JSON, _ pod: JSON, _ free: [String: Double], _ requests: [String: Double]) -> String? {
        let ready = node["status"]?["conditions"]?.array?.first { $0["type"] == "Ready" }
        guard ready?["status"] == "True" else { return "node(s) were not ready" }
        if node["spec"]?["unschedulable"]?.bool == true { return "node(s) were unschedulable" }
        if !matches(node, pod) { return "node(s) didn't match Pod's node affinity/selector" }
        if let taint = untolerated(node, pod) {
            return "node(s) had untolerated taint {\(taint["key"]?.string ?? ""): \(taint["value"]?.string ?? "")}"
        }
        if let left = free["pods"], left < 1 { return "Too many pods" }
        for resource in resources where (requests[resource] ?? 0) > 0 {
            guard let left = free[resource], left >= requests[resource]! else { return "Insufficient \(resource)" }
        }
        return nil
    }

    /// Whether a node has the labels that a Pod asks for.
    static func matches(_ node: JSON, _ pod: JSON) -> Bool {
        let labels = node["metadata"]?["labels"]?.object ?? [:]
        for (key, value) in pod["spec"]?["nodeSelector"]?.object ?? [:] where labels[key] != value { return false }
        let required = pod["spec"]?["affinity"]?["nodeAffinity"]?["requiredDuringSchedulingIgnoredDuringExecution"]
        guard let terms = required?["nodeSelectorTerms"]?.array else { return true }
        return terms.contains { term in
            let expressions = term["matchExpressions"]?.array ?? []
            let fields = term["matchFields"]?.array ?? []
            guard !expressions.isEmpty || !fields.isEmpty else { return false }
            return expressions.allSatisfy { matches($0, labels[$0["key"]?.string ?? ""]?.string) }
                && fields.allSatisfy { $0["key"] == "metadata.name" && matches($0, node["metadata"]?["name"]?.string) }
        }
    }

    private static func matches(_ expression: JSON, _ value: String?) -> Bool {
        let values = (expression["values"]?.array ?? []).compactMap(\.string)
        switch expression["operator"]?.string {
        case "In": return value.map(values.contains) ?? false
        case "NotIn": return value.map { !values.contains($0) } ?? true
        case "Exists": return value != nil
        case "DoesNotExist": return value == nil
        case "Gt", "Lt":
            guard let number = value.flatMap({ Int64($0) }), let bound = values.first.flatMap({ Int64($0) }) else { return false }
            return expression["operator"] == "Gt" ? number > bound : number < bound
        default: return false
        }
    }

    /// The first taint that keeps a Pod from a node.
    static func untolerated(_ node: JSON, _ pod: JSON, further: [JSON] = []) -> JSON? {
        let tolerations = (pod["spec"]?["tolerations"]?.array ?? []) + further
        return (node["spec"]?["taints"]?.array ?? []).first { taint in
            ["NoSchedule", "NoExecute"].contains(taint["effect"]?.string) && !tolerations.contains { tolerates($0, taint) }
        }
    }

    private static func tolerates(_ toleration: JSON, _ taint: JSON) -> Bool {
        if let effect = toleration["effect"]?.string, !effect.isEmpty, effect != taint["effect"]?.string { return false }
        let key = toleration["key"]?.string ?? ""
        let isExisting = toleration["operator"] == "Exists"
        if key.isEmpty { return isExisting }
        return key == taint["key"]?.string && (isExisting || (toleration["value"]?.string ?? "") == (taint["value"]?.string ?? ""))
    }
}
