import Inference
import Learning
import ThermalComfort
import Training

/// How a shipped model differs from the others.
struct ComfortModelRecipe: Sendable {
    var name: String
    var purpose: String
    var hasSites: Bool
    var hasPersons: Bool
    /// Changes to the settings of the method.
    var adjust: @Sendable (inout BlendSettings) -> Void

    static let all = [
        ComfortModelRecipe(
            name: "comfort",
            purpose: "What an occupant would like the room to be: cooler, as it is, or warmer. The whole model, for cloud and edge; "
                + "it knows the sites and persons it has met.",
            hasSites: true, hasPersons: true, adjust: { _ in }),
        ComfortModelRecipe(
            name: "comfort-small",
            purpose:
                "The same question for the smallest devices, and for joint inference: it answers what is easy and hands on what is hard. "
                + "It knows no site and no person.",
            hasSites: false, hasPersons: false,
            adjust: { settings in
                settings.trees.rounds = 30
                settings.trees.parameters["max_depth"] = "3"
                settings.trees.parameters["eta"] = "0.2"
                settings.network.hiddenCount = 12
                settings.networkShare = 0.5
            }),
    ]
}

/// Trains, exports, judges and describes the shipped models.
struct ComfortModelMaker {
    private let xgboost: XGBoostLibrary
    private let runtime: ONNXRuntime
    private let experiment: ComfortExperiment
    private let labels: LabelBudget
    private let seed: UInt64
    private let baselines: [String: ClassificationMetrics]

    init(_ xgboost: XGBoostLibrary, _ runtime: ONNXRuntime, _ experiment: ComfortExperiment, labels: LabelBudget, seed: UInt64) throws {
        (self.xgboost, self.runtime, self.experiment, self.labels, self.seed) = (xgboost, runtime, experiment, labels, seed)
        let known = experiment.round(experiment.roundCount - 1).labelledSoFar
        let classCount = Preference.allCases.count
        let single = try XGBoostEstimator(xgboost, .sedna(seed: seed)).fit(
            known.rows.features(.base), labels: known.labels, classCount: classCount)
        let shares = (0..<classCount).map { k in Float(known.labels.count { $0 == k }) / Float(known.count) }
        let test = experiment.test
        let majority = ClassProbabilities(classCount: classCount, values: (0..<test.count).flatMap { _ in shares })
        baselines = [
            "single_task": ClassificationMetrics(try single.predict(test.features(.base)), truth: experiment.testLabels),
            "majority": ClassificationMetrics(majority, truth: experiment.testLabels),
        ]
    }

    func make(_ recipe: ComfortModelRecipe) throws -> (content: [UInt8], card: ModelCard) {
        var settings = BlendSettings.pooled(fewLabels: labels == .few, indicatorColumns: PhysicsFeatures.indicatorColumns, seed: seed)
        recipe.adjust(&settings)
        var method = SkerryMethod(BlendTrainer(xgboost, settings: settings, classCount: Preference.allCases.count))
        _ = try method.learn(experiment.round(experiment.roundCount - 1))
        guard let trained = method.models.last else { throw ComfortModelError.nothingToLearn }
        let version = "round-\(trained.round)-labels-\(labels.rawValue)-seed-\(seed)"
        let deployed = try trained.deployed(version: version, hasSites: recipe.hasSites, hasPersons: recipe.hasPersons)
        let content = deployed.onnx()
        let file = try ModelFile(content)
        let predictions = try TabularPredictor(runtime, file).predict(rows(recipe))
        return (content, card(recipe, deployed, file, predictions, difference(recipe, trained, predictions)))
    }

    private func rows(_ recipe: ComfortModelRecipe) -> TabularRows {
        let tasks = experiment.test.tasks
        return TabularRows(
            experiment.test.features(.physics), sites: recipe.hasSites ? tasks.sites : nil, persons: recipe.hasPersons ? tasks.persons : nil
        )
    }

    /// How far the file is from the model that was trained, before its networks and biases were rounded.
    private func difference(
        _ recipe: ComfortModelRecipe, _ trained: RetainedModel, _ found: TabularPredictions
    ) -> (probability: Float, classes: Int) {
        let margins = trained.margins(experiment.test, hasSites: recipe.hasSites, hasPersons: recipe.hasPersons)
        let exact = ClassProbabilities(classCount: found.classCount, logits: margins.map { Float($0) })
        let largest = zip(exact.values, found.probabilities).map { abs($0 - $1) }.max() ?? 0
        return (largest, found.labels.indices.count { exact.predictedClass(row: $0) != found.labels[$0] })
    }

