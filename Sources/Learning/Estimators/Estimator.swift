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
