import ArgumentParser
import Demo
import Inference
import Learning
import Storage
import ThermalComfort
import Training

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure, with the conditions.",
        subcommands: [
            BenchAPICommand.self, BenchHubCommand.self, BenchHubCloudCommand.self, BenchAskCommand.self, BenchEdgeCommand.self,
            BenchUpdateCommand.self, BenchLearningCommand.self,
            BenchInferenceCommand.self, BenchInferCommand.self,
            BenchNewCityCommand.self,
            BenchUnseenCommand.self, BenchJointCommand.self,
            BenchClaimCommand.self,
            BenchKnowledgeCommand.self,
        ])
}

struct BenchLearningCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "learning", abstract: "Teach the methods round by round on the thermal-comfort protocol and judge them.",
        discussion: ComfortMethods.summaries.map { "\($0.name): \($0.summary)" }.joined(separator: "\n"))

    @OptionGroup var files: ComfortFileOptions
    @Option(help: "Labels bought after round 0: few or full.") var labels: LabelBudget = .few
    @Option(parsing: .upToNextOption, help: "Seeds of training.") var seeds: [UInt64] = [27, 28, 29]
    @Option(parsing: .upToNextOption, help: "Methods by name.") var methods: [String] = ComfortMethods.names
    @Option(help: "A stage of skerry, KIND=NAME[:{\"parameter\": value}]; may be given several times.") var stage: [String] = []
    @Option(
        help:
            "The estimator of single_task and Sedna's methods, NAME[:{\"parameter\": value}]: \(EstimatorCatalog().names.joined(separator: ", ")), XGBoost."
    )
    var estimator: String?
    @Option(help: "A further figure: \(MetricCatalog().names.joined(separator: ", ")); may be given several times.") var metric: [String] =
        []
    @Option(name: .shortAndLong, help: "table, csv or json.") var output: AlignedTable.Format = .table
    @Flag(help: "Judge on the random row split of the published claim instead (all pool rows labelled). It is leaky.")
    var randomRow = false
    @Flag(help: "Also print the matrix of accuracy round by round.") var matrix = false

    func validate() throws {
        do { try ComfortMethods.check(methods) } catch { throw ValidationError("\(error)") }
        do { for name in metric { _ = try MetricCatalog().metric(name) } } catch { throw ValidationError("\(error)") }
        if estimator != nil, methods.contains("finetune") {
            throw ValidationError("--estimator: finetune goes on from XGBoost's own models; name --methods without it")
        }
        if seeds.isEmpty { throw ValidationError("--seeds needs at least one number") }
    }

    func run() throws {
        let library = try XGBoostLibrary(candidates: xgboostCandidates())
        let stages = try chosenStages(library)
        let (database, rows) = try files.load()
        var taught: SkerryMethod?
        var decisions = AlignedTable(["SEED", "ROUND", "TASK", "DEPLOYS", "REASON"])
        let metrics = try metric.map { try MetricCatalog().metric($0) }
        var evaluations: [(seed: UInt64, evaluation: MethodEvaluation)] = []
        for seed in seeds {
            let split = randomRow ? ComfortSplit.randomRow(database, seed: seed) : rows
            let experiment = ComfortExperiment(database: database, rows: split, budget: labels)
            let known = experiment.round(experiment.roundCount - 1).labelledSoFar
            writeError(
                "seed \(seed): XGBoost \(library.version), 1 thread; \(known.count) labelled rows, \(experiment.test.count) test rows, "
                    + (randomRow ? "random row split, LEAKY" : "labels \(labels.rawValue)"))
            for column in known.columnsMissingEverywhere(.base) { writeError("no labelled row has a value of \"\(column)\"") }
            let fewLabels = labels == .few && !randomRow
            let made = ComfortMethods(
                boosting: try chosenEstimator(library, seed: seed),
                further: XGBoostEstimator(library, .sedna(seed: seed).with(rounds: 100)),
                pooled: XGBoostEstimator(library, .pooled(fewLabels: fewLabels, seed: seed)),
                blended: BlendTrainer(
                    library,
                    settings: .pooled(fewLabels: fewLabels, indicatorColumns: PhysicsFeatures.indicatorColumns, seed: seed),
                    classCount: Preference.allCases.count), stages: stages)
            for name in methods {
                var method = try made.method(name)
                let evaluation = try experiment.evaluate(&method, seconds: monotonicSeconds)
                evaluations.append((seed, evaluation))
                if let skerry = method as? SkerryMethod {
                    taught = skerry
                    decisions.rows += decisionRows(skerry, seed: seed)
                }
                writeError("  \(name): accuracy \(fixed(evaluation.metrics.accuracy)), \(fixed(evaluation.seconds, decimals: 1)) s")
                for metric in metrics {
                    let value = metric.value(evaluation.probabilities, truth: experiment.testLabels)
                    writeError("    \(metric.name): \(value.map { fixed($0) } ?? "not defined")")
                }
                for note in evaluation.notes where name != "never_updated" { writeError("    round \(note.round): \(note.text)") }
            }
        }
        var sheets = Sheets()
        sheets.add("methods", table(evaluations))
        if matrix { add(decisions, evaluations, to: &sheets) }
        if let taught { try addCost(taught, to: &sheets) }
        try say(sheets.text(output))
    }

    /// What the edge pays for `skerry`: the newest model as a file, and a row's time through a worker beside a bare call.
    private func addCost(_ method: SkerryMethod, to sheets: inout Sheets) throws {
        guard let newest = method.models.last else { return }
        let peak = PeakMemory.ofThisProcess
        let content = try newest.deployed(version: "bench").onnx()
        let runtime = try ONNXRuntime(candidates: onnxRuntimeCandidates())
        let bench = try InferenceBench(runtime, ModelFile(content))
        for _ in 0..<2000 { try bench.turn() }
        bench.forget()
        for _ in 0..<20_000 { try bench.turn() }
        var deployed = AlignedTable(["PEAK MEMORY, MIB", "MODEL FILE, BYTES", "MODELS KEPT"])
        deployed.rows = [[fixed(peak, decimals: 0), String(content.count), String(method.models.count)]]
        sheets.add("cost", title: "What skerry costs; memory with all methods above, the file is the newest model's:", deployed)
        sheets.add("latency", title: "One row by that file, ONNX Runtime \(runtime.version), 1 thread:", bench.table)
    }

    private func chosenEstimator(_ library: XGBoostLibrary, seed: UInt64) throws -> any Estimator {
        let catalog = EstimatorCatalog(adding: [.xgboost(library, seed: seed)])
        do { return try catalog.estimator(estimator ?? "XGBoost") } catch { throw ValidationError("\(error)") }
    }

    private func chosenStages(_ library: XGBoostLibrary) throws -> LifelongStages {
        var stages = LifelongStages.comfort
        let catalog = StageCatalog(adding: [.transfer(XGBoostEstimator(library, .transfer(seed: seeds[0])))])
        do { for text in stage { try catalog.place(text, in: &stages) } } catch { throw ValidationError("\(error)") }
        return stages
    }

    private static let head = [
        "METHOD", "SEED", "ACCURACY", "MACRO-F1", "LOG-LOSS", "CITY-MACRO", "BRIER", "ECE", "BWT", "FWT", "FORGETTING", "IANVS-BWT",
        "IANVS-FWT", "% OVER SINGLE_TASK", "LOW", "HIGH", "TRAINED ON, SUM OF ROUNDS", "SECONDS",
    ]

    private func table(_ evaluations: [(seed: UInt64, evaluation: MethodEvaluation)]) -> AlignedTable {
        var table = AlignedTable(Self.head)
        for name in methods {
            let runs = evaluations.filter { $0.evaluation.method == name }
            let cells = runs.map { run in
                let single = evaluations.first { $0.seed == run.seed && $0.evaluation.method == "single_task" }
                return figures(run.evaluation, single?.evaluation)
            }
            for (run, cells) in zip(runs, cells) { table.rows.append([name, String(run.seed)] + shown(cells)) }
            guard runs.count > 1 else { continue }
            let means = cells[0].indices.map { column in
                let known = cells.compactMap { $0[column] }
                // The mean of interval ends is no interval.
                return known.count < cells.count || Self.intervalColumns.contains(column) ? nil : known.reduce(0, +) / Double(known.count)
            }
            table.rows.append([name, "mean"] + shown(means))
        }
        return table
    }

    private static let intervalColumns = [12, 13]

    /// In the order of `head` from its third column on.
    private func figures(_ run: MethodEvaluation, _ single: MethodEvaluation?) -> [Double?] {
        let gain = single.flatMap { run.gain(over: $0) }
        return [
            run.metrics.accuracy, run.metrics.macroF1, run.metrics.logLoss, run.cityMacroAccuracy, run.calibration.brier,
            run.calibration.expectedCalibrationError, run.backwardTransfer, run.forwardTransfer, run.forgetting,
            run.matrix.ianvsBackwardTransfer, run.matrix.ianvsForwardTransfer, gain.map { 100 * $0.value }, gain.map { 100 * $0.low },
            gain.map { 100 * $0.high }, Double(run.samplesUsed.reduce(0, +)), run.seconds,
        ]
    }

    private func shown(_ figures: [Double?]) -> [String] {
        figures.enumerated().map { column, value in
            switch column {
            case 6...10: fixed(value, sign: true)
            case 11...13: fixed(value, decimals: 2, sign: true)
            case 14: fixed(value, decimals: 0)
            case 15: fixed(value, decimals: 1)
            default: fixed(value)
            }
        }
    }

    private func decisionRows(_ method: SkerryMethod, seed: UInt64) -> [[String]] {
        method.rounds.flatMap { round in
            round.decisions.map { [String(seed), String(round.number), $0.task, $0.deploys ? "yes" : "no", $0.reason] }
        }
    }

    private func add(
        _ decisions: AlignedTable, _ evaluations: [(seed: UInt64, evaluation: MethodEvaluation)], to sheets: inout Sheets
    ) {
        if !decisions.rows.isEmpty { sheets.add("decisions", title: "What the gate decided:", decisions) }
        for (seed, evaluation) in evaluations {
            let rounds = 0..<evaluation.matrix.roundCount
            var table = AlignedTable(["AFTER ROUND"] + rounds.map { "ON \($0)" })
            for round in rounds { table.rows.append([String(round)] + evaluation.matrix.values[round].map { fixed($0) }) }
            sheets.add("matrix_\(evaluation.method)_\(seed)", title: "Accuracy, \(evaluation.method), seed \(seed):", table)
        }
    }
}

/// Where XGBoost's library may lie, best first: the one chosen, then `.deps` here and above the program's build folder.
func xgboostCandidates() -> [String] {
    if let chosen = getenv("SKERRY_XGBOOST_LIB") { return [String(cString: chosen)] }
    return dependencyRoots().map { "\($0)/.deps/xgboost/lib/libxgboost.so" } + ["libxgboost.so", "libxgboost.so.0"]
}

/// Seconds of a clock that never goes back; only differences mean anything.
func monotonicSeconds() -> Double {
    let elapsed = ContinuousClock.now - clockStart
    return Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
}

private let clockStart = ContinuousClock.now

extension LabelBudget: ExpressibleByArgument {}
extension AlignedTable.Format: ExpressibleByArgument {}
