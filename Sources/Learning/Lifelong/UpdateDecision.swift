/// What an update decision may look at.
package struct UpdateSituation: Sendable {
    /// Labelled rows that no serving model was trained on.
    package var newCount: Int
    /// Mean log-loss of the serving models on those rows; nil before the first model.
    package var newLoss: Double?
    /// Mean log-loss of the serving models on the rows they were trained on, out of sample; nil before the first model.
    package var oldLoss: Double?

    /// Made by the learner at the beginning of a round; without `oldLoss` it is the first.
    package init(newCount: Int, newLoss: Double? = nil, oldLoss: Double? = nil) {
        (self.newCount, self.newLoss, self.oldLoss) = (newCount, newLoss, oldLoss)
    }
}

/// Whether a round is worth training for.
package protocol UpdateDecision: Sendable {
    /// - Returns: nil to train; else why not, in words.
    func reasonToWait(_ situation: UpdateSituation) -> String?
}

/// Train when enough new labels have come, and always the first time.
package struct UpdateByCount: UpdateDecision {
    /// Fewer new labelled rows than this are left for a later round.
    package let newLabels: Int

    /// A job's own number is checked when the stage is made: 1 or more.
    package init(newLabels: Int) { self.newLabels = newLabels }

    /// In a round without a model before it never waits.
    package func reasonToWait(_ situation: UpdateSituation) -> String? {
        guard situation.oldLoss != nil, situation.newCount < newLabels else { return nil }
        return "\(situation.newCount) new labels, fewer than \(newLabels)"
    }

    static func make(_ parameters: StageParameters) throws(StageError) -> any UpdateDecision {
        UpdateByCount(newLabels: Int(try parameters.number("new_labels", default: 1, in: 1...1e9)))
    }
}

/// Train when the serving models do worse on the new labels than on the old by some margin, and always the first time.
package struct UpdateByLoss: UpdateDecision {
    /// Least rise of the mean log-loss, nats.
    package let rise: Double

    /// A job's own number is checked when the stage is made; a negative one trains even where the loss falls a little.
    package init(rise: Double) { self.rise = rise }

    /// Waits where nothing new is labelled; in a round without a model before it never waits.
    package func reasonToWait(_ situation: UpdateSituation) -> String? {
        guard let old = situation.oldLoss else { return nil }
        guard let new = situation.newLoss else { return "no new labels" }
        guard new < old + rise else { return nil }
        return "log-loss \(rounded(new)) on new labels against \(rounded(old)) on old ones, a rise below \(rounded(rise))"
    }

    static func make(_ parameters: StageParameters) throws(StageError) -> any UpdateDecision {
        UpdateByLoss(rise: try parameters.number("rise", default: 0.02, in: -1e3...1e3))
    }
}

/// Four decimals, for reasons in words.
func rounded(_ value: Double) -> String {
    guard value.isFinite else { return "\(value)" }
    let units = (abs(value) * 10_000).rounded()
    guard units < 1e15 else { return "\(value)" }
    let digits = String(Int(units) % 10_000)
    let sign = value < 0 && units > 0 ? "-" : ""
    return "\(sign)\(Int(units) / 10_000)." + String(repeating: "0", count: 4 - digits.count) + digits
}
