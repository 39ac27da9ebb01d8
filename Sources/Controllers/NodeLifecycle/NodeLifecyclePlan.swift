import Reconciliation
import Resources

/// What becomes of a node whose agent is silent or ill, and of the Pods on it. Pure.
///
/// A node that is silent or not ready is tainted, so that no new Pods come. The Pods it has stay, because an edge goes on with what it was
/// last told: only one that asks for it by a toleration with `tolerationSeconds`, and then after so long, is deleted.
struct NodeLifecyclePlan {
    static let component = "node-controller"
    /// Namespace of the nodes' leases.
    static let leases = "kube-node-lease"
    private static let eviction = "taint-eviction-controller"
    private static let unreachable = "node.kubernetes.io/unreachable"
    private static let notReady = "node.kubernetes.io/not-ready"
    /// Conditions other than Ready that keep new Pods away while they hold.
    private static let pressures = [
        ("MemoryPressure", "node.kubernetes.io/memory-pressure"), ("DiskPressure", "node.kubernetes.io/disk-pressure"),
        ("PIDPressure", "node.kubernetes.io/pid-pressure"), ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
    ]

    /// A node that has not been heard of for so long is silent.
    var graceSeconds: Int64 = 40

    /// - Parameters:
    ///   - lease: the node's, in `kube-node-lease`.
    ///   - pods: those on the node; only asked for when they matter.
    func plan(_ node: JSON, lease: JSON?, pods: () -> [JSON], now: Timestamp) -> ObjectPlan {
        var plan = ObjectPlan()
        if node.isBeingDeleted { return plan }
        let heard = Self.lastHeard(node, lease, now)
        let isSilent = now.seconds - heard.seconds > graceSeconds
        // Renewals in time ask for no look (`isExpected`): a view that lagged behind them must not end the looks.
        plan.lookAgain(afterSeconds: isSilent ? graceSeconds : heard.seconds + graceSeconds - now.seconds + 1)
        plan.againIfStopped = .seconds(1)
        if isSilent, let status = Self.silenced(node, now) {
            plan.steps.append(
                .confirmUnchanged(
                    .lease, ObjectKey(namespace: Self.leases, name: node.name),
                    resourceVersion: lease?["metadata"]?["resourceVersion"]?.string))
            plan.steps.append(.updateStatus(.node, status))
            if node.condition("Ready")?["status"] == "True" {
                plan.steps.append(
                    .note(EventNote(node, "NodeNotReady", "Node \(node.name) status is now: NodeNotReady", by: Self.component)))
            }
            // The taints follow once the status is seen.
            return plan
        }
        if let tainted = Self.tainted(node, now) {
            plan.steps.append(.update(.node, tainted))
            return plan
        }
        if let ready = node.condition("Ready"), ready["status"] != "True" { plan.steps += Self.markedNotReady(pods(), since: ready, now) }
        evict(node, pods, now, &plan)
        return plan
    }

    /// When a node was last heard of, by the clock of the server where it says so: an edge's own may be wrong by hours.
    static func lastHeard(_ node: JSON, _ lease: JSON?, _ now: Timestamp) -> Timestamp {
        let written = (lease?["metadata"]?["managedFields"]?.array ?? []).compactMap { $0.time("time") }.max()
        let said = lease?["spec"]?.time("renewTime")
        let beat = node.condition("Ready")?.time("lastHeartbeatTime")
        // A time ahead of ours proves nothing; it would keep a dead node alive.
        let times = (written.map { [$0] } ?? [said, beat].compactMap { $0 }).filter { $0.seconds <= now.seconds + 60 }
        return times.max() ?? node.created
    }

    /// Whether nothing of a node has changed that is looked at here: what is due by its Lease is due as before.
    static func judges(_ old: JSON, like new: JSON) -> Bool {
        let (before, after) = (old["metadata"], new["metadata"])
        return before?["uid"] == after?["uid"] && before?["deletionTimestamp"] == after?["deletionTimestamp"]
            && before?["creationTimestamp"] == after?["creationTimestamp"] && old["spec"] == new["spec"]
            && old["status"]?["conditions"] == new["status"]?["conditions"]
    }

    /// Whether a Lease was renewed before its node could count as silent: the look that is due by the old time finds the new one.
    func isExpected(_ old: JSON?, then new: JSON?) -> Bool {
        guard let before = old?["spec"]?.time("renewTime"), let after = new?["spec"]?.time("renewTime") else { return false }
        return before <= after && after.seconds - before.seconds <= graceSeconds
    }

    /// The node with what is no longer known marked so; nil if it is already.
    private static func silenced(_ node: JSON, _ now: Timestamp) -> JSON? {
        var conditions = node["status"]?["conditions"]?.array ?? []
        let before = conditions
        for type in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
            let old = conditions.first { $0["type"]?.string == type }
            if old == nil {
                Conditions.set(type, "Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status.", in: &conditions, now: now)
            } else if old?["status"] != "Unknown" {
                Conditions.set(type, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.", in: &conditions, now: now)
            }
        }
        guard conditions != before else { return nil }
        var new = node
        new[path: ["status", "conditions"]] = .array(conditions)
        return new
    }

