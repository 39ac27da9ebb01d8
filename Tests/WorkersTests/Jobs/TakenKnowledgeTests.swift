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

/// A first round that goes on from another job's state.
@Suite struct TakenKnowledgeTests {
    private static let taken = ["KNOWLEDGE_FROM": "cellar", "KNOWLEDGE_STATE": "taken", "HAS_COMPLETED_INITIAL_TRAINING": "true"]

    private static func record(_ folder: String) throws -> RoundRecord {
        try RoundRecord(json: try Rooms.read(folder + "/round.json"), name: "round.json")
    }

    private static func train(_ variables: [String: String]) throws -> [WorkerReport.Result] {
        try TrainWorker.run(TrainWorkerTests.context(variables))
    }

    /// Rounds of a giver that met winters only.
    private static func give(_ folder: TemporaryFolder, _ more: [String: String] = [:]) throws -> String {
        let data = try Rooms.write(Rooms.csv(0..<300, season: "Winter"), folder, "giver.csv")
        let out = folder.path + "/giver"
        let names = ["NAMESPACE": "lab", "JOB_NAME": "cellar", "ROUND": "3"]
        _ = try train(["TRAIN_DATASET_URL": data, "OUTPUT_URL": out].merging(names) { $1 }.merging(more) { $1 })
        return out
    }

