import Inference
import KnowledgeBase
import Learning
package import Resources
import Storage
import Training

/// Learns a round: rows and what the round before left in, a model and what the next round needs out.
package enum TrainWorker {
    /// Blocks; the files are whole when it returns.
    ///
    /// - Throws: what is wrong with the job's variables and files; `FileWriteError`; `TrainingError`.
    package static func run(_ context: WorkerContext) throws -> [WorkerReport.Result] {
        switch try context.settings.learner() {
        case .tabular:
            let job = try TabularJob(context.settings)
            return job.roles.isNumber ? try NumberTraining(context, job).run() : try TabularTraining(context, job).run()
        case .thermalComfort: return try ComfortTraining(context).run()
        }
    }

    /// Where a round writes: `OUTPUT_URL` (Sedna's lifelong jobs), else `MODEL_URL` (its incremental jobs).
    static func output(_ settings: WorkerSettings) throws -> String {
        guard let folder = settings["OUTPUT_URL"] ?? settings["MODEL_URL"] else {
            throw WorkerInputError("neither OUTPUT_URL nor MODEL_URL is set: one must name the folder to write into")
        }
        try WorkerFile.makeFolder(folder)
        return folder
    }

    /// What the round before left: a path, nil in a first round.
    ///
    /// - Throws: `WorkerInputError` where there must be something and is not.
    static func earlier(_ settings: WorkerSettings) throws -> String? {
        let candidates = [settings["KNOWLEDGE_URL"], settings["BASE_MODEL_URL"]].compactMap { $0 }.map { path in
            if WorkerFile.isFolder(path) { return "\(path)/\(WorkerFile.state)" }
            return path.hasSuffix(".bin") ? path : "\(WorkerFile.folder(of: path))/\(WorkerFile.state)"
        }
        if let found = candidates.first(where: WorkerFile.exists) { return found }
        guard try !settings.flag("HAS_COMPLETED_INITIAL_TRAINING", default: false) else {
            throw WorkerInputError(
                "HAS_COMPLETED_INITIAL_TRAINING=true, but there is no \(candidates.first ?? "KNOWLEDGE_URL"); give the folder in which the"
                    + " round before left \(WorkerFile.state), or set it to false to learn from the beginning")
        }
        return nil
    }

    /// Whether the state holds rows: not those of the node's own data set in a lifelong job, which is given all of them in each round.
    static func keepsRows(_ files: TableFiles, _ settings: WorkerSettings) throws(WorkerInputError) -> Bool {
        guard settings["STATE_ROWS"] != nil else { return !files.isOfThisNode || settings["HAS_COMPLETED_INITIAL_TRAINING"] == nil }
        return try settings.choice("STATE_ROWS", of: ["kept", "referenced"]) == "kept"
    }

    /// What the R matrix of a job without held-out rows is made of: by round of the rows, `accuracy` of what serves now, and of the round
    /// that was learned `standing`, what served before, and `majority`, the most frequent class of the rounds before.
    static func roundFigures(
        _ rounds: [Int: HitCount], of number: Int, standing: HitCount?, majority: Double?
    ) -> [Int: [String: Double]] {
        var figures = rounds.mapValues { ["accuracy": $0.accuracy, "n": Double($0.rows)] }
        figures[number]?["standing"] = standing?.accuracy
        figures[number]?["majority"] = majority
        return figures
    }

    /// Writes where sites and persons have been met so far, where the rows are of several data sets (`TRAIN_DATASETS`, in the order of the files).
    ///
    /// - Parameters:
    ///   - earlier: the state that the round before left.
    ///   - keys: sites and persons of a table's rows, by the model's input.
    /// - Throws: `WorkerInputError` where the names are not as many as the files; what reading them throws.
    static func writePlaces(
        _ settings: WorkerSettings, _ files: TableFiles, earlier: String?, to output: String,
        keys: (TextTable) throws -> [String: [String?]]
    ) throws {
        let datasets = settings.list("TRAIN_DATASETS", separator: ";")
        guard !datasets.isEmpty else { return }
        guard datasets.count == files.paths.count else {
            throw WorkerInputError(
                "TRAIN_DATASETS names \(datasets.count) data sets, TRAIN_DATASET_URL \(files.paths.count) files; give one name a file")
        }
        let known = earlier.map { "\(WorkerFile.folder(of: $0))/\(WorkerFile.places)" }.flatMap { WorkerFile.exists($0) ? $0 : nil }
        // Of what earlier rounds have met nobody knows where: then no node can do without any of it.
        guard earlier == nil || known != nil else { return }
        var places = try known.map { try AdapterPlaces(try WorkerFile.read($0, limit: WorkerFile.stateBytesMax)) } ?? AdapterPlaces()
        for (path, dataset) in zip(files.paths, datasets) {
            places.add(try keys(try TextTable(source: path, GzipReader(path: path).next)), of: dataset)
        }
        try WorkerFile.write(places.bytes, output, WorkerFile.places)
    }

    /// The files of a round: the model first, with its figures.
    static func results(
        _ plan: ServingPlan, _ metrics: [String: Double], tasks: [String: [String: Double]] = [:], rounds: [Int: [String: Double]] = [:],
        _ output: String
    ) -> [WorkerReport.Result] {
        var results = [
            WorkerReport.Result(url: "\(output)/\(WorkerFile.model)", format: "onnx", metrics: metrics, tasks: tasks, rounds: rounds)
        ]
        for name in plan.files where name != WorkerFile.model {
            results.append(.init(url: "\(output)/\(name)", format: "onnx", metrics: ["round": Double(plan.rounds[name]!)]))
        }
        for (name, format) in [
            (WorkerFile.serving, "serving"), (WorkerFile.signs, "signs"), (WorkerFile.state, "state"), (WorkerFile.round, "knowledge"),
        ] {
            results.append(.init(url: "\(output)/\(name)", format: format))
        }
        let places = "\(output)/\(WorkerFile.places)"
        if WorkerFile.exists(places) { results.append(.init(url: places, format: "places")) }
        return results
    }
}

