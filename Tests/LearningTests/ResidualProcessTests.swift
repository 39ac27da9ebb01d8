import Learning
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@Suite struct ResidualProcessTests {
    static let leaning = [1 / 2.0.squareRoot(), 0, -1 / 2.0.squareRoot()]
    static let contentment = [-1, 2, -1].map { $0 / 6.0.squareRoot() }

    @Test func `without labels nothing is corrected`() {
        let process = ResidualProcess(margins: [], labels: [], directions: [Self.leaning], covariances: [[]])
        #expect(process.correction(covariances: [[]]) == [0, 0, 0])
    }

    @Test func `a row unlike every labelled row is not corrected, one like them is`() {
        let process = ResidualProcess(
            margins: [Double](repeating: 0, count: 9), labels: [2, 2, 2], directions: [Self.leaning],
            covariances: [[Double](repeating: 1, count: 9)])
        #expect(process.correction(covariances: [[0, 0, 0]]) == [0, 0, 0])
        let like = process.correction(covariances: [[1, 1, 1]])
        #expect(like[2] > 0.3 && like[0] == -like[2] && like[1] == 0)
    }

    @Test func `the correction is the mode of the penalised likelihood`() {
        // One height shared by all rows and two directions: the posterior can be written down and its slope measured.
        let margins = [0.3, 0, -0.4, 1, 0.2, 0, -1, 0.5, 0.5, 0, 0, 0]
        let labels = [0, 2, 1, 0]
        let variances = [0.7, 0.2]
        let directions = [Self.leaning, Self.contentment]
        let process = ResidualProcess(
            margins: margins, labels: labels, directions: directions, covariances: variances.map { [Double](repeating: $0, count: 16) })
        let found = process.correction(covariances: variances.map { [Double](repeating: $0, count: 4) })
        let heights = directions.map { direction in zip(direction, found).reduce(0) { $0 + $1.0 * $1.1 } }
        func posterior(_ heights: [Double]) -> Double {
            var sum = -zip(heights, variances).reduce(0) { $0 + $1.0 * $1.0 / (2 * $1.1) }
            for (row, label) in labels.enumerated() {
                let moved = (0..<3).map { k in margins[row * 3 + k] + (0..<2).reduce(0) { $0 + heights[$1] * directions[$1][k] } }
                sum += log(softmax(moved)[label])
            }
            return sum
        }
        for direction in 0..<2 {
            var (up, down) = (heights, heights)
            up[direction] += 1e-4
            down[direction] -= 1e-4
            #expect(abs(posterior(up) - posterior(down)) / 2e-4 < 1e-3)
        }
        #expect(posterior(heights) > posterior([0, 0]))
    }
}
