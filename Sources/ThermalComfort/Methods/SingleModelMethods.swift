package import Learning

private let classCount = Preference.allCases.count

/// The class shares of all labels so far: the floor under every other figure.
package struct MajorityMethod: LifelongMethod {
    /// As in `results.json`.
    package let name = "majority"
    private var shares: ClassShares?

    /// Without parameters.
    package init() {}

    /// Counts the classes of all labels so far; always updates.
    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        shares = ClassShares(labels: round.labelledSoFar.labels, classCount: classCount)
        return .updated(records: round.labelledSoFar.rows.recordIDs)
    }

    /// The same row for all.
    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities { trained(shares).probabilities(rowCount: rows.count) }
}

/// One model for all tasks: which labels it is trained on when a round closes is what tells the baselines apart.
package struct SingleModelMethod: LifelongMethod {
    /// Raw values are the names of the methods.
    package enum Policy: String, CaseIterable, Sendable {
        /// Baseline (a): anew on all labels so far.
        case cumulative = "single_task"
        /// Once, on the first round; what a deployed model does that nobody maintains.
        case neverUpdated = "never_updated"
        /// Anew on the labels of the new round alone.
        case newRoundOnly = "new_round_only"
    }

    /// That of the policy.
    package var name: String { policy.rawValue }
    private let policy: Policy
    private let estimator: any Estimator
    private let features: ComfortFeatureSet
    private var model: (any Predictor)?

    /// The estimator sees the columns of `features`, one row a labelled vote.
    package init(_ policy: Policy, _ estimator: any Estimator, features: ComfortFeatureSet = .base) {
        self.policy = policy
        self.estimator = estimator
        self.features = features
    }

    /// Keeps the last model where the policy says so or the labels have fewer than two classes.
    ///
    /// - Throws: what the estimator throws.
    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        if policy == .neverUpdated && model != nil { return .kept(reason: "trained once and never updated") }
        let material = policy == .cumulative ? round.labelledSoFar : round.labelled
        if let obstacle = material.obstacle { return .kept(reason: "round \(round.number): \(obstacle)") }
        model = try estimator.fit(material.rows.features(features), labels: material.labels, classCount: classCount)
        return .updated(records: material.rows.recordIDs)
    }

    /// By the one model; neither site nor person is looked at.
    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities { try trained(model).predict(rows.features(features)) }
}

/// Incremental learning as it is usually done: a model of the first round, boosted further on each new round's labels alone.
package struct FineTuneMethod: LifelongMethod {
    /// As in `results.json`.
    package let name = "finetune"
    private let first: any Estimator
    private let further: any ContinuingEstimator
    private var model: (any Predictor)?

    /// - Parameters:
    ///   - first: makes the model of the first round.
    ///   - further: goes on from it; it must know the models that `first` makes.
    package init(first: any Estimator, further: any ContinuingEstimator) {
        self.first = first
        self.further = further
    }

    /// Adds the further estimator's rounds to the model; keeps it where the round's labels have fewer than two classes.
    ///
    /// - Throws: what the estimators throw.
    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        if let obstacle = round.labelled.obstacle { return .kept(reason: "round \(round.number): \(obstacle)") }
        let (rows, labels) = (round.labelled.rows.features(.base), round.labelled.labels)
        model =
            try model.map { try further.fit(continuing: $0, features: rows, labels: labels, classCount: classCount) }
            ?? first.fit(rows, labels: labels, classCount: classCount)
        return .updated(records: round.labelled.rows.recordIDs)
    }

    /// By the one model, on the base features.
    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities { try trained(model).predict(rows.features(.base)) }
}

/// One model that knows where it is, corrected by a bias for each site and each person; anew on all labels so far.
package struct PooledMethod: LifelongMethod {
    /// On the command line; not among the demo's methods.
    package let name = "pooled"
    private let estimator: any Estimator
    private var model: PartialPooling?

    /// The same estimator makes the model and those of cross-fitting.
    package init(_ estimator: any Estimator) { self.estimator = estimator }

    /// Trains on all labels so far, once and once more for each fold; always updates.
    ///
    /// - Throws: what the estimator throws.
    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        let material = round.labelledSoFar
        model = try PartialPooling(
            estimator, features: material.rows.features(.context), labels: material.labels, tasks: material.rows.tasks,
            classCount: classCount)
        return .updated(records: material.rows.recordIDs)
    }

    /// By the model on the context features, corrected for the row's site and person.
    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities {
        try trained(model).predict(rows.features(.context), tasks: rows.tasks)
    }
}

/// The model of a method that must have learned before it predicts.
func trained<Model>(_ model: Model?) -> Model {
    guard let model else { preconditionFailure("predict was called before any round was learned") }
    return model
}
