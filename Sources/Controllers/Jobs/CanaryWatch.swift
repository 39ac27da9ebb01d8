import Resources

/// What the workers that serve tell of a new version on trial: each has it answer a share of its requests, judges it by its errors, its speed and its
/// answers, and then goes on with it or without it. Pure.
struct CanaryWatch: Sendable {
    /// How a trial stands.
    enum Finding: Sendable, Equatable {
        /// A sentence with the requests answered so far, and when the time is up.
        case goesOn(String, seconds: Int64)
        case passed
        /// A worker refused the version, or somebody had another one serve; why, in a sentence.
        case refused(String)
    }

    /// Share of the requests; as the workers' variables say it.
    let share: Double
    /// Requests that one worker asks the version before it decides.
    let requests: Int64
    /// Seconds after which a version passes that no worker has refused.
    let seconds: Int64

    /// - Parameter deploy: `spec.deploySpec`; nil if it asks for no trial.
    init?(_ deploy: JSON?) {
        guard let share = deploy?["canary"]?.number, share > 0, share < 1 else { return nil }
        func bound(_ field: String) -> Int64 {
            let known = SednaRules.canaryBounds.first { $0.field == field }!
            return deploy?[field]?.integer.flatMap { known.range.contains($0) ? $0 : nil } ?? known.default
        }
        (self.share, requests, seconds) = (share, bound("canaryRequests"), bound("canarySeconds"))
    }

    /// Variables of the workers that serve.
    func add(to fittings: inout WorkerPods.Fittings) {
        fittings.add("CANARY_SHARE", JSON.number(share).text)
        fittings.add("CANARY_REQUESTS", "\(requests)")
        // What served before, kept over the worker's lives: a trial goes on in the next one.
        let folder = "\(WorkerPods.prefix)/lives"
        fittings.volumes.append((["name": "jobs-lives", "emptyDir": [:]], folder))
        fittings.add("LIVES_URL", folder)
    }

    /// - Parameters:
    ///   - version: the one on trial.
    ///   - began: when it was added.
    ///   - pods: the job's.
    func finding(version: Int64, began: Timestamp, pods: [JSON], now: Timestamp) -> Finding {
        if let refusal = Self.refusal(of: version, pods) { return .refused(refusal) }
        let told = pods.compactMap(Self.told)
        if told.contains(where: { Self.number($0["canaryPassed"]) == version }) { return .passed }
        // Workers that began anew, or know no trials, have gone on with it: there is nothing left to compare it with.
        if !told.isEmpty, told.allSatisfy({ Self.number($0["modelVersion"]) == version }) { return .passed }
        let left = began.seconds + seconds - now.seconds
        guard left > 0 else { return .passed }
        let trials = told.filter { Self.number($0["canaryVersion"]) == version }
        let answered = trials.reduce(0) { $0 + ($1["canaryRequests"]?.integer ?? 0) }
        let workers = trials.count == 1 ? "1 worker" : "\(trials.count) workers"
        return .goesOn(
            "version \(version) answers a share of \(share) of the requests on trial at \(workers): \(answered) so far, \(requests) at one"
                + " are needed, or \(seconds) s without a word against it", seconds: left)
    }

    /// Why a worker goes on without a version; nil if none says so.
    static func refusal(of version: Int64, _ pods: [JSON]) -> String? {
        for pod in pods.sorted(by: { $0.name < $1.name }) {
            guard let info = told(pod), number(info["canaryRefused"]) == version else { continue }
            let node = PodFacts.nodeName(pod).map { " on node \($0)" } ?? ""
            return "pod \(pod.name)\(node): \((info["canaryResult"]?.string ?? "refused on trial").prefix(400))"
        }
        return nil
    }

    private static func told(_ pod: JSON) -> JSONObject? {
        guard pod.labels.contains(where: { $0.0.hasSuffix(".sedna.io/worker-type") && $0.1 == "inference" }), !pod.isBeingDeleted else {
            return nil
        }
        return WorkerState(pod)?.report.ownerInfo
    }

    private static func number(_ value: JSON?) -> Int64? { value?.integer ?? value?.string.flatMap { Int64($0) } }
}

/// A new version that first answers a share of the requests.
extension RoundPlan {
    var canary: CanaryWatch? { CanaryWatch(job["spec"]?["deploySpec"]) }

    /// Looks at the trial of a round's version.
    ///
    /// - Returns: whether the round may end with it.
    mutating func passesTrial(_ version: JSON, of entry: ModelVersions, _ work: JobWork) -> Bool {
        let number = version["version"]?.integer ?? 0
        guard let canary, let before = version["parent"]?.integer, before > 0 else { return true }
        let began = version.time("createdAt") ?? work.startTime
        var finding = canary.finding(version: number, began: began, pods: Array(world.pods.values), now: world.now)
        if entry.serving != number {
            finding = .refused("somebody had version \(entry.serving) serve while version \(number) was on trial")
        }
        switch finding {
        case .passed: return true
        case .goesOn(let words, let seconds):
            status.set(.deploy, .running, "OnTrial", words)
            lookAgain(seconds)
        case .refused(let why):
            var work = work
            // Decided before anything is done: a plan that is stopped in between goes on with the same.
            work.decision = GateRuling(deploys: false, reason: "on trial: \(why)")
            status.work = work
            status.set(
                .deploy, .running, "RollingBack", "model \(style.deployedModel) goes back from version \(number) to \(before): \(why)")
        }
        return false
    }

    /// Has the version before serve again, where a round's own is still there to be taken back.
    ///
    /// - Returns: whether there is something to wait for.
    mutating func takesBack(_ version: JSON, of entry: ModelVersions) -> Bool {
        guard entry.serving == version["version"]?.integer, let before = version["parent"]?.integer else { return false }
        var entry = entry
        do throws(ModelVersionError) { try entry.promote(before, now: world.now) } catch {
            status.tell("RollbackImpossible", "\(error)", isWarning: true)
            return false
        }
        steps.append(.updateStatus(.model, entry.model))
        return true
    }

    /// Ends a round whose version was refused on trial: its rows are learned again, the same model is not deployed again.
    mutating func endRefused(_ work: JobWork, _ version: JSON, _ reason: String) {
        if let digest = version["digest"] { withdraw(digest) }
        let number = version["version"]?.integer ?? 0
        let serving = world.models[style.deployedModel].map { ModelVersions($0).serving } ?? 0
        let message = "round \(work.round): version \(number) was taken back, version \(serving) serves again: \(reason)"
        status.setDone(.deploy, false, "RolledBack", message)
        status.set(.deploy, .failed, "RolledBack", message, isWarning: true)
        status.endRound("RolledBack", reason, version: serving, metrics: work.evaluated.first?.metrics ?? [:])
    }
}
