import Learning
import Testing

/// What asking a large model is worth, learned from its answers.
@Suite struct LearnedGainTests {
    /// The large model knows better at one site; the small one is as sure everywhere.
    private static func row(_ number: Int) -> (LearnedGain.Row, large: [Float]) {
        let isBetter = number % 4 == 0
        let row = LearnedGain.Row(shares: [0.6, 0.4], features: [Float(number % 7), .nan], site: isBetter ? "far" : "near\(number % 3)")
        return (row, isBetter ? [0.2, 0.8] : [0.65, 0.35])
    }

    @Test func `sites where the large model says otherwise are found without labels`() {
        var gain = LearnedGain()
        for number in 0..<400 {
            let (row, large) = Self.row(number)
            gain.learn(row, large: large)
        }
        let far = gain.expected(Self.row(0).0), near = gain.expected(Self.row(1).0)
        #expect(far > 0.45 && near < 0.1, "\(far), \(near)")
        #expect(gain.answerCount == 400)
    }

    @Test func `an input that decides is found`() {
        var gain = LearnedGain()
        var generator = SeededGenerator(seed: 8)
        for _ in 0..<500 {
            let value = Float.random(in: -2..<2, using: &generator)
            gain.learn(.init(shares: [0.55, 0.45], features: [0, value]), large: value > 0 ? [0.1, 0.9] : [0.7, 0.3])
        }
        let high = gain.expected(.init(shares: [0.55, 0.45], features: [0, 1.5])),
            low = gain.expected(
                .init(shares: [0.55, 0.45], features: [0, -1.5]))
        #expect(high > low + 0.3, "\(high), \(low)")
    }

    @Test func `before any answer the lead decides, and nothing odd is asked of missing numbers`() {
        let gain = LearnedGain()
        #expect(gain.expected(.init(shares: [0.5, 0.5])) > gain.expected(.init(shares: [0.9, 0.1])))
        var odd = gain
        odd.learn(.init(shares: [0.5, 0.5], features: [.nan, .infinity]), large: [0, 1])
        odd.learn(.init(shares: [0.5, 0.5], features: [1]), large: [0, 1])
        odd.learn(.init(shares: [1], features: []), large: [1])
        let found = odd.expected(.init(shares: [0.5, 0.5], features: [.nan]))
        #expect(found.isFinite)
    }

    @Test func `worth is by how much the large model prefers its class`() {
        #expect(LearnedGain.worth(small: [0.6, 0.4], large: [0.7, 0.3]) == 0)
        #expect(abs(LearnedGain.worth(small: [0.6, 0.4], large: [0.25, 0.75]) - 0.5) < 1e-6)
    }

    @Test func `a service that learns where to ask gains more at the same share`() throws {
        var generator = SeededGenerator(seed: 9)
        let rows = (0..<6000).map { number -> JointEvaluation.Row in
            let (small, large) = Self.row(Int.random(in: 0..<1000, using: &generator))
            return .init(small: small, large: large, label: large[1] > 0.5 ? 1 : 0)
        }
        func found(_ name: String) throws -> JointEvaluation {
            JointEvaluation(
                rows, filter: try HardExampleFilter(name: name, parameters: ["budget_share": "0.2"]), budget: .share(0.2), explored: 0.01,
                seed: 1)
        }
        let (learned, lot) = (try found("LearnedGain"), try found("Random"))
        #expect(learned.uploadShare <= 0.201 && lot.uploadShare <= 0.201)
        #expect(try #require(learned.gainShare) > 0.7)
        #expect(try #require(lot.gainShare) < 0.3)
        #expect(learned.hurt == 0 && learned.helped == learned.jointRight - learned.smallRight)
    }
}
