import Reconciliation
import Resources

/// Brings a Deployment's ReplicaSets one step closer to its template and number. Pure.
///
/// The rules are Kubernetes' own: `kubectl rollout status`, `undo`, `pause` and `history` read what they leave in annotations and status.
enum DeploymentPlan {
    private typealias Sets = DeploymentSets

    /// - Parameters:
    ///   - sets: the ReplicaSets it owns, and those of its namespace that nobody controls.
    ///   - names: of all ReplicaSets of the namespace.
    ///   - pods: those of the ReplicaSets; not needed for a rolling update.
    static func plan(_ deployment: JSON, sets: [JSON], names: TakenNames, pods: [JSON], now: Timestamp) -> ObjectPlan {
        guard let selector = LabelSelector(deployment["spec"]?["selector"]) else { return ObjectPlan() }
        if selector.isEmpty {
            return ObjectPlan([
                .note(
                    EventNote(
                        deployment, isWarning: true, "SelectingAll",
                        "This deployment is selecting all pods. A non-empty selector is required.", by: Sets.component))
            ])
        }
        let claims = PodClaims(sets, of: deployment, selector: selector)
        let taking = claims.steps(.replicaSet, owner: deployment, ownerKind: .deployment)
        if !taking.isEmpty { return ObjectPlan(taking) }
        let own = DeploymentSets(deployment, claims.owned)
        if deployment.isBeingDeleted { return DeploymentStatus.plan(own, now: now) }
        if let pausing = pausing(own, now) { return pausing }
        if deployment["spec"]?["paused"]?.bool == true || isScaling(own) {
            return followed(scale(own) + (deployment["spec"]?["paused"]?.bool == true ? cleanup(own) : []), own, now)
        }
        return own.isRolling ? roll(own, names, now) : recreate(own, names, pods, now)
    }

    /// Writes to ReplicaSets first; once they are as they should be, the status.
    private static func followed(_ steps: [ObjectPlan.Step], _ own: DeploymentSets, _ now: Timestamp) -> ObjectPlan {
        var plan = DeploymentStatus.plan(own, now: now)
        plan.steps = steps + plan.steps
        return plan
    }

    // MARK: Pausing

    /// The condition that tells of a pause, so that its time does not count towards the progress deadline.
    private static func pausing(_ own: DeploymentSets, _ now: Timestamp) -> ObjectPlan? {
        let deployment = own.deployment
        guard DeploymentStatus.deadline(deployment) != nil else { return nil }
        let condition = deployment.condition("Progressing")
        if condition?["reason"] == "ProgressDeadlineExceeded" { return nil }
        let isPaused = deployment["spec"]?["paused"]?.bool == true
        let saysPaused = condition?["reason"] == "DeploymentPaused"
        guard isPaused != saysPaused else { return nil }
        var conditions = deployment["status"]?["conditions"]?.array ?? []
        Conditions.set(
            "Progressing", "Unknown", isPaused ? "DeploymentPaused" : "DeploymentResumed",
            isPaused ? "Deployment is paused" : "Deployment is resumed", in: &conditions, now: now, updateTime: true)
        var new = deployment
        new[path: ["status", "conditions"]] = .array(conditions)
        return ObjectPlan([.updateStatus(.deployment, new)])
    }

    // MARK: Scaling

    /// Whether the wanted number has changed since the ReplicaSets were last given theirs.
    private static func isScaling(_ own: DeploymentSets) -> Bool {
        own.all.filter { Sets.replicas($0) > 0 }.contains { set in
            set.annotation(Sets.desiredKey).flatMap { Int64($0) }.map { $0 != own.replicas } ?? false
        }
    }

