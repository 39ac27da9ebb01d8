import Inference
import KnowledgeBase
import Learning
import Resources
import Storage
import TestKit
import Testing
import ThermalComfort
import Training
import Workers

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The main job's method, a process a round: the same predictions as in one process.
@Suite struct ComfortWorkerTests {
    /// Rows of the protocol as edges have them.
    struct Streams {
        let database: ComfortDatabase
        let rows: [SplitRow]

        /// CSV of some rows; votes that were not bought are left out.
        func csv(_ isWanted: (SplitRow) -> Bool, isJudge: Bool = false) -> [UInt8] {
            let byID = Dictionary(uniqueKeysWithValues: database.records.map { ($0.recordID, $0) })
            var bytes = csvLine(ComfortStream.columns)
            for row in rows where isWanted(row) {
                let record = byID[row.recordID]!
                bytes += csvLine(
                    ComfortStream.fields(
                        record, database.buildings[record.buildingID]!, group: row.group, isLabelled: isJudge || row.isLabelledFew))
            }
            return bytes
        }
    }

    static func estimator(_ seed: UInt64) throws -> BlendTrainer {
        BlendTrainer(
            try XGBoostLibrary(candidates: TrainWorkerTests.candidates),
            settings: .pooled(fewLabels: true, indicatorColumns: PhysicsFeatures.indicatorColumns, seed: seed),
            classCount: Preference.allCases.count)
    }

