package import Learning

private let classCount = Preference.allCases.count

/// The class shares of all labels so far: the floor under every other figure.
package struct MajorityMethod: LifelongMethod {
    package let name = "majority"
    private var shares: ClassShares?

    package init() {}

    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        shares = ClassShares(labels: round.labelledSoFar.labels, classCount: classCount)
        return .updated(records: round.labelledSoFar.rows.recordIDs)
    }

    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities { trained(shares).probabilities(rowCount: rows.count) }
}

/// One model for all tasks: which labels it is trained on when a round closes is what tells the baselines apart.
package struct SingleModelMethod: LifelongMethod {
    package enum Policy: String, CaseIterable, Sendable {
        /// Baseline (a): anew on all labels so far.
        case cumulative = "single_task"
        /// Once, on the first round; what a deployed model does that nobody maintains.
        case neverUpdated = "never_updated"
        /// Anew on the labels of the new round alone.
        case newRoundOnly = "new_round_only"
    }

    package var name: String { policy.rawValue }
    private let policy: Policy
    private let estimator: any Estimator
    private let features: ComfortFeatureSet
    private var model: (any Predictor)?

    package init(_ policy: Policy, _ estimator: any Estimator, features: ComfortFeatureSet = .base) {
        self.policy = policy
        self.estimator = estimator
        self.features = features
    }

    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        if policy == .neverUpdated && model != nil { return .kept(reason: "trained once and never updated") }
        let material = policy == .cumulative ? round.labelledSoFar : round.labelled
        if let obstacle = material.obstacle { return .kept(reason: "round \(round.number): \(obstacle)") }
        model = try estimator.fit(material.rows.features(features), labels: material.labels, classCount: classCount)
        return .updated(records: material.rows.recordIDs)
    }

    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities { try trained(model).predict(rows.features(features)) }
}

/// Incremental learning as it is usually done: a model of the first round, boosted further on each new round's labels alone.
package struct FineTuneMethod: LifelongMethod {
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

    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        if let obstacle = round.labelled.obstacle { return .kept(reason: "round \(round.number): \(obstacle)") }
        let (rows, labels) = (round.labelled.rows.features(.base), round.labelled.labels)
        model =
            try model.map { try further.fit(continuing: $0, features: rows, labels: labels, classCount: classCount) }
            ?? first.fit(rows, labels: labels, classCount: classCount)
        return .updated(records: round.labelled.rows.recordIDs)
    }

    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities { try trained(model).predict(rows.features(.base)) }
}

/// One model that knows where it is, corrected by a bias for each site and each person; anew on all labels so far.
package struct PooledMethod: LifelongMethod {
    package let name = "pooled"
    private let estimator: any Estimator
    private var model: PartialPooling?

    package init(_ estimator: any Estimator) { self.estimator = estimator }

    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        let material = round.labelledSoFar
        model = try PartialPooling(
            estimator, features: material.rows.features(.context), labels: material.labels, tasks: material.rows.tasks,
            classCount: classCount)
        return .updated(records: material.rows.recordIDs)
    }

    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities {
        try trained(model).predict(rows.features(.context), tasks: rows.tasks)
    }
}

/// The model of a method that must have learned before it predicts.
func trained<Model>(_ model: Model?) -> Model {
    guard let model else { preconditionFailure("predict was called before any round was learned") }
    return model
}
