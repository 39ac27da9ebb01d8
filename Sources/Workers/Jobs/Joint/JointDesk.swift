import Inference
import Learning
import Resources
import Serving
import Synchronization

/// An edge worker's side of joint inference: decides which rows the large model is asked about, keeps the budget, takes answers in, and counts.
final class JointDesk: Sendable {
    /// Rows whose two answers are remembered until a label tells who was right, at most; the oldest are forgotten.
    fileprivate static let rememberedMax = 4096

    /// Exact counts, those of earlier lives among them where `LIVES_URL` remembers them.
    struct Counts: Equatable {
        var answered = 0, hard = 0, uploaded = 0, changed = 0, helped = 0, hurt = 0, failures = 0, questions = 0
        var bytesUp = 0, bytesDown = 0
        /// Of what the small model was asked, as all workers count it.
        var unseen = 0, refused = 0, failed = 0
        /// Of all questions together.
        var microseconds = 0
    }

    fileprivate struct Remembered {
        var small: String
        var large: String
        var number: Int
    }

    fileprivate struct State {
        var budget: UploadBudget
        var gain = LearnedGain()
        var lots: SeededGenerator
        var counts: Counts
        var remembered: [String: Remembered] = [:]
        var meanRowBytes = 200.0
    }

    /// Rows as they came: what the small model saw and said of them.
    struct Batch {
        /// How the large model is asked about them: as they were asked about here.
        var form: JointForm
        var probabilities: ClassProbabilities
        /// Row by row, as many a row for each; none where a row has no numbers worth learning from.
        var features: [Float]
        /// Nil where rows name none.
        var sites: [String?]
        var classNames: [String]
        /// What was detected in each row; nil of a model that tells classes apart. Nothing is learned of it.
        var detections: Detections?
    }

    /// Rows in their order with what is to be said of them.
    struct Decided {
        var probabilities: ClassProbabilities
        var isHard: [Bool]
        var isFromCloud: [Bool]
        /// All outputs, the large model's rows among them; of forms that have some.
        var outputs: [NamedTensor] = []
    }

    private let filter: HardExampleFilter
    private let link: JointLink?
    private let seconds: @Sendable () -> Double
    private let label: String
    private let state: Mutex<State>
    /// Used under the lock of `state` alone.
    private let kept: KeptCounts?
    /// Rows that earlier lives have answered.
    let answeredBefore: Int
    private let explored: Double
    /// Seconds within which questions about a request begin, and for each of them.
    private let deadline: Double

    /// - Returns: nil unless `JOINT=true`.
    /// - Throws: `WorkerInputError` for a filter or budget that is none.
    init?(_ settings: WorkerSettings, seconds: @escaping @Sendable () -> Double) throws {
        guard try settings.flag("JOINT", default: false) else { return nil }
        let (filter, limit, parameters) = try HardExamples.filter(settings, usual: "Margin")
        self.filter = filter
        kept = try KeptCounts(settings)
        let counts = Counts(kept?.found ?? [:])
        answeredBefore = counts.answered
        state = Mutex(
            State(budget: UploadBudget(limit, filter: filter), lots: SeededGenerator(seed: try settings.seed()), counts: counts))
        let milliseconds = parameters["deadline_ms"].flatMap { Double($0) } ?? 1000
        deadline = milliseconds / 1000
        link = try JointLink(settings, deadline: .milliseconds(Int64(milliseconds)))
        // A filter that learns must now and then see rows that it thinks little of.
        explored = filter.rule == .learnedGain ? 0.01 : 0
        label = try settings.learner() == .thermalComfort ? ComfortJob.roles.label : settings["LABEL_COLUMN"] ?? "label"
        self.seconds = seconds
    }

    /// What reports say of it: Sedna's names where it has one.
    var info: JSONObject {
        let (counts, threshold) = state.withLock { ($0.counts, $0.budget.threshold) }
        func decimal(_ value: Double) -> JSON { .decimal("\((value * 10_000).rounded() / 10_000)") }
        var info: JSONObject = [
            "unseenNumber": .integer(Int64(counts.unseen)), "refusedNumber": .integer(Int64(counts.refused)),
            "errors": .integer(Int64(counts.failed)),
            "hardExampleNumber": .integer(Int64(counts.hard)), "uploadNumber": .integer(Int64(counts.uploaded)),
            "uploadCloudRatio": decimal(Double(counts.uploaded) / Double(max(counts.answered, 1))),
            "uploadBytes": .integer(Int64(counts.bytesUp)), "downloadBytes": .integer(Int64(counts.bytesDown)),
            "changedNumber": .integer(Int64(counts.changed)), "helpedNumber": .integer(Int64(counts.helped)),
            "hurtNumber": .integer(Int64(counts.hurt)), "cloudFailures": .integer(Int64(counts.failures)),
            "questionNumber": .integer(Int64(counts.questions)),
            "cloudLatencyMillis": decimal(Double(counts.microseconds) / 1000 / Double(max(counts.questions, 1))),
        ]
        if threshold.isFinite { info["hardnessThreshold"] = decimal(threshold) }
        return info
    }

