/// How much more often one method is right than another on the same rows, with an interval that respects that rows of a group resemble
/// each other.
package struct RelativeGain: Sendable, Equatable {
    /// accuracy / baseline accuracy − 1; 0.03 is 3 % more rows predicted rightly.
    package var value: Double
    /// 95 % interval: the 2.5th and 97.5th percentile over draws of whole groups with replacement.
    package var low: Double
    /// See `low`.
    package var high: Double

    /// - Parameters:
    ///   - method: hits by group, usually by building.
    ///   - baseline: hits of the baseline on the same rows: same groups, same rows in each.
    ///   - draws: bootstrap samples, at least 2.
    ///   - seed: the same seed gives the same interval.
    /// - Returns: nil where the baseline is never right, so that no ratio exists.
    /// - Complexity: draws × groups; rows are not touched.
    package init?(of method: GroupHits, over baseline: GroupHits, draws: Int = 1000, seed: UInt64 = 27) {
        precondition(draws >= 2, "an interval needs at least two draws")
        let groups = method.counts.keys.sorted()
        precondition(
            groups == baseline.counts.keys.sorted() && groups.allSatisfy { method.counts[$0]!.rows == baseline.counts[$0]!.rows },
            "both methods must be judged on the same rows")
        let ours = groups.map { Double(method.counts[$0]!.hits) }, theirs = groups.map { Double(baseline.counts[$0]!.hits) }
        let total = theirs.reduce(0, +)
        guard total > 0 else { return nil }
        value = ours.reduce(0, +) / total - 1
        var generator = SeededGenerator(seed: seed)
        var gains: [Double] = []
        gains.reserveCapacity(draws)
        for _ in 0..<draws {
            var (a, b) = (0.0, 0.0)
            for _ in groups.indices {
                let group = Int.random(in: groups.indices, using: &generator)
                a += ours[group]
                b += theirs[group]
            }
            // A draw in which the baseline is never right has no ratio; it says nothing of the interval.
            if b > 0 { gains.append(a / b - 1) }
        }
        gains.sort()
        low = percentile(0.025, ofSorted: gains)
        high = percentile(0.975, ofSorted: gains)
    }
}

/// The value below which a share of the values lies, interpolated linearly between neighbours.
///
/// - Parameters:
///   - share: 0…1.
///   - sorted: ascending, at least one.
package func percentile(_ share: Double, ofSorted sorted: [Double]) -> Double {
    precondition(!sorted.isEmpty && (0...1).contains(share), "a share of at least one value")
    let position = share * Double(sorted.count - 1)
    let below = Int(position)
    guard below + 1 < sorted.count else { return sorted[below] }
    return sorted[below] + (position - Double(below)) * (sorted[below + 1] - sorted[below])
}
