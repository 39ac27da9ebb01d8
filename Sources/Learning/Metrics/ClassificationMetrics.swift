#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How well probabilities meet the classes that came true.
package struct ClassificationMetrics: Sendable, Equatable {
    /// Share of rows whose most probable class is the true one; the same as micro precision for one label a row.
    package var accuracy: Double
    /// Unweighted mean of the F1 of the classes; a class that is neither true nor predicted anywhere counts 0.
    package var macroF1: Double
    /// Mean of −ln p(true class), p bounded below by 1e-15.
    package var logLoss: Double

    /// - Parameter truth: class indices, as many as there are rows, at least one.
    package init(_ probabilities: ClassProbabilities, truth: [Int]) {
        precondition(probabilities.rowCount == truth.count && !truth.isEmpty, "one true class a row, at least one row")
        let classes = probabilities.classCount
        var hit = [Double](repeating: 0, count: classes)
        var predicted = hit, actual = hit
        var loss = 0.0
        for (row, label) in truth.enumerated() {
            let guess = probabilities.predictedClass(row: row)
            predicted[guess] += 1
            actual[label] += 1
            if guess == label { hit[label] += 1 }
            loss -= log(max(Double(probabilities.values[row * classes + label]), 1e-15))
        }
        let count = Double(truth.count)
        accuracy = hit.reduce(0, +) / count
        let scores = (0..<classes).map { predicted[$0] + actual[$0] == 0 ? 0 : 2 * hit[$0] / (predicted[$0] + actual[$0]) }
        macroF1 = scores.reduce(0, +) / Double(classes)
        logLoss = loss / count
    }
}
