import Learning
import Testing

@Suite struct ClassificationMetricsTests {
    static let probabilities = ClassProbabilities(
        classCount: 3, values: [0.5, 0.25, 0.25, 0.25, 0.5, 0.25, 0.5, 0.25, 0.25, 0.25, 0.25, 0.5])

    @Test func `figures equal those worked out by hand`() {
        let metrics = ClassificationMetrics(Self.probabilities, truth: [0, 1, 1, 2])
        #expect(metrics.accuracy == 0.75)
        // F1: class 0 2/3, class 1 2/3, class 2 1.
        #expect(abs(metrics.macroF1 - 7.0 / 9) < 1e-12)
        // Three rows at ½, one at ¼: (3 ln 2 + 2 ln 2) / 4.
        #expect(abs(metrics.logLoss - 1.25 * 0.693_147_180_559_945) < 1e-12)
    }

    @Test func `a class that never occurs counts nought in macro-F1`() {
        let metrics = ClassificationMetrics(ClassProbabilities(classCount: 3, values: [1, 0, 0]), truth: [0])
        #expect(abs(metrics.macroF1 - 1.0 / 3) < 1e-12)
        #expect(metrics.logLoss == 0)
    }

    @Test func `a certain mistake costs a bounded loss`() {
        let metrics = ClassificationMetrics(ClassProbabilities(classCount: 2, values: [1, 0]), truth: [1])
        #expect(abs(metrics.logLoss - 34.538_776_394_910_684) < 1e-9)
    }

    @Test func `a tie goes to the lowest class`() {
        #expect(ClassProbabilities(classCount: 3, values: [0.25, 0.375, 0.375]).predictedClass(row: 0) == 1)
    }
}