    /// Gives every ReplicaSet its share of the wanted number, without going on with a rollout.
    private static func scale(_ own: DeploymentSets) -> [ObjectPlan.Step] {
        let active = own.all.filter { Sets.replicas($0) > 0 }
        if active.count <= 1, let only = active.first ?? own.new ?? own.old.last {
            return resize(only, to: own.replicas, own)
        }
        if let new = own.new, isSaturated(new, own) { return own.oldActive.flatMap { resize($0, to: 0, own) } }
        guard own.isRolling, !active.isEmpty else { return [] }
        let allowed = own.replicas > 0 ? own.replicas + own.maxSurge : 0
        let toAdd = allowed - Sets.total(active, Sets.replicas)
        // The largest first; of equal ones the newest grows and the oldest shrinks.
        let ordered = active.sorted { left, right in
            if Sets.replicas(left) != Sets.replicas(right) { return Sets.replicas(left) > Sets.replicas(right) }
            let isOlder = (left.created.seconds, left.name) < (right.created.seconds, right.name)
            return toAdd > 0 ? !isOlder : isOlder
        }
        var sizes = ordered.map(Sets.replicas)
        var added: Int64 = 0
        if toAdd != 0 {
            for index in ordered.indices {
                let share = proportion(ordered[index], own, toAdd: toAdd, added: added)
                sizes[index] += share
                added += share
            }
            sizes[0] = max(0, sizes[0] + toAdd - added)
        }
        return ordered.indices.flatMap { resize(ordered[$0], to: sizes[$0], own) }
    }

    private static func isSaturated(_ set: JSON, _ own: DeploymentSets) -> Bool {
        set.annotation(Sets.desiredKey) == String(own.replicas) && Sets.replicas(set) == own.replicas && Sets.available(set) == own.replicas
    }

    /// A ReplicaSet's part of Pods to add (or, negative, to take), by its part of the size that was allowed before.
    private static func proportion(_ set: JSON, _ own: DeploymentSets, toAdd: Int64, added: Int64) -> Int64 {
        let size = Sets.replicas(set)
        if size == 0 || toAdd == added { return 0 }
        let fraction: Int64
        if own.replicas == 0 {
            fraction = -size
        } else {
            let before =
                set.annotation(Sets.maxKey).flatMap { Int64($0) } ?? own.deployment["status"]?["replicas"]?.integer ?? own.replicas
            guard before > 0 else { return 0 }
            fraction = Int64((Double(size * (own.replicas + own.maxSurge)) / Double(before)).rounded()) - size
        }
        return toAdd > 0 ? max(0, min(fraction, toAdd - added)) : min(0, max(fraction, toAdd - added))
    }

    /// Gives a ReplicaSet a number and notes which it is a part of; nothing if all is so already.
    private static func resize(_ set: JSON, to count: Int64, _ own: DeploymentSets) -> [ObjectPlan.Step] {
        let before = Sets.replicas(set)
        var new = set
        new[path: ["spec", "replicas"]] = .integer(count)
        new[path: ["metadata", "annotations", Sets.desiredKey]] = .string(String(own.replicas))
        new[path: ["metadata", "annotations", Sets.maxKey]] = .string(String(own.replicas + own.maxSurge))
        if new == set { return [] }
        if before == count { return [.update(.replicaSet, new)] }
        return [
            .update(.replicaSet, new),
            .note(
                EventNote(
                    own.deployment, "ScalingReplicaSet",
                    "Scaled \(before < count ? "up" : "down") replica set \(set.name) from \(before) to \(count)", by: Sets.component)),
        ]
    }

    // MARK: The new ReplicaSet

    /// Makes the ReplicaSet of the template, or gives the one that is there its revision; nil if all is so already.
    private static func settleNew(_ own: DeploymentSets, _ names: TakenNames, _ now: Timestamp) -> ObjectPlan? {
        let revision = String((own.old.map(Sets.revision).max() ?? 0) + 1)
        guard let new = own.new else { return makeNew(own, names, revision, now) }
        let changed = annotated(new, own, revision)
        if changed != new { return ObjectPlan([.update(.replicaSet, changed)]) }
        let current = new.annotation(Sets.revisionKey)
        if own.deployment.annotation(Sets.revisionKey) != current {
            var deployment = own.deployment
            deployment[path: ["metadata", "annotations", Sets.revisionKey]] = current.map { .string($0) }
            return ObjectPlan([.update(.deployment, deployment)])
        }
        if own.deployment.condition("Progressing") == nil, DeploymentStatus.deadline(own.deployment) != nil {
            return DeploymentStatus.progress(own, "FoundNewReplicaSet", "Found new replica set \"\(new.name)\"", now)
        }
        return nil
    }

