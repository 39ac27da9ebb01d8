#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `NearestCentres` as a model that can be deployed: what differs between classes in it is linear, so a network of pairs of rectified units
/// computes it. For machines without a library to train with, and for few labels.
///
/// Unlike there a missing value counts as the column's median.
package struct CentresTrainer: CrossFittingEstimator {
    /// Inputs beyond which the pairs of units would fill a model file.
    package static let columnsMax = 512
    /// Standardised values lie within.
    private static let clipBound: Float = 8
    private let classCount: Int
    private let shrinkage: Float

    /// - Parameter shrinkage: rows that the common mean weighs in each class's.
    package init(classCount: Int, shrinkage: Float = 5) { (self.classCount, self.shrinkage) = (classCount, shrinkage) }

    /// One pass over the rows, without any draw.
    ///
    /// - Throws: `NearestCentresError.oneClass`; `TableError` for too many columns.
    package func fit(_ rows: TrainingRows) throws -> BlendedModel {
        guard Set(rows.labels).count > 1 else { throw NearestCentresError.oneClass(rowCount: rows.count) }
        let columns = rows.features.columnCount
        guard columns <= Self.columnsMax else {
            throw TableError(.column, "nearest-centres: \(columns) inputs; at most \(Self.columnsMax) are compared, ignore some columns")
        }
        let inputs = DenseInputs(measuredOn: rows.features, clipBound: Self.clipBound, indicators: [])
        let prepared = inputs.prepare(rows.features)
        let counts = classCounts(rows.labels, classCount: classCount)
        // Standardised: the common mean is 0, but for clipping.
        var centres = [Float](repeating: 0, count: classCount * columns)
        for (row, label) in rows.labels.enumerated() {
            for column in 0..<columns { centres[label * columns + column] += prepared[row * columns + column] }
        }
        for k in 0..<classCount {
            for column in 0..<columns { centres[k * columns + column] /= max(Float(counts[k]) + shrinkage, 1) }
        }
        let spreads = spreads(prepared, rows.labels, centres, columns)
        var (weights, biases) = ([Float](repeating: 0, count: columns * classCount), [Float](repeating: 0, count: classCount))
        for k in 0..<classCount {
            biases[k] = log(Float(counts[k] + 1) / Float(rows.count + classCount))
            for column in 0..<columns {
                let centre = centres[k * columns + column], unit = spreads[column] * Float(columns)
                weights[column * classCount + k] = centre / unit
                biases[k] -= centre * centre / (2 * unit)
            }
        }
        return model(inputs, weights: weights, biases: biases)
    }

    /// As `fit`, once more without each fold.
    ///
    /// - Throws: as `fit`.
    package func crossFit(_ rows: TrainingRows) throws -> CrossFittedBlend {
        var margins = [Double](repeating: 0, count: rows.count * classCount)
        for fold in Set(rows.folds) {
            let outside = rows.folds.indices.filter { rows.folds[$0] != fold }
            let inside = rows.folds.indices.filter { rows.folds[$0] == fold }
            // With one fold only nothing can be held out: margins stay 0, "nothing known".
            guard !outside.isEmpty else { break }
            let found = try fit(rows.rows(outside)).margins(rows.features.rows(inside))
            for (place, row) in inside.enumerated() {
                for k in 0..<classCount { margins[row * classCount + k] = Double(found[place * classCount + k]) }
            }
        }
        return CrossFittedBlend(model: try fit(rows), margins: margins)
    }

    /// Mean squared distance to the own class's centre, one a column, positive.
    private func spreads(_ prepared: [Float], _ labels: [Int], _ centres: [Float], _ columns: Int) -> [Float] {
        var sums = [Float](repeating: 0, count: columns)
        for (row, label) in labels.enumerated() {
            for column in 0..<columns {
                let step = prepared[row * columns + column] - centres[label * columns + column]
                sums[column] += step * step
            }
        }
        return sums.map { $0 > 0 ? max($0 / Float(labels.count), 1e-3) : 1 }
    }

    /// z·w = relu(z)·w − relu(−z)·w.
    private func model(_ inputs: DenseInputs, weights: [Float], biases: [Float]) -> BlendedModel {
        let columns = inputs.count
        var hidden = [Float](repeating: 0, count: columns * 2 * columns)
        for column in 0..<columns {
            hidden[column * 2 * columns + column] = 1
            hidden[column * 2 * columns + columns + column] = -1
        }
        let network = DenseNetwork(
            inputs: inputs, hiddenWeights: hidden, hiddenBiases: [Float](repeating: 0, count: 2 * columns),
            outputWeights: weights + weights.map { -$0 }, outputBiases: biases)
        let trees = TreeEnsemble(featureCount: columns, baseMargins: [Float](repeating: 0, count: classCount))
        return BlendedModel(trees: trees, networks: [network], networkShare: 1)
    }
}
