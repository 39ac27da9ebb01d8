import Learning
import Testing

@Suite struct TreeEnsembleTests {
    /// Target 0: x0 < 1 → 1 (NaN too), else 2. Target 1, round 1: x1 < 0 → 10, else (NaN too) 20.
    static func small() -> TreeEnsemble {
        var ensemble = TreeEnsemble(featureCount: 2, baseMargins: [0.5, -0.5])
        ensemble.append(
            target: 0, round: 0,
            nodes: [.split(feature: 0, threshold: 1, left: 1, right: 2, missingGoesLeft: true), .leaf(1), .leaf(2)])
        ensemble.append(
            target: 1, round: 1,
            nodes: [.split(feature: 1, threshold: 0, left: 1, right: 2, missingGoesLeft: false), .leaf(10), .leaf(20)])
        return ensemble
    }

    static func rows() -> FeatureMatrix {
        var features = FeatureMatrix(columnNames: ["a", "b"])
        for row: [Float] in [[0.9, -1], [1, 0], [.nan, .nan], [2, -.infinity]] { features.append(row) }
        return features
    }

    @Test func `a value below the threshold goes left, one on it right, a missing one where the split says`() {
        #expect(Self.small().margins(features: Self.rows()) == [1.5, 9.5, 2.5, 19.5, 1.5, 19.5, 2.5, 9.5])
    }

    @Test func `scaling multiplies margins`() {
        let expected = Self.small().margins(features: Self.rows()).map { $0 * 0.5 }
        #expect(Self.small().scaled(by: 0.5).margins(features: Self.rows()) == expected)
        let second = Self.small().scaled(by: [1, 2]).margins(features: Self.rows())
        #expect(second == [1.5, 19, 2.5, 39, 1.5, 39, 2.5, 19])
    }

    @Test func `the mean of a bag has the members' mean margins`() {
        let bag = TreeEnsemble.mean(of: [Self.small(), Self.small().scaled(by: 3)])
        #expect(bag.margins(features: Self.rows()) == Self.small().scaled(by: 2).margins(features: Self.rows()))
        #expect(bag.leafCount == 8 && bag.roundCount == 2)
    }

    @Test func `a prefix keeps the first rounds of every member`() {
        let cut = Self.small().joined(with: Self.small()).prefix(rounds: 1)
        #expect(cut.trees.map(\.target) == [0, 0] && cut.roundCount == 1)
        #expect(cut.margins(features: Self.rows()) == [3, -1, 5, -1, 3, -1, 5, -1])
    }

    @Test func `a batch equals its rows one by one`() {
        var generator = SeededGenerator(seed: 3)
        var features = FeatureMatrix(columnNames: ["a", "b"])
        for _ in 0..<150 { features.append([.random(in: 0..<2, using: &generator), .random(in: -1..<1, using: &generator)]) }
        let single = (0..<150).flatMap { Self.small().margins(features: features.rows([$0])) }
        #expect(Self.small().margins(features: features) == single)
    }

    @Test func `probabilities are the softmax of the margins`() {
        let probabilities = Self.small().predict(Self.rows())
        let expected = softmax([1.5, 9.5])
        #expect(abs(Double(probabilities.values[0]) - expected[0]) < 1e-7 && abs(Double(probabilities.values[1]) - expected[1]) < 1e-6)
    }
}
