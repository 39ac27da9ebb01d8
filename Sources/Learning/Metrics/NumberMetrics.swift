/// How well estimated numbers meet those that came true.
package struct NumberMetrics: Sendable, Equatable {
    /// Root of the mean squared error, in the label's unit.
    package var rmse: Double
    /// Mean absolute error, in the label's unit.
    package var mae: Double
    /// Share of the label's variance that is explained, at most 1; 0 where the mean of these rows does as well, or all are the same.
    package var r2: Double

    /// - Parameter truth: as many as there are estimates, at least one.
    package init(_ estimates: [Float], truth: [Float]) {
        precondition(estimates.count == truth.count && !truth.isEmpty, "one true number an estimate, at least one")
        let errors = zip(estimates, truth).map { Double($0) - Double($1) }
        let count = Double(truth.count)
        let mean = truth.reduce(0.0) { $0 + Double($1) } / count
        let (squares, spread) = (
            errors.reduce(0) { $0 + $1 * $1 }, truth.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
        )
        rmse = (squares / count).squareRoot()
        mae = errors.reduce(0) { $0 + abs($1) } / count
        r2 = spread > 0 ? 1 - squares / spread : 0
    }
}
