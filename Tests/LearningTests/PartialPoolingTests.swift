import Learning
import Testing

@Suite struct PartialPoolingTests {
    /// A model that has learned nothing but the class shares of its rows.
    struct Shares: Estimator, Predictor {
        var shares: [Float] = []

        func fit(_ features: FeatureMatrix, labels: [Int], classCount: Int) throws -> any Predictor {
            Shares(shares: (0..<classCount).map { k in Float(labels.count { $0 == k }) / Float(labels.count) })
        }

        func predict(_ features: FeatureMatrix) throws -> ClassProbabilities {
            ClassProbabilities(classCount: shares.count, values: (0..<features.rowCount).flatMap { _ in shares })
        }
    }

    @Test func `a task's bias meets the fixed point of its penalised log-loss`() {
        let labels = [0, 0, 0, 1]
        let table = BiasTable(
            logits: [Double](repeating: 0, count: 8), labels: labels, keys: ["s", "s", "s", "s"], classCount: 2, lambda: 2, steps: 50)
        let bias = table.biases["s"]!
        let p = softmax(bias)
        // Stationary: Σ(y − P) = λδ for each class.
        #expect(abs((3 - 4 * p[0]) - 2 * bias[0]) < 1e-9)
        #expect(abs((1 - 4 * p[1]) - 2 * bias[1]) < 1e-9)
    }

    @Test func `more labels move a bias further and an unknown task moves nothing`() {
        func bias(_ count: Int) -> Double {
            BiasTable(
                logits: [Double](repeating: 0, count: 2 * count), labels: [Int](repeating: 0, count: count),
                keys: [String?](repeating: "s", count: count), classCount: 2, lambda: 8
            ).biases["s"]![0]
        }
        #expect(0 < bias(1) && bias(1) < bias(10) && bias(10) < bias(100))
        let table = BiasTable(logits: [0, 0], labels: [0], keys: ["s"], classCount: 2, lambda: 8)
        var logits = [0.5, -0.5, 0.5, -0.5]
        table.apply(to: &logits, keys: [nil, "other"])
        #expect(logits == [0.5, -0.5, 0.5, -0.5])
    }

    @Test func `sites that differ only in their votes are told apart, and rows sum to one`() throws {
        var features = FeatureMatrix(columnNames: ["x"])
        var tasks = TaskKeys()
        var labels: [Int] = []
        for row in 0..<400 {
            features.append([0])
            tasks.sites.append(row % 2 == 0 ? "cold" : "warm")
            tasks.persons.append(nil)
            tasks.folds.append(row / 2 % PartialPooling.foldCount)
            labels.append(row % 2)
        }
        let pooled = try PartialPooling(Shares(), features: features, labels: labels, tasks: tasks, classCount: 2)
        let probabilities = try pooled.predict(features, tasks: tasks)
        #expect(ClassificationMetrics(probabilities, truth: labels).accuracy == 1)
        #expect((0..<400).allSatisfy { abs(probabilities.values[2 * $0] + probabilities.values[2 * $0 + 1] - 1) < 1e-6 })
    }
}
