#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What a few labels of a new place say of the rows near them: a Gaussian process added to the margins of a frozen model.
///
/// Along each direction of the space of margins a smooth function with a given covariance is added; its mode given the labels is found by
/// Newton steps on the penalised log-loss (Laplace's approximation, Rasmussen and Williams 2006, section 3.4). Without labels it is 0.
package struct ResidualProcess: Sendable, Equatable {
    /// More rows than this are refused: the work grows with their cube.
    package static let rowsMax = 512
    private static let stepsMax = 12
    private static let enough = 1e-4

    /// One vector a direction, `classCount` numbers each.
    package let directions: [[Double]]
    /// Shape [directions, labelled rows]: weights of the covariances with a row that is asked about.
    private let weights: [[Double]]

    /// - Parameters:
    ///   - margins: shape [rows, classes], of a model that did not see these rows' labels.
    ///   - labels: class indices, one a row, at most `rowsMax`.
    ///   - directions: vectors of the space of margins along which it may move.
    ///   - covariances: for each direction shape [rows, rows], symmetric, non-negative definite.
    package init(margins: [Double], labels: [Int], directions: [[Double]], covariances: [[Double]]) {
        let rows = labels.count
        precondition(rows <= Self.rowsMax, "\(rows) labelled rows; at most \(Self.rowsMax) can be solved for")
        precondition(
            directions.count == covariances.count && covariances.allSatisfy { $0.count == rows * rows }, "one covariance a direction")
        precondition(directions.allSatisfy { $0.count * rows == margins.count }, "one number a class in each direction")
        self.directions = directions
        var weights = directions.map { _ in [Double](repeating: 0, count: rows) }
        var heights = weights
        for _ in 0..<Self.stepsMax where rows > 0 {
            let slopes = Self.slopes(margins, labels, directions, heights)
            weights = Self.solve(slopes, heights, covariances)
            let next = zip(weights, covariances).map { weight, covariance in
                (0..<rows).map { row in (0..<rows).reduce(0) { $0 + covariance[row * rows + $1] * weight[$1] } }
            }
            let change = zip(next, heights).flatMap { zip($0, $1).map { abs($0 - $1) } }.max() ?? 0
            heights = next
            if change < Self.enough { break }
        }
        self.weights = weights
    }

    /// What is added to the margins of a row, one number a class.
    ///
    /// - Parameter covariances: for each direction, of the row with every labelled row.
    package func correction(covariances: [[Double]]) -> [Double] {
        var sum = [Double](repeating: 0, count: directions.first?.count ?? 0)
        for (position, direction) in directions.enumerated() {
            let height = zip(covariances[position], weights[position]).reduce(0) { $0 + $1.0 * $1.1 }
            for k in sum.indices { sum[k] += height * direction[k] }
        }
        return sum
    }

    /// Slope and curvature of the log-likelihood along the directions, row by row.
    private struct Slopes {
        /// Shape [directions, rows].
        var first: [[Double]]
        /// Shape [directions, directions, rows].
        var second: [[[Double]]]
    }

    private static func slopes(_ margins: [Double], _ labels: [Int], _ directions: [[Double]], _ heights: [[Double]]) -> Slopes {
        let none = [Double](repeating: 0, count: labels.count)
        var slopes = Slopes(first: directions.map { _ in none }, second: directions.map { _ in directions.map { _ in none } })
        for (row, label) in labels.enumerated() {
            let classes = margins.count / labels.count
            var margin = Array(margins[row * classes..<(row + 1) * classes])
            for (position, direction) in directions.enumerated() {
                for k in 0..<classes { margin[k] += heights[position][row] * direction[k] }
            }
            let shares = softmax(margin)
            let means = directions.map { direction in (0..<classes).reduce(0) { $0 + direction[$1] * shares[$1] } }
            for (a, left) in directions.enumerated() {
                slopes.first[a][row] = left[label] - means[a]
                for (b, right) in directions.enumerated() {
                    slopes.second[a][b][row] = (0..<classes).reduce(-means[a] * means[b]) { $0 + left[$1] * right[$1] * shares[$1] }
                }
            }
        }
        return slopes
    }

    /// One Newton step: (1 + W K) v = W f + slope, with K the covariance over all directions and f the heights so far.
    private static func solve(_ slopes: Slopes, _ heights: [[Double]], _ covariances: [[Double]]) -> [[Double]] {
        let (rows, directions) = (heights[0].count, heights.count)
        let size = rows * directions
        var system = SquareSystem(size: size)
        for a in 0..<directions {
            for row in 0..<rows {
                let equation = a * rows + row
                var right = slopes.first[a][row]
                for b in 0..<directions {
                    let curvature = slopes.second[a][b][row]
                    right += curvature * heights[b][row]
                    for other in 0..<rows { system[equation, b * rows + other] = curvature * covariances[b][row * rows + other] }
                }
                system[equation, equation] += 1
                system.right[equation] = right
            }
        }
        let solution = system.solved()
        return (0..<directions).map { Array(solution[$0 * rows..<($0 + 1) * rows]) }
    }
}

/// As many linear equations as unknowns.
private struct SquareSystem {
    private let size: Int
    private var cells: [Double]
    var right: [Double]

    init(size: Int) {
        self.size = size
        cells = [Double](repeating: 0, count: size * size)
        right = [Double](repeating: 0, count: size)
    }

    subscript(row: Int, column: Int) -> Double {
        get { cells[row * size + column] }
        set { cells[row * size + column] = newValue }
    }

    /// Gauss elimination with the largest pivot of each column.
    consuming func solved() -> [Double] {
        var right = right
        let size = size
        cells.withUnsafeMutableBufferPointer { cells in
            for column in 0..<size {
                let pivot = (column..<size).max { abs(cells[$0 * size + column]) < abs(cells[$1 * size + column]) }!
                if pivot != column {
                    for other in column..<size { cells.swapAt(pivot * size + other, column * size + other) }
                    right.swapAt(pivot, column)
                }
                for row in column + 1..<size {
                    let factor = cells[row * size + column] / cells[column * size + column]
                    if factor == 0 { continue }
                    for other in column..<size { cells[row * size + other] -= factor * cells[column * size + other] }
                    right[row] -= factor * right[column]
                }
            }
            for row in (0..<size).reversed() {
                for other in row + 1..<size { right[row] -= cells[row * size + other] * right[other] }
                right[row] /= cells[row * size + row]
            }
        }
        return right
    }
}