    @Test func `rows that are written and read again are the rows of the experiment`() throws {
        let database = try SyntheticComfort().database()
        let rows = ComfortSplit.main(database)
        let experiment = ComfortExperiment(database: database, rows: rows, budget: .few, featureSets: [])
        var bytes: [UInt8]? = Streams(database: database, rows: rows).csv { $0.part == .pool && $0.round <= 1 }
        let table = try TextTable(source: "rows.csv") {
            defer { bytes = nil }
            return bytes
        }
        let roundOfRecord = Dictionary(uniqueKeysWithValues: rows.map { ($0.recordID, $0.round) })
        let stream = try ComfortStream(table, rounds: table.words("record_id").map { roundOfRecord[Int($0)!]! })
        let (found, expected) = (stream.round(1), experiment.round(1))
        #expect(found.labelledSoFar.labels == expected.labelledSoFar.labels && found.labelled.labels == expected.labelled.labels)
        #expect(found.labelledSoFar.rows.recordIDs == expected.labelledSoFar.rows.recordIDs)
        let (left, right) = (found.poolSoFar, expected.poolSoFar)
        #expect(left.recordIDs == right.recordIDs && left.tasks == right.tasks && left.rounds == right.rounds)
        #expect(left.features(.physics).values.map(\.bitPattern) == right.features(.physics).values.map(\.bitPattern))
        #expect(
            found.labelledSoFar.sensations.map(\.bitPattern) == expected.labelledSoFar.sensations.map(\.bitPattern))
    }

    /// Teaches by processes and in memory, and compares what both say of the test rows.
    static func compare(_ streams: Streams, rounds: Range<Int>, in folder: TemporaryFolder) async throws {
        let seed: UInt64 = 28
        let experiment = ComfortExperiment(database: streams.database, rows: streams.rows, budget: .few, featureSets: [.physics])
        var method = SkerryMethod(try estimator(seed))
        let test = try Rooms.write(streams.csv({ $0.part == .test }, isJudge: true), folder, "test.csv")
        var earlier: [String: String] = [:]
        for round in rounds {
            _ = try method.learn(experiment.round(round))
            let data = try Rooms.write(streams.csv { $0.part == .pool && $0.round == round }, folder, "round-\(round).csv")
            let output = "\(folder.path)/out-\(round)"
            let job = ["LEARNER": "thermal-comfort", "SEED": "\(seed)", "LABELS": "few", "JOB_NAME": "thermal-comfort"]
            let ending = try await TrainWorkerTests.run(
                "train", in: folder, job, earlier.merging(["TRAIN_DATASET_URL": data, "OUTPUT_URL": output]) { $1 })
            #expect(ending.status == 0, "\(ending.errors)")
            let judged = try await TrainWorkerTests.run(
                "evaluate", in: folder, job, ["TEST_DATASET_URL": test, "MODEL_URLS": "\(output)/state.bin;\(output)"])
            #expect(judged.status == 0, "\(judged.errors)")
            let results = try #require(try JSONParser.parse(Array(judged.output.utf8)).array)
            let expected = ClassificationMetrics(try method.predict(experiment.test), truth: experiment.testLabels)
            #expect(results[0]["metrics"]?["accuracy"]?.number == expected.accuracy, "round \(round)")
            #expect(
                results[0]["metrics"]?["log_loss"]?.number == expected.logLoss
                    && results[0]["metrics"]?["macro_f1"]?.number == expected.macroF1)
            // As files: networks and biases in half precision.
            let deployed = try #require(results[1]["metrics"]?["accuracy"]?.number)
            #expect(abs(deployed - expected.accuracy) < 0.002, "\(deployed), in memory \(expected.accuracy)")
            let record = try RoundRecord(json: try Data(contentsOf: URL(filePath: output + "/round.json")), name: "round.json")
            #expect(record.round == round && !record.tasks.isEmpty && record.job.name == "thermal-comfort")
            earlier = ["KNOWLEDGE_URL": output]
        }
    }

    @Test func `rounds by processes are as accurate as rounds in one process, to the last vote`() async throws {
        let database = try SyntheticComfort().database()
        try await Self.compare(Streams(database: database, rows: ComfortSplit.main(database)), rounds: 0..<3, in: try TemporaryFolder())
    }

    @Test func `a round on what another job knows is the round that job would have learned`() throws {
        let database = try SyntheticComfort().database()
        let streams = Streams(database: database, rows: ComfortSplit.main(database))
        let folder = try TemporaryFolder()
        let test = try Rooms.write(streams.csv({ $0.part == .test }, isJudge: true), folder, "test.csv")
        func train(_ round: Int, as job: String, _ output: String, _ more: [String: String]) throws -> RoundRecord {
            let data = try Rooms.write(streams.csv { $0.part == .pool && $0.round == round }, folder, "round-\(round).csv")
            let variables = [
                "LEARNER": "thermal-comfort", "SEED": "28", "LABELS": "few", "JOB_NAME": job, "TRAIN_DATASET_URL": data,
                "OUTPUT_URL": "\(folder.path)/\(output)",
            ]
            _ = try TrainWorker.run(TrainWorkerTests.context(variables.merging(more) { $1 }))
            return try RoundRecord(json: try Rooms.read("\(folder.path)/\(output)/round.json"), name: "round.json").canonical()
        }
        let given = try train(0, as: "giver", "given", [:])
        let knowledge = ["KNOWLEDGE_URL": "\(folder.path)/given"]
        let own = try train(1, as: "giver", "own", knowledge)
        let origin = ["KNOWLEDGE_FROM": "giver", "KNOWLEDGE_ROUND": "0", "KNOWLEDGE_STATE": "taken"]
        let taken = try train(1, as: "taker", "taken", knowledge.merging(origin) { $1 })
        let judged = try EvaluateWorker.run(
            TrainWorkerTests.context([
                "LEARNER": "thermal-comfort", "TEST_DATASET_URL": test,
                "MODEL_URLS": "\(folder.path)/own/state.bin;\(folder.path)/taken/state.bin",
            ]))
        #expect(judged[0].metrics["log_loss"]?.number == judged[1].metrics["log_loss"]?.number)
        #expect(taken.tasks.map(\.name) == own.tasks.map(\.name) && taken.samples.count == own.samples.count)
        // Whatever came from the giver says so, and all that a model was made from stands in the record.
        let digests = Set(taken.models.map(\.digest))
        #expect(taken.models.allSatisfy { digests.isSuperset(of: $0.parents) })
        let before = Set(given.models.map(\.digest))
        for model in taken.models where before.contains(model.digest) { #expect(model.name == "giver, round 0") }
        // The next round learns from all three.
        let later = origin.merging(["KNOWLEDGE_URL": "\(folder.path)/taken", "KNOWLEDGE_STATE": "own"]) { $1 }
        let next = try train(2, as: "taker", "next", later)
        #expect(next.metrics["labelled_so_far"] ?? 0 > taken.metrics["labelled_so_far"] ?? 0)
    }

    /// Where the real database lies beside the repository.
    static let data = "../shared/datasets/atcii"

    @Test(.enabled(if: access("\(data)/split_main.csv.gz", R_OK) == 0, "the database is not beside the repository"))
    func `the same on the real votes of two rounds`() async throws {
        let measurements = try GzipReader(path: "\(Self.data)/db_measurements_v2.1.0.csv.gz")
        let metadata = try GzipReader(path: "\(Self.data)/db_metadata.csv")
        let database = try ComfortDatabase(measurements: measurements.next, metadata: metadata.next)
        let rows = try ComfortSplit.read(GzipReader(path: "\(Self.data)/split_main.csv.gz").next, for: database)
        try await Self.compare(Streams(database: database, rows: rows), rounds: 0..<2, in: try TemporaryFolder())
    }
}
