import ArgumentParser
import Learning
import ThermalComfort
import Training

struct BenchClaimCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "claim", abstract: "The published +5.12 % beside our methods under a random row split. LEAKY by construction.")

    @OptionGroup var files: ComfortFileOptions
    @Option(parsing: .upToNextOption, help: "Seeds of split and training.") var seeds: [UInt64] = [27, 28, 29]
    @Flag(help: "The demo's lighter model of skerry: trees alone, and fewer.") var light = false
    @Option(name: .shortAndLong, help: "table, csv or json.") var output: AlignedTable.Format = .table

    func validate() throws {
        if seeds.isEmpty { throw ValidationError("--seeds needs at least one number") }
    }

    func run() throws {
        let library = try XGBoostLibrary(candidates: xgboostCandidates())
        let (database, _) = try files.load()
        writeError("XGBoost \(library.version), 1 thread; random row split, LEAKY: \(LeakyClaim.note)")
        var table = AlignedTable(["METHOD", "SEED", "ACCURACY", "% OVER SINGLE_TASK, LEAKY", "LOW", "HIGH", "SECONDS"])
        for seed in seeds {
            let evaluations = try LeakyClaim.evaluate(database, seed: seed, methods: methods(library, seed), seconds: monotonicSeconds)
            for evaluation in evaluations {
                let gain = evaluation.gain(over: evaluations[0])
                table.rows.append(
                    [evaluation.method, String(seed), fixed(evaluation.metrics.accuracy)]
                        + [gain?.value, gain?.low, gain?.high].map { fixed($0.map { 100 * $0 }, decimals: 2, sign: true) }
                        + [fixed(evaluation.seconds, decimals: 1)])
            }
        }
        try say(table.text(output))
    }

    private func methods(_ library: XGBoostLibrary, _ seed: UInt64) -> ComfortMethods {
        let full = BlendSettings.pooled(fewLabels: false, indicatorColumns: PhysicsFeatures.indicatorColumns, seed: seed)
        return ComfortMethods(
            boosting: XGBoostEstimator(library, .sedna(seed: seed)),
            further: XGBoostEstimator(library, .sedna(seed: seed).with(rounds: 100)),
            pooled: XGBoostEstimator(library, .pooled(fewLabels: false, seed: seed)),
            blended: BlendTrainer(library, settings: light ? .claim(seed: seed) : full, classCount: Preference.allCases.count))
    }
}
