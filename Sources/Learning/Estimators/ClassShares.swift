/// Predicts the class shares of its training rows for every row, whatever its features: the baseline every model has to beat.
package struct ClassShares: Predictor, Sendable, Equatable {
    /// One a class, summing to 1.
    package let shares: [Float]

    /// - Parameter labels: class indices in 0..<classCount, at least one.
    package init(labels: [Int], classCount: Int) {
        precondition(!labels.isEmpty, "shares need a label")
        shares = classCounts(labels, classCount: classCount).map { Float($0) / Float(labels.count) }
    }

    /// The same shares for every row; never fails.
    package func predict(_ features: FeatureMatrix) throws -> ClassProbabilities { probabilities(rowCount: features.rowCount) }

    /// Shape [rowCount, classes].
    package func probabilities(rowCount: Int) -> ClassProbabilities {
        ClassProbabilities(classCount: shares.count, values: (0..<rowCount).flatMap { _ in shares })
    }
}

/// How often each class occurs.
package func classCounts(_ labels: [Int], classCount: Int) -> [Int] {
    labels.reduce(into: [Int](repeating: 0, count: classCount)) { $0[$1] += 1 }
}
