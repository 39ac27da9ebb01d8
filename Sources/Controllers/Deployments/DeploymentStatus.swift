import Reconciliation
import Resources

/// What a Deployment says of itself: counts, availability, progress. Pure.
enum DeploymentStatus {
    private typealias Sets = DeploymentSets

    /// Seconds without progress after which a rollout counts as stuck; nil for never.
    static func deadline(_ deployment: JSON) -> Int64? {
        let seconds = deployment["spec"]?["progressDeadlineSeconds"]?.integer
        return seconds == Int64(Int32.max) ? nil : seconds
    }

    /// The status with the present counts; its conditions of availability and failure, not of progress.
    private static func counted(_ own: DeploymentSets, _ now: Timestamp) -> JSON {
        var status = own.deployment["status"] ?? [:]
        func sum(_ sets: [JSON], _ field: String) -> Int64 { Sets.total(sets) { $0["status"]?[field]?.integer ?? 0 } }
        let available = sum(own.all, "availableReplicas")
        status["observedGeneration"] = .integer(own.deployment.generation)
        let counts: [(String, Int64)] = [
            ("replicas", sum(own.all, "replicas")), ("updatedReplicas", own.new.map { sum([$0], "replicas") } ?? 0),
            ("readyReplicas", sum(own.all, "readyReplicas")), ("availableReplicas", available),
            ("unavailableReplicas", max(0, Sets.total(own.all, Sets.replicas) - available)),
        ]
        // A count of nothing is left out, as the real server does.
        for (name, count) in counts { status[name] = count == 0 ? nil : .integer(count) }
        var conditions = status["conditions"]?.array ?? []
        let isAvailable = available >= own.replicas - own.maxUnavailable
        let reason = isAvailable ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable"
        if !Conditions.isSame(conditions.first { $0["type"] == "Available" }, isAvailable ? "True" : "False", reason) {
            Conditions.set(
                "Available", isAvailable ? "True" : "False", reason,
                isAvailable ? "Deployment has minimum availability." : "Deployment does not have minimum availability.", in: &conditions,
                now: now, updateTime: true)
        }
        // The newest ReplicaSet's failure counts before those of older ones.
        if let failure = own.all.reversed().compactMap({ $0.condition("ReplicaFailure") }).first {
            let old = conditions.first { $0["type"] == "ReplicaFailure" }
            if !(Conditions.isSame(old, "True", failure["reason"]?.string ?? "") && old?["message"] == failure["message"]) {
                Conditions.set(
                    "ReplicaFailure", "True", failure["reason"]?.string ?? "", failure["message"]?.string ?? "", in: &conditions, now: now,
                    updateTime: true)
            }
        } else {
            Conditions.remove("ReplicaFailure", from: &conditions)
        }
        status["conditions"] = .array(conditions)
        return status
    }

    private static func count(_ status: JSON?, _ name: String) -> Int64 { status?[name]?.integer ?? 0 }

    private static func isComplete(_ own: DeploymentSets, _ status: JSON) -> Bool {
        count(status, "updatedReplicas") == own.replicas && count(status, "replicas") == own.replicas
            && count(status, "availableReplicas") == own.replicas
            && count(status, "observedGeneration") >= own.deployment.generation
    }

    /// Every Pod is of the newest template and available, and none is left of others.
    static func isComplete(_ own: DeploymentSets) -> Bool { isComplete(own, counted(own, Timestamp(seconds: 0))) }

    /// Something moved between two states of the counts.
    private static func hasProgressed(_ old: JSON?, _ new: JSON) -> Bool {
        count(new, "updatedReplicas") > count(old, "updatedReplicas")
            || count(new, "replicas") - count(new, "updatedReplicas") < count(old, "replicas") - count(old, "updatedReplicas")
            || count(new, "readyReplicas") > count(old, "readyReplicas")
            || count(new, "availableReplicas") > count(old, "availableReplicas")
    }

    /// Writes the status if it is not so already, and looks again when the progress deadline is due.
    static func plan(_ own: DeploymentSets, now: Timestamp) -> ObjectPlan {
        let deployment = own.deployment
        var status = counted(own, now)
        var conditions = status["conditions"]?.array ?? []
        var plan = ObjectPlan()
        if let deadline = deadline(deployment) {
            judge(own, deployment["status"], status, deadline, &conditions, &plan, now)
        } else {
            Conditions.remove("Progressing", from: &conditions)
        }
        status["conditions"] = .array(conditions)
        if status != deployment["status"] {
            var new = deployment
            new["status"] = status
            plan.steps.append(.updateStatus(.deployment, new))
        }
        return plan
    }

    private static func judge(
        _ own: DeploymentSets, _ old: JSON?, _ status: JSON, _ deadline: Int64, _ conditions: inout [JSON], _ plan: inout ObjectPlan,
        _ now: Timestamp
    ) {
        let current = conditions.first { $0["type"] == "Progressing" }
        // A rollout that is through stays so, whatever becomes of single Pods, until the template changes.
        if current?["reason"] == "NewReplicaSetAvailable", count(status, "replicas") == count(status, "updatedReplicas") { return }
        let subject = own.new.map { "ReplicaSet \"\($0.name)\"" } ?? "Deployment \"\(own.deployment.name)\""
        func set(_ value: String, _ reason: String, _ message: String) {
            Conditions.set("Progressing", value, reason, message, in: &conditions, now: now, updateTime: true)
        }
        if isComplete(own, status) {
            set("True", "NewReplicaSetAvailable", "\(subject) has successfully progressed.")
        } else if hasProgressed(old, status) {
            set("True", "ReplicaSetUpdated", "\(subject) is progressing.")
        } else if let current, !["DeploymentPaused", "ProgressDeadlineExceeded"].contains(current["reason"]?.string) {
            let due = (current.time("lastUpdateTime") ?? now).seconds + deadline
            if current["reason"] == "NewReplicaSetAvailable" || now.seconds <= due {
                if current["reason"] != "NewReplicaSetAvailable" { plan.lookAgain(afterSeconds: due - now.seconds + 1) }
            } else {
                set("False", "ProgressDeadlineExceeded", "\(subject) has timed out progressing.")
            }
        }
        // What was just set is due later.
        if conditions.first(where: { $0["type"] == "Progressing" })?["reason"] == "ReplicaSetUpdated" {
            plan.lookAgain(afterSeconds: deadline + 1)
        }
    }

    /// Writes that a rollout has begun or gone on.
    static func progress(_ own: DeploymentSets, _ reason: String, _ message: String, _ now: Timestamp) -> ObjectPlan {
        var conditions = own.deployment["status"]?["conditions"]?.array ?? []
        Conditions.set("Progressing", "True", reason, message, in: &conditions, now: now, updateTime: true)
        var new = own.deployment
        new[path: ["status", "conditions"]] = .array(conditions)
        return ObjectPlan([.updateStatus(.deployment, new)])
    }
}
