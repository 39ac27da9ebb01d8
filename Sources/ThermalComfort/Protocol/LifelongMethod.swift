package import Learning

/// What became of a method's model in a round.
package enum RoundOutcome: Sendable, Equatable {
    /// A new model serves; in this round it was trained on these labelled rows, by record id.
    case updated(records: [Int])
    /// The model of the round before still serves, for the reason given in words.
    case kept(reason: String)
}

/// A way of learning over rounds, judged by `ComfortExperiment.evaluate`.
///
/// It is told of rounds in order, each once, and predicts any rows at any time between them. Neither what it learns from nor what it
/// predicts carries a test row's label. A method is deterministic: its seed is a property of it.
package protocol LifelongMethod {
    /// As in `results.json`: lower case, words joined by underscores.
    var name: String { get }

    /// - Returns: `.kept` where the round brings nothing to learn from; the last model then stays.
    mutating func learn(_ round: ComfortRound) throws -> RoundOutcome

    /// Shape [rows, `Preference.allCases.count`]; every row sums to 1 ± 1e-5. Called only after a round that was `.updated`.
    func predict(_ rows: ComfortRows) throws -> ClassProbabilities
}
