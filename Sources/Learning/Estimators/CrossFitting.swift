/// Rows to train on.
package struct TrainingRows: Sendable {
    /// NaN is missing; whoever learns decides what that means.
    package var features: FeatureMatrix
    /// Class indices, one a row.
    package var labels: [Int]
    /// A second target learned beside the class where the estimator can, about −3 ... 3; NaN where unknown.
    package var auxiliary: [Float]
    /// Cross-fitting fold of each row; rows that belong together share one.
    package var folds: [Int]
    /// How much a row counts, positive; nil: all alike.
    package var weights: [Float]?

    /// Traps unless there is one label, auxiliary value, fold and weight a row.
    package init(features: FeatureMatrix, labels: [Int], auxiliary: [Float], folds: [Int], weights: [Float]? = nil) {
        precondition([labels.count, auxiliary.count, folds.count].allSatisfy { $0 == features.rowCount }, "one value a row")
        precondition(weights.map { $0.count == labels.count } ?? true, "one weight a row")
        self.features = features
        self.labels = labels
        self.auxiliary = auxiliary
        self.folds = folds
        self.weights = weights
    }

    /// Rows, not columns.
    package var count: Int { labels.count }

    /// The rows at the given positions, in the given order.
    package func rows(_ positions: [Int]) -> TrainingRows {
        TrainingRows(
            features: features.rows(positions), labels: positions.map { labels[$0] }, auxiliary: positions.map { auxiliary[$0] },
            folds: positions.map { folds[$0] }, weights: weights.map { all in positions.map { all[$0] } })
    }
}

/// A blend and what its parts say of training rows they did not see.
package struct CrossFittedBlend: Sendable {
    /// Trained on all rows; this one is deployed.
    package let model: BlendedModel
    /// Shape [rows, classes]: margins of every training row from parts trained without its fold. Biases fitted on them are not shrunk by over-fit.
    package let margins: [Double]

    /// Made by a `CrossFittingEstimator`; the number of margins is not checked here.
    package init(model: BlendedModel, margins: [Double]) {
        self.model = model
        self.margins = margins
    }
}

/// A way of learning that can also say how it would have predicted each training row without having seen it.
package protocol CrossFittingEstimator: Sendable {
    /// The model alone, for a fraction of the time.
    ///
    /// - Throws: a clear error for no rows, a single class, or cancellation.
    func fit(_ rows: TrainingRows) throws -> BlendedModel

    /// - Throws: as `fit`.
    func crossFit(_ rows: TrainingRows) throws -> CrossFittedBlend
}
