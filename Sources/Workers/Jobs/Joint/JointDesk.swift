import Learning
import Resources
import Synchronization

/// An edge worker's side of joint inference: decides which rows the large model is asked about, keeps the budget, takes answers in, and counts.
final class JointDesk: Sendable {
    /// Rows whose two answers are remembered until a label tells who was right.
    fileprivate static let rememberedMax = 4096

    /// Exact counts of this life.
    struct Counts: Equatable {
        var answered = 0, hard = 0, uploaded = 0, changed = 0, helped = 0, hurt = 0, failures = 0, questions = 0
        var bytesUp = 0, bytesDown = 0
        var seconds = 0.0
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
        var counts = Counts()
        var remembered: [String: Remembered] = [:]
        var meanRowBytes = 200.0
    }

    /// Rows of one question: what the small model saw and said of them.
    struct Batch {
        /// All the rows' columns but the label.
        var table: TextTable
        var probabilities: ClassProbabilities
        var features: FeatureMatrix
        var sites: [String?]
        var classNames: [String]
    }

    /// Rows in their order with what is to be said of them.
    struct Decided {
        var probabilities: ClassProbabilities
        var isHard: [Bool]
        var isFromCloud: [Bool]
    }

    private let filter: HardExampleFilter
    private let link: JointLink?
    private let seconds: @Sendable () -> Double
    private let label: String
    private let state: Mutex<State>
    private let explored: Double

    /// - Returns: nil unless `JOINT=true`.
    /// - Throws: `WorkerInputError` for a filter or budget that is none.
    init?(_ settings: WorkerSettings, seconds: @escaping @Sendable () -> Double) throws {
        guard try settings.flag("JOINT", default: false) else { return nil }
        let (filter, limit, parameters) = try HardExamples.filter(settings, usual: "Margin")
        self.filter = filter
        state = Mutex(State(budget: UploadBudget(limit, filter: filter), lots: SeededGenerator(seed: try settings.seed())))
        let milliseconds = parameters["deadline_ms"].flatMap { Double($0) } ?? 1000
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
            "hardExampleNumber": .integer(Int64(counts.hard)), "uploadNumber": .integer(Int64(counts.uploaded)),
            "uploadCloudRatio": decimal(Double(counts.uploaded) / Double(max(counts.answered, 1))),
            "uploadBytes": .integer(Int64(counts.bytesUp)), "downloadBytes": .integer(Int64(counts.bytesDown)),
            "changedNumber": .integer(Int64(counts.changed)), "helpedNumber": .integer(Int64(counts.helped)),
            "hurtNumber": .integer(Int64(counts.hurt)), "cloudFailures": .integer(Int64(counts.failures)),
            "cloudLatencyMillis": decimal(1000 * counts.seconds / Double(max(counts.questions, 1))),
        ]
        if threshold.isFinite { info["hardnessThreshold"] = decimal(threshold) }
        return info
    }

    /// Asks the large model about the rows that are hard, as far as the budget and the link allow; within the deadline, else the small model's
    /// answer stands.
    func decide(_ batch: Batch) async -> Decided {
        var decided = Decided(
            probabilities: batch.probabilities, isHard: batch.table.rows.map { _ in false },
            isFromCloud: batch.table.rows.map { _ in false })
        let now = seconds()
        let isOpen = link?.isOpen(now: now) ?? false
        let (hard, chosen, imitated) = state.withLock { $0.choose(batch, filter, explored, isOpen: isOpen, now: now) }
        for row in hard { decided.isHard[row] = true }
        if !imitated.isEmpty { decided.probabilities = ClassProbabilities(classCount: batch.classNames.count, values: imitated) }
        guard let link, !chosen.isEmpty else { return decided }
        let question = Self.question(batch.table.rows(chosen), without: label)
        let answer = await link.ask(question, now: seconds)
        let took = seconds() - now
        let found = answer.flatMap { Self.probabilities($0, rows: chosen.count, batch.classNames) }
        state.withLock { $0.take(found, batch, chosen, label, (question.count, answer?.count ?? 0), took) }
        guard let found else { return decided }
        var values = decided.probabilities.values
        let classes = batch.classNames.count
        for (place, row) in chosen.enumerated() {
            for k in 0..<classes { values[row * classes + k] = found[place * classes + k] }
            decided.isFromCloud[row] = true
        }
        decided.probabilities = ClassProbabilities(classCount: classes, values: values)
        return decided
    }

    /// Labels of rows that the large model was asked about say who was right.
    ///
    /// - Returns: how many were of such rows.
    @discardableResult
    func told(_ table: TextTable) -> Int {
        guard let place = table.columns.firstIndex(of: label) else { return 0 }
        return state.withLock { state in
            var count = 0
            for fields in table.rows where !fields[place].isEmpty {
                guard let known = state.remembered.removeValue(forKey: Self.key(table.columns, fields, label)) else { continue }
                count += 1
                if known.large == fields[place], known.small != fields[place] { state.counts.helped += 1 }
                if known.small == fields[place], known.large != fields[place] { state.counts.hurt += 1 }
            }
            return count
        }
    }

    func close() async { await link?.close() }

    // MARK: Words

    fileprivate static func key(_ columns: [String], _ fields: [String], _ label: String) -> String {
        zip(columns, fields).filter { $0.0 != label }.sorted { $0.0 < $1.0 }.map { "\($0.0)=\($0.1)" }.joined(separator: "\n")
    }

    private static func question(_ table: TextTable, without label: String) -> [UInt8] {
        let shape: JSON = [.integer(Int64(table.count))]
        let inputs = table.columns.enumerated().filter { $0.element != label }.map { place, name -> JSON in
            ["name": .string(name), "datatype": "BYTES", "shape": shape, "data": .array(table.rows.map { .string($0[place]) })]
        }
        return JSON.object(["inputs": .array(inputs), "outputs": [["name": "probabilities"], ["name": "class"]]]).bytes()
    }

    /// Nil for an answer of other rows or classes.
    private static func probabilities(_ body: [UInt8], rows: Int, _ classNames: [String]) -> [Float]? {
        guard let json = try? JSONParser.parse(body, limits: .init(depthMax: 8, bytesMax: 4 << 20)), let outputs = json["outputs"]?.array
        else {
            return nil
        }
        func data(_ name: String) -> [JSON] { outputs.first { $0["name"]?.string == name }?["data"]?.array ?? [] }
        let values = data("probabilities").map { Float($0.number ?? .nan) }, words = data("class").map { $0.string ?? "" }
        let classes = classNames.count
        guard values.count == rows * classes, words.count == rows, values.allSatisfy(\.isFinite) else { return nil }
        let found = ClassProbabilities(classCount: classes, values: values)
        // The same number of classes in another order would be other classes.
        guard (0..<rows).allSatisfy({ classNames[found.predictedClass(row: $0)] == words[$0] }) else { return nil }
        return values
    }
}

