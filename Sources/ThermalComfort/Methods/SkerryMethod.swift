package import Learning

/// Our way: one blend of trees and networks for all places, corrected by partial pooling for each site and person, and a gate for each task.
package struct SkerryMethod: LifelongMethod, Sendable {
    package let name = "skerry"
    private let featureSet: ComfortFeatureSet
    private var learner: LifelongLearner
    /// What became of every round, oldest first.
    package private(set) var rounds: [LifelongRound] = []

    /// - Parameter stages: what each stage of lifelong learning is.
    package init(
        _ estimator: any CrossFittingEstimator, stages: LifelongStages = LifelongStages(), featureSet: ComfortFeatureSet = .physics
    ) {
        self.featureSet = featureSet
        learner = LifelongLearner(estimator, stages: stages, classCount: Preference.allCases.count, clusterAttribute: "building")
    }

    /// Models that serve a task, and the newest, oldest first.
    package var models: [RetainedModel] { learner.models }

    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        let material = round.labelledSoFar
        if let obstacle = material.obstacle { return .kept(reason: obstacle) }
        guard round.labelled.count > 0 else { return .kept(reason: "no labelled rows") }
        let samples = LabelledSamples(
            rows: samples(material.rows), labels: material.labels, auxiliary: material.sensations.map { $0 / Self.sensationSpread })
        let report = try learner.learn(samples, round: round.number)
        rounds.append(report)
        return report.reasonToWait.map { .kept(reason: $0) } ?? .updated(records: material.rows.recordIDs)
    }

    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities { try learner.predict(samples(rows)) }

    /// The known task of each row; nil where it belongs to none.
    package func allocate(_ rows: ComfortRows) throws -> [String?] { try learner.allocate(samples(rows)) }

    /// Standard deviation of sensation votes, scale points: brings the second target to about unit size.
    private static let sensationSpread: Float = 1.3

    private func samples(_ rows: ComfortRows) -> LifelongSamples {
        let tasks = rows.tasks
        return LifelongSamples(
            ids: rows.recordIDs, features: rows.features(featureSet),
            attributes: [
                "season": rows.seasons, "cooling": rows.coolingTypes, "city": rows.cities, "building": rows.buildingIDs.map(String.init),
                "site": tasks.sites, "person": tasks.persons.map { $0 ?? "" },
            ], folds: tasks.folds)
    }
}
