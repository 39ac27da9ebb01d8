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

    @Test func `what the large model says of a site is foreseen without labels, and not asked again`() {
        var gain = LearnedGain()
        for number in 0..<400 {
            let (row, large) = Self.row(number)
            gain.learn(row, large: large)
        }
        let far = gain.imitated(Self.row(0).0), near = gain.imitated(Self.row(1).0)
        #expect(far[1] > 0.7 && near[0] > 0.55, "\(far), \(near)")
        #expect(gain.expected(Self.row(0).0) < 0.1 && gain.answerCount == 400)
    }

    @Test func `an input that decides is found`() {
        var gain = LearnedGain()
        var generator = SeededGenerator(seed: 8)
        for _ in 0..<5000 {
            let value = Float.random(in: -2..<2, using: &generator)
            gain.learn(.init(shares: [0.55, 0.45], features: [0, value]), large: value > 0 ? [0.1, 0.9] : [0.7, 0.3])
        }
        func said(_ value: Float) -> Float { gain.imitated(.init(shares: [0.55, 0.45], features: [0, value]))[1] }
        let (high, middle, low) = (said(1.5), said(0), said(-1.5))
        #expect(high > 0.7 && low < high - 0.2, "\(high), \(low)")
        // Where it may be either, asking is worth most.
        #expect(
            gain.expected(.init(shares: [0.55, 0.45], features: [0, -0.4]))
                > gain.expected(.init(shares: [0.55, 0.45], features: [0, 1.9])))
        #expect(middle > low && middle < high)
    }

    @Test func `before there are answers the small model's word stands, and nothing odd is asked of missing numbers`() {
        let gain = LearnedGain()
        #expect(gain.expected(.init(shares: [0.5, 0.5])) > gain.expected(.init(shares: [0.9, 0.1])))
        #expect(gain.imitated(.init(shares: [0.9, 0.1])) == [0.9, 0.1])
        var odd = gain
        for _ in 0..<60 {
            odd.learn(.init(shares: [0.5, 0.5], features: [.nan, .infinity]), large: [0, 1])
            odd.learn(.init(shares: [0.5, 0.5], features: [1]), large: [0, 1])
            odd.learn(.init(shares: [1], features: []), large: [1])
            odd.learn(.init(shares: [0.5, 0.3, 0.2], features: [1]), large: [0, 1])
        }
        let found = odd.expected(.init(shares: [0.5, 0.5], features: [.nan])), said = odd.imitated(.init(shares: [0.2, 0.3, 0.5]))
        #expect(found.isFinite && said == [0.2, 0.3, 0.5])
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
        #expect(lot.hurt == 0 && lot.helped == lot.jointRight - lot.smallRight)
    }
}
