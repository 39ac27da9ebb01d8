import Resources

/// Takes a version back that its live figures speak against. What is decided stands in the status before anything is done, so that a plan
/// stopped in between goes on with the same.
extension RoundPlan {
    /// The decision to go back, as `status.rollback`.
    struct Rollback: Sendable, Hashable {
        /// The version that is taken back, and the one that serves again.
        var from: Int64
        var to: Int64
        /// The round that made it.
        var round: Int64
        var reason: String

        init(from: Int64, to: Int64, round: Int64, reason: String) {
            (self.from, self.to, self.round, self.reason) = (from, to, round, reason)
        }

        init?(_ json: JSON?) {
            guard let from = json?["from"]?.integer, let to = json?["to"]?.integer, let round = json?["round"]?.integer else { return nil }
            self.init(from: from, to: to, round: round, reason: json?["reason"]?.string ?? "")
        }

        var json: JSON {
            ["from": .integer(from), "to": .integer(to), "round": .integer(round), "reason": .string(reason)]
        }
    }

    /// - Returns: whether a version is being taken back: nothing else is done meanwhile.
    mutating func rollBack() -> Bool {
        if let rollback = Rollback(status["rollback"]) {
            finish(rollback)
            return true
        }
        let rules = job["spec"]?["deploySpec"]?["rollback"]?.array ?? []
        guard canBeTakenBack, let deployed = status["previous"],
            let version = deployed["version"]?.integer, let model = world.models[style.deployedModel],
            ModelVersions(model).serving == version
        else { return false }
        let live = LiveFigures(version: version, pods: Array(world.pods.values), known: status["live"])
        if live.json != status["live"] { status["live"] = live.json }
        // A worker may refuse a version after others have gone on with it.
        let refusal = canary == nil ? nil : CanaryWatch.refusal(of: version, Array(world.pods.values)).map { "on trial: \($0)" }
        guard let breach = refusal ?? live.breach(of: rules) else { return false }
        let to = deployed["to"]?.integer ?? 0
        guard to > 0 ? ModelVersions(model).version(to) != nil : model.controller == nil else {
            // Told once: the same figures go on.
            if status["live"]?["told"]?.bool != true {
                status[path: ["live", "told"]] = true
                status.tell("RollbackImpossible", "\(breach); there is no version to go back to from \(version)", isWarning: true)
            }
            return false
        }
        let rollback = Rollback(from: version, to: to, round: deployed["round"]?.integer ?? status.endedRound, reason: breach)
        if let work = status.work { cancel(work, "version \(version), which it goes on from, is taken back") }
        status["rollback"] = rollback.json
        status.set(.deploy, .running, "RollingBack", "model \(style.deployedModel) goes back from version \(version) to \(to): \(breach)")
        return true
    }

    private mutating func finish(_ rollback: Rollback) {
        if let model = world.models[style.deployedModel], ModelVersions(model).serving == rollback.from {
            var versions = ModelVersions(model)
            do throws(ModelVersionError) {
                try versions.promote(rollback.to, now: world.now)
                return steps.append(.updateStatus(.model, versions.model))
            } catch {
                // Gone since it was decided.
                status["rollback"] = nil
                return status.tell("RollbackImpossible", "\(rollback.reason); \(error)", isWarning: true)
            }
        }
        let taken = world.models[style.deployedModel].flatMap { ModelVersions($0).version(rollback.from) }
        if let digest = taken?["digest"] { withdraw(digest) }
        let message =
            "round \(rollback.round): version \(rollback.from) was taken back, version \(rollback.to) serves again: \(rollback.reason)"
        forget(rollback, message)
        status.setDone(.deploy, false, "RolledBack", message)
        status.set(.deploy, .failed, "RolledBack", message, isWarning: true)
        let train = pods.name(WorkerPods.Role(word: "train", type: "train", round: rollback.round))
        status.addUnrecorded(
            KnowledgeEntry(
                job: ObjectKey(job), round: rollback.round, pod: "\(train).\(job.uid.prefix(8)).rollback", record: "",
                model: taken?["digest"]?.string ?? "", isDeployed: false, reason: rollback.reason))
    }

    /// The next round goes on from what served before, and learns the rows again.
    private mutating func forget(_ rollback: Rollback, _ message: String) {
        let before = status["previous"]
        status["state"] = before?["state"]
        status["learned"] = before?["learned"]
        var matrix = LifelongHistory(status["matrix"]), heldOut = HeldOut(status["heldOut"])
        matrix.remove(round: rollback.round)
        heldOut.remove(round: rollback.round)
        (status["matrix"], status["heldOut"]) = (matrix.json, heldOut.json)
        status.count("RolledBack")
        status["model"] = rollback.to > 0 ? .string("\(style.deployedModel)/\(rollback.to)") : nil
        status["rounds"] = .array(
            (status["rounds"]?.array ?? []).map { round in
                guard round["round"]?.integer == rollback.round else { return round }
                var round = round
                round["result"] = "RolledBack"
                round["reason"] = .string(String(message.prefix(1024)))
                round["version"] = .integer(rollback.to)
                return round
            })
        for key in ["previous", "live", "rollback"] { status[key] = nil }
    }

    /// Digests of models that are not deployed again.
    static let withdrawnMax = 32

    /// Remembers a model that was taken back.
    mutating func withdraw(_ digest: JSON) {
        status["withdrawn"] = .array(((status["withdrawn"]?.array ?? []) + [digest]).suffix(Self.withdrawnMax))
    }

    private var canBeTakenBack: Bool { canary != nil || job["spec"]?["deploySpec"]?["rollback"]?.array?.isEmpty == false }

    /// What to go back to, should the new version do badly.
    mutating func remember(previous version: Int64, to: Int64, round: Int64, state: JSON?, learned: JSON?) {
        guard canBeTakenBack else { return status["previous"] = nil }
        var before: JSON = ["version": .integer(version), "to": .integer(to), "round": .integer(round)]
        before["state"] = state
        before["learned"] = learned
        status["previous"] = before
    }
}
