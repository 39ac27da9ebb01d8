package import KnowledgeBase
package import Learning
package import ThermalComfort

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Our method, taking down after each round what it knows then, for the knowledge base.
///
/// Predicts as the method does; what is taken down never reaches it.
package struct RememberingMethod: LifelongMethod, Sendable {
    /// What the rounds are called and where their rows come from.
    package struct Origin: Sendable {
        /// Under which the knowledge base knows the rounds.
        package var job: JobName
        /// The worker named in the records.
        package var pod: String
        /// The first one holds the samples: their keys are its record ids.
        package var datasets: [RoundRecord.Dataset]

        /// Traps without a data set.
        package init(job: JobName, pod: String, datasets: [RoundRecord.Dataset]) {
            precondition(!datasets.isEmpty, "samples belong to a data set")
            self.job = job
            self.pod = pod
            self.datasets = datasets
        }
    }

    /// A model as it is deployed.
    package struct File: Sendable {
        /// SHA-256, 64 lower-case hexadecimal digits.
        package var digest: String
        /// Of the whole ONNX file.
        package var sizeBytes: Int

        /// Made by whoever writes the model's file; the digest is not checked here.
        package init(digest: String, sizeBytes: Int) {
            self.digest = digest
            self.sizeBytes = sizeBytes
        }
    }

    /// Its state after the last round learned.
    package private(set) var method: SkerryMethod
    /// Oldest first.
    package private(set) var records: [RoundRecord] = []
    private let origin: Origin
    private let hardFrom: Double
    private let file: @Sendable (RetainedModel) throws -> File
    /// By the round a model was trained in, its digest after the last round learned.
    package private(set) var digests: [Int: String]

    /// Uncertainty from which a row is hard, as a share of what knowing nothing would be: entropy / log of the number of classes.
    package static let usualHardFrom = 0.95

    /// - Parameters:
    ///   - hardFrom: see `usualHardFrom`; 0...1.
    ///   - digests: those of a method that has learned rounds before.
    ///   - file: the file a model would be deployed as, its corrections included.
    package init(
        _ method: SkerryMethod, from origin: Origin, hardFrom: Double = usualHardFrom, digests: [Int: String] = [:],
        file: @escaping @Sendable (RetainedModel) throws -> File
    ) {
        precondition((0...1).contains(hardFrom), "a share lies in 0...1, found \(hardFrom)")
        self.method = method
        self.origin = origin
        self.hardFrom = hardFrom
        self.digests = digests
        self.file = file
    }

    /// That of the method: to judges the two are one.
    package var name: String { method.name }

    /// As the method; asking takes down nothing.
    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities { try method.predict(rows) }

    /// Learns as the method, then adds a record: what it knew of the rows before the round, and what it knows after.
    ///
    /// - Throws: what the method throws, and what making a model's file throws.
    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        // Before the round is learned: judged by what was known when the rows came.
        let arrivals = try Arrivals(round, known: method, hardFrom: hardFrom)
        let outcome = try method.learn(round)
        let files = try method.models.map { ($0.round, try file($0)) }
        var knowledge = RoundKnowledge(round, origin, outcome)
        knowledge.add(arrivals)
        if let report = method.rounds.last, report.number == round.number {
            knowledge.add(report, files: Dictionary(uniqueKeysWithValues: files), earlier: digests)
            if let newest = method.models.last { knowledge.add(newest, files, report.taskOfRow) }
        }
        for (number, file) in files { digests[number] = file.digest }
        records.append(knowledge.record)
        return outcome
    }

    /// The records with what the judge found on the test rows, which the method never learned from.
    package func records(judgedBy evaluation: MethodEvaluation) -> [RoundRecord] {
        var judged = records
        for index in judged.indices {
            for (round, accuracy) in evaluation.matrix.values[judged[index].round].enumerated() where accuracy.isFinite {
                judged[index].metrics["test_accuracy_round_\(round)"] = accuracy
            }
        }
        guard let last = judged.indices.last else { return [] }
        judged[last].metrics["test_accuracy"] = evaluation.metrics.accuracy
        judged[last].metrics["test_log_loss"] = evaluation.metrics.logLoss
        judged[last].metrics["backward_transfer"] = evaluation.backwardTransfer
        judged[last].metrics["forward_transfer"] = evaluation.forwardTransfer
        judged[last].metrics["forgetting"] = evaluation.forgetting
        return judged
    }
}

/// The rows of a round that nobody was paid to label, as the models of the rounds before saw them.
private struct Arrivals {
    let hardFrom: Double
    var samples: [(id: Int, state: RoundRecord.Sample.State, task: String?, score: Double?)] = []
    var count = 0
    /// Rows unlike those of known places, and rows that came in batches unlike every known task.
    var unseenSamples = 0, unseenTasks = 0

