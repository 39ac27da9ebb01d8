/// A figure of merit that can be asked for by name beside those every evaluation has. Adding one: CONTRIBUTING.md, "Add a metric".
package protocol Metric: Sendable {
    /// Lower case, words joined by underscores.
    var name: String { get }

    /// - Parameters:
    ///   - truth: class index of each row, at least one row.
    /// - Returns: nil where the figure is not defined on these rows.
    func value(_ probabilities: ClassProbabilities, truth: [Int]) -> Double?
}

/// Mean over classes of the share of a class's rows that were recognised; blind to how frequent a class is. Higher is better.
package struct BalancedAccuracy: Metric {
    /// As `--metric` of the command line has it.
    package let name = "balanced_accuracy"

    /// Without parameters.
    package init() {}

    /// 0…1; classes that do not occur among the true ones are left out. Nil without rows.
    package func value(_ probabilities: ClassProbabilities, truth: [Int]) -> Double? {
        let recalls = Dictionary(grouping: truth.indices) { truth[$0] }.sorted { $0.key < $1.key }.map { label, rows in
            Double(rows.count { probabilities.predictedClass(row: $0) == label }) / Double(rows.count)
        }
        return recalls.isEmpty ? nil : recalls.reduce(0, +) / Double(recalls.count)
    }
}

/// Epstein's ranked probability score, for classes in an order: mean squared difference of cumulated probabilities, over classes − 1. 0 is best,
/// and to be off by two classes costs more than by one.
package struct RankedProbabilityScore: Metric {
    /// As `--metric` of the command line has it.
    package let name = "ranked_probability_score"

    /// Without parameters.
    package init() {}

    /// 0…1, mean over rows; nil without rows or with one class.
    package func value(_ probabilities: ClassProbabilities, truth: [Int]) -> Double? {
        guard !truth.isEmpty, probabilities.classCount > 1 else { return nil }
        let scores = truth.enumerated().map { row, label in
            var (below, sum) = (0.0, 0.0)
            for k in 0..<probabilities.classCount - 1 {
                below += Double(probabilities.values[row * probabilities.classCount + k])
                let difference = below - (label <= k ? 1 : 0)
                sum += difference * difference
            }
            return sum / Double(probabilities.classCount - 1)
        }
        return scores.reduce(0, +) / Double(scores.count)
    }
}

/// Cohen's kappa: agreement beyond what the shares of both sides give by chance; 1 is perfect, 0 chance.
package struct CohensKappa: Metric {
    /// As `--metric` of the command line has it.
    package let name = "cohens_kappa"

    /// Without parameters.
    package init() {}

    /// −1…1; nil where both sides know one class only, and the same.
    package func value(_ probabilities: ClassProbabilities, truth: [Int]) -> Double? {
        let predicted = truth.indices.map { probabilities.predictedClass(row: $0) }
        let count = Double(truth.count)
        let agreement = Double(truth.indices.count { truth[$0] == predicted[$0] }) / count
        let chance = (0..<probabilities.classCount).reduce(0.0) { sum, k in
            sum + Double(truth.count { $0 == k }) * Double(predicted.count { $0 == k }) / (count * count)
        }
        return chance < 1 ? (agreement - chance) / (1 - chance) : nil
    }
}

/// All metrics that can be asked for by name.
package struct MetricCatalog: Sendable {
    private let metrics: [any Metric]

    /// - Parameter added: metrics beside the built-in ones; one of the same name replaces.
    package init(adding added: [any Metric] = []) {
        metrics = Self.builtIn.filter { old in !added.contains { $0.name == old.name } } + added
    }

    /// In order of the alphabet, for messages.
    package var names: [String] { metrics.map(\.name).sorted() }

    /// - Throws: `UnknownMetric`, naming what is known.
    package func metric(_ name: String) throws(UnknownMetric) -> any Metric {
        guard let metric = metrics.first(where: { $0.name == name }) else { throw UnknownMetric(name: name, known: names) }
        return metric
    }

    private static let builtIn: [any Metric] = [BalancedAccuracy(), RankedProbabilityScore(), CohensKappa()]
}

/// A name that stands for no metric.
package struct UnknownMetric: Error, Equatable, CustomStringConvertible {
    /// As it was asked for.
    package var name: String
    /// In order of the alphabet.
    package var known: [String]
    /// One sentence: the name asked for and those there are.
    package var description: String { "unknown metric \"\(name)\"; known: \(known.joined(separator: ", "))" }
}
