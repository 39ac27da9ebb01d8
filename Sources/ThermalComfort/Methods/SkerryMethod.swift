package import Learning

/// One model of a round and the corrections that belong to it.
package struct PooledComfortModel: Sendable {
    /// The round after which it was trained.
    package let round: Int
    package let model: BlendedModel
    package let siteBiases: BiasTable
    package let personBiases: BiasTable

    /// Shape [rows, classes]: margins with the corrections of known sites and persons.
    package func margins(_ features: FeatureMatrix, tasks: TaskKeys) -> [Double] {
        var margins = model.margins(features).map(Double.init)
        siteBiases.apply(to: &margins, keys: tasks.sites)
        personBiases.apply(to: &margins, keys: tasks.persons)
        return margins
    }
}

/// Our way: one blend of trees and networks for all places, corrected by partial pooling for each site and person.
package struct SkerryMethod: LifelongMethod {
    /// Pull to 0 of a site's bias, rows. Chosen on labelled rows alone: earlier half of each site to later half.
    package static let siteLambda = 50.0
    /// Pull to 0 of a person's bias, rows; chosen likewise.
    package static let personLambda = 2.0

    package let name = "skerry"
    private let estimator: any CrossFittingEstimator
    private let featureSet: ComfortFeatureSet
    /// The models of all rounds that brought one, oldest first.
    package private(set) var models: [PooledComfortModel] = []

    package init(_ estimator: any CrossFittingEstimator, featureSet: ComfortFeatureSet = .physics) {
        self.estimator = estimator
        self.featureSet = featureSet
    }

    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        if let obstacle = round.labelledSoFar.obstacle { return .kept(reason: obstacle) }
        guard round.labelled.count > 0 else { return .kept(reason: "no labelled rows") }
        models.append(try train(round.labelledSoFar, round: round.number))
        return .updated(samples: round.labelledSoFar.count)
    }

    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities {
        let margins = models.last!.margins(rows.features(featureSet), tasks: rows.tasks)
        return ClassProbabilities(classCount: Preference.allCases.count, logits: margins.map(Float.init))
    }

    private func train(_ labelled: LabelledComfortRows, round: Int) throws -> PooledComfortModel {
        let (tasks, classCount) = (labelled.rows.tasks, Preference.allCases.count)
        let crossFitted = try estimator.crossFit(
            TrainingRows(
                features: labelled.rows.features(featureSet), labels: labelled.labels, auxiliary: labelled.sensations.map { $0 / 1.3 },
                folds: tasks.folds))
        var margins = crossFitted.margins
        let sites = BiasTable(logits: margins, labels: labelled.labels, keys: tasks.sites, classCount: classCount, lambda: Self.siteLambda)
        sites.apply(to: &margins, keys: tasks.sites)
        let persons = BiasTable(
            logits: margins, labels: labelled.labels, keys: tasks.persons, classCount: classCount, lambda: Self.personLambda)
        return PooledComfortModel(round: round, model: crossFitted.model, siteBiases: sites, personBiases: persons)
    }
}
