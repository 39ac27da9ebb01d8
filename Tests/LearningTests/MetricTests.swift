import Learning
import Testing

@Suite struct MetricTests {
    /// Three classes; the second of four rows is wrong by one class, the fourth by two.
    static let probabilities = ClassProbabilities(classCount: 3, values: [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1])
    static let truth = [0, 0, 2, 0]

    @Test func `they equal what is worked out by hand`() throws {
        // Recalls: 1 of 3, and 1 of 1.
        #expect(BalancedAccuracy().value(Self.probabilities, truth: Self.truth) == 2.0 / 3)
        // Scores 0, 1/2, 0, 1.
        #expect(RankedProbabilityScore().value(Self.probabilities, truth: Self.truth) == 0.375)
        // Agreement 1/2; chance (3·1 + 0·1 + 1·2) / 16.
        let kappa = try #require(CohensKappa().value(Self.probabilities, truth: Self.truth))
        let byHand = (0.5 - 0.3125) / (1 - 0.3125)
        #expect(abs(kappa - byHand) < 1e-12)
        #expect(CohensKappa().value(ClassProbabilities(classCount: 2, values: [1, 0]), truth: [0]) == nil)
    }

    /// CONTRIBUTING.md, "Add a metric".
    struct ShareOfWarmer: Metric {
        let name = "share_of_warmer"
        func value(_ probabilities: ClassProbabilities, truth: [Int]) -> Double? {
            Double(truth.indices.count { probabilities.predictedClass(row: $0) == 2 }) / Double(truth.count)
        }
    }

    @Test func `a metric added by the recipe is found by name, and an unknown name is refused with the known`() throws {
        let catalog = MetricCatalog(adding: [ShareOfWarmer()])
        #expect(try catalog.metric("share_of_warmer").value(Self.probabilities, truth: Self.truth) == 0.5)
        let error = #expect(throws: UnknownMetric.self) { try MetricCatalog().metric("luck") }
        #expect(error?.description == "unknown metric \"luck\"; known: balanced_accuracy, cohens_kappa, ranked_probability_score")
    }
}
