import ArgumentParser
import Learning
import ThermalComfort
import Training

struct BenchNewCityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new-city",
        abstract: "Hold out whole cities and give each its first 0 to 100 labels: what is each way to use them worth?")

    @OptionGroup var files: ComfortFileOptions
    @Option(parsing: .upToNextOption, help: "Seeds of training.") var seeds: [UInt64] = [27, 28, 29]
    @Option(parsing: .upToNextOption, help: "Labels a city, ascending from 0.") var counts: [Int] = NewCityExperiment.labelCounts
    @Option(parsing: .upToNextOption, help: "Ways by name.") var ways: [NewCityWay] = NewCityWay.allCases
    @Flag(help: "Models of trees and networks instead of trees alone: better without labels, six times the work.") var blend = false
    @Flag(help: "Judge on labelled rows alone (earlier half of each site to later half), as one must to choose anything.")
    var rehearse = false
    @Option(name: .shortAndLong, help: "table, csv or json.") var output: AlignedTable.Format = .table

    func validate() throws {
        if seeds.isEmpty { throw ValidationError("--seeds needs at least one number") }
        let most = NewCityExperiment.labelCounts.last!
        guard counts.first == 0, counts == Set(counts).sorted(), counts.last! <= most else {
            throw ValidationError("--counts must ascend from 0 to at most \(most), found \(counts)")
        }
    }

    func run() throws {
        let library = try XGBoostLibrary(candidates: xgboostCandidates())
        let (database, rows) = try files.load()
        let experiment =
            rehearse ? NewCityExperiment.rehearsal(database: database, rows: rows) : NewCityExperiment(database: database, rows: rows)
        writeError(
            "XGBoost \(library.version), 1 thread; \(experiment.cityCount) cities held out in \(NewCityExperiment.foldCount) folds, "
                + "\(experiment.testRowCount) test rows" + (rehearse ? ", REHEARSAL on labelled rows" : ""))
        var table = AlignedTable(
            ["WAY", "SEED", "LABELS", "ACCURACY", "% OVER GLOBAL", "LOW", "HIGH", "CITY-MACRO", "LOG-LOSS", "CITIES BETTER"])
        for seed in seeds {
            let start = monotonicSeconds()
            let evaluation = try evaluate(experiment, library, seed)
            writeError("seed \(seed): \(fixed(monotonicSeconds() - start, decimals: 1)) s")
            for way in evaluation.ways { for count in counts { add(evaluation, way, count, seed, to: &table) } }
        }
        try say(table.text(output))
    }

    private func evaluate(_ experiment: NewCityExperiment, _ library: XGBoostLibrary, _ seed: UInt64) throws -> NewCityEvaluation {
        let settings = BlendSettings.newCity(hasNetworks: blend, indicatorColumns: PhysicsFeatures.indicatorColumns, seed: seed)
        let trainer = BlendTrainer(library, settings: settings, classCount: Preference.allCases.count)
        let service = NewCityService(frozen: trainer, retrained: trainer)
        var evaluation = NewCityEvaluation(labelCounts: counts)
        for fold in 0..<NewCityExperiment.foldCount {
            evaluation.merge(try experiment.evaluate(fold: fold, service, labelCounts: counts, ways: Set(ways)))
        }
        return evaluation
    }

    private func add(_ evaluation: NewCityEvaluation, _ way: NewCityWay, _ count: Int, _ seed: UInt64, to table: inout AlignedTable) {
        guard let figures = evaluation.figures(way, labelCount: count), let global = evaluation.figures(.global, labelCount: 0) else {
            return
        }
        let gain = RelativeGain(of: figures.buildings, over: global.buildings)
        table.rows.append(
            [way.rawValue, String(seed), String(count), fixed(figures.metrics.accuracy)]
                + [gain?.value, gain?.low, gain?.high].map { fixed($0.map { 100 * $0 }, decimals: 2, sign: true) }
                + [figures.cities.macroAccuracy(minimumRows: 1), figures.metrics.logLoss, figures.shareOfCitiesBetter(than: global)].map {
                    fixed($0)
                })
    }
}

extension NewCityWay: ExpressibleByArgument {}
