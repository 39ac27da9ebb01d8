#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Which tasks rows belong to and which rows may not be divided by cross-fitting.
package struct TaskKeys: Sendable, Equatable {
    /// The site of each row.
    package var sites: [String] = []
    /// The person of each row; nil where anonymous.
    package var persons: [String?] = []
    /// The cross-fitting fold of each row, 0..<PartialPooling.foldCount; all rows of a leakage group share one.
    package var folds: [Int] = []

    /// Empty; all three columns get one value a row.
    package init() {}
}

/// One model for all tasks, corrected by a bias for each site and, on top, for each person.
package struct PartialPooling {
    /// Parts of the rows in cross-fitting; every part is predicted by a model of the others.
    package static let foldCount = 4
    /// Pull to 0 of a site's bias, rows.
    package static let siteLambda = 50.0
    /// Pull to 0 of a person's bias, rows.
    package static let personLambda = 5.0

    private let classCount: Int
    private let model: any Predictor
    /// Fitted first, on log-probabilities of models that did not see the row's fold.
    package let siteBiases: BiasTable
    /// Fitted on what the sites' biases have corrected.
    package let personBiases: BiasTable

    /// Trains the model on all rows, and the biases on predictions of models that did not see the row's group: else over-fit shrinks them.
    ///
    /// - Throws: what the estimator throws.
    package init(_ estimator: any Estimator, features: FeatureMatrix, labels: [Int], tasks: TaskKeys, classCount: Int) throws {
        precondition(tasks.sites.count == labels.count && tasks.persons.count == labels.count && tasks.folds.count == labels.count)
        self.classCount = classCount
        model = try estimator.fit(features, labels: labels, classCount: classCount)
        var logits = [Double](repeating: 0, count: labels.count * classCount)
        for fold in Set(tasks.folds) {
            let (outside, inside) = (labels.indices.filter { tasks.folds[$0] != fold }, labels.indices.filter { tasks.folds[$0] == fold })
            let crossFit = try estimator.fit(features.rows(outside), labels: outside.map { labels[$0] }, classCount: classCount)
            let found = Self.logits(try crossFit.predict(features.rows(inside)))
            for (position, row) in inside.enumerated() {
                for k in 0..<classCount { logits[row * classCount + k] = found[position * classCount + k] }
            }
        }
        siteBiases = BiasTable(logits: logits, labels: labels, keys: tasks.sites, classCount: classCount, lambda: Self.siteLambda)
        siteBiases.apply(to: &logits, keys: tasks.sites)
        personBiases = BiasTable(logits: logits, labels: labels, keys: tasks.persons, classCount: classCount, lambda: Self.personLambda)
    }

    /// Shape [rows, classes]; a site or person without labels is predicted by the model alone.
    package func predict(_ features: FeatureMatrix, tasks: TaskKeys) throws -> ClassProbabilities {
        var logits = Self.logits(try model.predict(features))
        siteBiases.apply(to: &logits, keys: tasks.sites)
        personBiases.apply(to: &logits, keys: tasks.persons)
        let values = stride(from: 0, to: logits.count, by: classCount).flatMap { softmax(Array(logits[$0..<$0 + classCount])) }
        return ClassProbabilities(classCount: classCount, values: values.map { Float($0) })
    }

    private static func logits(_ probabilities: ClassProbabilities) -> [Double] {
        probabilities.values.map { log(max(Double($0), 1e-15)) }
    }
}
