import Resources

/// What a DaemonSet needs next: a Pod on each node that fits it. Pure.
struct DaemonSetPlan: Equatable {
    /// Nodes that lack a Pod.
    var creations: [String] = []
    /// Names of Pods to delete.
    var deletions: [String] = []
    var status: JSON = [:]

    /// What a Pod that belongs to its node bears.
    private static let tolerations: [JSON] = [
        "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/unschedulable",
    ].map { ["key": $0, "operator": "Exists"] }

    init(_ set: JSON, pods: [JSON], nodes: [JSON], now: Timestamp) {
        guard set["metadata"]?["deletionTimestamp"] == nil else {
            status = set["status"] ?? [:]
            return
        }
        let hash = PodTemplates.hash(set)
        let own = PodTemplates.owned(pods, by: set)
        let probe: JSON = ["spec": set["spec"]?["template"]?["spec"] ?? [:]]
        let fit = nodes.filter { Placement.matches($0, probe) && Placement.untolerated($0, probe, further: Self.tolerations) == nil }
        let names = Set(fit.compactMap { $0["metadata"]?["name"]?.string })
        var kept: [String: JSON] = [:]
        var ending: Set<String> = []
        for pod in own {
            let node = pod["spec"]?["nodeName"]?.string ?? ""
            if pod["metadata"]?["deletionTimestamp"] != nil {
                ending.insert(node)
            } else if !names.contains(node) || Placement.hasEnded(pod) || kept[node] != nil {
                deletions.append(pod["metadata"]?["name"]?.string ?? "")
                ending.insert(node)
            } else {
                kept[node] = pod
            }
        }
        creations = names.subtracting(kept.keys).subtracting(ending).sorted()
        let isCurrent = { (pod: JSON) in pod["metadata"]?["labels"]?[PodTemplates.hashLabel]?.string == hash }
        let available = kept.values.count { PodTemplates.isAvailable($0, set, now: now) }
        if set["spec"]?["updateStrategy"]?["type"] != "OnDelete" {
            let allowed = max(
                1,
                PodTemplates.count(
                    set["spec"]?["updateStrategy"]?["rollingUpdate"]?["maxUnavailable"] ?? 1, of: Int64(names.count), roundsUp: true))
            let spare = Int(allowed) - (names.count - available)
            let old = kept.sorted { $0.key < $1.key }.map(\.value).filter { !isCurrent($0) }
            let idle = old.filter { !PodTemplates.isAvailable($0, set, now: now) }
            let serving = old.filter { PodTemplates.isAvailable($0, set, now: now) }.prefix(max(0, spare))
            deletions += (idle + serving).compactMap { $0["metadata"]?["name"]?.string }
        }
        status = [
            "currentNumberScheduled": .integer(Int64(kept.count)),
            "numberMisscheduled": .integer(Int64(own.count { !names.contains($0["spec"]?["nodeName"]?.string ?? "") })),
            "desiredNumberScheduled": .integer(Int64(names.count)),
            "numberReady": .integer(Int64(kept.values.count(where: PodTemplates.isReady))),
            "observedGeneration": set["metadata"]?["generation"] ?? 0,
            "updatedNumberScheduled": .integer(Int64(kept.values.count(where: isCurrent))),
            "numberAvailable": .integer(Int64(available)), "numberUnavailable": .integer(Int64(names.count - available)),
        ]
    }
}
