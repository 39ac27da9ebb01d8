import ArgumentParser
import Inference
import Learning
import Storage
import ThermalComfort
import Training
import Workers

struct ShippedModelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models", abstract: "The models that the repository ships.",
        subcommands: [BuildModelsCommand.self, CheckModelsCommand.self])
}

struct BuildModelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Train the thermal-comfort models on the pool rows, judge them on the test rows, and write files and cards.")

    @OptionGroup var files: ComfortFileOptions
    @Option(help: "Where to write.") var out = "models/thermal-comfort"
    @Option(help: "Labels bought after round 0: few or full.") var labels: LabelBudget = .few
    @Option(help: "Seed of training.") var seed: UInt64 = 27
    @Option(parsing: .upToNextOption, help: "Models by name.") var models: [String] = ComfortModelRecipe.all.map(\.name)

    func validate() throws {
        for name in models where !ComfortModelRecipe.all.contains(where: { $0.name == name }) {
            throw ValidationError("unknown model \"\(name)\"; known: \(ComfortModelRecipe.all.map(\.name).joined(separator: ", "))")
        }
    }

    func run() throws {
        let (xgboost, runtime) = (try XGBoostLibrary(candidates: xgboostCandidates()), try ONNXRuntime(candidates: onnxRuntimeCandidates()))
        let (database, rows) = try files.load()
        let experiment = ComfortExperiment(database: database, rows: rows, budget: labels)
        let maker = try ComfortModelMaker(xgboost, runtime, experiment, labels: labels, seed: seed)
        for recipe in ComfortModelRecipe.all where models.contains(recipe.name) {
            let (content, card) = try maker.make(recipe)
            for (path, bytes) in [
                (recipe.name + ".onnx", content), (recipe.name + ".json", card.json), (recipe.name + ".md", Array(card.markdown.utf8)),
            ] {
                let file = try WholeFile(path: "\(out)/\(path)")
                try file.write(bytes)
                try file.commit()
            }
            for metric in card.metrics { writeError("\(recipe.name): \(metric.name) \(metric.value), \(metric.baselines)") }
            try say("\(out)/\(recipe.name).onnx: \(card.bytes) bytes, SHA-256 \(card.sha256)")
        }
    }
}

struct CheckModelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "check", abstract: "Compare model files with their cards.")

    @Argument(help: "Model files; the card of NAME.onnx is NAME.json beside it.") var paths: [String]

    func run() throws {
        for path in paths {
            guard path.hasSuffix(".onnx") else { throw ValidationError("\(path) does not end in .onnx") }
            let limit = ModelLimits.edge.bytes
            let card = try ModelCard(json: try InferenceWorker.read(path.dropLast(4) + "json", limit: limit))
            try ModelFile(try InferenceWorker.read(path, limit: limit)).check(against: card)
            try say("\(path): as its card says, version \(card.version)")
        }
    }
}
