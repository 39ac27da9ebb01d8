import Learning
import Testing

@Suite struct LifelongMatrixTests {
    static let matrix = LifelongMatrix([[0.6, 0.3, 0.4], [0.7, 0.8, 0.5], [0.5, 0.7, 0.9]])

    @Test func `backward transfer, forward transfer and forgetting equal those worked out by hand`() throws {
        // ((0.5 − 0.6) + (0.7 − 0.8)) / 2
        #expect(abs(try #require(Self.matrix.backwardTransfer) + 0.1) < 1e-12)
        // ((0.3 − 0.2) + (0.5 − 0.3)) / 2
        #expect(abs(try #require(Self.matrix.forwardTransfer(over: [0.9, 0.2, 0.3])) - 0.15) < 1e-12)
        // ((0.7 − 0.5) + (0.8 − 0.7)) / 2: the best of round 0 was reached after round 1.
        #expect(abs(try #require(Self.matrix.forgetting) - 0.15) < 1e-12)
    }

    @Test func `Ianvs's figures follow its own definition with round 0 as the initial model`() throws {
        // Columns 1 and 2: (0.8−0.3 + 0.5−0.4 + 0.7−0.8 + 0.9−0.5) / 4.
        #expect(abs(try #require(Self.matrix.ianvsBackwardTransfer) - 0.225) < 1e-12)
        // ((0.3 − 0.3) + (0.5 − 0.4)) / 2.
        #expect(abs(try #require(Self.matrix.ianvsForwardTransfer) - 0.05) < 1e-12)
    }

    @Test func `a round without test rows and rounds before the first model are left out`() throws {
        let nan = Double.nan
        let matrix = LifelongMatrix([[nan, nan, nan], [0.7, nan, 0.5], [0.5, nan, 0.9]])
        // Round 0 was never met by a model of its own, round 1 has no test rows.
        #expect(matrix.backwardTransfer == nil)
        #expect(abs(try #require(matrix.forgetting) - 0.2) < 1e-12)
        #expect(abs(try #require(matrix.forwardTransfer(over: [0, 0, 0.4])) - 0.1) < 1e-12)
    }

    @Test func `a single round has a final mean and no transfer`() {
        let one = LifelongMatrix([[0.5]])
        #expect(one.backwardTransfer == nil && one.forwardTransfer(over: [0.1]) == nil && one.forgetting == nil)
        #expect(one.ianvsBackwardTransfer == nil && one.ianvsForwardTransfer == nil)
    }

    @Test func `a row holds the accuracy of each round's test rows`() {
        let probabilities = ClassProbabilities(classCount: 2, values: [0.9, 0.1, 0.2, 0.8, 0.6, 0.4])
        let row = LifelongMatrix.row(probabilities, truth: [0, 0, 0], rounds: [0, 0, 2], roundCount: 3)
        #expect(row[0] == 0.5 && row[1].isNaN && row[2] == 1)
    }
}
