package import Learning

/// Gradient-boosted trees as a way of learning.
package struct XGBoostEstimator: ContinuingEstimator {
    /// Shared by all models it makes, and kept by each.
    package var library: XGBoostLibrary
    /// The same for every call of `fit`; going on adds `settings.rounds` to the rounds a model has.
    package var settings: BoostingSettings
    private let progress: @Sendable () -> Bool

    /// Trains nothing yet; wrong parameters show at the first `fit`.
    ///
    /// - Parameter progress: called after each boosting round; return false to cancel.
    package init(_ library: XGBoostLibrary, _ settings: BoostingSettings, progress: @escaping @Sendable () -> Bool = { true }) {
        self.library = library
        self.settings = settings
        self.progress = progress
    }

    /// Trains a `GradientBoostedTrees`, all rows alike.
    ///
    /// - Throws: `TrainingError`, among them `.noRows` and `.oneClass`.
    package func fit(_ features: FeatureMatrix, labels: [Int], classCount: Int) throws -> any Predictor {
        try GradientBoostedTrees(
            library, features: features, labels: labels, classCount: classCount, settings: settings, progress: { _ in progress() })
    }
}

extension XGBoostEstimator {
    /// Adds rounds to a copy of the model.
    ///
    /// - Throws: `TrainingError.foreignModel` for anything but `GradientBoostedTrees`, `.otherShape` for other columns or classes.
    package func fit(
        continuing model: any Predictor, features: FeatureMatrix, labels: [Int], classCount: Int
    ) throws -> any Predictor {
        guard let trees = model as? GradientBoostedTrees else { throw TrainingError.foreignModel("\(type(of: model))") }
        return try GradientBoostedTrees(
            continuing: trees, features: features, labels: labels, classCount: classCount, settings: settings,
            progress: { _ in progress() })
    }
}

extension EstimatorMaker {
    /// Gradient-boosted trees by name: Sedna's settings, but for what a job says otherwise.
    package static func xgboost(_ library: XGBoostLibrary, seed: UInt64) -> EstimatorMaker {
        EstimatorMaker("XGBoost", parameters: ["rounds", "eta", "max_depth"]) { parameters throws(StageError) in
            var settings = BoostingSettings.sedna(seed: seed)
            settings.rounds = Int(try parameters.number("rounds", default: Double(settings.rounds), in: 1...10_000))
            for (name, range) in [("eta", 0.001...1.0), ("max_depth", 1.0...16.0)] where parameters.values[name] != nil {
                let value = try parameters.number(name, default: 0, in: range)
                settings.parameters[name] = name == "max_depth" ? String(Int(value)) : String(value)
            }
            return XGBoostEstimator(library, settings)
        }
    }
}

extension GradientBoostedTrees: Predictor {
    /// As `probabilities(_:)`, with the rounds in use.
    package func predict(_ features: FeatureMatrix) throws -> ClassProbabilities { try probabilities(features) }
}

extension BoostingSettings {
    /// The settings of the pooled comfort model: more and shallower rounds for few labels, deeper ones when all are labelled.
    package static func pooled(fewLabels: Bool, seed: UInt64) -> BoostingSettings {
        var parameters = [
            "tree_method": "hist", "max_bin": "128", "min_child_weight": "5", "subsample": "0.8", "colsample_bytree": "0.5",
        ]
        parameters["eta"] = fewLabels ? "0.06" : "0.08"
        parameters["max_depth"] = fewLabels ? "4" : "5"
        return BoostingSettings(rounds: fewLabels ? 300 : 400, parameters: parameters, seed: seed)
    }
    /// Small models of single tasks, for measuring what one task's knowledge is worth in another.
    package static func transfer(seed: UInt64) -> BoostingSettings {
        let parameters = [
            "tree_method": "hist", "max_bin": "64", "eta": "0.1", "max_depth": "3", "min_child_weight": "5", "subsample": "0.8",
        ]
        return BoostingSettings(rounds: 40, parameters: parameters, seed: seed)
    }
}
