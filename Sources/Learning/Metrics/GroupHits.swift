/// How many rows of each group (a city, a building) were judged, and how many of them were predicted rightly.
package struct GroupHits: Sendable, Equatable {
    /// One group's rows and hits.
    package struct Count: Sendable, Equatable {
        /// Judged rows; 1 or more in `counts`.
        package var rows = 0
        /// Rows whose most probable class is the true one; at most `rows`.
        package var hits = 0

        /// For adding up; the accuracy of an empty count is NaN.
        package init(rows: Int = 0, hits: Int = 0) { (self.rows, self.hits) = (rows, hits) }

        /// Share of the rows predicted rightly, 0…1.
        package var accuracy: Double { Double(hits) / Double(rows) }
    }

    /// By group; each has at least one row.
    package private(set) var counts: [String: Count] = [:]

    /// - Parameter groups: the group of each row.
    package init(_ probabilities: ClassProbabilities, truth: [Int], groups: [String]) {
        precondition(probabilities.rowCount == truth.count && groups.count == truth.count, "one true class and one group a row")
        for (row, group) in groups.enumerated() {
            let hit = probabilities.predictedClass(row: row) == truth[row] ? 1 : 0
            counts[group, default: Count()].rows += 1
            counts[group, default: Count()].hits += hit
        }
    }

    /// Share of all rows predicted rightly; nil without rows.
    package var accuracy: Double? {
        let rows = counts.values.reduce(0) { $0 + $1.rows }
        return rows == 0 ? nil : Double(counts.values.reduce(0) { $0 + $1.hits }) / Double(rows)
    }

    /// Unweighted mean of the accuracies of the groups with at least `minimumRows` rows; nil if there is none.
    ///
    /// With cities and 100 rows this is the protocol's city-macro accuracy.
    package func macroAccuracy(minimumRows: Int = 100) -> Double? {
        // Sorted, so that the last bit of the sum does not depend on the order of a dictionary.
        let kept = counts.filter { $0.value.rows >= minimumRows }.sorted { $0.key < $1.key }
        return kept.isEmpty ? nil : kept.reduce(0) { $0 + $1.value.accuracy } / Double(kept.count)
    }
}
