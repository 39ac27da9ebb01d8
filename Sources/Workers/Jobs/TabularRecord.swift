import KnowledgeBase
import Learning

/// A tabular round as the knowledge base remembers it: samples by their names alone.
struct TabularRecord {
    private(set) var record: RoundRecord

    /// - Parameters:
    ///   - models: files by the round in which each was learned.
    ///   - earlier: path of the state before; nil in a first round.
    /// - Throws: `KnowledgeError` for a job whose name is none.
    init(
        _ settings: WorkerSettings, _ learner: TabularLearner, _ round: TabularLearner.Round, _ models: [Int: ModelFacts],
        datasets: [RoundRecord.Dataset], earlier: String?
    ) throws(KnowledgeError) {
        let report = round.lifelong
        record = RoundRecord(job: try JobName(settings.jobName), round: report.number, pod: settings.podName)
        record.datasets = datasets
        record.metrics = [
            "labelled": Double(round.newIDs.count), "labelled_so_far": Double(round.labelledIDs.count),
            "unlabelled": Double(round.unlabelledCount), "absent": Double(round.absentCount), "accuracy": round.outOfSample.accuracy,
            "log_loss": round.outOfSample.logLoss,
        ]
        addTasks(learner, round)
        addModels(report, models)
        addDecisions(report, models)
        let first = datasets[0].name
        let taskOfID = Dictionary(uniqueKeysWithValues: zip(round.labelledIDs, report.taskOfRow))
        record.samples = round.newIDs.map { id in
            .init(dataset: first, key: .number(Int64(id)), state: .labelled, task: taskOfID[id])
        }
        let known = Set(report.tasks.map(\.name))
        record.samples += round.unseen.map { row in
            .init(
                dataset: first, key: .number(Int64(row.id)), state: .unseen,
                task: row.recognition.task.flatMap { known.contains($0) ? $0 : nil })
        }
        record.relations = report.relations.map {
            .init(kind: "transfer", from: $0.from, to: $0.to, value: $0.transfer, rowCount: $0.rowCount)
        }
        addAdapters(learner, models)
    }

    private mutating func addTasks(_ learner: TabularLearner, _ round: TabularLearner.Round) {
        var fresh: [String: Int] = [:]
        for (id, task) in zip(round.labelledIDs, round.lifelong.taskOfRow) where round.newIDs.contains(id) { fresh[task, default: 0] += 1 }
        let attributes = learner.schema.roles.tasks
        record.tasks = round.lifelong.tasks.map { task in
            let words = task.name.split(separator: "_", omittingEmptySubsequences: false).map(String.init)
            let named = words.count == attributes.count ? Dictionary(uniqueKeysWithValues: zip(attributes, words)) : [:]
            var metrics = ["labelled_so_far": Double(task.sampleCount)]
            metrics["accuracy"] = round.tasksOutOfSample[task.name]?.accuracy
            return .init(name: task.name, attributes: named, sampleCount: fresh[task.name] ?? 0, metrics: metrics)
        }
    }

    private mutating func addModels(_ report: LifelongRound, _ models: [Int: ModelFacts]) {
        for (number, file) in models.sorted(by: { $0.key < $1.key }) where !record.models.contains(where: { $0.digest == file.digest }) {
            record.models.append(
                .init(
                    digest: file.digest, name: "\(record.job.name), round \(number)", sizeBytes: file.sizeBytes,
                    tasks: report.serving.filter { $0.value == number }.map(\.key),
                    datasets: number == report.number ? record.datasets.map(\.name) : [], metrics: ["trained_in_round": Double(number)]))
        }
    }

    private mutating func addDecisions(_ report: LifelongRound, _ models: [Int: ModelFacts]) {
        record.decisions = [
            .init(
                action: report.reasonToWait == nil ? "update" : "wait",
                reason: report.reasonToWait ?? "a new model learned from \(report.taskOfRow.count) labelled rows")
        ]
        for decision in report.decisions {
            let model = decision.deploys ? report.number : report.serving[decision.task]
            var figures = ["rows": Double(decision.rowCount)]
            figures["log_loss_difference"] = decision.difference
            figures["standard_error"] = decision.standardError
            record.decisions.append(
                .init(
                    action: decision.deploys ? "deploy" : "keep", task: decision.task, model: model.flatMap { models[$0]?.digest },
                    reason: decision.reason, figures: figures))
        }
    }

    private mutating func addAdapters(_ learner: TabularLearner, _ models: [Int: ModelFacts]) {
        guard let newest = learner.models.last, let file = models[newest.round] else { return }
        for layer in newest.adapters {
            for (subject, bias) in layer.biases.biases {
                record.adapters.append(
                    .init(kind: layer.attribute, subject: subject, model: file.digest, weights: bias.map { Float($0) }))
            }
        }
    }
}