    @Test func `tasks and rows of the giver stay known, its models are its own, and rounds go on from its number`() throws {
        let folder = try TemporaryFolder()
        let given = try Self.give(folder)
        let names = ["NAMESPACE": "lab", "JOB_NAME": "annex", "KNOWLEDGE_ROUND": "3"]
        let data = try Rooms.write(Rooms.csv(1000..<1200, season: "Summer"), folder, "first.csv")
        var variables = ["TRAIN_DATASET_URL": data, "OUTPUT_URL": folder.path + "/1", "KNOWLEDGE_URL": given, "ROUND": "4"]
        variables.merge(names) { $1 }
        let first = try Self.train(variables.merging(Self.taken) { $1 })
        #expect(first[0].metrics["samples"]?.number == 500 && first[0].metrics["new_samples"]?.number == 200)
        let record = try Self.record(folder.path + "/1")
        #expect(record.round == 4 && record.job.description == "lab/annex")
        #expect(record.tasks.map(\.name) == ["Summer_AC", "Summer_NV", "Winter_AC", "Winter_NV"])
        let fresh = Dictionary(uniqueKeysWithValues: record.tasks.map { ($0.name, $0.sampleCount) })
        #expect(fresh["Winter_AC"] == 0 && fresh["Winter_NV"] == 0 && (fresh["Summer_AC"] ?? 0) > 0)
        // What was taken stands there with what it became.
        let giver = try #require(try Self.record(given).models.first)
        let parent = try #require(record.models.first { $0.digest == giver.digest })
        #expect(parent.name == "cellar, round 3" && parent.tasks == [] && parent.sizeBytes == giver.sizeBytes)
        for model in record.models where model.name == "cellar, round 3" && model.digest != giver.digest {
            #expect(model.parents == [giver.digest])
        }
        let own = try #require(record.models.first { $0.name == "annex, round 4" })
        // It serves in the place of the giver's, or beside it.
        let isKept = record.models.contains { !$0.tasks.isEmpty && $0.name == "cellar, round 3" }
        #expect(isKept || own.parents == [giver.digest])
        _ = try record.canonical()
        // Later rounds bring new rows alone, and forget nothing.
        let more = try Rooms.write(Rooms.csv(2000..<2100, season: "Summer"), folder, "second.csv")
        variables.merge(
            [
                "TRAIN_DATASET_URL": more, "OUTPUT_URL": folder.path + "/2", "KNOWLEDGE_URL": folder.path + "/1", "ROUND": "5",
                "KNOWLEDGE_FROM": "cellar", "KNOWLEDGE_STATE": "own",
            ]
        ) { $1 }
        let second = try Self.train(variables)
        #expect(second[0].metrics["samples"]?.number == 600)
        let later = try Self.record(folder.path + "/2")
        #expect(later.tasks.map(\.name) == record.tasks.map(\.name))
        for model in later.models { #expect(model.name.hasPrefix("cellar") == (model.metrics["trained_in_round"] == 3)) }
    }

    @Test func `rows of the taker's own node stay there, and the giver's stay in its state, each counted once`() throws {
        let folder = try TemporaryFolder()
        let given = try Self.give(folder)
        let card: JSON = ["dataset": "rooms", "digest": .string("\(ArtifactDigest(of: [1]))"), "rows": 200]
        _ = try Rooms.write(card.bytes(), folder, "dataset.json")
        var knowledge = given, state = "taken"
        // The grown table each time, as a node mounts it: twice as many rows of the taker's own as the giver has in the end.
        for (round, count) in [(4, 100), (5, 200), (6, 700)] {
            let data = try Rooms.write(Rooms.csv(1000..<1000 + count, season: "Summer"), folder, "data.csv")
            let out = "\(folder.path)/\(round)"
            let results = try Self.train([
                "TRAIN_DATASET_URL": data, "OUTPUT_URL": out, "KNOWLEDGE_URL": knowledge, "ROUND": "\(round)", "KNOWLEDGE_FROM": "cellar",
                "KNOWLEDGE_ROUND": "3", "KNOWLEDGE_STATE": state, "HAS_COMPLETED_INITIAL_TRAINING": "true",
            ])
            #expect(results[0].metrics["samples"]?.number == Double(300 + count), "round \(round)")
            #expect(results[0].metrics["absent_samples"] == nil)
            (knowledge, state) = (out, "own")
        }
        let text = String(decoding: try Rooms.read("\(folder.path)/6/state.bin"), as: UTF8.self)
        #expect(text.contains("Winter,") && !text.contains("Summer,"))
    }

    @Test func `a state without rows is refused with the remedy, and holds them once they are kept`() throws {
        let folder = try TemporaryFolder()
        let card: JSON = ["dataset": "rooms", "digest": .string("\(ArtifactDigest(of: [1]))"), "rows": 300]
        _ = try Rooms.write(card.bytes(), folder, "dataset.json")
        let given = try Self.give(folder, ["HAS_COMPLETED_INITIAL_TRAINING": "false"])
        let elsewhere = try TemporaryFolder()
        let data = try Rooms.write(Rooms.csv(1000..<1100, season: "Summer"), elsewhere, "first.csv")
        var variables = ["TRAIN_DATASET_URL": data, "OUTPUT_URL": folder.path + "/1", "KNOWLEDGE_URL": given, "ROUND": "6"]
        variables.merge(Self.taken.merging(["KNOWLEDGE_ROUND": "5"]) { $1 }) { $1 }
        let refusal = #expect(throws: TableError.self) { _ = try Self.train(variables) }
        #expect(refusal?.description.contains("the state holds none of its 300 rows") == true)
        // The giver shares now: from its next round on the state holds them all.
        let grown = try Rooms.write(Rooms.csv(0..<350, season: "Winter"), folder, "giver.csv")
        _ = try Self.train([
            "TRAIN_DATASET_URL": grown, "OUTPUT_URL": folder.path + "/kept", "KNOWLEDGE_URL": given, "STATE_ROWS": "kept",
            "HAS_COMPLETED_INITIAL_TRAINING": "true",
        ])
        variables["KNOWLEDGE_URL"] = folder.path + "/kept"
        #expect(try Self.train(variables)[0].metrics["samples"]?.number == 450)
    }

    @Test func `numbers are learned from rows of both, and the model names the one it went on from`() throws {
        let folder = try TemporaryFolder()
        func rows(_ range: Range<Int>) -> [UInt8] {
            Array(("a,b,y\n" + range.map { "\($0),\($0 % 7),\($0 * 2)\n" }.joined()).utf8)
        }
        let job = [
            "LABEL_COLUMN": "y", "LABEL_KIND": "number", "TASK_ATTRIBUTES": "", "IGNORED_COLUMNS": "", "ESTIMATOR": #"gbt:{"rounds": 5}"#,
        ]
        func train(_ range: Range<Int>, _ out: String, _ more: [String: String]) throws -> Double? {
            let data = try Rooms.write(rows(range), folder, "\(out).csv")
            let own = ["TRAIN_DATASET_URL": data, "OUTPUT_URL": "\(folder.path)/\(out)"].merging(job) { $1 }
            return try Self.train(own.merging(more) { $1 })[0].metrics["samples"]?.number
        }
        #expect(try train(0..<50, "giver", [:]) == 50)
        let first = ["KNOWLEDGE_URL": folder.path + "/giver", "KNOWLEDGE_ROUND": "0"].merging(Self.taken) { $1 }
        #expect(try train(100..<120, "first", first) == 70)
        let giver = try #require(try Self.record(folder.path + "/giver").models.first)
        let record = try Self.record(folder.path + "/first").canonical()
        #expect(record.models.first { $0.digest == giver.digest }?.name == "cellar, round 0")
        #expect(record.models.first { $0.digest != giver.digest }?.parents == [giver.digest])
        #expect(try train(200..<210, "second", ["KNOWLEDGE_URL": folder.path + "/first", "KNOWLEDGE_FROM": "cellar"]) == 80)
        #expect(try Self.record(folder.path + "/second").models.map(\.parents) == [[]])
    }

    @Test func `a variable of knowledge that cannot be read is named`() throws {
        let folder = try TemporaryFolder()
        let data = try Rooms.write(Rooms.csv(0..<100), folder, "rows.csv")
        for (variable, value) in [("KNOWLEDGE_ROUND", "-1"), ("KNOWLEDGE_STATE", "stolen")] {
            let error = #expect(throws: WorkerInputError.self) {
                _ = try Self.train(["TRAIN_DATASET_URL": data, "OUTPUT_URL": folder.path, "KNOWLEDGE_FROM": "cellar", variable: value])
            }
            #expect(error?.description.hasPrefix("\(variable)=\(value): expected") == true)
        }
    }
}