    private static func makeNew(_ own: DeploymentSets, _ names: TakenNames, _ revision: String, _ now: Timestamp) -> ObjectPlan {
        let deployment = own.deployment
        let hash = own.hash
        let name = String(deployment.name.prefix(242)) + "-" + hash
        if names.contains(name) {
            // Somebody else's, or one of ours whose template was changed by hand: the next plan takes another hash.
            var new = deployment
            new[path: ["status", "collisionCount"]] = .integer((deployment["status"]?["collisionCount"]?.integer ?? 0) + 1)
            return ObjectPlan([.updateStatus(.deployment, new)])
        }
        var template = deployment["spec"]?["template"] ?? [:]
        template[path: ["metadata", "labels", Sets.hashLabel]] = .string(hash)
        var selector = deployment["spec"]?["selector"] ?? [:]
        selector[path: ["matchLabels", Sets.hashLabel]] = .string(hash)
        let count = own.newReplicas(current: 0)
        var spec: JSON = ["replicas": .integer(count), "selector": selector, "template": template]
        spec["minReadySeconds"] = deployment["spec"]?["minReadySeconds"]
        let set: JSON = [
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": [
                "name": .string(name), "namespace": .string(deployment.namespace),
                "labels": template["metadata"]?["labels"] ?? [:], "ownerReferences": [deployment.controllerReference],
            ],
            "spec": spec,
        ]
        var plan = ObjectPlan([.create(.replicaSet, annotated(set, own, revision))])
        if count > 0 {
            plan.steps.append(
                .note(
                    EventNote(
                        deployment, "ScalingReplicaSet", "Scaled up replica set \(name) from 0 to \(count)", by: Sets.component)))
        }
        if DeploymentStatus.deadline(deployment) != nil {
            plan.steps += DeploymentStatus.progress(own, "NewReplicaSetCreated", "Created new replica set \"\(name)\"", now).steps
        }
        return plan
    }

    private static let ownAnnotations = [
        "kubectl.kubernetes.io/last-applied-configuration", Sets.revisionKey, Sets.historyKey, Sets.desiredKey, Sets.maxKey,
        "deprecated.deployment.rollback.to",
    ]

    /// A ReplicaSet with the annotations of its Deployment, its revision and what it is a part of. A revision only grows: a template that is
    /// taken up again becomes the newest, and its earlier numbers are kept as history.
    private static func annotated(_ set: JSON, _ own: DeploymentSets, _ revision: String) -> JSON {
        var new = set
        for (key, value) in own.deployment["metadata"]?["annotations"]?.object ?? [:] where !ownAnnotations.contains(key) {
            new[path: ["metadata", "annotations", key]] = value
        }
        let before = set.annotation(Sets.revisionKey)
        if (before.flatMap { Int64($0) } ?? 0) < Int64(revision) ?? 0 {
            new[path: ["metadata", "annotations", Sets.revisionKey]] = .string(revision)
            if let before {
                let history = (set.annotation(Sets.historyKey).map { $0.split(separator: ",").map(String.init) } ?? []) + [before]
                // Bounded as Kubernetes bounds it: 2,000 letters.
                var text = history.joined(separator: ",")
                while text.utf8.count > 2000, let comma = text.firstIndex(of: ",") { text = String(text[text.index(after: comma)...]) }
                new[path: ["metadata", "annotations", Sets.historyKey]] = .string(text)
            }
        }
        new[path: ["metadata", "annotations", Sets.desiredKey]] = .string(String(own.replicas))
        new[path: ["metadata", "annotations", Sets.maxKey]] = .string(String(own.replicas + own.maxSurge))
        if let minReady = own.deployment["spec"]?["minReadySeconds"] { new[path: ["spec", "minReadySeconds"]] = minReady }
        return new
    }

    // MARK: Strategies

    private static func roll(_ own: DeploymentSets, _ names: TakenNames, _ now: Timestamp) -> ObjectPlan {
        if let plan = settleNew(own, names, now) { return plan }
        guard let new = own.new else { return ObjectPlan() }
        let before = Sets.replicas(new)
        let wanted = before > own.replicas ? own.replicas : own.newReplicas(current: before)
        var steps = resize(new, to: wanted, own)
        if steps.isEmpty { steps = shrinkOld(own) }
        if steps.isEmpty, DeploymentStatus.isComplete(own) { steps = cleanup(own) }
        return followed(steps, own, now)
    }

    /// Takes Pods from old ReplicaSets: first those that do not work anyway, then as many as availability allows.
    private static func shrinkOld(_ own: DeploymentSets) -> [ObjectPlan.Step] {
        let old = own.oldActive
        guard !old.isEmpty, let new = own.new else { return [] }
        let minAvailable = own.replicas - own.maxUnavailable
        let newUnavailable = Sets.replicas(new) - Sets.available(new)
        var budget = Sets.total(own.all, Sets.replicas) - minAvailable - newUnavailable
        guard budget > 0 else { return [] }
        var sizes = old.map(Sets.replicas)
        for index in old.indices where budget > 0 {
            let unhealthy = min(budget, max(0, sizes[index] - Sets.available(old[index])))
            sizes[index] -= unhealthy
            budget -= unhealthy
        }
        let available = Sets.total(own.all, Sets.available)
        var spare = min(budget, available - minAvailable)
        for index in old.indices where spare > 0 {
            let taken = min(sizes[index], spare)
            sizes[index] -= taken
            spare -= taken
        }
        return old.indices.filter { sizes[$0] != Sets.replicas(old[$0]) }.flatMap { resize(old[$0], to: sizes[$0], own) }
    }

    /// All old Pods end before the first new one begins.
    private static func recreate(_ own: DeploymentSets, _ names: TakenNames, _ pods: [JSON], _ now: Timestamp) -> ObjectPlan {
        if !own.oldActive.isEmpty { return followed(own.oldActive.flatMap { resize($0, to: 0, own) }, own, now) }
        let old = Set(own.old.map(\.uid))
        let isWaiting = pods.contains { pod in !PodFacts.hasEnded(pod) && pod.controller?["uid"]?.string.map(old.contains) ?? false }
        if isWaiting { return followed([], own, now) }
        if let plan = settleNew(own, names, now) { return plan }
        guard let new = own.new else { return ObjectPlan() }
        var steps = resize(new, to: own.replicas, own)
        if steps.isEmpty, DeploymentStatus.isComplete(own) { steps = cleanup(own) }
        return followed(steps, own, now)
    }

    /// Deletes old ReplicaSets beyond the history that is to be kept, lowest revision first.
    private static func cleanup(_ own: DeploymentSets) -> [ObjectPlan.Step] {
        let limit = own.deployment["spec"]?["revisionHistoryLimit"]?.integer ?? 10
        let kept = own.old.filter { !$0.isBeingDeleted }
        let excess = Int64(kept.count) - limit
        guard excess > 0 else { return [] }
        return kept.sorted { (Sets.revision($0), $0.name) < (Sets.revision($1), $1.name) }.prefix(Int(excess))
            .filter { set in
                Sets.replicas(set) == 0 && set["status"]?["replicas"]?.integer ?? 0 == 0
                    && set["status"]?["observedGeneration"]?.integer ?? 0 >= set.generation
            }
            .map { .delete(.replicaSet, ObjectKey($0), Deletion(propagation: .background, uid: $0.uid)) }
    }
}
