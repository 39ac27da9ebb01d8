import Reconciliation
import Resources

/// Keeps one Pod of a DaemonSet on every node that should have one. Pure.
enum DaemonSetPlan {
    static let component = "daemonset-controller"
    static let hashLabel = "controller-revision-hash"
    /// Pods made or deleted in one go.
    static let burst = 250
    /// A Pod that failed sooner after it was made is replaced only then, so that one that always fails does not fill the log.
    static let failureWaitSeconds: Int64 = 30

    /// - Parameters:
    ///   - pods: those it owns, and those of its namespace that nobody controls.
    ///   - revisions: the ControllerRevisions it owns, and those of its namespace that nobody controls.
    static func plan(
        _ set: JSON, nodes: [JSON], pods: [JSON], revisions: [JSON], podNames: TakenNames, revisionNames: TakenNames, now: Timestamp
    ) -> ObjectPlan {
        guard let selector = LabelSelector(set["spec"]?["selector"]) else { return ObjectPlan() }
        if selector.isEmpty {
            return ObjectPlan([
                .note(
                    EventNote(
                        set, isWarning: true, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.",
                        by: component))
            ])
        }
        let claims = PodClaims(pods, of: set, selector: selector)
        let taking = claims.steps(.pod, owner: set, ownerKind: .daemonSet)
        if !taking.isEmpty { return ObjectPlan(taking) }
        let history = DaemonSetHistory(set, revisions, pods: claims.owned)
        if set.isBeingDeleted { return ObjectPlan() }
        if let step = history.settle(names: revisionNames) { return ObjectPlan([step]) }
        var placed = DaemonSetNodes(set, nodes: nodes, pods: claims.owned, hash: history.hash, now: now)
        var plan = ObjectPlan()
        let (steps, wait) = manage(set, &placed, taken: podNames, now)
        plan.steps = steps
        if let wait { plan.lookAgain(afterSeconds: wait) }
        if let wait = placed.secondsUntilAvailable { plan.lookAgain(afterSeconds: wait) }
        let status = status(set, placed)
        if status != set["status"] {
            var new = set
            new["status"] = status
            plan.steps.append(.updateStatus(.daemonSet, new))
        }
        plan.steps += history.cleanup()
        return plan
    }

    /// What to make and delete, and when a failed Pod may be replaced.
    private static func manage(
        _ set: JSON, _ placed: inout DaemonSetNodes, taken: TakenNames, _ now: Timestamp
    ) -> ([ObjectPlan.Step], Int64?) {
        var wait: Int64?
        var deleted: [JSON] = []
        var notes: [ObjectPlan.Step] = []
        var makeOn: [String] = []
        for node in placed.nodes {
            if !node.mayRun {
                deleted += node.active
                continue
            }
            var hasFailed = false
            for pod in node.ended {
                hasFailed = true
                let left = pod.created.seconds + failureWaitSeconds - now.seconds
                if left > 0 {
                    wait = min(wait ?? left, left)
                    continue
                }
                let isFailed = pod["status"]?["phase"] == "Failed"
                notes.append(
                    .note(
                        EventNote(
                            set, isWarning: isFailed, isFailed ? "FailedDaemonPod" : "SucceededDaemonPod",
                            "Found \(isFailed ? "failed" : "succeeded") daemon pod \(pod.namespace)/\(pod.name) on node \(node.name), will try to \(isFailed ? "kill" : "delete") it",
                            by: component)))
                deleted.append(pod)
            }
            deleted += node.superfluous
            if node.shouldRun, node.active.isEmpty, node.ending.isEmpty, !hasFailed { makeOn.append(node.name) }
        }
        let update = DaemonSetUpdate.step(set, placed)
        deleted += update.delete.filter { pod in !deleted.contains { $0.uid == pod.uid } }
        makeOn += update.makeOn.filter { !makeOn.contains($0) }
        var steps = notes
        for pod in deleted.prefix(burst) {
            steps.append(.delete(.pod, ObjectKey(pod), Deletion(uid: pod.uid)))
            steps.append(.note(EventNote(set, "SuccessfulDelete", "Deleted pod: \(pod.name)", by: component)))
        }
        for node in makeOn.prefix(burst) { steps += creation(set, node, placed.hash, taken) }
        return (steps, wait)
    }

    private static func creation(_ set: JSON, _ node: String, _ hash: String, _ taken: TakenNames) -> [ObjectPlan.Step] {
        var place = 0
        while taken.contains(PodFacts.name(of: set, place: "\(node)\u{1f}\(place)")) { place += 1 }
        let name = PodFacts.name(of: set, place: "\(node)\u{1f}\(place)")
        return [
            .create(.pod, pod(of: set, node: node, name: name, hash: hash)),
            .note(EventNote(set, "SuccessfulCreate", "Created pod: \(name)", by: component)),
        ]
    }

    /// The Pod for a node. Placement puts it there, as it does with every Pod; so it waits where it does not fit yet.
    static func pod(of set: JSON, node: String, name: String, hash: String) -> JSON {
        let template = set["spec"]?["template"] ?? [:]
        var labels = [hashLabel: hash]
        if let generation = set.annotation("deprecated.daemonset.template.generation") { labels["pod-template-generation"] = generation }
        var pod = PodFacts.pod(of: set, template: template, name: name, labels: labels)
        var spec = pod["spec"] ?? [:]
        spec[path: ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"]] = [
            "nodeSelectorTerms": [["matchFields": [["key": "metadata.name", "operator": "In", "values": [.string(node)]]]]]
        ]
        spec["tolerations"] = .array(tolerations(of: template["spec"] ?? [:]))
        pod["spec"] = spec
        return pod
    }

    /// A daemon stays where others may not: on nodes that are ill, unreachable or closed.
    static func tolerations(of spec: JSON) -> [JSON] {
        var result = spec["tolerations"]?.array ?? []
        func add(_ key: String, _ effect: String) {
            let toleration: JSON = ["key": .string("node.kubernetes.io/\(key)"), "operator": "Exists", "effect": .string(effect)]
            if !result.contains(toleration) { result.append(toleration) }
        }
        add("not-ready", "NoExecute")
        add("unreachable", "NoExecute")
        for key in ["disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"] { add(key, "NoSchedule") }
        if spec["hostNetwork"]?.bool == true { add("network-unavailable", "NoSchedule") }
        return result
    }

    private static func status(_ set: JSON, _ placed: DaemonSetNodes) -> JSON {
        let wanted = placed.nodes.filter(\.shouldRun)
        let available = wanted.count(where: \.isAvailable)
        var status = set["status"] ?? [:]
        let required: [(String, Int)] = [
            ("desiredNumberScheduled", wanted.count), ("currentNumberScheduled", wanted.count { !$0.active.isEmpty }),
            ("numberMisscheduled", placed.nodes.count { !$0.shouldRun && !$0.active.isEmpty }),
            ("numberReady", wanted.count(where: \.isReady)),
        ]
        for (name, count) in required { status[name] = .integer(Int64(count)) }
        let optional: [(String, Int)] = [
            ("updatedNumberScheduled", wanted.count(where: \.isUpdated)), ("numberAvailable", available),
            ("numberUnavailable", wanted.count - available),
        ]
        for (name, count) in optional { status[name] = count == 0 ? nil : .integer(Int64(count)) }
        status["observedGeneration"] = .integer(set.generation)
        return status
    }
}