/// A round of a tabular job.
private struct TabularTraining {
    private let context: WorkerContext
    private let settings: WorkerSettings
    private let job: TabularJob

    init(_ context: WorkerContext, _ job: TabularJob) {
        (self.context, settings, self.job) = (context, context.settings, job)
    }

    func run() throws -> [WorkerReport.Result] {
        let output = try TrainWorker.output(settings)
        let earlier = try TrainWorker.earlier(settings)
        let files = try TableFiles(settings, "TRAIN_DATASET_URL", "CSV to learn from")
        let table = try files.table()
        let library = job.needsXGBoost ? try XGBoostLibrary(candidates: context.xgboost) : nil
        let counter = TickCounter(
            total: try job.boostingRounds * (PartialPooling.foldCount + 1), unit: "rounds", message: "learning from \(table.count) rows",
            context)
        let made = try job.learnerSettings(keepsRows: try TrainWorker.keepsRows(files, settings), library, tick: { counter.tick() })
        let origin = try KnowledgeOrigin(settings)
        var learner =
            if let earlier {
                try TabularLearner(state: try WorkerFile.read(earlier, limit: WorkerFile.stateBytesMax), source: earlier, made)
            } else {
                try TabularLearner(first: table, made)
            }
        if let earlier, origin?.isTaken == true { try learner.takeOver(keepsRows: made.keepsRows, source: earlier) }
        if settings["STATE_ROWS"] == "kept" { learner.keepRows() }
        let number = try settings.integer("ROUND", default: learner.nextRound, in: learner.nextRound...Int(Int32.max))!
        context.say("round \(number): \(table.count) rows of \(files.paths.joined(separator: ", "))")
        let round = try learner.learn(table, round: number)
        return try write(learner, round, files, earlier, to: output)
    }

