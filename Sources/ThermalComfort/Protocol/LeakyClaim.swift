package import Learning

/// The published claim (+5.12 %) beside our methods under a random row split, which leaks. One round, every pool row labelled.
///
/// The split of the claim is unknown: this shows that its size can be had by leaking, not how it was had.
package enum LeakyClaim {
    /// Why the split leaks; shown wherever the figures are.
    package static let note =
        "nearly every test vote has a vote of the same building and day, or of the same person, among those learned from; "
        + "skerry is a lighter model here, trees without networks"

    /// The methods that are compared, by the names of `ComfortMethods`.
    package static let methods = ["single_task", "sedna_multitask", "skerry"]

    /// - Parameters:
    ///   - seed: of the split.
    ///   - onMethod: called after each method with the number done.
    /// - Throws: what the methods throw.
    package static func evaluate(
        _ database: ComfortDatabase, seed: UInt64, methods made: ComfortMethods, seconds: () -> Double, onMethod: (Int) -> Void = { _ in }
    ) throws -> [MethodEvaluation] {
        let rows = ComfortSplit.randomRow(database, seed: seed)
        let experiment = ComfortExperiment(database: database, rows: rows, budget: .full, featureSets: [.base, .physics])
        return try methods.enumerated().map { done, name in
            defer { onMethod(done + 1) }
            return try experiment.evaluate(try made.method(name), seconds: seconds)
        }
    }
}

extension ComfortResults.LeakyRandomSplit {
    /// - Parameter evaluations: of `LeakyClaim.methods`, in that order; intervals are over buildings.
    /// - Returns: nil where the single model is never right.
    package init?(_ evaluations: [MethodEvaluation]) {
        precondition(evaluations.map(\.method) == LeakyClaim.methods, "the claim compares \(LeakyClaim.methods)")
        let single = evaluations[0]
        let others = evaluations.dropFirst().compactMap { evaluation in
            evaluation.gain(over: single).map { gain in
                ComfortResults.LeakyMethod(
                    accuracy: evaluation.metrics.accuracy,
                    relativeGainVsSingle: .init(gain.value, ci95: .init(low: gain.low, high: gain.high)))
            }
        }
        guard others.count == 2 else { return nil }
        self.init(singleTask: single.metrics.accuracy, sednaMultitask: others[0], skerry: others[1], note: LeakyClaim.note)
    }
}
