/// Numeric inputs of a model: one row a sample, one column a feature, row-major; NaN is a missing value.
package struct FeatureMatrix: Sendable, Equatable {
    /// All different; a model is asked with the same names in the same order.
    package let columnNames: [String]
    /// rows × columns values, row by row.
    package private(set) var values: [Float] = []

    /// Also where there is no row.
    package var columnCount: Int { columnNames.count }
    /// 0 for a matrix without columns.
    package var rowCount: Int { columnCount == 0 ? 0 : values.count / columnCount }

    /// No row yet; traps where two columns have one name.
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
    /// Length of a row.
    package let classCount: Int
    /// 0…1, row by row; sums and range are the maker's duty.
    package let values: [Float]

    /// One for each row asked about.
    package var rowCount: Int { values.count / classCount }

    /// Traps unless the values fill whole rows.
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
