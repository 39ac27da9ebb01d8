import ArgumentParser
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
        commandName: "bench", abstract: "Measure, with the conditions.", subcommands: [BenchLearningCommand.self])
}

struct BenchLearningCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "learning", abstract: "Accuracy of the baselines on the thermal-comfort protocol after its last round.")

    @OptionGroup var files: ComfortFileOptions
    @Option(help: "Labels bought after round 0: few or full.") var labels: LabelBudget = .few
    @Option(parsing: .upToNextOption, help: "Seeds of training.") var seeds: [UInt64] = [27, 28, 29]

    func run() throws {
        let library = try XGBoostLibrary(candidates: Self.candidates())
        let (database, rows) = try files.load()
        let experiment = ComfortExperiment(database: database, rows: rows, budget: labels)
        print("XGBoost \(library.version), 1 thread; labels \(labels.rawValue): \(experiment.training.labels.count) rows to train on,")
        print(
            "\(experiment.test.labels.count) test rows; single_task has \(BaseFeatures.names.count) features, pooled \(ContextFeatures.names.count)"
        )
        let share = try experiment.majority()
        print("majority               accuracy \(four(share.accuracy))  macro-F1 \(four(share.macroF1))  log-loss \(four(share.logLoss))")
        for seed in seeds {
            let single = try XGBoostEstimator(library, .sedna(seed: seed)).fit(
                experiment.training.features, labels: experiment.training.labels, classCount: Preference.allCases.count)
            report("single_task", seed, try single.predict(experiment.test.features), experiment.test.labels)
            let pooled = try PartialPooling(
                XGBoostEstimator(library, .pooled(fewLabels: labels == .few, seed: seed)), features: experiment.training.context,
                labels: experiment.training.labels, tasks: experiment.training.tasks, classCount: Preference.allCases.count)
            report(
                "pooled     ", seed, try pooled.predict(experiment.test.context, tasks: experiment.test.tasks), experiment.test.labels)
        }
    }

    private func report(_ method: String, _ seed: UInt64, _ probabilities: ClassProbabilities, _ truth: [Int]) {
        let result = ClassificationMetrics(probabilities, truth: truth)
        print(
            "\(method), seed \(seed)   accuracy \(four(result.accuracy))  macro-F1 \(four(result.macroF1))"
                + "  log-loss \(four(result.logLoss))")
    }

    private func four(_ value: Double) -> String {
        let digits = String(Int((value * 10_000).rounded()))
        let padded = String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        return "\(padded.dropLast(4)).\(padded.suffix(4))"
    }

    private static func candidates() -> [String] {
        if let chosen = getenv("SKERRY_XGBOOST_LIB") { return [String(cString: chosen)] }
        return [".deps/xgboost/lib/libxgboost.so", "libxgboost.so", "libxgboost.so.0"]
    }
}

extension LabelBudget: ExpressibleByArgument {}
