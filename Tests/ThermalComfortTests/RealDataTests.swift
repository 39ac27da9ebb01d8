import Learning
import Storage
import Testing
import ThermalComfort
import Training

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where the real database lies beside the repository; tests on it are skipped where it is not.
enum RealData {
    static let folder = "../shared/datasets/atcii"
    static var isThere: Bool { access("\(folder)/split_main.csv.gz", R_OK) == 0 }

    static func load() throws -> ComfortDatabase {
        let measurements = try GzipReader(path: "\(folder)/db_measurements_v2.1.0.csv.gz")
        let metadata = try GzipReader(path: "\(folder)/db_metadata.csv")
        return try ComfortDatabase(measurements: measurements.next, metadata: metadata.next)
    }
}

@Suite(.enabled(if: RealData.isThere, "the database is not beside the repository"))
struct RealDataTests {
    @Test func `preparation keeps the protocol's rows and the split equals the published one row by row`() throws {
        let database = try RealData.load()
        #expect(database.records.count == 84_918)
        let published = try ComfortSplit.read(GzipReader(path: "\(RealData.folder)/split_main.csv.gz").next, for: database)
        let computed = ComfortSplit.main(database)
        #expect(computed.count == published.count)
        let differenceCount = zip(computed, published).count { $0 != $1 }
        #expect(differenceCount == 0)
        #expect(computed.count { $0.part == .test } == 42_591)
    }

    static func singleTask(_ experiment: ComfortExperiment) throws -> ClassProbabilities {
        let library = try XGBoostLibrary(candidates: [".deps/xgboost/lib/libxgboost.so"])
        let model = try GradientBoostedTrees(
            library, features: experiment.training.features, labels: experiment.training.labels, classCount: 3,
            settings: .sedna(seed: 27))
        return try model.probabilities(experiment.test.features)
    }

    static func pooled(_ experiment: ComfortExperiment) throws -> ClassProbabilities {
        let library = try XGBoostLibrary(candidates: [".deps/xgboost/lib/libxgboost.so"])
        return try PartialPooling(
            XGBoostEstimator(library, .pooled(fewLabels: true, seed: 27)), features: experiment.training.context,
            labels: experiment.training.labels, tasks: experiment.training.tasks, classCount: 3
        ).predict(experiment.test.context, tasks: experiment.test.tasks)
    }

    @Test func `the baselines reproduce the protocol's figures and no test label reaches training`() throws {
        var database = try RealData.load()
        let rows = ComfortSplit.main(database)
        let experiment = ComfortExperiment(database: database, rows: rows, budget: .few)
        let probabilities = try Self.singleTask(experiment)
        let metrics = ClassificationMetrics(probabilities, truth: experiment.test.labels)
        #expect(abs(metrics.accuracy - 0.5925) < 0.006)
        let pooled = try Self.pooled(experiment)
        let pooledMetrics = ClassificationMetrics(pooled, truth: experiment.test.labels)
        #expect(pooledMetrics.accuracy > metrics.accuracy * 1.023)
        #expect(pooledMetrics.logLoss < 0.845)
        #expect(abs(try experiment.majority().accuracy - 0.5104) < 0.0001)

        // Another label for every test row must change no bit of any prediction.
        let testIDs = Set(rows.filter { $0.part == .test }.map(\.recordID))
        for index in database.records.indices where testIDs.contains(database.records[index].recordID) {
            let turned = (database.records[index].preference.rawValue + 1) % 3
            database.records[index].preference = Preference(rawValue: turned)!
        }
        let turned = ComfortExperiment(database: database, rows: ComfortSplit.main(database), budget: .few)
        #expect(turned.test.labels != experiment.test.labels)
        #expect(try Self.singleTask(turned) == probabilities)
        #expect(try Self.pooled(turned) == pooled)
    }
}
