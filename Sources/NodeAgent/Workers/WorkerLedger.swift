import Resources

/// What the containers of one Pod have reported: what becomes of each report, and what the Pod's status says of it. Pure.
///
///     running ─► running …  ─► failed                         (final)
///                           ─► completed, no files            (final)
///                           ─► publishing ─► completed        (final)
///                           └─ any claim that is not true ─► refused (final)
///
/// Final is a life's last word: what it says after that is not taken, unless it says the same again. Reports of kind `inference` and
/// `deploy` are never final: each takes the place of the one before.
struct WorkerLedger: Sendable, Hashable {
    /// What one life of a container has said.
    struct Word: Sendable, Hashable {
        var life: ContainerID
        var state: WorkerState
        /// As it was sent: by that a repetition is known.
        var said: WorkerReport
        var at: Timestamp
        /// Places of results that are nothing the worker leaves: it was given them, and has judged them.
        var judged: Set<Int> = []
    }

    /// Why a report is not taken.
    struct Refusal: Error, Sendable, Hashable {
        /// HTTP status.
        var code: Int
        var message: String
        /// Seconds after which to try again; 0 for never.
        var retryAfterSeconds = 0
    }

    /// What has changed by a report.
    enum Step: Sendable, Hashable {
        /// Nothing: it was said before.
        case same
        case noted
        /// The worker is done and its files are to be taken.
        case publish
    }

    /// Reports of running workers that are taken at once after a quiet time, and a second in the long run.
    static let (burst, perSecond) = (50.0, 10.0)
    /// Time from one progress in the Pod's status to the next.
    static let progressPeriod: Duration = .seconds(1)
    /// Time after which a report that says the same as the last is shown to have come.
    static let heartbeatPeriod: Duration = .seconds(10)
    private static let sentenceBytesMax = 900

    /// Of the newest life that has reported.
    private(set) var word: Word?
    private var allowance = burst
    private var allowedAt: Duration?
    /// By uptime: when the status may say the next progress.
    private(set) var showAt: Duration = .zero
    private(set) var heartbeatAt: Duration = .zero

    // MARK: Reports

    /// Takes a report.
    ///
    /// - Parameter name: the worker's, for sentences; without its secret.
    mutating func take(_ report: WorkerReport, of life: ContainerID, named name: String, at now: Moment) throws(Refusal) -> Step {
        if let word, word.life.container == life.container, word.life.attempt > life.attempt {
            throw Refusal(code: 409, message: "worker \(name) has been started anew since this one began; what it says is no longer taken")
        }
        if let word, word.life == life {
            if word.said == report, word.state.reason != .running {
                if word.state.reason == .refused { throw Refusal(code: 400, message: word.state.report.message) }
                return .same
            }
            try checkIsOpen(life, name, report.status.rawValue)
        }
        if report.status == .running { try spend(name, now.uptime) }
        let state = Self.state(report)
        word = Word(life: life, state: state, said: report, at: now.time)
        return state.reason == .publishing ? .publish : .noted
    }

    /// - Throws: 409 if the life has said its last word.
    private func checkIsOpen(_ life: ContainerID, _ name: String, _ found: String) throws(Refusal) {
        guard let word, word.life == life, Self.isFinal(word) else { return }
        throw Refusal(
            code: 409,
            message: "worker \(name) has said \"\(word.said.status.rawValue)\" already, and that is its last word; found \"\(found)\"")
    }

    private static func isService(_ report: WorkerReport) -> Bool { ["inference", "infer", "deploy"].contains(report.kind.lowercased()) }

    private static func isFinal(_ word: Word) -> Bool {
        switch word.state.reason {
        case .running: false
        case .refused, .publishing: true
        case .completed, .failed: !isService(word.said)
        }
    }

    private static func state(_ report: WorkerReport) -> WorkerState {
        var report = report
        let hasFiles = report.results.contains { !$0.url.isEmpty }
        switch report.status {
        case .running: return WorkerState(.running, report)
        case .failed: return WorkerState(.failed, report)
        case .completed where !hasFiles || isService(report): return WorkerState(.completed, report)
        case .completed:
            // Digests and sizes are what the agent finds; what the worker claims is only compared with it.
            for place in report.results.indices { (report.results[place].digest, report.results[place].size) = ("", nil) }
            return WorkerState(.publishing, report)
        }
    }

    /// A worker that reports without end gets to hear so.
    private mutating func spend(_ name: String, _ now: Duration) throws(Refusal) {
        let seconds = (now - (allowedAt ?? now)) / .seconds(1)
        allowance = min(Self.burst, allowance + seconds * Self.perSecond)
        allowedAt = now
        guard allowance >= 1 else {
            throw Refusal(
                code: 429,
                message:
                    "worker \(name) reports more than \(Int(Self.perSecond)) times a second; this report is dropped, report less often",
                retryAfterSeconds: 1)
        }
        allowance -= 1
    }

    /// A worker says that it is done, in words that cannot be taken.
    ///
    /// - Throws: always; 400 with the sentence, or 409 if its last word was said before.
    mutating func refuseClaim(_ sentence: String, of life: ContainerID, named name: String, at time: Timestamp) throws(Refusal) {
        if word?.state.reason != .refused { try checkIsOpen(life, name, "completed") }
        refuse(sentence, of: life, at: time)
        throw Refusal(code: 400, message: sentence)
    }

