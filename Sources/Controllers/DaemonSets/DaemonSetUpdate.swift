import Resources

/// The next step of a DaemonSet's rolling update: which old Pods go, which new ones come before. Pure.
enum DaemonSetUpdate {
    private static func rolling(_ set: JSON) -> JSON? {
        let strategy = set["spec"]?["updateStrategy"]
        return strategy?["type"]?.string == "OnDelete" ? nil : strategy?["rollingUpdate"] ?? [:]
    }

    static func maxSurge(_ set: JSON, desired: Int) -> Int {
        Int(Share.count(rolling(set)?["maxSurge"], of: Int64(desired), roundsUp: true))
    }

    static func maxUnavailable(_ set: JSON, desired: Int) -> Int {
        guard let rolling = rolling(set) else { return 0 }
        let given = rolling["maxUnavailable"] ?? 1
        let count = Int(Share.count(given, of: Int64(desired), roundsUp: true))
        return count == 0 && maxSurge(set, desired: desired) == 0 ? 1 : count
    }

    static func step(_ set: JSON, _ placed: DaemonSetNodes) -> (delete: [JSON], makeOn: [String]) {
        guard rolling(set) != nil else { return ([], []) }
        let nodes = placed.nodes.filter(\.shouldRun)
        let surge = maxSurge(set, desired: nodes.count)
        return surge > 0 ? surged(nodes, surge) : replaced(nodes, maxUnavailable(set, desired: nodes.count))
    }

    /// Old Pods go first; those that do not work anyway cost nothing.
    private static func replaced(_ nodes: [DaemonSetNodes.Node], _ maxUnavailable: Int) -> ([JSON], [String]) {
        var free: [JSON] = []
        var candidates: [JSON] = []
        var unavailable = 0
        for node in nodes {
            switch (node.old, node.new) {
            case (let old?, nil):
                if node.isOldAvailable {
                    candidates.append(old)
                } else {
                    free.append(old)
                    unavailable += 1
                }
            case (nil, _?): if !node.isNewAvailable { unavailable += 1 }
            // No Pod at all: one is coming.
            case (nil, nil): unavailable += 1
            // Both: the younger is superfluous already.
            case (_?, _?): break
            }
        }
        return (free + candidates.prefix(max(0, maxUnavailable - unavailable)), [])
    }

    /// New Pods come first; an old one goes once its successor is available.
    private static func surged(_ nodes: [DaemonSetNodes.Node], _ maxSurge: Int) -> ([JSON], [String]) {
        var delete: [JSON] = []
        var free: [String] = []
        var candidates: [String] = []
        var surging = 0
        for node in nodes {
            guard let old = node.old else { continue }
            if node.new == nil {
                if node.isOldAvailable { candidates.append(node.name) } else { free.append(node.name) }
            } else if node.isNewAvailable {
                delete.append(old)
            } else {
                surging += 1
            }
        }
        return (delete, free + candidates.prefix(max(0, maxSurge - surging)))
    }
}
