/// What joint inference is worth on rows whose labels are known: a small model answers all, a large one those that are handed on.
package struct JointEvaluation: Sendable, Equatable {
    /// A row, what both models say of it, and the truth; the truth is only counted with.
    package struct Row: Sendable, Equatable {
        /// What filters see.
        package var small: LearnedGain.Row
        /// The large model's shares.
        package var large: [Float]
        /// The true class.
        package var label: Int

        /// One share a class in both.
        package init(small: LearnedGain.Row, large: [Float], label: Int) { (self.small, self.large, self.label) = (small, large, label) }
    }

    /// Rows answered, handed on, and of those put right or wrong by it.
    package var answered = 0, uploaded = 0, helped = 0, hurt = 0
    /// Right answers of the small model, the large one, and both together.
    package var smallRight = 0, largeRight = 0, jointRight = 0

    /// Of all rows; 0 without rows.
    package var uploadShare: Double { answered == 0 ? 0 : Double(uploaded) / Double(answered) }
    /// Of what the large model alone would gain in accuracy; nil where it gains nothing.
    package var gainShare: Double? {
        largeRight > smallRight ? Double(jointRight - smallRight) / Double(largeRight - smallRight) : nil
    }

    /// Rows one after the other, as a service meets them; what it learns it learns from rows before.
    ///
    /// - Parameters:
    ///   - explored: share of rows that are handed on whatever the filter says, within the budget, so that a filter which learns sees those as well.
    ///   - seed: for lots.
    package init(
        _ rows: some Sequence<Row>, filter: HardExampleFilter, budget limit: UploadBudget.Limit?, explored: Double = 0, seed: UInt64
    ) {
        var budget = UploadBudget(limit, filter: filter)
        var gain = LearnedGain()
        var generator = SeededGenerator(seed: seed)
        for row in rows {
            let lot = Double.random(in: 0..<1, using: &generator)
            let isExplored = Double.random(in: 0..<1, using: &generator) < explored
            let expected = filter.rule == .learnedGain ? gain.expected(row.small) : 0
            let hardness = filter.hardness(of: .classes(row.small.shares), lot: lot, gain: expected)
            let isUploaded = budget.takes(hardness: isExplored ? 1 : hardness, bytes: 1, now: Double(answered))
            let alone = filter.rule == .learnedGain ? gain.imitated(row.small) : row.small.shares
            if isUploaded, filter.rule == .learnedGain { gain.learn(row.small, large: row.large) }
            count(row, alone, isUploaded)
        }
    }

    private mutating func count(_ row: Row, _ alone: [Float], _ isUploaded: Bool) {
        let small = Self.first(row.small.shares) == row.label, large = Self.first(row.large) == row.label
        answered += 1
        smallRight += small ? 1 : 0
        largeRight += large ? 1 : 0
        jointRight += (isUploaded ? large : Self.first(alone) == row.label) ? 1 : 0
        guard isUploaded else { return }
        uploaded += 1
        helped += large && !small ? 1 : 0
        hurt += small && !large ? 1 : 0
    }

    private static func first(_ shares: [Float]) -> Int { shares.indices.max { shares[$0] < shares[$1] } ?? 0 }
}
