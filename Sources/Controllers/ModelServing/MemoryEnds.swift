import Reconciliation
import Resources

/// Workers of DaemonSets whose last life, or the one before, was ended for want of memory: by DaemonSet, the node of each Pod.
struct MemoryEnds: ViewIndex {
    private var nodes: [ObjectKey: [ObjectKey: String]] = [:]

    /// Nodes by name, each once.
    func nodes(of set: ObjectKey) -> [String] { Set((nodes[set] ?? [:]).values).sorted() }

    /// The DaemonSet of a Pod that ran out of memory; nil for all others.
    static func set(of pod: JSON?) -> ObjectKey? {
        guard let pod, hasRunOut(pod), let owner = pod.controller, owner["kind"]?.string == ResourceKind.daemonSet.kind else { return nil }
        return owner["name"]?.string.map { ObjectKey(namespace: pod.namespace, name: $0) }
    }

    private static func hasRunOut(_ pod: JSON) -> Bool {
        (pod["status"]?["containerStatuses"]?.array ?? []).contains { status in
            ["state", "lastState"].contains { status[$0]?["terminated"]?["reason"] == "OOMKilled" }
        }
    }

    mutating func replace(_ kind: ResourceKind, _ key: ObjectKey, _ old: JSON?, by new: JSON?) {
        guard kind == .pod else { return }
        let (before, after) = (Self.set(of: old), Self.set(of: new))
        if let before, before != after {
            nodes[before]?[key] = nil
            if nodes[before]?.isEmpty ?? false { nodes[before] = nil }
        }
        if let after, let new { nodes[after, default: [:]][key] = PodFacts.nodeName(new) ?? "" }
    }
}
