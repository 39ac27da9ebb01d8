import Resources

/// A job's status while a plan is made: conditions of which one of Sedna's is True, the round under way, the newest rounds. Pure.
struct JobStatus: Sendable {
    /// Rounds that stay in the status.
    static let roundsKept = 10
    /// Rounds and rollbacks that wait for the knowledge base; no round begins while so many do.
    static let unrecordedMax = 2 * roundsKept
    /// Figures of a round that stay in the status.
    static let figuresKept = 24

    private(set) var job: JSON
    private let before: JSON?
    private let component: String
    private let now: Timestamp
    private(set) var notes: [EventNote] = []

    init(_ job: JSON, by component: String, now: Timestamp) {
        (self.job, self.component, self.now) = (job, component, now)
        before = job["status"]
        if job["status"]?["startTime"] == nil { self["startTime"] = .string(now.text) }
    }

    /// A field of the status.
    subscript(key: String) -> JSON? {
        get { job["status"]?[key] }
        set { job[path: ["status", key]] = newValue }
    }

    /// A field within the status.
    subscript(path path: [String]) -> JSON? {
        get { job[path: ["status"] + path] }
        set { job[path: ["status"] + path] = newValue }
    }

    /// The round under way; nil between rounds.
    var work: JobWork? {
        get { JobWork(self["work"]) }
        set { self["work"] = newValue?.json }
    }

    /// The number of the newest round that has ended; 0 before the first.
    var endedRound: Int64 { self["round"]?.integer ?? 0 }

    /// Rows of each data set that some round has learned from, or (`attempted`) has tried to.
    func rows(_ key: String) -> [String: RowRange] {
        Dictionary((self[key]?.array ?? []).compactMap { RowRange($0) }.map { ($0.dataset, $0) }, uniquingKeysWith: { $1 })
    }

    mutating func setRows(_ key: String, _ rows: [RowRange]) {
        var all = self.rows(key)
        for range in rows { all[range.dataset] = RowRange(dataset: range.dataset, from: 0, to: range.to, version: range.version) }
        self[key] = .array(all.values.sorted { $0.dataset < $1.dataset }.map(\.json))
    }

    // MARK: Conditions

    /// Says where the stage stands. A change is told by an Event.
    mutating func set(_ stage: Stage, _ phase: StagePhase, _ reason: String, _ message: String, isWarning: Bool = false) {
        var conditions = self["conditions"]?.array ?? []
        let old = conditions.last
        let isSame =
            old?["type"]?.string == phase.rawValue && old?["status"] == "True" && old?["stage"]?.string == stage.rawValue
            && old?["reason"]?.string == reason
        if isSame, old?["message"]?.string == message { return }
        for other in StagePhase.allCases where other != phase {
            guard let place = conditions.firstIndex(where: { $0["type"]?.string == other.rawValue }), conditions[place]["status"] == "True"
            else {
                continue
            }
            conditions[place]["status"] = "False"
            conditions[place]["lastTransitionTime"] = .string(now.text)
        }
        // Sedna's programs take the last one for the state.
        let known = conditions.first { $0["type"]?.string == phase.rawValue }
        conditions.removeAll { $0["type"]?.string == phase.rawValue }
        let wasTrue = known?["status"] == "True" && known?["stage"]?.string == stage.rawValue
        conditions.append([
            "type": .string(phase.rawValue), "status": "True", "stage": .string(stage.rawValue), "reason": .string(reason),
            "message": .string(message), "lastHeartbeatTime": .string(now.text),
            "lastTransitionTime": wasTrue ? known?["lastTransitionTime"] ?? .string(now.text) : .string(now.text),
        ])
        self["conditions"] = .array(conditions)
        self["stage"] = .string(stage.rawValue)
        if !isSame { tell("\(stage.rawValue)\(phase.rawValue)", message.isEmpty ? reason : message, isWarning: isWarning) }
    }

    /// Says whether the newest round has passed a stage: what `kubectl wait --for=condition=Deployed` waits for.
    mutating func setDone(_ stage: Stage, _ isDone: Bool, _ reason: String, _ message: String) {
        var conditions = self["conditions"]?.array ?? []
        let last = conditions.last.flatMap { $0["stage"] == nil ? nil : $0 }
        if last != nil { conditions.removeLast() }
        let old = conditions.first { $0["type"]?.string == stage.doneCondition }
        if !(Conditions.isSame(old, isDone ? "True" : "False", reason) && old?["message"]?.string == message) {
            Conditions.set(stage.doneCondition, isDone ? "True" : "False", reason, message, in: &conditions, now: now)
        }
        if let last { conditions.append(last) }
        self["conditions"] = .array(conditions)
    }