    init(_ round: ComfortRound, known method: SkerryMethod, hardFrom: Double) throws {
        self.hardFrom = hardFrom
        let labelled = Set(round.labelled.rows.recordIDs)
        let rounds = round.poolSoFar.rounds, ids = round.poolSoFar.recordIDs
        let fresh = round.poolSoFar.rows(ids.indices.filter { rounds[$0] == round.number && !labelled.contains(ids[$0]) })
        count = fresh.count
        guard !fresh.isEmpty else { return }
        guard !method.models.isEmpty else {
            samples = fresh.recordIDs.map { ($0, .unseen, nil, nil) }
            return
        }
        let recognitions = try method.recognise(fresh)
        unseenSamples = recognitions.count(where: \.isUnseenSample)
        unseenTasks = recognitions.count(where: \.isUnseenTask)
        let probabilities = try method.predict(fresh)
        let classCount = probabilities.classCount
        for (row, id) in fresh.recordIDs.enumerated() {
            let shares = probabilities.values[row * classCount..<(row + 1) * classCount]
            let uncertainty = normalisedEntropy(shares.map(Double.init))
            let task = recognitions[row].task
            // A model that is unsure is the stronger reason to ask for a label than a place it does not know.
            if task != nil, uncertainty >= hardFrom {
                samples.append((id, .hard, task, uncertainty))
            } else if recognitions[row].isUnseen {
                samples.append((id, .unseen, task, uncertainty))
            }
        }
    }
}

/// One record in the making.
private struct RoundKnowledge {
    private(set) var record: RoundRecord
    private let round: ComfortRound
    private var dataset: String { record.datasets[0].name }

    init(_ round: ComfortRound, _ origin: RememberingMethod.Origin, _ outcome: RoundOutcome) {
        self.round = round
        record = RoundRecord(job: origin.job, round: round.number, pod: origin.pod)
        record.datasets = origin.datasets
        record.metrics = ["labelled": Double(round.labelled.count), "labelled_so_far": Double(round.labelledSoFar.count)]
        switch outcome {
        case .updated(let records):
            record.decisions = [.init(action: "update", reason: "a new model learned from \(records.count) labelled votes")]
        case .kept(let reason): record.decisions = [.init(action: "wait", reason: reason)]
        }
        record.samples = round.labelled.rows.recordIDs.map {
            .init(dataset: origin.datasets[0].name, key: .number(Int64($0)), state: .labelled)
        }
    }

    mutating func add(_ arrivals: Arrivals) {
        record.metrics["unlabelled"] = Double(arrivals.count)
        record.metrics["unseen_samples"] = Double(arrivals.unseenSamples)
        record.metrics["unseen_task_samples"] = Double(arrivals.unseenTasks)
        record.metrics["hard_from"] = arrivals.hardFrom
        let name = dataset
        record.samples += arrivals.samples.map {
            .init(dataset: name, key: .number(Int64($0.id)), state: $0.state, task: $0.task, score: $0.score)
        }
    }

    /// Tasks, the gate's decisions and relations; `files` by the round in which a model was trained.
    mutating func add(_ report: LifelongRound, files: [Int: RememberingMethod.File], earlier: [Int: String]) {
        addTasks(report)
        for decision in report.decisions {
            let model = decision.deploys ? report.number : report.serving[decision.task]
            var figures = ["rows": Double(decision.rowCount)]
            figures["log_loss_difference"] = decision.difference
            figures["standard_error"] = decision.standardError
            record.decisions.append(
                .init(
                    action: decision.deploys ? "deploy" : "keep", task: decision.task, model: model.flatMap { files[$0]?.digest },
                    reason: decision.reason, figures: figures))
        }
        if let reason = report.reasonToWait {
            // Its corrections were fitted anew: the file that serves is another one.
            for (task, number) in report.serving.sorted(by: { $0.key < $1.key }) {
                record.decisions.append(.init(action: "keep", task: task, model: files[number]?.digest, reason: reason))
            }
        }
        for (number, file) in files.sorted(by: { $0.key < $1.key }) where !record.models.contains(where: { $0.digest == file.digest }) {
            let parent = earlier[number].flatMap { $0 == file.digest ? nil : $0 }
            record.models.append(
                .init(
                    digest: file.digest, name: "comfort, round \(number)", sizeBytes: file.sizeBytes,
                    tasks: report.serving.filter { $0.value == number }.map(\.key), parents: parent.map { [$0] } ?? [],
                    datasets: record.datasets.map(\.name), metrics: ["trained_in_round": Double(number)]))
        }
        record.relations += report.relations.map {
            .init(kind: "transfer", from: $0.from, to: $0.to, value: $0.transfer, rowCount: $0.rowCount)
        }
        record.relations += sameBuilding(report)
    }