    private func write(
        _ learner: TabularLearner, _ round: TabularLearner.Round, _ files: TableFiles, _ earlier: String?, to output: String
    ) throws -> [WorkerReport.Result] {
        let plan = ServingPlan(
            models: learner.models.map(\.round), serving: learner.serving, learner: .tabular, roles: learner.schema.roles)
        var models: [Int: ModelFacts] = [:]
        for model in learner.models {
            let version = "round \(model.round), seed \(try settings.seed())"
            let file = try model.deployed(
                featureNames: learner.schema.featureNames, classNames: learner.schema.classNames, version: version
            ).onnx()
            let name = plan.rounds.first { $0.value == model.round }!.key
            try WorkerFile.write(file, output, name)
            models[model.round] = ModelFacts(name: name, digest: ArtifactDigest(of: file).hex, sizeBytes: file.count)
        }
        try TrainWorker.writePlaces(settings, files, earlier: earlier, to: output) { try learner.schema.places($0) }
        var record = try TabularRecord(settings, learner, round, models, datasets: try files.datasets(), earlier: earlier).record
        try KnowledgeOrigin(settings)?.mark(&record, state: earlier)
        try WorkerFile.write(plan.json.bytes(order: .sorted), output, WorkerFile.serving)
        try WorkerFile.write(try learner.state(hasModels: false), output, WorkerFile.signs)
        try WorkerFile.write(Array(try record.canonical().json()), output, WorkerFile.round)
        // Last: whoever finds a state finds all that belongs to it.
        try WorkerFile.write(try learner.state(), output, WorkerFile.state)
        context.say(
            round.lifelong.reasonToWait.map { "no new model: \($0)" }
                ?? "a new model; \(round.lifelong.decisions.count { $0.deploys }) tasks take it")
        let rounds = TrainWorker.roundFigures(
            round.roundsOutOfSample, of: round.lifelong.number, standing: round.standing, majority: round.majority)
        return TrainWorker.results(plan, round.metrics, tasks: round.taskMetrics, rounds: rounds, output)
    }
}

/// A model's file.
struct ModelFacts {
    var name: String
    /// 64 digits.
    var digest: String
    var sizeBytes: Int
}

extension TabularLearner.Round {
    /// Tasks that are named in a report.
    private static let tasksMax = 64

    /// What the round says of its serving models on rows that they did not see.
    fileprivate var metrics: [String: Double] {
        var metrics = [
            "accuracy": outOfSample.accuracy, "macro_f1": outOfSample.macroF1, "log_loss": outOfSample.logLoss,
            "round": Double(lifelong.number), "samples": Double(labelledIDs.count), "new_samples": Double(newIDs.count),
            "unlabelled": Double(unlabelledCount), "trained": lifelong.reasonToWait == nil ? 1 : 0,
            "deployed_tasks": Double(lifelong.decisions.count { $0.deploys }), "task_count": Double(lifelong.tasks.count),
        ]
        if absentCount > 0 { metrics["absent_samples"] = Double(absentCount) }
        return metrics
    }

    /// Labelled rows of each task so far, and how many of them are answered right, the largest tasks.
    fileprivate var taskMetrics: [String: [String: Double]] {
        let largest = lifelong.tasks.sorted { ($1.sampleCount, $0.name) < ($0.sampleCount, $1.name) }.prefix(Self.tasksMax)
        return Dictionary(
            uniqueKeysWithValues: largest.map { task in
                var figures = ["samples": Double(task.sampleCount)]
                figures["accuracy"] = tasksOutOfSample[task.name]?.accuracy
                return (task.name, figures)
            })
    }
}

extension TabularSchema {
    /// Sites and persons of rows, by the model's input; of roles that the job does not name nothing.
    fileprivate func places(_ table: TextTable) throws -> [String: [String?]] {
        var keys: [String: [String?]] = [:]
        for (input, column) in [("site", roles.site), ("person", roles.person)] {
            if let column, table.columns.contains(column) { keys[input] = try table.words(column).map { $0.isEmpty ? nil : $0 } }
        }
        return keys
    }
}