extension JointDesk.State {
    /// - Returns: rows that are hard, those of them that are asked about, and what the large model is expected to say of all, where that is learned.
    fileprivate mutating func choose(
        _ batch: JointDesk.Batch, _ filter: HardExampleFilter, _ explored: Double, isOpen: Bool, now: Double
    ) -> (hard: [Int], chosen: [Int], imitated: [Float]) {
        var hard: [Int] = [], chosen: [Int] = [], imitated: [Float] = []
        for row in 0..<batch.probabilities.rowCount {
            let seen = batch.row(row)
            let expected = filter.rule == .learnedGain ? gain.expected(seen) : 0
            if filter.rule == .learnedGain { imitated += gain.imitated(seen) }
            let lot = Double.random(in: 0..<1, using: &lots), isExplored = Double.random(in: 0..<1, using: &lots) < explored
            let hardness = filter.hardness(of: .classes(seen.shares), lot: lot, classNames: batch.classNames, gain: expected)
            counts.answered += 1
            // Nothing is taken from the account while nobody can be asked.
            var trial = budget
            let takes = trial.takes(hardness: isExplored ? 1 : hardness, bytes: Int(meanRowBytes), now: now)
            if hardness >= trial.threshold { hard.append(row) }
            if takes, isOpen { chosen.append(row) }
            if !takes || isOpen { budget = trial }
        }
        counts.hard += hard.count
        return (hard, chosen, imitated)
    }

    /// Takes the answer in; nil for none.
    fileprivate mutating func take(
        _ found: [Float]?, _ batch: JointDesk.Batch, _ chosen: [Int], _ label: String, _ bytes: (up: Int, down: Int), _ took: Double
    ) {
        counts.questions += 1
        counts.seconds += took
        counts.bytesUp += bytes.up
        counts.bytesDown += bytes.down
        budget.settle(extraBytes: bytes.up + bytes.down - Int(meanRowBytes) * chosen.count)
        meanRowBytes += (Double(bytes.up + bytes.down) / Double(chosen.count) - meanRowBytes) * 0.1
        guard let found else {
            counts.failures += 1
            return
        }
        let classes = batch.classNames.count
        counts.uploaded += chosen.count
        for (place, row) in chosen.enumerated() {
            let seen = batch.row(row), large = Array(found[place * classes..<(place + 1) * classes])
            gain.learn(seen, large: large)
            let mine = batch.probabilities.predictedClass(row: row), theirs = large.indices.max { large[$0] < large[$1] } ?? mine
            counts.changed += mine == theirs ? 0 : 1
            let key = JointDesk.key(batch.table.columns, batch.table.rows[row], label)
            remembered[key] = .init(small: batch.classNames[mine], large: batch.classNames[theirs], number: counts.uploaded + place)
        }
        while remembered.count > JointDesk.rememberedMax, let oldest = remembered.min(by: { $0.value.number < $1.value.number }) {
            remembered[oldest.key] = nil
        }
    }
}

extension JointDesk.Batch {
    fileprivate func row(_ row: Int) -> LearnedGain.Row {
        let classes = probabilities.classCount, width = features.columnCount
        return LearnedGain.Row(
            shares: Array(probabilities.values[row * classes..<(row + 1) * classes]),
            features: Array(features.values[row * width..<(row + 1) * width]), site: sites[row])
    }
}
