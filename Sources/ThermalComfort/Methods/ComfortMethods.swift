package import Learning

/// The baselines of the thermal-comfort protocol by name.
package struct ComfortMethods {
    /// What each name stands for, in the order of tables.
    package static let summaries: [(name: String, summary: String)] = [
        ("majority", "class shares of all labels so far"),
        ("single_task", "baseline (a): one model, anew on all labels so far"),
        ("never_updated", "one model of the first round"),
        ("new_round_only", "one model, anew on each round's labels alone"),
        ("finetune", "one model of the first round, boosted further on each round's labels alone"),
        ("sedna_multitask", "baseline (b): Sedna's models by season and cooling type, on all labels so far"),
        ("sedna_lifelong", "baseline (c0): the same, each round's tasks replacing those of the same name"),
        ("pooled", "one model with place and time, and a bias for each site and person"),
        ("skerry", "trees and networks over physics and place, and a bias for each site and person"),
    ]
    /// In the order of `summaries`.
    package static var names: [String] { summaries.map(\.name) }

    /// - Throws: `UnknownMethod` for the first name that stands for nothing.
    package static func check(_ names: [String]) throws(UnknownMethod) {
        for name in names where !Self.names.contains(name) { throw UnknownMethod(name: name) }
    }

    private let boosting: any Estimator
    private let further: any ContinuingEstimator
    private let pooled: any Estimator
    private let blended: any CrossFittingEstimator
    private let stages: LifelongStages

    /// - Parameters:
    ///   - boosting: Sedna's settings.
    ///   - further: Sedna's settings for the rounds added when a model is tuned further.
    ///   - pooled: the settings of `pooled`.
    ///   - blended: the settings of `skerry`.
    ///   - stages: the stages of `skerry`.
    package init(
        boosting: any Estimator, further: any ContinuingEstimator, pooled: any Estimator, blended: any CrossFittingEstimator,
        stages: LifelongStages = .comfort
    ) {
        self.boosting = boosting
        self.further = further
        self.pooled = pooled
        self.blended = blended
        self.stages = stages
    }

    /// A method that has learned nothing yet.
    ///
    /// - Throws: `UnknownMethod`, which lists the known names.
    package func method(_ name: String) throws -> any LifelongMethod {
        if let policy = SingleModelMethod.Policy(rawValue: name) { return SingleModelMethod(policy, boosting) }
        switch name {
        case "majority": return MajorityMethod()
        case "finetune": return FineTuneMethod(first: boosting, further: further)
        case "sedna_multitask": return SednaMultiTaskMethod(boosting)
        case "sedna_lifelong": return SednaLifelongMethod(boosting)
        case "skerry": return SkerryMethod(blended, stages: stages)
        case "pooled": return PooledMethod(pooled)
        default: throw UnknownMethod(name: name)
        }
    }
}

/// A name that stands for no method.
package struct UnknownMethod: Error, Equatable, CustomStringConvertible {
    /// As it was asked for.
    package var name: String
    /// One sentence: the name asked for and those there are.
    package var description: String { "unknown method \"\(name)\"; known: \(ComfortMethods.names.joined(separator: ", "))" }
}
