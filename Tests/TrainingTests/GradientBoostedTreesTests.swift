import Learning
import Testing
import Training

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@Suite struct GradientBoostedTreesTests {
    /// SKERRY_XGBOOST_LIB runs the same tests on another version.
    static let path = getenv("SKERRY_XGBOOST_LIB").map { String(cString: $0) } ?? ".deps/xgboost/lib/libxgboost.so"

    /// Class 1 where the first feature is above a half, except that a missing one means class 2.
    static func rows(_ count: Int) -> (FeatureMatrix, [Int]) {
        var features = FeatureMatrix(columnNames: ["a", "b"])
        var labels: [Int] = []
        var generator = SeededGenerator(seed: 1)
        for index in 0..<count {
            let value = Float.random(in: 0..<1, using: &generator)
            let isMissing = index % 3 == 0
            features.append([isMissing ? .nan : value, Float.random(in: 0..<1, using: &generator)])
            labels.append(isMissing ? 2 : value > 0.5 ? 1 : 0)
        }
        return (features, labels)
    }

    static func settings(_ rounds: Int = 20) -> BoostingSettings {
        BoostingSettings(rounds: rounds, parameters: ["max_depth": "2", "eta": "0.5"], seed: 27)
    }

    @Test func `it learns a rule with missing values and its rows sum to one`() throws {
        let library = try XGBoostLibrary(candidates: [Self.path])
        let (features, labels) = Self.rows(600)
        let model = try GradientBoostedTrees(library, features: features, labels: labels, classCount: 3, settings: Self.settings())
        let (fresh, truth) = Self.rows(900)
        let probabilities = try model.probabilities(fresh)
        #expect(ClassificationMetrics(probabilities, truth: truth).accuracy > 0.97)
        let worst = (0..<900).map { abs(probabilities.values[$0 * 3..<$0 * 3 + 3].reduce(0, +) - 1) }.max()!
        #expect(worst < 1e-5)
    }

    @Test func `the same seed gives the same probabilities`() throws {
        let library = try XGBoostLibrary(candidates: [Self.path])
        let (features, labels) = Self.rows(300)
        var settings = BoostingSettings.sedna(seed: 28)
        settings.rounds = 30
        let results = try (0..<2).map { _ in
            try GradientBoostedTrees(library, features: features, labels: labels, classCount: 3, settings: settings)
                .probabilities(features)
        }
        #expect(results[0] == results[1])
    }

    @Test func `training goes on from a model, which stays as it is`() throws {
        let library = try XGBoostLibrary(candidates: [Self.path])
        let (features, labels) = Self.rows(300)
        let first = try GradientBoostedTrees(library, features: features, labels: labels, classCount: 3, settings: Self.settings(5))
        let before = try first.probabilities(features)
        let further = try GradientBoostedTrees(
            continuing: first, features: features, labels: labels, classCount: 3, settings: Self.settings(20))
        #expect(further.roundsUsed == 25)
        #expect(try first.probabilities(features) == before)
        let (was, now) = (
            ClassificationMetrics(before, truth: labels), ClassificationMetrics(try further.probabilities(features), truth: labels)
        )
        #expect(now.logLoss < 0.7 * was.logLoss)

        // New rows that say the opposite are believed in the end, and the old model is not asked again.
        let turned = labels.map { ($0 + 1) % 3 }
        let converted = try GradientBoostedTrees(
            continuing: first, features: features, labels: turned, classCount: 3, settings: Self.settings(60))
        #expect(ClassificationMetrics(try converted.probabilities(features), truth: turned).accuracy > 0.9)
    }

    @Test func `training goes on from the best round of a model that stopped early`() throws {
        let library = try XGBoostLibrary(candidates: [Self.path])
        let (features, labels) = Self.rows(300)
        let noise = labels.indices.map { $0 * 7 % 3 }
        var settings = Self.settings(60)
        settings.earlyStoppingRounds = 5
        let first = try GradientBoostedTrees(library, features: features, labels: noise, classCount: 3, settings: settings)
        #expect(first.roundsUsed < 60)
        let further = try GradientBoostedTrees(
            continuing: first, features: features, labels: labels, classCount: 3, settings: Self.settings(1))
        #expect(further.roundsUsed == first.roundsUsed + 1)
    }

    @Test func `training does not go on from a model of other columns or of another library`() throws {
        let library = try XGBoostLibrary(candidates: [Self.path])
        let (features, labels) = Self.rows(60)
        let model = try GradientBoostedTrees(library, features: features, labels: labels, classCount: 3, settings: Self.settings(2))
        var narrow = FeatureMatrix(columnNames: ["a"])
        for _ in labels { narrow.append([1]) }
        #expect {
            try GradientBoostedTrees(continuing: model, features: narrow, labels: labels, classCount: 3, settings: Self.settings(2))
        } throws: {
            "\($0)".contains("2 columns") && "\($0)".contains("1 columns")
        }
        let estimator = XGBoostEstimator(library, Self.settings(2))
        #expect(throws: TrainingError.foreignModel("ClassShares")) {
            try estimator.fit(
                continuing: ClassShares(labels: labels, classCount: 3), features: features, labels: labels, classCount: 3)
        }
    }

    @Test func `training stops when progress says so`() throws {
        let library = try XGBoostLibrary(candidates: [Self.path])
        let (features, labels) = Self.rows(60)
        #expect(throws: TrainingError.cancelled(afterRounds: 3)) {
            try GradientBoostedTrees(library, features: features, labels: labels, classCount: 3, settings: Self.settings()) { $0 < 3 }
        }
    }

    @Test func `no rows and one class are refused in words`() throws {
        let library = try XGBoostLibrary(candidates: [Self.path])
        let empty = FeatureMatrix(columnNames: ["a"])
        #expect(throws: TrainingError.noRows) {
            try GradientBoostedTrees(library, features: empty, labels: [], classCount: 3, settings: Self.settings())
        }
        var one = empty
        one.append([1])
        #expect(throws: TrainingError.oneClass(2)) {
            try GradientBoostedTrees(library, features: one, labels: [2], classCount: 3, settings: Self.settings())
        }
    }

    @Test func `a setting that XGBoost does not take is refused with its words`() throws {
        let library = try XGBoostLibrary(candidates: [Self.path])
        let (features, labels) = Self.rows(60)
        let settings = BoostingSettings(rounds: 1, parameters: ["max_depth": "deep"], seed: 1)
        #expect {
            try GradientBoostedTrees(library, features: features, labels: labels, classCount: 3, settings: settings)
        } throws: {
            guard case TrainingError.refused(_, let message) = $0 else { return false }
            return message.contains("max_depth")
        }
    }

    @Test func `an absent library and a foreign one are told apart`() {
        #expect {
            try XGBoostLibrary(candidates: ["/nonexistent/libxgboost.so"])
        } throws: {
            "\($0)".contains("scripts/bootstrap")
        }
        #expect(throws: TrainingError.missingFunction(path: "libz.so.1", name: "XGBoostVersion")) {
            try XGBoostLibrary(candidates: ["libz.so.1"])
        }
    }
}