    /// Asks the large model about the rows that are hard, as far as the budget and the link allow; within the deadline, else the small model's
    /// answer stands.
    func decide(_ batch: Batch) async -> Decided {
        let count = batch.probabilities.rowCount
        var decided = Decided(
            probabilities: batch.probabilities, isHard: [Bool](repeating: false, count: count),
            isFromCloud: [Bool](repeating: false, count: count), outputs: batch.form.outputs)
        let now = seconds()
        let isOpen = batch.form.isAskable && link?.isOpen(batch.form.kind, now: now) ?? false
        let (hard, chosen, imitated, rowBytes) = state.withLock { $0.choose(batch, filter, explored, isOpen: isOpen, now: now) }
        for row in hard { decided.isHard[row] = true }
        // A model's own outputs stay as they are: what the large one would say of each of them is not learned.
        if !imitated.isEmpty, batch.form.outputs.isEmpty {
            decided.probabilities = ClassProbabilities(classCount: batch.classNames.count, values: imitated)
        }
        let end = now + deadline
        for part in batch.form.questions(about: chosen) {
            // No question begins behind the deadline, or a failure; rows that nobody is asked about any more are not paid.
            let time = seconds()
            guard time < end, link?.begins(batch.form.kind, now: time) == true else {
                state.withLock { $0.budget.giveBack(rows: part.count, bytes: rowBytes) }
                continue
            }
            await ask(Array(part), batch, rowBytes, &decided)
        }
        keep()
        return decided
    }

    /// Counts are on the disk before the answer leaves.
    private func keep() {
        if let kept { state.withLock { kept.keep($0.counts.json) } }
    }

    /// Rows of which nobody can say how hard they are.
    func answeredAlone(_ count: Int) {
        state.withLock { $0.counts.answered += count }
        keep()
    }

    /// Counts rows that the small model does not know the task of, that were refused, and requests that it failed at.
    func count(unseen: Int = 0, refused: Int = 0, failed: Int = 0) {
        guard (unseen, refused, failed) != (0, 0, 0) else { return }
        state.withLock { state in
            state.counts.unseen += unseen
            state.counts.refused += refused
            state.counts.failed += failed
        }
        keep()
    }

    /// One question, and what its answer changes.
    ///
    /// - Parameter rowBytes: what each row has been paid for.
    private func ask(_ rows: [Int], _ batch: Batch, _ rowBytes: Int, _ decided: inout Decided) async {
        guard let link else { return }
        let begin = seconds()
        let question = batch.form.question(about: rows, without: label)
        let body = await link.ask(question, batch.form.kind, now: seconds)
        let answer = body.flatMap { batch.form.read($0, rows.count, batch.classNames) }
        let took = seconds() - begin
        state.withLock { $0.take(answer?.probabilities, batch, rows, label, rowBytes, (question.count, body?.count ?? 0), took) }
        guard let answer else { return }
        var values = decided.probabilities.values
        let classes = batch.classNames.count
        for (place, row) in rows.enumerated() {
            for k in 0..<classes { values[row * classes + k] = answer.probabilities[place * classes + k] }
            decided.isFromCloud[row] = true
        }
        decided.probabilities = ClassProbabilities(classCount: classes, values: values)
        batch.form.put(answer.outputs, at: rows, into: &decided.outputs)
    }

    /// Labels of rows that the large model was asked about say who was right.
    ///
    /// - Returns: how many were of such rows.
    @discardableResult
    func told(_ table: TextTable) -> Int {
        guard let place = table.columns.firstIndex(of: label) else { return 0 }
        defer { keep() }
        return state.withLock { state in
            var count = 0
            for fields in table.rows where !fields[place].isEmpty {
                if state.learnLabel(fields[place], of: JointForm.key(table.columns, fields, label)) { count += 1 }
            }
            return count
        }
    }

    /// Labels of rows that were asked about by inputs of the model: an input more, of words or whole numbers.
    ///
    /// - Returns: how many were of such rows; nil where no input has the label's name.
    func told(_ inputs: [NamedTensor]) -> Int? {
        guard let labels = inputs.first(where: { $0.name == label })?.tensor, let words = labels.words else { return nil }
        let others = inputs.filter { $0.name != label }
        guard others.allSatisfy({ $0.tensor.shape.first == words.count }) else { return nil }
        let form = JointForm.tensors(others, outputs: [], shares: 0)
        let keys = words.indices.map { form.key($0, label) }
        defer { keep() }
        return state.withLock { state in
            zip(words, keys).count { word, key in !word.isEmpty && state.learnLabel(word, of: key) }
        }
    }

    func close() async { await link?.close() }
}

