import Learning
import Testing

@Suite struct HitCountTests {
    private static let answers = ClassProbabilities(classCount: 2, values: [0.9, 0.1, 0.2, 0.8, 0.6, 0.4, 0.5, 0.5])

    @Test func `rows are counted by what they belong to, those of nothing are left out`() {
        let counts = HitCount.counts(Self.answers, truth: [0, 0, 0, 1], by: ["a", "a", nil, "b"])
        #expect(counts == ["a": HitCount(hits: 1, rows: 2), "b": HitCount(hits: 0, rows: 1)])
        #expect(counts["a"]?.accuracy == 0.5)
    }

    @Test func `the majority of earlier rounds is judged on the rows of one, the lowest class of equals`() {
        #expect(HitCount.majority(truth: [1, 1, 0, 0, 1], rounds: [0, 0, 1, 2, 2], of: 2) == 0.5)
        #expect(HitCount.majority(truth: [1, 0, 0, 0, 1], rounds: [0, 0, 2, 2, 2], of: 2) == 2.0 / 3)
        #expect(HitCount.majority(truth: [1, 0], rounds: [0, 0], of: 0) == nil)
        #expect(HitCount.majority(truth: [1, 0], rounds: [0, 0], of: 1) == nil)
    }
}
