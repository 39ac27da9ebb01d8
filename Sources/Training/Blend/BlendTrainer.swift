package import Learning

/// How to train trees and networks that vote together.
package struct BlendSettings: Sendable {
    /// For the trees on all rows, and for those that judge a fold.
    package var trees: BoostingSettings
    /// For every network; its seed is varied by the fold.
    package var network: DenseSettings
    /// Columns whose absence the networks are told.
    package var indicatorColumns: [String]
    /// Weight of the networks, 0...1. 0 trains none.
    package var networkShare: Float

    /// Chosen settings have names: `pooled`, `newCity`, `claim`.
    package init(trees: BoostingSettings, network: DenseSettings, indicatorColumns: [String], networkShare: Float = 0.3) {
        self.trees = trees
        self.network = network
        self.indicatorColumns = indicatorColumns
        self.networkShare = networkShare
    }
}

/// Trains blends: the trees on all rows, and one network for each fold without that fold's rows. The networks' mean serves; each alone judges its fold.
package struct BlendTrainer: CrossFittingEstimator {
    private let library: XGBoostLibrary
    private let settings: BlendSettings
    private let classCount: Int
    private let progress: @Sendable () -> Bool

    /// - Parameter progress: called often while training; return false to cancel.
    package init(_ library: XGBoostLibrary, settings: BlendSettings, classCount: Int, progress: @escaping @Sendable () -> Bool = { true }) {
        self.library = library
        self.settings = settings
        self.classCount = classCount
        self.progress = progress
    }

    /// Trains the trees on all rows, and a network for each fold on the rows outside it.
    ///
    /// - Throws: `TrainingError`, among them `.noRows`, `.oneClass` and `.cancelled`.
    package func fit(_ rows: TrainingRows) throws -> BlendedModel {
        blend(try trees(rows), try networks(rows, inputs(rows)).map(\.network))
    }

    /// Trains trees once more for each fold, on the rows outside it, to judge its rows; the networks serve for both.
    /// With a single fold nothing can be held out, and all margins are 0: nothing is known.
    ///
    /// - Throws: as `fit`.
    package func crossFit(_ rows: TrainingRows) throws -> CrossFittedBlend {
        let networks = try networks(rows, inputs(rows))
        var margins = [Double](repeating: 0, count: rows.count * classCount)
        for fold in Set(rows.folds) {
            let (outside, inside) = (
                rows.folds.indices.filter { rows.folds[$0] != fold }, rows.folds.indices.filter { rows.folds[$0] == fold }
            )
            // With one fold only nothing can be held out: margins stay 0, "nothing known".
            guard !outside.isEmpty else { break }
            let judge = blend(try trees(rows.rows(outside)), networks.filter { $0.fold == fold }.map(\.network))
            let found = judge.margins(rows.features.rows(inside))
            for (place, row) in inside.enumerated() {
                for k in 0..<classCount { margins[row * classCount + k] = Double(found[place * classCount + k]) }
            }
        }
        return CrossFittedBlend(model: blend(try trees(rows), networks.map(\.network)), margins: margins)
    }

    private func blend(_ trees: TreeEnsemble, _ networks: [DenseNetwork]) -> BlendedModel {
        BlendedModel(trees: trees, networks: networks, networkShare: settings.networkShare)
    }

    private func inputs(_ rows: TrainingRows) -> DenseInputs {
        DenseInputs(measuredOn: rows.features, indicators: settings.indicatorColumns)
    }

    private func trees(_ rows: TrainingRows) throws(TrainingError) -> TreeEnsemble {
        let trained = try GradientBoostedTrees(
            library, features: rows.features, labels: rows.labels, weights: rows.weights, classCount: classCount, settings: settings.trees,
            progress: { _ in progress() })
        return try trained.ensemble()
    }

    private func networks(_ rows: TrainingRows, _ inputs: DenseInputs) throws(TrainingError) -> [(fold: Int, network: DenseNetwork)] {
        guard settings.networkShare > 0 else { return [] }
        var networks: [(fold: Int, network: DenseNetwork)] = []
        for (position, fold) in Set(rows.folds).sorted().enumerated() {
            let seen = rows.folds.indices.filter { rows.folds[$0] != fold }
            let part = seen.isEmpty ? rows : rows.rows(seen)
            var network = settings.network
            network.seed = network.seed &* 16 &+ UInt64(position)
            let trained = try DenseTrainer.train(
                part.features, labels: part.labels, auxiliary: part.auxiliary, weights: part.weights, classCount: classCount,
                inputs: inputs,
                settings: network, progress: progress)
            networks.append((fold, trained))
        }
        return networks
    }
}

extension BlendSettings {
    /// Chosen on labelled rows alone (earlier half of each site to later half); about 11,000 leaves, which an edge can hold.
    package static func pooled(fewLabels: Bool, indicatorColumns: [String], seed: UInt64) -> BlendSettings {
        let parameters = [
            "tree_method": "hist", "max_bin": "128", "eta": "0.05", "max_depth": fewLabels ? "4" : "5", "min_child_weight": "15",
            "lambda": "5",
            "colsample_bynode": "0.3", "subsample": "0.7",
        ]
        let trees = BoostingSettings(rounds: 250, parameters: parameters, seed: seed)
        return BlendSettings(trees: trees, network: DenseSettings(seed: seed), indicatorColumns: indicatorColumns)
    }
}

extension BlendSettings {
    /// For a city that no model has seen: trees that are more strongly pulled to 0 and, if asked for, as much of networks.
    ///
    /// Chosen on labelled rows alone, whole cities held out.
    /// - Parameters:
    ///   - hasNetworks: networks make the better model where a city has no labels and are about six times the work; once it has some,
    ///     trees trained anew do as well (docs/decisions/0010).
    ///   - indicatorColumns: columns whose absence the networks are told.
    package static func newCity(hasNetworks: Bool = false, indicatorColumns: [String] = [], seed: UInt64) -> BlendSettings {
        let parameters = [
            "tree_method": "hist", "max_bin": "128", "eta": "0.08", "max_depth": "4", "min_child_weight": "20", "lambda": "10",
            "colsample_bynode": "0.25", "subsample": "0.6",
        ]
        let trees = BoostingSettings(rounds: 120, parameters: parameters, seed: seed)
        return BlendSettings(
            trees: trees, network: DenseSettings(seed: seed), indicatorColumns: indicatorColumns, networkShare: hasNetworks ? 0.5 : 0)
    }
}

extension BlendSettings {
    /// For the leaky random split where time is short: trees alone, and fewer; about a third of the work of `pooled`.
    package static func claim(seed: UInt64) -> BlendSettings {
        var settings = pooled(fewLabels: false, indicatorColumns: [], seed: seed)
        settings.trees.rounds = 120
        settings.trees.parameters["eta"] = "0.1"
        settings.networkShare = 0
        return settings
    }
}