extension JointDesk.Counts {
    private static let names: [(String, WritableKeyPath<Self, Int> & Sendable)] = [
        ("answered", \.answered), ("hard", \.hard), ("uploaded", \.uploaded), ("changed", \.changed), ("helped", \.helped),
        ("hurt", \.hurt), ("failures", \.failures), ("questions", \.questions), ("bytesUp", \.bytesUp), ("bytesDown", \.bytesDown),
        ("microseconds", \.microseconds), ("unseen", \.unseen), ("refused", \.refused), ("failed", \.failed),
    ]

    /// As `json` has them; what is missing is 0.
    fileprivate init(_ kept: JSONObject) {
        for (name, path) in Self.names { self[keyPath: path] = kept[name]?.integer.flatMap { Int(exactly: max($0, 0)) } ?? 0 }
    }

    fileprivate var json: JSONObject {
        JSONObject(Self.names.map { name, path in (name, .integer(Int64(self[keyPath: path]))) })
    }
}

extension JointDesk.State {
    /// - Returns: whether the label is of a row that the large model was asked about.
    fileprivate mutating func learnLabel(_ word: String, of key: String) -> Bool {
        guard let known = remembered.removeValue(forKey: key) else { return false }
        if known.large == word, known.small != word { counts.helped += 1 }
        if known.small == word, known.large != word { counts.hurt += 1 }
        return true
    }

    /// - Returns: rows that are hard, those of them that are asked about, what the large model is expected to say of all, where that is learned, and
    ///   the bytes that each row asked about has been paid for.
    fileprivate mutating func choose(
        _ batch: JointDesk.Batch, _ filter: HardExampleFilter, _ explored: Double, isOpen: Bool, now: Double
    ) -> (hard: [Int], chosen: [Int], imitated: [Float], rowBytes: Int) {
        let rowBytes = Int(meanRowBytes)
        var hard: [Int] = [], chosen: [Int] = [], imitated: [Float] = []
        for row in 0..<batch.probabilities.rowCount {
            let seen = batch.row(row)
            let isLearned = filter.rule == .learnedGain && batch.detections == nil, expected = isLearned ? gain.expected(seen) : 0
            if isLearned { imitated += gain.imitated(seen) }
            let lot = Double.random(in: 0..<1, using: &lots), isExplored = Double.random(in: 0..<1, using: &lots) < explored
            let answer = batch.detections.map { SmallAnswer.detections($0.scores[row]) } ?? .classes(seen.shares)
            let hardness = filter.hardness(of: answer, lot: lot, classNames: batch.classNames, gain: expected)
            counts.answered += 1
            // Nothing is taken from the account while nobody can be asked.
            var trial = budget
            let takes = trial.takes(hardness: isExplored ? 1 : hardness, bytes: rowBytes, now: now)
            if hardness >= trial.threshold { hard.append(row) }
            if takes, isOpen { chosen.append(row) }
            if !takes || isOpen { budget = trial }
        }
        counts.hard += hard.count
        return (hard, chosen, imitated, rowBytes)
    }

    /// Takes the answer in; nil for none.
    fileprivate mutating func take(
        _ found: [Float]?, _ batch: JointDesk.Batch, _ chosen: [Int], _ label: String, _ rowBytes: Int,
        _ bytes: (up: Int, down: Int), _ took: Double
    ) {
        counts.questions += 1
        counts.microseconds += Int(took * 1_000_000)
        counts.bytesUp += bytes.up
        counts.bytesDown += bytes.down
        budget.settle(extraBytes: bytes.up + bytes.down - rowBytes * chosen.count)
        meanRowBytes += (Double(bytes.up + bytes.down) / Double(chosen.count) - meanRowBytes) * 0.1
        guard let found else {
            counts.failures += 1
            return
        }
        let classes = batch.classNames.count
        counts.uploaded += chosen.count
        guard batch.detections == nil else { return }
        for (place, row) in chosen.enumerated() {
            let seen = batch.row(row), large = Array(found[place * classes..<(place + 1) * classes])
            gain.learn(seen, large: large)
            let mine = batch.probabilities.predictedClass(row: row), theirs = large.indices.max { large[$0] < large[$1] } ?? mine
            counts.changed += mine == theirs ? 0 : 1
            remembered[batch.form.key(row, label)] = .init(
                small: batch.classNames[mine], large: batch.classNames[theirs], number: counts.uploaded + place)
        }
        guard remembered.count > JointDesk.rememberedMax else { return }
        // An eighth goes at once, so that the oldest are not looked for at each row.
        let surplus = remembered.count - JointDesk.rememberedMax * 7 / 8
        let first = remembered.values.map(\.number).sorted()[surplus]
        remembered = remembered.filter { $0.value.number >= first }
    }
}

extension JointDesk.Batch {
    fileprivate func row(_ row: Int) -> LearnedGain.Row {
        let classes = probabilities.classCount, width = features.count / max(probabilities.rowCount, 1)
        return LearnedGain.Row(
            shares: Array(probabilities.values[row * classes..<(row + 1) * classes]),
            features: Array(features[row * width..<(row + 1) * width]), site: sites[row])
    }
}
