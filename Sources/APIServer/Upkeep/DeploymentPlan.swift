import Resources

/// What a Deployment needs next: Pods to make, Pods to delete, its status. Pure; repeated until nothing is left to do.
///
/// Pods belong to the Deployment itself: ReplicaSets are not served. A new template replaces old Pods step by step within `maxSurge` and
/// `maxUnavailable`, or after all old ones are gone (`Recreate`).
struct DeploymentPlan: Equatable {
    /// Pods of the newest template to make.
    var creations = 0
    /// Names of Pods to delete.
    var deletions: [String] = []
    var status: JSON = [:]

    init(_ deployment: JSON, pods: [JSON], now: Timestamp) {
        let hash = PodTemplates.hash(deployment)
        let own = PodTemplates.owned(pods, by: deployment)
        deletions = own.filter { Placement.hasEnded($0) && $0["metadata"]?["deletionTimestamp"] == nil }.map(Self.name)
        let alive = own.filter { !Placement.hasEnded($0) && $0["metadata"]?["deletionTimestamp"] == nil }
        let new = alive.filter { $0["metadata"]?["labels"]?[PodTemplates.hashLabel]?.string == hash }
        let old = alive.filter { $0["metadata"]?["labels"]?[PodTemplates.hashLabel]?.string != hash }
        let wanted = deployment["metadata"]?["deletionTimestamp"] == nil ? deployment["spec"]?["replicas"]?.integer ?? 1 : 0
        func available(_ pods: [JSON]) -> Int64 { Int64(pods.count { PodTemplates.isAvailable($0, deployment, now: now) }) }
        if deployment["metadata"]?["deletionTimestamp"] == nil {
            if deployment["spec"]?["paused"]?.bool == true {
                plan(paused: old, new, wanted)
            } else if deployment["spec"]?["strategy"]?["type"] == "Recreate" {
                deletions += old.map(Self.name)
                // Old Pods that still end count as there.
                if own.allSatisfy({ $0["metadata"]?["labels"]?[PodTemplates.hashLabel]?.string == hash }) { scale(new, to: wanted) }
            } else {
                plan(rolling: deployment, old, new, wanted, availableCount: available(alive), now)
            }
        }
        status = Self.status(deployment, alive: alive, new: new, available: available(alive), wanted: wanted, now)
    }

    private static func name(_ pod: JSON) -> String { pod["metadata"]?["name"]?.string ?? "" }

    /// Surplus Pods first that serve nobody, then the youngest.
    private static func dispensable(_ pods: [JSON]) -> [JSON] {
        pods.sorted { left, right in
            let (a, b) = (PodTemplates.isReady(left), PodTemplates.isReady(right))
            if a != b { return !a }
            let (x, y) = (left["metadata"]?["creationTimestamp"]?.string ?? "", right["metadata"]?["creationTimestamp"]?.string ?? "")
            return x == y ? name(left) < name(right) : x > y
        }
    }

    private mutating func scale(_ pods: [JSON], to wanted: Int64) {
        let surplus = Int64(pods.count) - wanted
        if surplus > 0 { deletions += Self.dispensable(pods).prefix(Int(surplus)).map(Self.name) } else { creations = Int(-surplus) }
    }

    /// A paused Deployment keeps its templates and follows the number only.
    private mutating func plan(paused old: [JSON], _ new: [JSON], _ wanted: Int64) {
        let surplus = Int64(old.count + new.count) - wanted
        if surplus > 0 { deletions += Self.dispensable(old + new).prefix(Int(surplus)).map(Self.name) }
        if surplus < 0, old.isEmpty { creations = Int(-surplus) }
    }

    private mutating func plan(
        rolling deployment: JSON, _ old: [JSON], _ new: [JSON], _ wanted: Int64, availableCount: Int64, _ now: Timestamp
    ) {
        if old.isEmpty { return scale(new, to: wanted) }
        let rolling = deployment["spec"]?["strategy"]?["rollingUpdate"]
        var surge = PodTemplates.count(rolling?["maxSurge"] ?? "25%", of: wanted, roundsUp: true)
        let unavailable = PodTemplates.count(rolling?["maxUnavailable"] ?? "25%", of: wanted, roundsUp: false)
        if surge == 0, unavailable == 0 { surge = 1 }
        let total = Int64(old.count + new.count)
        creations = Int(max(0, min(wanted - Int64(new.count), wanted + surge - total)))
        // Old Pods that serve nobody cost nothing; of the others as many as may be missing.
        let idle = old.filter { !PodTemplates.isAvailable($0, deployment, now: now) }
        let serving = old.filter { PodTemplates.isAvailable($0, deployment, now: now) }
        let spare = max(0, availableCount - max(0, wanted - unavailable))
        deletions += idle.map(Self.name) + Self.dispensable(serving).prefix(Int(spare)).map(Self.name)
    }

    private static func status(_ deployment: JSON, alive: [JSON], new: [JSON], available: Int64, wanted: Int64, _ now: Timestamp) -> JSON {
        let old = deployment["status"]
        let ready = Int64(alive.count(where: PodTemplates.isReady))
        var status: JSON = ["observedGeneration": deployment["metadata"]?["generation"] ?? 0]
        for (key, value) in [
            ("replicas", Int64(alive.count)), ("updatedReplicas", Int64(new.count)), ("readyReplicas", ready),
            ("availableReplicas", available),
            ("unavailableReplicas", max(0, wanted - available)),
        ] where value > 0 { status[key] = .integer(value) }
        let unavailable = PodTemplates.count(
            deployment["spec"]?["strategy"]?["rollingUpdate"]?["maxUnavailable"] ?? "25%", of: wanted, roundsUp: false)
        let isAvailable = available >= wanted - unavailable
        let isComplete = Int64(new.count) == wanted && Int64(alive.count) == wanted && available >= wanted
        let started = (old?["conditions"]?.array?.first { $0["type"] == "Progressing" }?["lastUpdateTime"]?.string).flatMap {
            Timestamp($0)
        }
        let isSameGeneration = old?["observedGeneration"] == status["observedGeneration"]
        let deadline = deployment["spec"]?["progressDeadlineSeconds"]?.integer ?? 600
        let isLate = !isComplete && isSameGeneration && started.map { now.seconds - $0.seconds > deadline } ?? false
        var progress: (Bool, JSON, JSON) = (true, "ReplicaSetUpdated", "the Deployment is progressing")
        if isComplete { progress = (true, "NewReplicaSetAvailable", "the Deployment has successfully progressed") }
        if isLate { progress = (false, "ProgressDeadlineExceeded", "the Deployment has timed out progressing") }
        status["conditions"] = [
            PodTemplates.condition(
                old, "Available", isAvailable, isAvailable ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
                isAvailable ? "Deployment has minimum availability." : "Deployment does not have minimum availability.", now),
            PodTemplates.condition(old, "Progressing", progress.0, progress.1, progress.2, now),
        ]
        return status
    }
}
