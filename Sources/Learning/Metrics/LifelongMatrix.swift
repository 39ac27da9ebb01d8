/// Accuracy round by round: `values[i][j]` is the accuracy after learning round i on the test rows of round j.
///
/// Square. NaN marks a cell that does not exist: round j has no test rows, or no model existed after round i. Every figure below leaves
/// such cells out and is nil where none remains.
package struct LifelongMatrix: Sendable, Equatable {
    /// Accuracies 0…1 or NaN; rows and columns by round.
    package let values: [[Double]]

    /// Rows, and columns.
    package var roundCount: Int { values.count }

    /// Traps unless the matrix is square and has a row.
    package init(_ values: [[Double]]) {
        precondition(!values.isEmpty && values.allSatisfy { $0.count == values.count }, "one row and one column a round")
        self.values = values
    }

    /// One row of the matrix: the accuracy on the test rows of each round; NaN for a round without test rows.
    ///
    /// - Parameter rounds: the round of each test row, 0..<roundCount.
    package static func row(_ probabilities: ClassProbabilities, truth: [Int], rounds: [Int], roundCount: Int) -> [Double] {
        precondition(probabilities.rowCount == truth.count && rounds.count == truth.count, "one true class and one round a row")
        var hits = [Int](repeating: 0, count: roundCount), rows = hits
        for (row, round) in rounds.enumerated() {
            rows[round] += 1
            hits[round] += probabilities.predictedClass(row: row) == truth[row] ? 1 : 0
        }
        return (0..<roundCount).map { Double(hits[$0]) / Double(rows[$0]) }
    }

    /// Backward transfer, BWT: what the rounds before the last gained since they were learned, mean over j < last of R[last][j] − R[j][j].
    ///
    /// −1…1; negative is forgetting. Lopez-Paz and Ranzato, Gradient Episodic Memory, 2017.
    package var backwardTransfer: Double? {
        let last = roundCount - 1
        return Self.mean((0..<last).map { values[last][$0] - values[$0][$0] })
    }

    /// Forward transfer, FWT: how much better a round is met before its labels are learned than by the majority of what was labelled before.
    ///
    /// Mean over j ≥ 1 of R[j−1][j] − baseline[j], −1…1.
    /// - Parameter baseline: for each round j the accuracy on its test rows of always naming the class most frequent in the labels of the
    ///   rounds before j; the first is not used.
    package func forwardTransfer(over baseline: [Double]) -> Double? {
        precondition(baseline.count == roundCount, "one baseline accuracy a round")
        return Self.mean((1..<max(1, roundCount)).map { values[$0 - 1][$0] - baseline[$0] })
    }

    /// What was once known and is lost: mean over j < last of the best R[i][j], j ≤ i < last, less R[last][j].
    ///
    /// −1…1; negative where the last round still gained. Chaudhry et al., Riemannian Walk, 2018.
    package var forgetting: Double? {
        let last = roundCount - 1
        return Self.mean(
            (0..<max(0, last)).map { j in
                let best = (j..<last).map { values[$0][j] }.filter { !$0.isNaN }.max() ?? .nan
                return best - values[last][j]
            })
    }

    /// Backward transfer as KubeEdge Ianvs computes it: the mean change from one row to the next over all cells.
    ///
    /// 1/T² Σ_{i<T} Σ_{j<T} (R[i+1][j] − R[i][j]) of a matrix whose row 0 is the initial model (kubeedge/ianvs,
    /// core/testcasecontroller/metrics/metrics.py, `compute`). Here round 0 makes the initial model, and the rounds after it are Ianvs's T
    /// rounds. A label for this figure must name Ianvs: it is not what the literature calls BWT.
    package var ianvsBackwardTransfer: Double? {
        Self.mean((1..<max(1, roundCount)).flatMap { i in (1..<roundCount).map { values[i][$0] - values[i - 1][$0] } })
    }

    /// Forward transfer as KubeEdge Ianvs computes it: accuracy on a round just before it is learned, less the initial model's.
    ///
    /// 1/T Σ_{i<T} (R[i][i] − R[0][i]), where column i is the round learned next (same source and same reading as
    /// `ianvsBackwardTransfer`). Its first term is 0 by construction.
    package var ianvsForwardTransfer: Double? {
        Self.mean((1..<max(1, roundCount)).map { values[$0 - 1][$0] - values[0][$0] })
    }

    private static func mean(_ values: [Double]) -> Double? {
        let known = values.filter { !$0.isNaN }
        return known.isEmpty ? nil : known.reduce(0, +) / Double(known.count)
    }
}
