/// How many of some rows were answered right.
package struct HitCount: Sendable, Equatable {
    /// Rows whose most probable class is the true one.
    package var hits: Int
    /// Rows in all, at least 1.
    package var rows: Int

    /// 0 for a kind of rows that has none yet.
    package init(hits: Int = 0, rows: Int = 0) { (self.hits, self.rows) = (hits, rows) }

    /// Share of the rows answered right; NaN without rows.
    package var accuracy: Double { Double(hits) / Double(rows) }

    /// Counts rows by what they belong to, as a task or a round.
    ///
    /// - Parameters:
    ///   - truth: class indices, one a row.
    ///   - keys: what each row belongs to; nil for a row that is left out.
    package static func counts<Key: Hashable>(_ probabilities: ClassProbabilities, truth: [Int], by keys: [Key?]) -> [Key: HitCount] {
        precondition(probabilities.rowCount == truth.count && keys.count == truth.count, "one true class and one key a row")
        var counts: [Key: HitCount] = [:]
        for (row, key) in keys.enumerated() {
            guard let key else { continue }
            counts[key, default: HitCount()].rows += 1
            if probabilities.predictedClass(row: row) == truth[row] { counts[key]!.hits += 1 }
        }
        return counts
    }

    /// What always naming one class is worth: that which is most frequent among the rows of earlier rounds, over the rows of one round. The
    /// baseline of `LifelongMatrix.forwardTransfer(over:)`.
    ///
    /// - Parameters:
    ///   - truth: class indices, one a row; `rounds` as many.
    ///   - round: the one that is judged.
    /// - Returns: nil where no row is of an earlier round, or none of this.
    package static func majority(truth: [Int], rounds: [Int], of round: Int) -> Double? {
        var earlier: [Int: Int] = [:]
        for (label, row) in zip(truth, rounds) where row < round { earlier[label, default: 0] += 1 }
        let own = truth.indices.filter { rounds[$0] == round }
        // The lowest class of those that are equally frequent, as a predictor would name.
        guard let most = earlier.max(by: { ($0.value, $1.key) < ($1.value, $0.key) })?.key, !own.isEmpty else { return nil }
        return Double(own.count { truth[$0] == most }) / Double(own.count)
    }
}