    mutating func tell(_ reason: String, _ message: String, isWarning: Bool = false) {
        notes.append(EventNote(job, isWarning: isWarning, reason, message, by: component))
    }

    // MARK: Rounds

    /// Has the knowledge base take in what the round's worker recorded; of one that recorded nothing its model, with the figures it was judged by.
    ///
    /// - Parameter base: `sha256:…` of the model that the round went on from.
    mutating func addUnrecorded(_ work: JobWork, pod: String, base: String?) {
        guard let ruling = work.decision, let model = work.model else { return }
        let record = work.trained.first { $0.format == "knowledge" && !$0.digest.isEmpty }
        guard record != nil || !model.digest.isEmpty else { return }
        var entry = KnowledgeEntry(
            job: ObjectKey(job), round: work.round, pod: pod, record: record?.digest ?? "", model: model.digest,
            isDeployed: ruling.deploys, reason: ruling.reason, figures: ruling.deploys ? LifelongHistory(self["matrix"]).figures : [:])
        if record == nil {
            entry.made = MadeModel(format: model.format, size: model.size ?? 0, base: base == model.digest ? nil : base)
            let figures = (work.evaluated.first?.metrics ?? [:]).compactMap { name, value in value.number.map { (name, $0) } }
                .sorted { $0.0 < $1.0 }.prefix(Self.figuresKept)
            entry.figures.merge(figures) { $1 }
        }
        let tail = "-manifest.json"
        for file in work.collected where file.name.hasSuffix(tail) && !file.digest.isEmpty {
            entry.departures[String(file.name.dropLast(tail.count))] = file.digest
        }
        addUnrecorded(entry)
    }

    /// Has the knowledge base take something in.
    mutating func addUnrecorded(_ entry: KnowledgeEntry) {
        self["unrecorded"] = .array(((self["unrecorded"]?.array ?? []) + [entry.json]).suffix(Self.unrecordedMax))
    }

    /// Remembers what the next models are judged by as well, and how good this one is on the rows of each round.
    mutating func remember(_ work: JobWork, holdsNothingOut: Bool) {
        var matrix = LifelongHistory(self["matrix"])
        matrix.add(
            round: work.round, new: work.evaluated.first?.metrics ?? [:], standing: work.evaluated.dropFirst().first?.metrics)
        self["matrix"] = matrix.json
        guard !holdsNothingOut else { return }
        var heldOut = HeldOut(self["heldOut"])
        heldOut.add(HeldOut.of(work))
        self["heldOut"] = heldOut.json
    }

    /// Ends the round under way: what it came to stays among the newest rounds.
    mutating func endRound(_ result: String, _ reason: String, version: Int64?, metrics: JSONObject) {
        guard let work else { return }
        count(result)
        var round: JSON = [
            "round": .integer(work.round), "startTime": .string(work.startTime.text), "completionTime": .string(now.text),
            "samples": .integer(work.rows.reduce(0) { $0 + $1.count }), "result": .string(result),
            "reason": .string(String(reason.prefix(1024))),
        ]
        round["version"] = version.map { .integer($0) }
        round["accuracy"] = metrics["accuracy"] ?? metrics["precision_score"]
        let kept = metrics.filter { $0.1.number != nil }.sorted { $0.0 < $1.0 }.prefix(Self.figuresKept)
        if !kept.isEmpty { round["metrics"] = .object(JSONObject(kept.map { ($0.0, $0.1) })) }
        self["rounds"] = .array(((self["rounds"]?.array ?? []) + [round]).suffix(Self.roundsKept))
        self["round"] = .integer(work.round)
        self["work"] = nil
        self["progress"] = nil
        self["nodeName"] = nil
        setRows("attempted", work.rows)
    }

    /// Counts a round, or one that was taken back later, among all of its result.
    mutating func count(_ result: String) {
        var results = self["results"]
        if results == nil {
            // Of a job that began before they were counted the newest are known.
            let ended = (self["rounds"]?.array ?? []).compactMap { $0["result"]?.string }
            let known = Dictionary(ended.map { ($0, 1 as Int64) }, uniquingKeysWith: +)
            results = .object(JSONObject(known.sorted { $0.key < $1.key }.map { ($0.key, .integer($0.value)) }))
        }
        let count = results?[result]?.integer ?? 0
        results?[result] = .integer(count + 1)
        self["results"] = results
    }

    /// The write that makes the status what it has become, and its Events; nothing if nothing changed.
    var steps: [ObjectPlan.Step] {
        guard job["status"] != before else { return [] }
        let kind: ResourceKind = job["kind"]?.string == "LifelongLearningJob" ? .lifelongLearningJob : .incrementalLearningJob
        return [.updateStatus(kind, job)] + notes.map { .note($0) }
    }
}