    private mutating func addTasks(_ report: LifelongRound) {
        let rows = round.labelledSoFar.rows
        let rounds = rows.rounds, ids = rows.recordIDs
        var fresh: [String: Int] = [:]
        var taskOfID: [Int: String] = [:]
        for (row, task) in report.taskOfRow.enumerated() where rounds[row] == round.number {
            fresh[task, default: 0] += 1
            taskOfID[ids[row]] = task
        }
        let attributes = attributes(of: report)
        record.tasks = report.tasks.map { task in
            .init(
                name: task.name, attributes: attributes[task.name] ?? [:], sampleCount: fresh[task.name] ?? 0,
                metrics: ["labelled_so_far": Double(task.sampleCount)])
        }
        for index in record.samples.indices {
            guard record.samples[index].state == .labelled, case .number(let id) = record.samples[index].key else { continue }
            record.samples[index].task = taskOfID[Int(id)]
        }
    }

    /// Season and cooling where the task's name is made of them; another definition's tasks have no attributes.
    private func attributes(of report: LifelongRound) -> [String: [String: String]] {
        let rows = round.labelledSoFar.rows
        let seasons = rows.seasons, cooling = rows.coolingTypes
        func word(_ text: String) -> String { String(text.filter { $0 != " " }.map { $0 == "_" ? "-" : $0 }) }
        var result: [String: [String: String]] = [:]
        for (row, task) in report.taskOfRow.enumerated() where result[task] == nil {
            if task == "\(word(seasons[row]))_\(word(cooling[row]))" { result[task] = ["season": seasons[row], "cooling": cooling[row]] }
        }
        return result
    }

    /// How many of the labelled votes of two tasks come from buildings that have both, as a share.
    private func sameBuilding(_ report: LifelongRound) -> [RoundRecord.Relation] {
        var votes: [String: [Int: Int]] = [:]
        for (building, task) in zip(round.labelledSoFar.rows.buildingIDs, report.taskOfRow) {
            votes[task, default: [:]][building, default: 0] += 1
        }
        let names = votes.keys.sorted()
        var relations: [RoundRecord.Relation] = []
        for (index, first) in names.enumerated() {
            for second in names[(index + 1)...] {
                let shared = Set(votes[first]!.keys).intersection(votes[second]!.keys)
                guard !shared.isEmpty else { continue }
                let both = shared.reduce(0) { $0 + votes[first]![$1]! + votes[second]![$1]! }
                let all = votes[first]!.values.reduce(0, +) + votes[second]!.values.reduce(0, +)
                relations.append(
                    .init(kind: "same-building", from: first, to: second, value: Double(both) / Double(all), rowCount: both))
            }
        }
        return relations
    }

    /// The corrections of the newest model for sites and persons.
    mutating func add(_ newest: RetainedModel, _ files: [(Int, RememberingMethod.File)], _ taskOfRow: [String]) {
        addResidualSimilarity(newest, taskOfRow)
        guard let file = files.first(where: { $0.0 == newest.round })?.1 else { return }
        let rows = round.labelledSoFar.rows
        let keys = rows.tasks
        let counts = [
            "site": Dictionary(grouping: keys.sites) { $0 }.mapValues(\.count),
            "person": Dictionary(grouping: keys.persons.compactMap { $0 }) { $0 }.mapValues(\.count),
        ]
        for layer in newest.adapters {
            for (subject, bias) in layer.biases.biases {
                record.adapters.append(
                    .init(
                        kind: layer.attribute, subject: subject, model: file.digest, sampleCount: counts[layer.attribute]?[subject] ?? 0,
                        weights: bias.map(Float.init)))
            }
        }
    }

    /// How alike the mean residuals of two tasks are: the cosine of the site corrections of the newest model, averaged over labelled votes.
    private mutating func addResidualSimilarity(_ newest: RetainedModel, _ taskOfRow: [String]) {
        guard let sites = newest.adapters.first(where: { $0.attribute == "site" })?.biases else { return }
        var sums: [String: (bias: [Double], count: Int)] = [:]
        for (site, task) in zip(round.labelledSoFar.rows.tasks.sites, taskOfRow) {
            guard let bias = sites.biases[site] else { continue }
            let sum = sums[task] ?? ([Double](repeating: 0, count: bias.count), 0)
            sums[task] = (zip(sum.bias, bias).map(+), sum.count + 1)
        }
        let names = sums.keys.sorted()
        for (index, first) in names.enumerated() {
            for second in names[(index + 1)...] {
                guard let cosine = cosine(sums[first]!.bias, sums[second]!.bias) else { continue }
                record.relations.append(
                    .init(
                        kind: "residual-similarity", from: first, to: second, value: cosine,
                        rowCount: min(sums[first]!.count, sums[second]!.count)))
            }
        }
    }
}

/// 0 for certainty, 1 for equal shares.
private func normalisedEntropy(_ shares: [Double]) -> Double {
    let entropy = shares.reduce(0.0) { sum, share in share > 0 ? sum - share * log(share) : sum }
    return entropy / log(Double(shares.count))
}

/// −1 … 1; nil where one of the two is 0.
private func cosine(_ left: [Double], _ right: [Double]) -> Double? {
    func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).map(*).reduce(0, +) }
    let length = (product(left, left) * product(right, right)).squareRoot()
    return length > 0 ? max(-1, min(1, product(left, right) / length)) : nil
}
