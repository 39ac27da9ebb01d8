import Learning
import Testing
import Training

@Suite struct BlendTrainerTests {
    static func rows(_ count: Int, folds: Int = 2, weights: [Float]? = nil) -> TrainingRows {
        let (features, labels) = GradientBoostedTreesTests.rows(count)
        return TrainingRows(
            features: features, labels: labels, auxiliary: labels.map(Float.init), folds: (0..<count).map { $0 % folds }, weights: weights)
    }

    static func trainer(share: Float = 0.3, progress: @escaping @Sendable () -> Bool = { true }) throws -> BlendTrainer {
        var network = DenseSettings(seed: 27)
        network.epochs = 3
        let settings = BlendSettings(
            trees: GradientBoostedTreesTests.settings(), network: network, indicatorColumns: ["a"], networkShare: share)
        return BlendTrainer(
            try XGBoostLibrary(candidates: [GradientBoostedTreesTests.path]), settings: settings, classCount: 3, progress: progress)
    }

    @Test func `the blend has a network for each fold and predicts what it learned`() throws {
        let model = try Self.trainer().fit(Self.rows(600))
        #expect(model.networks.count == 2 && model.networkShare == 0.3)
        let (fresh, truth) = GradientBoostedTreesTests.rows(900)
        let probabilities = ClassProbabilities(classCount: 3, logits: model.margins(fresh))
        #expect(ClassificationMetrics(probabilities, truth: truth).accuracy > 0.95)
    }

    @Test func `a fold's margins say nothing of its own labels`() throws {
        var rows = Self.rows(400)
        let before = try Self.trainer().crossFit(rows)
        for row in rows.labels.indices where rows.folds[row] == 1 { rows.labels[row] = (rows.labels[row] + 1) % 3 }
        rows.auxiliary = rows.labels.map(Float.init)
        let after = try Self.trainer().crossFit(rows)
        for row in rows.labels.indices {
            let range = row * 3..<row * 3 + 3
            #expect((Array(before.margins[range]) == Array(after.margins[range])) == (rows.folds[row] == 1))
        }
    }

    @Test func `where all rows share one fold nothing is known of them`() throws {
        let fitted = try Self.trainer().crossFit(Self.rows(200, folds: 1))
        #expect(fitted.margins.allSatisfy { $0 == 0 } && fitted.model.networks.count == 1)
    }

    @Test func `a heavy row counts more`() throws {
        var features = FeatureMatrix(columnNames: ["a", "b"])
        for _ in 0..<100 { features.append([0, 0]) }
        let labels = (0..<100).map { $0 % 2 }
        func margins(_ weights: [Float]?) throws -> [Float] {
            let rows = TrainingRows(
                features: features, labels: labels, auxiliary: labels.map { _ in .nan }, folds: labels.map { _ in 0 }, weights: weights)
            return try Self.trainer(share: 0).fit(rows).margins(features.rows([0]))
        }
        let even = try margins(nil)
        let uneven = try margins(labels.map { $0 == 1 ? 5 : 1 })
        #expect(abs(even[1] - even[0]) < 0.05 && uneven[1] - uneven[0] > 1)
    }

    @Test func `cancelling ends training with an error`() throws {
        #expect(throws: TrainingError.self) { try Self.trainer(progress: { false }).fit(Self.rows(100)) }
    }
}
