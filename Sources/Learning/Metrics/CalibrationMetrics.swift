/// Whether stated probabilities can be taken at their word.
package struct CalibrationMetrics: Sendable, Equatable {
    /// Mean over rows of the sum over classes of (p − y)², 0…2, lower is better. Brier, Monthly Weather Review 78, 1950.
    package var brier: Double
    /// Mean distance between the probability of the predicted class and how often it is right, over equal bins of that probability,
    /// weighted by rows; 0…1, lower is better. Guo et al., On Calibration of Modern Neural Networks, 2017.
    package var expectedCalibrationError: Double

    /// - Parameters:
    ///   - truth: class indices, one a row, at least one.
    ///   - binCount: bins of equal width over 0…1; a probability on a border belongs to the bin below it.
    package init(_ probabilities: ClassProbabilities, truth: [Int], binCount: Int = 15) {
        precondition(probabilities.rowCount == truth.count && !truth.isEmpty, "one true class a row, at least one row")
        precondition(binCount > 0, "at least one bin")
        let classes = probabilities.classCount
        var squares = 0.0
        var confidence = [Double](repeating: 0, count: binCount), hits = confidence
        for (row, label) in truth.enumerated() {
            for k in 0..<classes {
                let distance = Double(probabilities.values[row * classes + k]) - (k == label ? 1 : 0)
                squares += distance * distance
            }
            let guess = probabilities.predictedClass(row: row)
            let top = Double(probabilities.values[row * classes + guess])
            let bin = min(binCount - 1, max(0, Int((top * Double(binCount)).rounded(.up)) - 1))
            confidence[bin] += top
            hits[bin] += guess == label ? 1 : 0
        }
        brier = squares / Double(truth.count)
        expectedCalibrationError = zip(confidence, hits).reduce(0) { $0 + abs($1.0 - $1.1) } / Double(truth.count)
    }
}
