import Resources

/// The Pods of a DaemonSet by node, and what each node should have.
struct DaemonSetNodes {
    struct Node {
        let name: String
        /// The node wants a Pod.
        let shouldRun: Bool
        /// A Pod that is there may stay.
        let mayRun: Bool
        /// Neither ended nor being deleted, oldest first.
        var active: [JSON] = []
        var ended: [JSON] = []
        /// Being deleted, not gone yet.
        var ending: [JSON] = []
        /// Of the newest and of older templates, the oldest each.
        var new: JSON?
        var old: JSON?
        /// Active beyond one of each template, or one in all where no surge is allowed.
        var superfluous: [JSON] = []
        var isReady = false
        var isAvailable = false
        var isUpdated = false
        var isOldAvailable = false
        var isNewAvailable = false
    }

    private(set) var nodes: [Node] = []
    let hash: String
    /// Until the next ready Pod has been ready for long enough.
    private(set) var secondsUntilAvailable: Int64?

    init(_ set: JSON, nodes given: [JSON], pods: [JSON], hash: String, now: Timestamp) {
        self.hash = hash
        let minReady = set["spec"]?["minReadySeconds"]?.integer ?? 0
        let surges = DaemonSetUpdate.maxSurge(set, desired: 1) > 0
        var byNode: [String: [JSON]] = [:]
        for pod in pods { if let node = Self.node(of: pod) { byNode[node, default: []].append(pod) } }
        let known = Set(given.map(\.name))
        for node in given {
            let (should, may) = Self.wants(set, node)
            var entry = Node(name: node.name, shouldRun: should, mayRun: may)
            sort(byNode[node.name] ?? [], into: &entry, minReady, surges, now)
            nodes.append(entry)
        }
        // Pods for nodes that are gone have nowhere to go.
        for (name, pods) in byNode.sorted(by: { $0.key < $1.key }) where !known.contains(name) {
            var entry = Node(name: name, shouldRun: false, mayRun: false)
            sort(pods, into: &entry, minReady, surges, now)
            nodes.append(entry)
        }
    }

    /// The node a Pod is on, or is made for.
    static func node(of pod: JSON) -> String? {
        if let name = PodFacts.nodeName(pod) { return name }
        let required = pod["spec"]?["affinity"]?["nodeAffinity"]?["requiredDuringSchedulingIgnoredDuringExecution"]
        for term in required?["nodeSelectorTerms"]?.array ?? [] {
            for field in term["matchFields"]?.array ?? [] where field["key"] == "metadata.name" && field["operator"] == "In" {
                return field["values"]?.array?.first?.string
            }
        }
        return nil
    }

    /// Whether a node should have a Pod, and whether one that is there may stay.
    private static func wants(_ set: JSON, _ node: JSON) -> (should: Bool, may: Bool) {
        let spec = set["spec"]?["template"]?["spec"] ?? [:]
        if let name = spec["nodeName"]?.string, !name.isEmpty, name != node.name { return (false, false) }
        guard NodeFit.matches(node, spec) else { return (false, false) }
        let tolerations = DaemonSetPlan.tolerations(of: spec)
        let untolerated = NodeFit.taints(node).filter { taint in !tolerations.contains { NodeFit.tolerates($0, taint) } }
        let isExecuting = untolerated.contains { $0["effect"] == "NoExecute" }
        return (!untolerated.contains { ["NoSchedule", "NoExecute"].contains($0["effect"]?.string) }, !isExecuting)
    }

    private mutating func sort(_ pods: [JSON], into node: inout Node, _ minReady: Int64, _ surges: Bool, _ now: Timestamp) {
        let ordered = pods.sorted { left, right in
            // One that has a node counts as older than one that waits.
            let ranks = (PodFacts.nodeName(left) == nil ? 1 : 0, PodFacts.nodeName(right) == nil ? 1 : 0)
            return (ranks.0, left.created.seconds, left.name) < (ranks.1, right.created.seconds, right.name)
        }
        for pod in ordered {
            if pod.isBeingDeleted {
                node.ending.append(pod)
            } else if PodFacts.hasEnded(pod) {
                node.ended.append(pod)
            } else {
                node.active.append(pod)
                if let wait = PodFacts.secondsUntilAvailable(pod, minReadySeconds: minReady, now: now), wait > 0 {
                    secondsUntilAvailable = min(secondsUntilAvailable ?? wait, wait)
                }
            }
        }
        func isAvailable(_ pod: JSON?) -> Bool { pod.map { PodFacts.isAvailable($0, minReadySeconds: minReady, now: now) } ?? false }
        func isNew(_ pod: JSON) -> Bool { pod.labels[DaemonSetPlan.hashLabel]?.string == hash }
        node.new = node.active.first(where: isNew)
        node.old = node.active.first { !isNew($0) }
        node.isNewAvailable = isAvailable(node.new)
        node.isOldAvailable = isAvailable(node.old)
        if surges {
            let kept = [node.new?.uid, node.old?.uid]
            node.superfluous = node.active.filter { !kept.contains($0.uid) }
        } else {
            node.superfluous = Array(node.active.dropFirst())
        }
        let first = node.active.first
        node.isReady = node.active.contains(where: PodFacts.isReady)
        node.isAvailable = node.active.contains { isAvailable($0) }
        node.isUpdated = surges ? node.new != nil : first.map(isNew) ?? false
    }
}
