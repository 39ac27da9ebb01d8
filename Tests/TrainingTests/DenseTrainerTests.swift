import Learning
import Testing
import Training

@Suite struct DenseTrainerTests {
    /// Class 1 where both columns have the same sign: no line divides it.
    static func checkerboard(rows: Int, seed: UInt64) -> (features: FeatureMatrix, labels: [Int]) {
        var generator = SeededGenerator(seed: seed)
        var features = FeatureMatrix(columnNames: ["a", "b"])
        var labels: [Int] = []
        for _ in 0..<rows {
            let (a, b) = (Float.random(in: -1...1, using: &generator), Float.random(in: -1...1, using: &generator))
            features.append([a, b])
            labels.append(a * b > 0 ? 1 : 0)
        }
        return (features, labels)
    }

    static func train(_ data: (features: FeatureMatrix, labels: [Int]), seed: UInt64 = 1) throws -> DenseNetwork {
        var settings = DenseSettings(seed: seed)
        settings.epochs = 60
        settings.penalty = 0.01
        let inputs = DenseInputs(measuredOn: data.features, indicators: ["b"])
        let auxiliary = [Float](repeating: .nan, count: data.labels.count)
        return try DenseTrainer.train(
            data.features, labels: data.labels, auxiliary: auxiliary, classCount: 2, inputs: inputs, settings: settings)
    }

    @Test func `a network learns what no linear model can`() throws {
        let network = try Self.train(Self.checkerboard(rows: 2_000, seed: 1))
        let unseen = Self.checkerboard(rows: 500, seed: 2)
        let margins = network.margins(unseen.features)
        let hits = unseen.labels.indices.count { (margins[2 * $0 + 1] > margins[2 * $0] ? 1 : 0) == unseen.labels[$0] }
        #expect(hits > 450, "\(hits) of 500 right")
    }

    @Test func `the same seed trains the same network and another seed another`() throws {
        let data = Self.checkerboard(rows: 300, seed: 3)
        #expect(try Self.train(data, seed: 5) == Self.train(data, seed: 5))
        #expect(try Self.train(data, seed: 5) != Self.train(data, seed: 6))
    }

    @Test func `missing values are filled with the median and told by an indicator`() {
        var features = FeatureMatrix(columnNames: ["a", "b"])
        for (a, b) in [(1, 10), (3, 20), (8, 60)] as [(Float, Float)] { features.append([a, b]) }
        let inputs = DenseInputs(measuredOn: features, indicators: ["b"])
        var gap = FeatureMatrix(columnNames: ["a", "b"])
        gap.append([.nan, .nan])
        gap.append([3, 20])
        let prepared = inputs.prepare(gap)
        #expect(prepared[0] == prepared[3] && prepared[1] == prepared[4])
        #expect(prepared[2] == 1 && prepared[5] == 0)
    }

    @Test func `a column missing everywhere is harmless`() throws {
        var data = Self.checkerboard(rows: 200, seed: 4)
        var features = FeatureMatrix(columnNames: ["a", "b"])
        for row in 0..<200 { features.append([data.features.values[2 * row], .nan]) }
        data.features = features
        #expect(try Self.train(data).margins(features).allSatisfy { $0.isFinite })
    }

    @Test func `no rows and a single class are refused`() {
        let empty = FeatureMatrix(columnNames: ["a", "b"])
        #expect(throws: TrainingError.noRows) { try Self.train((empty, [])) }
        let data = Self.checkerboard(rows: 10, seed: 5)
        #expect(throws: TrainingError.oneClass(1)) { try Self.train((data.features, [Int](repeating: 1, count: 10))) }
    }
}
