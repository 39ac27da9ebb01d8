import Learning
import Testing
import Training

@Suite struct TreeEnsembleExportTests {
    static func worst(_ first: [Float], _ second: [Float]) -> Float {
        precondition(first.count == second.count)
        return zip(first, second).map { abs($0 - $1) }.max() ?? 0
    }

    static func trained(rows: Int, settings: BoostingSettings) throws -> GradientBoostedTrees {
        let library = try XGBoostLibrary(candidates: [GradientBoostedTreesTests.path])
        let (features, labels) = GradientBoostedTreesTests.rows(rows)
        return try GradientBoostedTrees(library, features: features, labels: labels, classCount: 3, settings: settings)
    }

    @Test func `the ensemble predicts what XGBoost predicts, missing values included`() throws {
        let model = try Self.trained(rows: 2000, settings: GradientBoostedTreesTests.settings(60))
        var (fresh, _) = GradientBoostedTreesTests.rows(5000)
        fresh.append([.nan, .nan])
        let ensemble = try model.ensemble()
        #expect(ensemble.trees.count == 180 && ensemble.roundCount == 60 && ensemble.targetCount == 3)
        let own = ensemble.predict(fresh)
        let theirs = try model.probabilities(fresh)
        #expect(Self.worst(own.values, theirs.values) < 2e-6)
        #expect((0..<5001).allSatisfy { own.predictedClass(row: $0) == theirs.predictedClass(row: $0) })
    }

    @Test func `only the rounds that early stopping kept are taken over`() throws {
        var settings = BoostingSettings.sedna(seed: 27)
        settings.earlyStoppingRounds = 5
        let model = try Self.trained(rows: 600, settings: settings)
        try #require(model.roundsUsed < settings.rounds)
        let ensemble = try model.ensemble()
        #expect(ensemble.roundCount == model.roundsUsed)
        let (fresh, _) = GradientBoostedTreesTests.rows(900)
        #expect(Self.worst(ensemble.predict(fresh).values, try model.probabilities(fresh).values) < 2e-6)
    }

    @Test func `pruned trees, whose node numbers have holes, are taken over`() throws {
        var settings = GradientBoostedTreesTests.settings(30)
        settings.parameters = ["max_depth": "6", "eta": "0.3", "gamma": "2", "tree_method": "exact"]
        let model = try Self.trained(rows: 900, settings: settings)
        let (fresh, _) = GradientBoostedTreesTests.rows(900)
        #expect(Self.worst(try model.ensemble().predict(fresh).values, try model.probabilities(fresh).values) < 2e-6)
    }
}
