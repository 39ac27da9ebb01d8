import Reconciliation
import Resources

/// Which Pods are on which node, what they take of it, and which Pods wait for one.
struct NodeRoom: ViewIndex {
    /// The Pods that name a node.
    struct Load: Sendable {
        /// All of them, those that have ended too.
        var pods: Set<ObjectKey> = []
        /// Those that have not ended, and so take room.
        var activeCount = 0
        var requests: [String: Double] = [:]
        /// How many Pods take each port of the host.
        var ports: [String: Int] = [:]
        /// How many Pods each controller has here, by its uid.
        var owners: [String: Int] = [:]
    }

    private(set) var loads: [String: Load] = [:]
    /// Pods without a node that have not ended and are ours to place.
    private(set) var waiting: Set<ObjectKey> = []
    /// Placed Pods that keep others away by a required term.
    private(set) var shunning: Set<ObjectKey> = []

    mutating func replace(_ kind: ResourceKind, _ key: ObjectKey, _ old: JSON?, by new: JSON?) {
        guard kind == .pod else { return }
        if let old { count(old, key, by: -1) }
        if let new { count(new, key, by: 1) }
    }

    private mutating func count(_ pod: JSON, _ key: ObjectKey, by sign: Int) {
        guard let node = PodFacts.nodeName(pod) else {
            if sign > 0, PodFacts.isActive(pod), PlacementPlan.isOurs(pod) { waiting.insert(key) } else { waiting.remove(key) }
            return
        }
        var load = loads.removeValue(forKey: node) ?? Load()
        if sign > 0 { load.pods.insert(key) } else { load.pods.remove(key) }
        if !PodFacts.hasEnded(pod) {
            load.add(pod, by: sign)
            if sign > 0, PodTopology.keepsAway(pod) { shunning.insert(key) } else { shunning.remove(key) }
        }
        if !load.pods.isEmpty { loads[node] = load }
    }
}

extension NodeRoom.Load {
    /// Counts a Pod in, or out by -1.
    mutating func add(_ pod: JSON, by sign: Int) {
        activeCount += sign
        for (resource, amount) in PlacementPlan.requests(pod) { requests[resource, default: 0] += Double(sign) * amount }
        for port in PlacementPlan.hostPorts(pod) { Self.add(sign, port, to: &ports) }
        if let owner = pod.controller?["uid"]?.string { Self.add(sign, owner, to: &owners) }
        // What is left of fractions that were added and taken away again is no load.
        if activeCount == 0 { requests = [:] }
    }

    private static func add(_ sign: Int, _ word: String, to counts: inout [String: Int]) {
        let count = (counts[word] ?? 0) + sign
        counts[word] = count > 0 ? count : nil
    }
}