    private func card(
        _ recipe: ComfortModelRecipe, _ model: DeployedModel, _ file: ModelFile, _ predictions: TabularPredictions,
        _ difference: (probability: Float, classes: Int)
    ) -> ModelCard {
        let probabilities = ClassProbabilities(classCount: predictions.classCount, values: predictions.probabilities)
        let judged = ClassificationMetrics(probabilities, truth: experiment.testLabels)
        let known = experiment.round(experiment.roundCount - 1).labelledSoFar.count
        return ModelCard(
            name: recipe.name, version: model.version, purpose: recipe.purpose, file: recipe.name + ".onnx", content: file.bytes,
            inputs: file.signature.inputs.map { ModelCard.Tensor(name: $0.name, form: "\($0)", meaning: Self.meaning($0.name)) },
            features: model.featureNames.map { name in
                let known = PhysicsFeatures.meaning(of: name)
                return ModelCard.Feature(name: name, unit: known?.unit ?? "", meaning: known?.meaning ?? "")
            },
            outputs: file.signature.outputs.map { ModelCard.Tensor(name: $0.name, form: "\($0)", meaning: Self.meaning($0.name)) },
            classes: model.classNames, made: made(model, known, difference),
            measuredOn:
                "Measured by running this file in ONNX Runtime on the \(experiment.test.count) test rows of the protocol's main split, whose "
                + "labels nothing here has seen. Baselines learned from the same \(known) labels.",
            metrics: [
                metric("accuracy", judged, \.accuracy), metric("macro-F1", judged, \.macroF1), metric("log-loss", judged, \.logLoss),
            ],
            citation:
                "Trained on the \(ComfortFiles.databaseName), doi 10.6078/D1F671. Cite: Földváry Ličina V. et al., Development of the "
                + "ASHRAE Global Thermal Comfort Database II, Building and Environment 142 (2018) 502–512. The file holds no row of it; "
                + "sites and persons are in it as 31-bit hashes.")
    }

    private func made(_ model: DeployedModel, _ labelCount: Int, _ difference: (probability: Float, classes: Int)) -> [String] {
        let trees = model.model.trees
        return [
            "`make models` (`skerry models build --labels \(labels.rawValue) --seed \(seed)`) with XGBoost \(xgboost.version).",
            "Data: \(ComfortFiles.measurements.name), SHA-256 \(ComfortFiles.measurements.sha256); \(ComfortFiles.metadata.name), SHA-256 "
                + "\(ComfortFiles.metadata.sha256); \(labelCount) labelled pool rows of all \(experiment.roundCount) rounds, label budget \(labels.rawValue).",
            "\(trees.trees.count) trees with \(trees.leafCount) leaves, \(model.model.networks.count) networks of "
                + "\(model.model.networks.first?.hiddenCount ?? 0) hidden units with weight \(model.model.networkShare), "
                + "\(model.sites?.hashes.count ?? 0) sites, \(model.persons?.hashes.count ?? 0) persons.",
            "Weights of networks and biases are rounded to half precision. Against the model as trained, over all test rows: probabilities differ "
                + "by at most \(Self.rounded(Double(difference.probability), 1_000_000)), \(difference.classes) rows get another class.",
        ]
    }

    private func metric(
        _ name: String, _ judged: ClassificationMetrics, _ figure: KeyPath<ClassificationMetrics, Double>
    ) -> ModelCard.Metric {
        ModelCard.Metric(
            name: name, value: Self.rounded(judged[keyPath: figure]), baselines: baselines.mapValues { Self.rounded($0[keyPath: figure]) })
    }

    private static func rounded(_ value: Double, _ scale: Double = 10_000) -> Double { (value * scale).rounded() / scale }

    private static func meaning(_ tensor: String) -> String {
        switch tensor {
        case "features": "the columns below; NaN where a value is missing"
        case "site":
            "the first 31 bits (big-endian) of the SHA-256 of the site's key, \"<building_id>/<season>\"; 0 or any other number: unknown"
        case "person": "the same of the person's key, \"<building_id>/<subject_id>\"; 0 or any other number: unknown"
        case "probabilities": "of each class; a row sums to 1"
        case "label": "index of the most probable class"
        case "margins": "before softmax: natural logarithms of the probabilities but for a constant a row"
        default: ""
        }
    }
}

/// The shipped models cannot be made.
enum ComfortModelError: Error, CustomStringConvertible {
    case nothingToLearn

    var description: String { "the split has no labelled rows of two classes to learn from; check --split" }
}
