import Inference
import Learning
package import Resources
import ThermalComfort

/// Judges models on held-out rows: one result a model, in the order given.
package enum EvaluateWorker {
    /// Tasks that are named in a result.
    private static let tasksMax = 64

    /// `MODEL_URLS` over `TEST_DATASET_URL`. A model is an ONNX file, a folder with one, or a saved state, which is asked without any rounding.
    ///
    /// - Throws: what is wrong with the job's variables and files.
    package static func run(_ context: WorkerContext) throws -> [WorkerReport.Result] {
        let settings = context.settings
        let paths = try settings.required("MODEL_URLS", "models to judge, joined by \";\"").split(separator: ";").map(String.init)
        guard !paths.isEmpty else { throw WorkerInputError("MODEL_URLS names no model; join paths by \";\"") }
        let files = try TableFiles(settings, "TEST_DATASET_URL", "CSV of held-out rows with labels")
        let (table, counts) = try files.counted()
        let rounds = try TestRounds(settings)?.rounds(of: counts) ?? [Int?](repeating: nil, count: table.count)
        var results: [WorkerReport.Result] = []
        for (place, path) in paths.enumerated() {
            context.progress(
                .init(done: Int64(place), total: Int64(paths.count), unit: "models", message: "judging on \(table.count) rows"))
            guard table.count > 0 else {
                // Nothing was held out, or nothing may leave its node: the model is not refused for it, and not praised.
                results.append(.init(url: path, format: path.hasSuffix(".bin") ? "state" : "onnx", metrics: ["n": 0]))
                continue
            }
            let job = try settings.learner() == .tabular ? TabularJob(settings) : nil
            if let job, job.roles.isNumber {
                results.append(try NumberJudging(context: context, job: job).judge(path, table))
                continue
            }
            let judged = try judge(path, table, rounds, context)
            context.say("\(path): \(judged.summary)")
            results.append(judged.result(url: path))
        }
        if let output = settings["OUTPUT_URL"] {
            try WorkerFile.makeFolder(output)
            try WorkerFile.write(JSON.array(results.map(\.json)).bytes(order: .sorted), output, "evaluation.json")
        }
        return results
    }

    private static func judge(_ path: String, _ table: TextTable, _ rounds: [Int?], _ context: WorkerContext) throws -> Judged {
        let state = WorkerFile.isFolder(path) && !WorkerFile.exists("\(path)/\(WorkerFile.model)") ? "\(path)/\(WorkerFile.state)" : path
        switch try context.settings.learner() {
        case .tabular:
            let job = try TabularJob(context.settings)
            guard state.hasSuffix(".bin") else {
                let models = try ServedModels(path: path, try ONNXRuntime(candidates: context.onnxRuntime))
                let schema = TabularSchema(
                    featureNames: models.main.featureNames, classNames: models.main.classNames, roles: models.plan?.roles ?? job.roles)
                let (rows, positions, truth) = try labelled(table, schema)
                let model = try ModelRows(rows, schema)
                return Judged(try models.predict(model), truth: truth, tasks: model.tasks, rounds: positions.map { rounds[$0] })
            }
            let learner = try TabularLearner(
                state: try WorkerFile.read(state, limit: WorkerFile.stateBytesMax), source: state,
                try job.learnerSettings(keepsRows: false, nil))
            let (rows, positions, truth) = try labelled(table, learner.schema)
            return Judged(
                try learner.predict(rows), truth: truth, tasks: try ModelRows(rows, learner.schema).tasks,
                rounds: positions.map { rounds[$0] })
        case .thermalComfort:
            return try ComfortJudging(context).judge(state.hasSuffix(".bin") ? state : path, table, rounds)
        }
    }

    /// The rows that have a label, and which they are.
    ///
    /// - Throws: `TableError` where none has.
    private static func labelled(_ table: TextTable, _ schema: TabularSchema) throws(TableError) -> (TextTable, [Int], [Int]) {
        let labels = try schema.labels(table)
        let positions = labels.indices.filter { labels[$0] != nil }
        guard !positions.isEmpty else {
            throw TableError(
                .noLabels, "\(table.source), column \"\(schema.roles.label)\": none of \(table.count) rows has a label to judge by")
        }
        return (table.rows(positions), positions, positions.map { labels[$0]! })
    }

    /// A model's figures.
    struct Judged {
        private let all: ClassificationMetrics
        private let count: Int
        private let byTask: [String: HitCount]
        private let byRound: [Int: HitCount]
        /// Of the newest round: what the most frequent class of the rounds before is worth on its rows.
        private var majority: (round: Int, accuracy: Double)?
        private var precision: [Double] = []
        private var recall: [Double] = []

        /// - Parameter rounds: nil for a row of no round that is told apart.
        init(_ probabilities: ClassProbabilities, truth: [Int], tasks: [String], rounds: [Int?]) {
            all = ClassificationMetrics(probabilities, truth: truth)
            count = truth.count
            let found = truth.indices.map { probabilities.predictedClass(row: $0) }
            byTask = HitCount.counts(probabilities, truth: truth, by: tasks)
            byRound = HitCount.counts(probabilities, truth: truth, by: rounds)
            // Rows of no round are as old as can be.
            if let newest = byRound.keys.max(),
                let accuracy = HitCount.majority(truth: truth, rounds: rounds.map { $0 ?? -1 }, of: newest)
            {
                majority = (newest, accuracy)
            }
            for k in 0..<probabilities.classCount {
                let hit = Double(truth.indices.count { truth[$0] == k && found[$0] == k })
                let (predicted, actual) = (found.count { $0 == k }, truth.count { $0 == k })
                // A class that was never predicted, or never occurs, counts 0, as in Sedna's examples (scikit-learn's default).
                precision.append(predicted == 0 ? 0 : hit / Double(predicted))
                recall.append(actual == 0 ? 0 : hit / Double(actual))
            }
        }

        var summary: String { "accuracy \(four(all.accuracy)), log-loss \(four(all.logLoss)) on \(count) rows" }

        func result(url: String) -> WorkerReport.Result {
            let metrics = ["accuracy": all.accuracy, "macro_f1": all.macroF1, "log_loss": all.logLoss, "n": Double(count)]
            var tasks: [String: [String: Double]] = [:]
            // The largest ones: a report has a bound.
            for (task, figures) in byTask.sorted(by: { ($1.value.rows, $0.key) < ($0.value.rows, $1.key) }).prefix(tasksMax) {
                tasks[task] = ["accuracy": figures.accuracy, "n": Double(figures.rows)]
            }
            var rounds = byRound.mapValues { ["accuracy": $0.accuracy, "n": Double($0.rows)] }
            if let majority { rounds[majority.round]?["majority"] = majority.accuracy }
            return .init(
                url: url, format: url.hasSuffix(".bin") ? "state" : "onnx", metrics: metrics,
                lists: ["precision": precision, "recall": recall], tasks: tasks, rounds: rounds)
        }

        private func four(_ value: Double) -> String { "\((value * 10_000).rounded() / 10_000)" }
    }
}
