package import Learning

/// Our way: one blend of trees and networks for all places, corrected by partial pooling for each site and person, and a gate for each task.
package struct SkerryMethod: LifelongMethod, Sendable {
    /// As in `results.json`.
    package let name = "skerry"
    private let featureSet: ComfortFeatureSet
    private var learner: LifelongLearner
    /// What became of every round, oldest first.
    package private(set) var rounds: [LifelongRound] = []

    /// - Parameter stages: what each stage of lifelong learning is.
    package init(
        _ estimator: any CrossFittingEstimator, stages: LifelongStages = .comfort, featureSet: ComfortFeatureSet = .physics
    ) {
        self.featureSet = featureSet
        learner = LifelongLearner(estimator, stages: stages, classCount: Preference.allCases.count, clusterAttribute: "building")
    }

    /// Goes on where a saved method was: the next round and predictions are the same, if estimator, stages and features are. Reports of
    /// earlier rounds are not among what is saved.
    ///
    /// - Throws: `StateError`.
    package init(
        state: [UInt8], _ estimator: any CrossFittingEstimator, stages: LifelongStages = .comfort, featureSet: ComfortFeatureSet = .physics
    ) throws(StateError) {
        self.featureSet = featureSet
        learner = try LifelongLearner(
            state: state, estimator, stages: stages, classCount: Preference.allCases.count, featureNames: featureSet.columnNames,
            clusterAttribute: "building")
    }

    /// What the next round and predictions need.
    ///
    /// - Parameter hasModels: false leaves out models and margins: what is left recognises rows and finds their tasks.
    /// - Throws: `StateError.unsavable`.
    package func state(hasModels: Bool = true) throws(StateError) -> [UInt8] { try (hasModels ? learner : learner.withoutModels).state() }

    /// Round of the model that serves each known task.
    package var serving: [String: Int] { learner.servingRounds }

    /// The serving models on the votes bought so far, each vote judged by parts that did not see it; nil without a model.
    ///
    /// - Parameter round: the last one learned.
    /// - Throws: `StageError`.
    package func outOfSample(_ round: ComfortRound) throws -> ClassProbabilities? {
        let material = round.labelledSoFar
        guard !models.isEmpty, material.count > 0 else { return nil }
        return try learner.outOfSample(labelled(material))
    }

    /// Models that serve a task, and the newest, oldest first.
    package var models: [RetainedModel] { learner.models }

    /// Gives the learner all labels so far, and the pool's rows without labels to know places by; keeps the last model where the update
    /// decision waits.
    ///
    /// - Throws: what the estimator throws; `StageError` where a stage asks for an attribute that is not there.
    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        let material = round.labelledSoFar
        if let obstacle = material.obstacle { return .kept(reason: obstacle) }
        guard round.labelled.count > 0 else { return .kept(reason: "no labelled rows") }
        let samples = labelled(material)
        let pool = round.poolSoFar
        let seen = SeenSamples(rows: pool.signs, isLater: ComfortSplit.isInLaterHalf(pool))
        let report = try learner.learn(samples, seen: seen, round: round.number)
        rounds.append(report)
        return report.reasonToWait.map { .kept(reason: $0) } ?? .updated(records: material.rows.recordIDs)
    }

    /// By the models that serve each row's task, corrected for its site and person.
    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities { try learner.predict(samples(rows)) }

    /// The known task of each row; nil where it belongs to none.
    package func allocate(_ rows: ComfortRows) throws -> [String?] { try learner.allocate(samples(rows)) }

    /// What of the rows is new to what was learned so far; no label is looked at.
    package func recognise(_ rows: ComfortRows) throws -> [Recognition] { try learner.recognise(rows.signs) }

    /// Standard deviation of sensation votes, scale points: brings the second target to about unit size.
    private static let sensationSpread: Float = 1.3

    private func labelled(_ material: LabelledComfortRows) -> LabelledSamples {
        LabelledSamples(
            rows: samples(material.rows), labels: material.labels, auxiliary: material.sensations.map { $0 / Self.sensationSpread })
    }

    private func samples(_ rows: ComfortRows) -> LifelongSamples { rows.samples(featureSet) }
}

extension LifelongStages {
    /// What each stage is for thermal comfort unless a job says otherwise: places are told apart by all that is known of them.
    package static var comfort: LifelongStages {
        var stages = LifelongStages()
        let recognition = NeighbourRecognition(SiteSigns.attributes.signs)
        stages.unseenSampleRecognition = recognition
        stages.unseenTaskDetection = PooledDetection(recognition)
        return stages
    }
}
