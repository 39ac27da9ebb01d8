#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How a dense network sees a row: missing values filled, columns standardised and clipped, an indicator appended for chosen missing columns.
package struct DenseInputs: Sendable, Equatable {
    /// Names of a row's cells before indicators, in order.
    package let columnNames: [String]
    /// Value of a missing cell, one a column.
    package let filled: [Float]
    /// Subtracted after filling, one a column.
    package let means: [Float]
    /// Divisors, one a column, positive.
    package let scales: [Float]
    /// Standardised values lie in -bound ... bound.
    package let clipBound: Float
    /// Columns that get an indicator (1 where missing), in the order appended.
    package let indicatorColumns: [Int]

    /// Inputs of the network: columns, then indicators.
    package var count: Int { columnNames.count + indicatorColumns.count }

    /// Traps unless there is one value a column, scales and bound are positive and indicators are positions of columns.
    package init(columnNames: [String], filled: [Float], means: [Float], scales: [Float], clipBound: Float, indicatorColumns: [Int]) {
        precondition([filled.count, means.count, scales.count].allSatisfy { $0 == columnNames.count }, "one value a column")
        precondition(scales.allSatisfy { $0 > 0 } && clipBound > 0, "scales and bound must be positive")
        precondition(indicatorColumns.allSatisfy { columnNames.indices.contains($0) }, "indicators must name columns")
        self.columnNames = columnNames
        self.filled = filled
        self.means = means
        self.scales = scales
        self.clipBound = clipBound
        self.indicatorColumns = indicatorColumns
    }

    /// Fills with medians and standardises by the rows given; a column missing everywhere becomes 0.
    package init(measuredOn features: FeatureMatrix, clipBound: Float = 4, indicators: [String]) {
        let columns = features.columnCount
        var medians = [Float](repeating: 0, count: columns)
        var (means, scales) = (medians, [Float](repeating: 1, count: columns))
        for column in 0..<columns {
            let cells = stride(from: column, to: features.values.count, by: columns).map { features.values[$0] }
            medians[column] = Self.median(cells.filter { !$0.isNaN })
            let filled = cells.map { Double($0.isNaN ? medians[column] : $0) }
            let mean = filled.reduce(0, +) / Double(max(filled.count, 1))
            let deviation = (filled.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(filled.count, 1))).squareRoot()
            means[column] = Float(mean)
            scales[column] = deviation < 1e-6 ? 1 : Float(deviation)
        }
        self.init(
            columnNames: features.columnNames, filled: medians, means: means, scales: scales, clipBound: clipBound,
            indicatorColumns: indicators.compactMap { features.columnNames.firstIndex(of: $0) })
    }

    /// Shape [rows, count], row-major.
    ///
    /// - Parameter features: with these columns, in this order.
    package func prepare(_ features: FeatureMatrix) -> [Float] {
        precondition(features.columnNames == columnNames, "the network was trained on other columns")
        let columns = columnNames.count
        var prepared: [Float] = []
        prepared.reserveCapacity(features.rowCount * count)
        for row in 0..<features.rowCount {
            let start = row * columns
            for column in 0..<columns {
                let value = features.values[start + column]
                let standard = ((value.isNaN ? filled[column] : value) - means[column]) / scales[column]
                prepared.append(min(max(standard, -clipBound), clipBound))
            }
            for column in indicatorColumns { prepared.append(features.values[start + column].isNaN ? 1 : 0) }
        }
        return prepared
    }

    private static func median(_ values: [Float]) -> Float {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        let upper = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[upper] : (sorted[upper - 1] + sorted[upper]) / 2
    }
}

/// A network of one hidden layer of rectified units: smooth where trees are steps, so the two err differently and their mean errs less.
package struct DenseNetwork: Sendable, Equatable {
    /// How a row is turned into the first layer's numbers.
    package let inputs: DenseInputs
    /// Rectified units.
    package let hiddenCount: Int
    /// Classes; margins a row.
    package let outputCount: Int
    /// Shape [inputs.count, hiddenCount], row-major.
    package let hiddenWeights: [Float]
    /// One a hidden unit.
    package let hiddenBiases: [Float]
    /// Shape [hiddenCount, outputCount], row-major.
    package let outputWeights: [Float]
    /// One an output.
    package let outputBiases: [Float]

    /// Traps where the numbers of weights and biases do not fit each other.
    package init(
        inputs: DenseInputs, hiddenWeights: [Float], hiddenBiases: [Float], outputWeights: [Float], outputBiases: [Float]
    ) {
        hiddenCount = hiddenBiases.count
        outputCount = outputBiases.count
        precondition(hiddenWeights.count == inputs.count * hiddenBiases.count, "hidden weights must be inputs × hidden units")
        precondition(outputWeights.count == hiddenBiases.count * outputBiases.count, "output weights must be hidden units × outputs")
        self.inputs = inputs
        self.hiddenWeights = hiddenWeights
        self.hiddenBiases = hiddenBiases
        self.outputWeights = outputWeights
        self.outputBiases = outputBiases
    }

    /// Shape [rows, outputCount], row-major: log-probabilities but for a constant a row.
    package func margins(_ features: FeatureMatrix) -> [Float] {
        let prepared = inputs.prepare(features)
        var margins: [Float] = []
        margins.reserveCapacity(features.rowCount * outputCount)
        var hidden = hiddenBiases
        for row in 0..<features.rowCount {
            for unit in 0..<hiddenCount { hidden[unit] = hiddenBiases[unit] }
            for input in 0..<inputs.count {
                let value = prepared[row * inputs.count + input]
                let start = input * hiddenCount
                for unit in 0..<hiddenCount { hidden[unit] += value * hiddenWeights[start + unit] }
            }
            for output in 0..<outputCount {
                var sum = outputBiases[output]
                for unit in 0..<hiddenCount { sum += max(hidden[unit], 0) * outputWeights[unit * outputCount + output] }
                margins.append(sum)
            }
        }
        return margins
    }
}
