import ArgumentParser
import Inference
import Learning
import ThermalComfort
import Workers

struct BenchJointCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "joint",
        abstract: "What a large model adds to a small one on the thermal-comfort test rows, when a filter hands on a part of them.",
        discussion:
            "The rows come as a service meets them, one after the other; what a filter learns it learns from answers to rows before, "
            + "never from labels. GAIN %: of what the large model alone would add in accuracy.")

    @OptionGroup var files: ComfortFileOptions
    @Option(help: "The model at the edge.") var small = "models/thermal-comfort/comfort-small.onnx"
    @Option(help: "The model that is asked.") var large = "models/thermal-comfort/comfort.onnx"
    @Option(help: "Shares of rows that may be handed on.") var shares: [Double] = [0.05, 0.1, 0.2, 0.3]
    @Flag(help: "Take the rows in an order drawn by the seed, instead of the database's.") var shuffled = false
    @Option(help: "For lots.") var seed: UInt64 = 27
    @Option(name: .shortAndLong, help: "table, csv or json.") var output: AlignedTable.Format = .table

    func validate() throws {
        if let wrong = shares.first(where: { !(0...1).contains($0) }) { throw ValidationError("--shares must be 0 to 1, found \(wrong)") }
    }

    func run() throws {
        let (database, split) = try files.load()
        let experiment = ComfortExperiment(database: database, rows: split, budget: .few, featureSets: [])
        let runtime = try ONNXRuntime(candidates: onnxRuntimeCandidates())
        var rows = try self.rows(experiment, runtime)
        if shuffled {
            var generator = SeededGenerator(seed: seed)
            rows.shuffle(using: &generator)
        }
        let all = JointEvaluation(rows, filter: try HardExampleFilter(name: "CloudOnly", parameters: [:]), budget: nil, seed: seed)
        writeError(
            "\(all.answered) test rows; alone: small \(percent(all.smallRight, all.answered)), large \(percent(all.largeRight, all.answered))"
        )
        var table = AlignedTable(["FILTER", "BUDGET %", "UPLOADED %", "ACCURACY %", "GAIN %", "HELPED", "HURT"])
        for (name, parameters) in [("CrossEntropy", ["threshold_cross_entropy": "0.5"]), ("Threshold", ["threshold": "0.5"])] {
            add(rows, "Sedna's \(name), 0.5", try HardExampleFilter(name: name, parameters: parameters), nil, to: &table)
        }
        for share in shares {
            for name in ["Random", "CrossEntropy", "Margin", "LearnedGain"] {
                let filter = try HardExampleFilter(name: name, parameters: ["budget_share": "\(share)"])
                add(rows, name, filter, share, to: &table)
            }
        }
        try say(table.text(output))
    }

    private func add(
        _ rows: [JointEvaluation.Row], _ name: String, _ filter: HardExampleFilter, _ share: Double?, to table: inout AlignedTable
    ) {
        let found = JointEvaluation(
            rows, filter: filter, budget: share.map { .share($0) }, explored: filter.rule == .learnedGain ? 0.01 : 0, seed: seed)
        table.rows.append([
            name, share.map { fixed(100 * $0, decimals: 0) } ?? "", fixed(100 * found.uploadShare, decimals: 1),
            percent(found.jointRight, found.answered), found.gainShare.map { fixed(100 * $0, decimals: 1) } ?? "", "\(found.helped)",
            "\(found.hurt)",
        ])
    }

    private func percent(_ part: Int, _ all: Int) -> String { fixed(100 * Double(part) / Double(max(all, 1)), decimals: 2) }

    private func rows(_ experiment: ComfortExperiment, _ runtime: ONNXRuntime) throws -> [JointEvaluation.Row] {
        let test = experiment.test, features = test.features(.physics), tasks = test.tasks
        let models = try [small, large].map { path in
            try TabularPredictor(runtime, try ModelFile(try InferenceWorker.read(path, limit: ModelLimits.edge.bytes)))
        }
        let found = try models.map { model in
            try model.predict(
                TabularRows(
                    features, sites: model.takesSites ? tasks.sites : nil, persons: model.takesPersons ? tasks.persons : nil)
            ).probabilities
        }
        let sites = tasks.sites, labels = experiment.testLabels, values = features.values
        let classes = models[0].classNames.count, width = features.columnCount
        return labels.indices.map { row in
            JointEvaluation.Row(
                small: .init(
                    shares: Array(found[0][row * classes..<(row + 1) * classes]),
                    features: Array(values[row * width..<(row + 1) * width]), site: sites[row]),
                large: Array(found[1][row * classes..<(row + 1) * classes]), label: labels[row])
        }
    }
}
