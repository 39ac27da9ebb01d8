import Resources
import Reconciliation

/// Keeps a ReplicaSet at its number of Pods. Pure.
enum ReplicaSetPlan {
    static let component = "replicaset-controller"
    /// Pods made or deleted in one go.
    static let burst = 500

    /// - Parameters:
    ///   - pods: those it owns, and those of its namespace that nobody controls.
    ///   - names: of all Pods of the namespace.
    static func plan(_ set: JSON, pods: [JSON], names: TakenNames, now: Timestamp) -> (manage: ObjectPlan, status: ObjectPlan) {
        guard let selector = LabelSelector(set["spec"]?["selector"]) else { return (ObjectPlan(), ObjectPlan()) }
        let claims = PodClaims(pods.filter { !PodFacts.hasEnded($0) || $0.controller != nil }, of: set, selector: selector)
        var manage = ObjectPlan(claims.steps(.pod, owner: set, ownerKind: .replicaSet))
        let active = claims.owned.filter(PodFacts.isActive)
        // Pods that are about to be adopted count: else one too many would be made meanwhile.
        let count = active.count + claims.toAdopt.count
        let wanted = Int(set["spec"]?["replicas"]?.integer ?? 1)
        if !set.isBeingDeleted {
            if count < wanted {
                manage.steps += creations(set, min(wanted - count, burst), taken: names)
            } else if count > wanted {
                // Which Pods go is concluded from all of them: one that has gone already, unseen, would be counted, and another one go for it.
                manage.steps.append(.confirmUnchanged(.replicaSet, set))
                manage.steps += active.map { .confirmUnchanged(.pod, $0) }
                manage.steps += deletions(set, active, min(count - wanted, burst, active.count))
            }
        }
        return (manage, statusPlan(set, active, failure: nil, now: now))
    }

    private static func creations(_ set: JSON, _ count: Int, taken: TakenNames) -> [ObjectPlan.Step] {
        var template = set["spec"]?["template"] ?? [:]
        template["status"] = nil
        var steps: [ObjectPlan.Step] = []
        var place = 0
        var made = 0
        while made < count {
            let name = PodFacts.name(of: set, place: "\(place)")
            place += 1
            // A name is free again once its Pod is gone; one that ends, or is somebody else's, is passed over.
            if taken.contains(name) { continue }
            made += 1
            steps.append(.create(.pod, PodFacts.pod(of: set, template: template, name: name)))
            steps.append(.note(EventNote(set, "SuccessfulCreate", "Created pod: \(name)", by: component)))
        }
        return steps
    }

    private static func deletions(_ set: JSON, _ active: [JSON], _ count: Int) -> [ObjectPlan.Step] {
        inOrderOfDeletion(active).prefix(count).flatMap { pod -> [ObjectPlan.Step] in
            [
                .delete(.pod, ObjectKey(pod), Deletion(uid: pod.uid)),
                .note(EventNote(set, "SuccessfulDelete", "Deleted pod: \(pod.name)", by: component)),
            ]
        }
    }

    /// The Pods whose loss hurts least come first: without a node, waiting, not ready, of low deletion cost, many on one node, ready or made
    /// most lately, restarted most often.
    static func inOrderOfDeletion(_ pods: [JSON]) -> [JSON] {
        var onNode: [String: Int] = [:]
        for pod in pods { if let node = PodFacts.nodeName(pod) { onNode[node, default: 0] += 1 } }
        func rank(_ pod: JSON) -> [Int64] {
            let phase: Int64 = ["Pending": 0, "Unknown": 1][pod["status"]?["phase"]?.string ?? ""] ?? 2
            let isReady = PodFacts.isReady(pod)
            let readySince = pod.condition("Ready")?.time("lastTransitionTime")?.seconds ?? 0
            return [
                PodFacts.nodeName(pod) == nil ? 0 : 1, phase, isReady ? 1 : 0,
                pod.annotation("controller.kubernetes.io/pod-deletion-cost").flatMap { Int64($0) } ?? 0,
                -Int64(PodFacts.nodeName(pod).flatMap { onNode[$0] } ?? 0), isReady ? -readySince : 0, -PodFacts.restarts(pod),
                -pod.created.seconds,
            ]
        }
        return pods.map { (rank($0), $0) }
            .sorted { left, right in
                left.0 == right.0 ? left.1.name < right.1.name : left.0.lexicographicallyPrecedes(right.0)
            }.map(\.1)
    }

    /// The status as the Pods are, or as it is after making or deleting some has failed.
    static func statusPlan(_ set: JSON, _ active: [JSON], failure: APIStatus?, now: Timestamp) -> ObjectPlan {
        let minReady = set["spec"]?["minReadySeconds"]?.integer ?? 0
        let template = set["spec"]?["template"]?["metadata"]?["labels"]?.object ?? [:]
        let waits = active.map { PodFacts.secondsUntilAvailable($0, minReadySeconds: minReady, now: now) }
        var status = set["status"] ?? [:]
        status["replicas"] = .integer(Int64(active.count))
        status["fullyLabeledReplicas"] = .integer(
            Int64(active.count { pod in template.allSatisfy { pod.labels[$0.0] == $0.1 } }))
        status["readyReplicas"] = .integer(Int64(active.count(where: PodFacts.isReady)))
        status["availableReplicas"] = .integer(Int64(waits.count { $0 == 0 }))
        status["observedGeneration"] = .integer(set.generation)
        var conditions = status["conditions"]?.array ?? []
        if let failure {
            let isTooMany = active.count > Int(set["spec"]?["replicas"]?.integer ?? 1)
            let reason = isTooMany ? "FailedDelete" : "FailedCreate"
            let old = conditions.first { $0["type"] == "ReplicaFailure" }
            if !(Conditions.isSame(old, "True", reason) && old?["message"]?.string == failure.message) {
                Conditions.set("ReplicaFailure", "True", reason, failure.message, in: &conditions, now: now)
            }
        } else {
            Conditions.remove("ReplicaFailure", from: &conditions)
        }
        status["conditions"] = conditions.isEmpty ? nil : .array(conditions)
        var plan = ObjectPlan()
        if let next = waits.compactMap({ $0 }).filter({ $0 > 0 }).min() { plan.lookAgain(afterSeconds: next) }
        if status != set["status"] {
            var new = set
            new["status"] = status
            plan.steps.append(.updateStatus(.replicaSet, new))
        }
        return plan
    }
}