    /// A claim of completion was not true, or not acceptable.
    ///
    /// - Parameter life: nothing happens if a later one has reported since.
    mutating func refuse(_ sentence: String, of life: ContainerID, at time: Timestamp) {
        var sentence = sentence
        while sentence.utf8.count > Self.sentenceBytesMax { sentence.removeLast() }
        if let word, word.life != life, word.life.container == life.container, word.life.attempt > life.attempt { return }
        var report = WorkerReport(.completed, message: sentence)
        report.kind = word?.life == life ? word!.state.report.kind : ""
        let said = word?.life == life && word?.state.reason == .publishing ? word!.said : report
        word = Word(life: life, state: WorkerState(.refused, report), said: said, at: time)
    }

    // MARK: Publishing

    /// The digests of all files are known.
    ///
    /// - Parameter judged: places of results that were given to the worker.
    mutating func found(_ digests: [Int: String], judged: Set<Int> = [], of life: ContainerID) {
        guard word?.life == life, word?.state.reason == .publishing else { return }
        for (place, digest) in digests { word!.state.report.results[place].digest = digest }
        word!.judged.formUnion(judged)
        settle()
    }

    private mutating func settle() { if unpublished.isEmpty, word?.state.reason == .publishing { word!.state.reason = .completed } }

    /// The cloud has a file. With the last one the worker has completed.
    mutating func published(_ place: Int, size: Int64, of life: ContainerID) {
        guard word?.life == life, word?.state.reason == .publishing else { return }
        word!.state.report.results[place].size = size
        word!.state.report.message = word!.said.message
        settle()
    }

    /// Why a file is not with the cloud yet; shown until it is.
    mutating func isHeldUp(_ sentence: String, of life: ContainerID) {
        guard word?.life == life, word?.state.reason == .publishing else { return }
        var sentence = sentence
        while sentence.utf8.count > Self.sentenceBytesMax { sentence.removeLast() }
        word!.state.report.message = sentence
    }

    /// Results with files that the cloud does not have yet.
    var unpublished: [Int] {
        guard let word, word.state.reason == .publishing else { return [] }
        return word.state.report.results.indices.filter {
            let result = word.state.report.results[$0]
            return !result.url.isEmpty && result.size == nil && !word.judged.contains($0)
        }
    }

    // MARK: Keeping

    /// What is kept with a life, so that another agent can go on.
    var bytes: [UInt8] {
        guard let word else { return [] }
        let json: JSON = [
            "reason": .string(word.state.reason.rawValue), "report": word.state.report.json, "said": word.said.json,
            "at": .integer(word.at.seconds), "judged": .array(word.judged.sorted().map { .integer(Int64($0)) }),
        ]
        return json.bytes()
    }

    /// Takes what an agent before has kept with a life; the newest of several counts. What is not readable is left out.
    mutating func restore(_ bytes: [UInt8], of life: ContainerID) {
        guard let json = try? JSONParser.parse(bytes), let reason = json["reason"]?.string.flatMap({ WorkerState.Reason(rawValue: $0) }),
            let report = json["report"].flatMap({ try? WorkerReport($0) }), let said = json["said"].flatMap({ try? WorkerReport($0) }),
            let at = json["at"]?.integer
        else { return }
        if let word, (word.at.seconds, word.life) > (at, life) { return }
        word = Word(life: life, state: WorkerState(reason, report), said: said, at: Timestamp(seconds: at))
        word!.judged = Set((json["judged"]?.array ?? []).compactMap { $0.integer.map { Int($0) } })
    }

    // MARK: Showing

    /// The condition that a Pod's status should have; nil to leave it as it is, also because the next progress may not be shown yet.
    ///
    /// - Parameters:
    ///   - known: the Pod's conditions as the server has them.
    mutating func condition(_ known: [JSON], at now: Moment) -> JSON? {
        guard let word else { return nil }
        let old = known.first { $0["type"]?.string == WorkerContract.condition }
        let isSameStatus = old?["status"]?.string == word.state.status
        let since = isSameStatus ? old?["lastTransitionTime"]?.string.flatMap { Timestamp($0) } ?? now.time : now.time
        var new = word.state.condition(since: since)
        new["lastProbeTime"] = .string(word.at.text)
        guard new != old else { return nil }
        let isProgress = old?["reason"]?.string == WorkerState.Reason.running.rawValue && word.state.reason == .running
        let saysSame = isSameStatus && old?["message"] == new["message"] && old?["reason"] == new["reason"]
        if isProgress || saysSame, now.uptime < (saysSame ? heartbeatAt : showAt) { return nil }
        showAt = now.uptime + Self.progressPeriod
        heartbeatAt = now.uptime + Self.heartbeatPeriod
        return new
    }

    /// By uptime: when to ask for the condition again although nobody has reported; nil if it is as it should be.
    func showAgainAt(_ known: [JSON]) -> Duration? {
        guard let word, let old = known.first(where: { $0["type"]?.string == WorkerContract.condition }) else { return nil }
        var new = word.state.condition(since: .init(seconds: 0))
        new["lastTransitionTime"] = old["lastTransitionTime"]
        new["lastProbeTime"] = .string(word.at.text)
        if new == old { return nil }
        return old["message"] == new["message"] ? heartbeatAt : showAt
    }
}
