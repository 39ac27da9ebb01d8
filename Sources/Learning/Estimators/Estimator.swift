/// A learned model: gives class probabilities for rows of the columns it was trained on.
package protocol Predictor {
    /// - Returns: shape [rows, classes]; rows in the order given.
    func predict(_ features: FeatureMatrix) throws -> ClassProbabilities
}

/// A way of learning; add one by conforming in a file of its own.
package protocol Estimator {
    /// - Parameters:
    ///   - labels: class indices in 0..<classCount, one a row.
    /// - Throws: a clear error for no rows or a single class.
    func fit(_ features: FeatureMatrix, labels: [Int], classCount: Int) throws -> any Predictor
}

/// A way of learning that can go on from a model instead of starting anew.
package protocol ContinuingEstimator: Estimator {
    /// Goes on from a model on other rows; the given model stays as it is.
    ///
    /// - Throws: a clear error for a model that this estimator did not make, and what `fit` throws.
    func fit(continuing model: any Predictor, features: FeatureMatrix, labels: [Int], classCount: Int) throws -> any Predictor
}