    /// The node with the taints that follow from its conditions; nil if it has them.
    private static func tainted(_ node: JSON, _ now: Timestamp) -> JSON? {
        var wanted: [(key: String, effect: String)] = []
        switch node.condition("Ready")?["status"]?.string {
        case "True": break
        case "Unknown": wanted = [(unreachable, "NoSchedule"), (unreachable, "NoExecute")]
        default: wanted = [(notReady, "NoSchedule"), (notReady, "NoExecute")]
        }
        for (type, key) in pressures where node.condition(type)?["status"] == "True" { wanted.append((key, "NoSchedule")) }
        if node["spec"]?["unschedulable"]?.bool == true { wanted.append(("node.kubernetes.io/unschedulable", "NoSchedule")) }
        let managed = [unreachable, notReady, "node.kubernetes.io/unschedulable"] + pressures.map(\.1)
        let before = node["spec"]?["taints"]?.array ?? []
        var taints = before.filter { taint in
            !managed.contains(taint["key"]?.string ?? "")
                || wanted.contains { $0.key == taint["key"]?.string && $0.effect == taint["effect"]?.string }
        }
        for (key, effect) in wanted where !taints.contains(where: { $0["key"]?.string == key && $0["effect"]?.string == effect }) {
            var taint: JSON = ["key": .string(key), "effect": .string(effect)]
            if effect == "NoExecute" { taint["timeAdded"] = .string(now.text) }
            taints.append(taint)
        }
        guard taints != before else { return nil }
        var new = node
        new[path: ["spec", "taints"]] = taints.isEmpty ? nil : .array(taints)
        return new
    }

    /// Pods nobody hears of are not ready, so that nobody counts on them. What an agent says after its node fell ill is believed.
    private static func markedNotReady(_ pods: [JSON], since ready: JSON, _ now: Timestamp) -> [ObjectPlan.Step] {
        guard let since = ready.time("lastTransitionTime") else { return [] }
        return pods.filter { pod in
            PodFacts.isReady(pod) && !PodFacts.hasEnded(pod) && (pod.condition("Ready")?.time("lastTransitionTime") ?? pod.created) < since
        }.flatMap { pod -> [ObjectPlan.Step] in
            var conditions = pod["status"]?["conditions"]?.array ?? []
            Conditions.set("Ready", "False", "NodeNotReady", "the node does not report", in: &conditions, now: now)
            var new = pod
            new[path: ["status", "conditions"]] = .array(conditions)
            return [
                .updateStatus(.pod, new), .note(EventNote(pod, isWarning: true, "NodeNotReady", "Node is not ready", by: Self.component)),
            ]
        }
    }

    // MARK: Pods that must go

    private func evict(_ node: JSON, _ pods: () -> [JSON], _ now: Timestamp, _ plan: inout ObjectPlan) {
        let taints = (node["spec"]?["taints"]?.array ?? []).filter { $0["effect"] == "NoExecute" }
        guard !taints.isEmpty else { return }
        for pod in pods() where !pod.isBeingDeleted && !PodFacts.hasEnded(pod) {
            guard let due = Self.due(pod, taints, now) else { continue }
            guard due <= now.seconds else {
                plan.lookAgain(afterSeconds: due - now.seconds)
                continue
            }
            plan.steps.append(
                .note(EventNote(pod, "TaintManagerEviction", "Marking for deletion Pod \(pod.namespace)/\(pod.name)", by: Self.eviction)))
            plan.steps.append(.delete(.pod, ObjectKey(pod), Deletion(uid: pod.uid)))
        }
    }

    /// When a Pod must go, in seconds of the clock; nil for never.
    private static func due(_ pod: JSON, _ taints: [JSON], _ now: Timestamp) -> Int64? {
        let tolerations = pod["spec"]?["tolerations"]?.array ?? []
        var due: Int64?
        for taint in taints {
            let since = taint.time("timeAdded")?.seconds ?? now.seconds
            let own = tolerations.filter { NodeFit.tolerates($0, taint) }
            // What only tells that a node is silent moves nobody who has not asked for it.
            if own.isEmpty {
                if ![unreachable, notReady].contains(taint["key"]?.string ?? "") { return now.seconds }
                continue
            }
            // The shortest of its tolerations counts; one without a time lasts.
            if let seconds = own.compactMap({ $0["tolerationSeconds"]?.integer }).min() {
                due = min(due ?? .max, since + max(0, seconds))
            }
        }
        return due
    }

    /// The Pods of a node that is gone: nobody will ever end them.
    static func orphanPlan(_ node: String, pods: [JSON]) -> ObjectPlan {
        if pods.isEmpty { return ObjectPlan() }
        return ObjectPlan(
            [.confirmAbsent(.node, ObjectKey(name: node))]
                + pods.map { .delete(.pod, ObjectKey($0), Deletion(gracePeriodSeconds: 0, uid: $0.uid)) })
    }
}
