#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Puts a row to the class whose mean is nearest: a linear model without any library, for machines and tests that have none.
///
/// Columns are compared in units of their spread within classes, a missing value not at all, and the means of small classes are drawn to the
/// mean of all rows (nearest shrunken centroids, Tibshirani and others 2002, with a shrinkage by count).
package struct NearestCentres: Estimator, Sendable {
    /// Rows that the common mean weighs in each class's.
    package var shrinkage: Float

    /// With 0 no mean is drawn anywhere; a class without rows then has the common one.
    package init(shrinkage: Float = 5) { self.shrinkage = shrinkage }

    /// Learns in one pass over the rows, without any draw.
    ///
    /// - Throws: `NearestCentresError.oneClass`, also for no rows.
    package func fit(_ features: FeatureMatrix, labels: [Int], classCount: Int) throws -> any Predictor {
        guard Set(labels).count > 1 else { throw NearestCentresError.oneClass(rowCount: labels.count) }
        return Model(features, labels: labels, classCount: classCount, shrinkage: shrinkage)
    }

    private struct Model: Predictor {
        /// Shape [classes, columns]; NaN where no row has a value.
        var centres: [Float]
        /// One a column.
        var spreads: [Float]
        /// Logarithm of each class's share.
        var priors: [Float]

        init(_ features: FeatureMatrix, labels: [Int], classCount: Int, shrinkage: Float) {
            let columns = features.columnCount
            let counts = classCounts(labels, classCount: classCount)
            priors = counts.map { Float($0 + 1) / Float(labels.count + classCount) }.map { log($0) }
            centres = [Float](repeating: .nan, count: classCount * columns)
            spreads = [Float](repeating: 1, count: columns)
            for column in 0..<columns {
                let rows = labels.indices.filter { !features.values[$0 * columns + column].isNaN }
                guard !rows.isEmpty else { continue }
                let values = rows.map { features.values[$0 * columns + column] }
                let mean = values.reduce(0, +) / Float(values.count)
                for label in 0..<classCount {
                    let own = zip(rows, values).filter { labels[$0.0] == label }.map(\.1)
                    let weight = Float(own.count) + shrinkage
                    centres[label * columns + column] = weight > 0 ? (own.reduce(0, +) + shrinkage * mean) / weight : mean
                }
                let squares = zip(rows, values).reduce(Float(0)) { sum, pair in
                    let step = pair.1 - centres[labels[pair.0] * columns + column]
                    return sum + step * step
                }
                let spread = (squares / Float(values.count)).squareRoot()
                if spread > 0 { spreads[column] = spread }
            }
        }

        func predict(_ features: FeatureMatrix) -> ClassProbabilities {
            let columns = features.columnCount
            var logits: [Float] = []
            for row in 0..<features.rowCount {
                for label in priors.indices {
                    var (distance, known) = (Float(0), Float(0))
                    for column in 0..<columns {
                        let step = (features.values[row * columns + column] - centres[label * columns + column]) / spreads[column]
                        guard step.isFinite else { continue }
                        distance += step * step
                        known += 1
                    }
                    // Columns that say the same thing twice must not count twice: their mean stands for all.
                    logits.append(priors[label] - (known > 0 ? distance / known / 2 : 0))
                }
            }
            return ClassProbabilities(classCount: priors.count, logits: logits)
        }
    }
}

/// Why nothing could be learned.
package enum NearestCentresError: Error, Equatable, CustomStringConvertible {
    case oneClass(rowCount: Int)

    /// One sentence: how many rows there were, and what to label.
    package var description: String {
        switch self {
        case .oneClass(let count): "NearestCentres: the \(count) rows have fewer than two classes; label rows of another class"
        }
    }
}
