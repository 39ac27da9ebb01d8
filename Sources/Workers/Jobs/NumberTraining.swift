import Inference
import KnowledgeBase
import Learning
package import Resources
import Storage
import Training

/// A round of a tabular job whose label is a number.
struct NumberTraining {
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
        let library = try XGBoostLibrary(candidates: context.xgboost)
        let trees = try job.trees()
        let counter = TickCounter(
            total: trees.rounds * (PartialPooling.foldCount + 1), unit: "rounds", message: "learning from \(table.count) rows", context)
        var made = NumberLearner.Settings(roles: job.roles) { features, targets in
            try GradientBoostedTrees.estimating(targets, library, features: features, settings: trees) { _ in counter.tick() }
        }
        made.keepsRows = try TrainWorker.keepsRows(files, settings)
        var learner =
            if let earlier {
                try NumberLearner(state: try WorkerFile.read(earlier, limit: WorkerFile.stateBytesMax), source: earlier, made)
            } else {
                try NumberLearner(first: table, made)
            }
        if let earlier, try KnowledgeOrigin(settings)?.isTaken == true { try learner.takeOver(keepsRows: made.keepsRows, source: earlier) }
        if settings["STATE_ROWS"] == "kept" { learner.keepRows() }
        let number = try settings.integer("ROUND", default: learner.nextRound, in: learner.nextRound...Int(Int32.max))!
        context.say("round \(number): \(table.count) rows of \(files.paths.joined(separator: ", "))")
        let round = try learner.learn(table, round: number)
        return try write(learner, round, files, earlier, to: output)
    }

    private func write(
        _ learner: NumberLearner, _ round: NumberLearner.Round, _ files: TableFiles, _ earlier: String?, to output: String
    ) throws -> [WorkerReport.Result] {
        let version = "round \(round.number), seed \(try settings.seed())"
        let model = NumberModel(
            featureNames: learner.schema.featureNames, valueName: job.roles.label, version: version, trees: learner.trees!)
        let file = model.onnx()
        var record = RoundRecord(job: try JobName(settings.jobName), round: round.number, pod: settings.podName)
        record.datasets = try files.datasets()
        record.metrics = [
            "labelled": Double(round.newIDs.count), "labelled_so_far": Double(round.labelledIDs.count), "rmse": round.outOfSample.rmse,
        ]
        record.models = [
            .init(
                digest: ArtifactDigest(of: file).hex, name: "\(record.job.name), round \(round.number)", sizeBytes: file.count,
                datasets: record.datasets.map(\.name), metrics: ["trained_in_round": Double(round.number)])
        ]
        // Of no task: it serves all rows, unless the gate of the job holds it.
        record.decisions = [
            .init(action: "update", reason: "a new model learned from \(round.labelledIDs.count) labelled rows"),
            .init(action: "deploy", model: record.models[0].digest, reason: "all rows are learned anew, none by an older model"),
        ]
        let dataset = record.datasets[0].name
        record.samples = round.newIDs.map { .init(dataset: dataset, key: .number(Int64($0)), state: .labelled) }
        try KnowledgeOrigin(settings)?.mark(&record, state: earlier)
        try WorkerFile.write(file, output, WorkerFile.model)
        try WorkerFile.write(Array(try record.canonical().json()), output, WorkerFile.round)
        // Last: whoever finds a state finds all that belongs to it.
        try WorkerFile.write(learner.state(), output, WorkerFile.state)
        let figures = [
            "rmse": round.outOfSample.rmse, "mae": round.outOfSample.mae, "r2": round.outOfSample.r2, "round": Double(round.number),
            "samples": Double(round.labelledIDs.count), "new_samples": Double(round.newIDs.count),
            "unlabelled": Double(round.unlabelledCount), "absent_samples": Double(round.absentCount),
        ]
        return [
            .init(url: "\(output)/\(WorkerFile.model)", format: "onnx", metrics: figures),
            .init(url: "\(output)/\(WorkerFile.state)", format: "state"), .init(url: "\(output)/\(WorkerFile.round)", format: "knowledge"),
        ]
    }
}

/// Judges models that estimate a number.
struct NumberJudging {
    let context: WorkerContext
    let job: TabularJob

    /// - Parameter path: of an ONNX file, a folder with one, or a saved state.
    func judge(_ path: String, _ table: TextTable) throws -> WorkerReport.Result {
        let file = WorkerFile.isFolder(path) ? "\(path)/\(WorkerFile.model)" : path
        let found: (estimates: [Float], truth: [Float])
        if file.hasSuffix(".bin") {
            let learner = try NumberLearner(
                state: try WorkerFile.read(file, limit: WorkerFile.stateBytesMax), source: file,
                NumberLearner.Settings(roles: job.roles) { _, _ in throw NoTraining.Refused() })
            let (rows, truth) = try labelled(table, learner.schema)
            found = (try learner.predict(rows), truth)
        } else {
            let predictor = try Self.predictor(file, try ONNXRuntime(candidates: context.onnxRuntime))
            let schema = TabularSchema(featureNames: predictor.featureNames, classNames: [], roles: job.roles)
            let (rows, truth) = try labelled(table, schema)
            found = (try predictor.predict(try schema.features(rows)), truth)
        }
        let metrics = NumberMetrics(found.estimates, truth: found.truth)
        context.say("\(path): rmse \(metrics.rmse), r2 \(metrics.r2) on \(found.truth.count) rows")
        return .init(
            url: path, format: file.hasSuffix(".bin") ? "state" : "onnx",
            metrics: ["rmse": metrics.rmse, "mae": metrics.mae, "r2": metrics.r2, "n": Double(found.truth.count)])
    }

    static func predictor(_ path: String, _ runtime: ONNXRuntime) throws -> NumberPredictor {
        do {
            return try NumberPredictor(runtime, try ModelFile(try InferenceWorker.read(path, limit: ModelLimits.edge.bytes)))
        } catch let error as InferenceError where !error.isOfLibrary {
            throw WorkerInputError("\(path): \(error)")
        }
    }

    private func labelled(_ table: TextTable, _ schema: TabularSchema) throws(TableError) -> (TextTable, [Float]) {
        let numbers = try schema.numbers(table)
        let positions = numbers.indices.filter { numbers[$0] != nil }
        guard !positions.isEmpty else {
            throw TableError(
                .noLabels, "\(table.source), column \"\(schema.roles.label)\": none of \(table.count) rows has a label to judge by")
        }
        return (table.rows(positions), positions.map { numbers[$0]! })
    }
}
