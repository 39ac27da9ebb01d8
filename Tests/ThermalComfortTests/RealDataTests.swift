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

    /// The same rounds from a file in which the preferences of the test rows have changed places.
    static let shuffled = Result { () throws -> ComfortExperiment in
        let split = "\(RealData.folder)/split_main.csv.gz"
        let rows = try ComfortSplit.read(GzipReader(path: split).next, for: RealData.load())
        let testIDs = Set(rows.filter { $0.part == .test }.map { String($0.recordID) })
        var bytes: [UInt8] = []
        let reader = try GzipReader(path: "\(RealData.folder)/db_measurements_v2.1.0.csv.gz")
        while let chunk = try reader.next() { bytes += chunk }
        var lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).map {
            $0.split(separator: ",", omittingEmptySubsequences: false)
        }
        let header = lines[0].map { String($0) }
        let (id, label) = (header.firstIndex(of: "record_id")!, header.firstIndex(of: "thermal_preference")!)
        let places = lines.indices.filter { lines[$0].count == header.count && testIDs.contains(String(lines[$0][id])) }
        #expect(places.count > 42_000)
        var generator = SeededGenerator(seed: 1)
        let labels = places.map { lines[$0][label] }.shuffled(using: &generator)
        for (place, word) in zip(places, labels) { lines[place][label] = word }
        let text = lines.map { $0.joined(separator: ",") }.joined(separator: "\n")
        let metadata = try GzipReader(path: "\(RealData.folder)/db_metadata.csv")
        var database = try ComfortDatabase(measurements: ComfortSplitTests.stream(text), metadata: metadata.next)
        let kept = try ComfortSplit.read(GzipReader(path: split).next, for: database)
        database.keep(kept)
        return ComfortExperiment(database: database, rows: kept, budget: .few)
    }

    static func methods(seed: UInt64 = 27) throws -> ComfortMethods {
        let library = try XGBoostLibrary(candidates: [".deps/xgboost/lib/libxgboost.so"])
        return ComfortMethods(
            boosting: XGBoostEstimator(library, .sedna(seed: seed)),
            further: XGBoostEstimator(library, .sedna(seed: seed).with(rounds: 100)),
            pooled: XGBoostEstimator(library, .pooled(fewLabels: true, seed: seed)),
            blended: BlendTrainer(
                library, settings: .pooled(fewLabels: true, indicatorColumns: PhysicsFeatures.indicatorColumns, seed: seed), classCount: 3))
    }

    /// The figures of an independent implementation.
    @Test(arguments: [
        ("majority", 0.5104, 0.0001), ("single_task", 0.5925, 0.006), ("never_updated", 0.5335, 0.01), ("new_round_only", 0.5608, 0.01),
        ("finetune", 0.5459, 0.01), ("sedna_multitask", 0.5829, 0.01), ("sedna_lifelong", 0.5011, 0.01), ("pooled", 0.6092, 0.006),
        ("skerry", 0.6121, 0.002),
    ])
    func `each baseline reaches its published figure and learns nothing from test labels`(
        name: String, accuracy: Double, tolerance: Double
    ) throws {
        let database = try RealData.load()
        let rows = ComfortSplit.main(database)
        let experiment = ComfortExperiment(database: database, rows: rows, budget: .few)
        let evaluation = try experiment.evaluate(try Self.methods().method(name), seconds: { 0 })
        #expect(abs(evaluation.metrics.accuracy - accuracy) < tolerance, "\(name): \(evaluation.metrics.accuracy)")
        #expect(evaluation.samplesUsed[0] == 8764 && evaluation.matrix.roundCount == 6)

        // Shuffling the labels of all test rows in the file itself must change no bit of any prediction.
        let turned = try Self.shuffled.get()
        #expect(turned.testLabels != experiment.testLabels && turned.testLabels.count == experiment.testLabels.count)
        let other = try turned.evaluate(try Self.methods().method(name), seconds: { 0 })
        #expect(other.probabilities == evaluation.probabilities)
        #expect(other.samplesUsed == evaluation.samplesUsed)
    }

    @Test func `pooling beats the single task by more than its interval's width from nought`() throws {
        let database = try RealData.load()
        let experiment = ComfortExperiment(database: database, rows: ComfortSplit.main(database), budget: .few)
        let single = try experiment.evaluate(try Self.methods().method("single_task"), seconds: { 0 })
        let pooled = try experiment.evaluate(try Self.methods().method("pooled"), seconds: { 0 })
        let gain = try #require(pooled.gain(over: single))
        #expect(gain.value > 0.023 && gain.low > 0)
        #expect(pooled.metrics.logLoss < 0.845)
        #expect(try #require(pooled.forwardTransfer) > 0.02)
        #expect(try #require(pooled.forgetting) < 0.005)
    }
}
