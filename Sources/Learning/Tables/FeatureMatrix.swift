/// Numeric inputs of a model: one row a sample, one column a feature, row-major; NaN is a missing value.
package struct FeatureMatrix: Sendable, Equatable {
    package let columnNames: [String]
    /// rows × columns values, row by row.
    package private(set) var values: [Float] = []

    package var columnCount: Int { columnNames.count }
    package var rowCount: Int { columnCount == 0 ? 0 : values.count / columnCount }

    package init(columnNames: [String]) {
        precondition(Set(columnNames).count == columnNames.count, "column names must differ")
        self.columnNames = columnNames
    }

    /// - Parameter row: `columnCount` values, in the order of `columnNames`.
    package mutating func append(_ row: [Float]) {
        precondition(row.count == columnCount, "a row has \(row.count) values, the matrix \(columnCount) columns")
        values += row
    }

    /// - Parameter other: rows of the same columns, in the same order.
    package mutating func append(contentsOf other: FeatureMatrix) {
        precondition(other.columnNames == columnNames, "rows of other columns cannot be appended")
        values += other.values
    }

    /// The given rows, in the given order.
    package func rows(_ indices: [Int]) -> FeatureMatrix {
        var result = FeatureMatrix(columnNames: columnNames)
        result.values.reserveCapacity(indices.count * columnCount)
        for index in indices { result.values += values[index * columnCount..<(index + 1) * columnCount] }
        return result
    }
}

/// Class probabilities: shape [rows, classes], row-major; each row sums to 1.
package struct ClassProbabilities: Sendable, Equatable {
    package let classCount: Int
    package let values: [Float]

    package var rowCount: Int { values.count / classCount }

    package init(classCount: Int, values: [Float]) {
        precondition(classCount > 0 && values.count % classCount == 0, "values must fill whole rows")
        self.classCount = classCount
        self.values = values
    }

    /// The most probable class of a row; the lowest index on a tie.
    package func predictedClass(row: Int) -> Int {
        let start = row * classCount
        return (0..<classCount).reduce(0) { values[start + $1] > values[start + $0] ? $1 : $0 }
    }
}
