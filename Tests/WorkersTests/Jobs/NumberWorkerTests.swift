import Inference
import Learning
import Resources
import Storage
import TestKit
import Testing
import Workers

/// Jobs whose label is a number: learned, judged and served by processes.
@Suite(.offThePool) struct NumberWorkerTests {
    /// Rooms whose label is their warmth.
    static func csv(_ rows: Range<Int>) -> [UInt8] {
        var bytes = csvLine(["ta", "rh", "Season", "warmth"])
        for row in rows {
            var generator = SeededGenerator(seed: UInt64(row) &* 104_729)
            let ta = Double(Int.random(in: 180..<310, using: &generator)) / 10, rh = Int.random(in: 20..<90, using: &generator)
            let warmth = ta + Double(rh) / 40 + (row % 2 == 0 ? -1 : 1) + Double.random(in: -0.5..<0.5, using: &generator)
            bytes += csvLine(["\(ta)", row % 7 == 0 ? "" : "\(rh)", ["Summer", "Winter"][row % 2], "\(warmth)"])
        }
        return bytes
    }

    static let job = [
        "LABEL_COLUMN": "warmth", "LABEL_KIND": "number", "TASK_ATTRIBUTES": "", "IGNORED_COLUMNS": "", "ESTIMATOR": #"gbt:{"rounds": 60}"#,
    ]

    @Test func `two rounds of a number are learned, judged alike as file and as state, and served`() async throws {
        let folder = try TemporaryFolder()
        var earlier: [String: String] = [:]
        var figures: [Double] = []
        for round in 0..<2 {
            let data = try Rooms.write(Self.csv(round * 300..<round * 300 + 300), folder, "rows-\(round).csv")
            let output = "\(folder.path)/out-\(round)"
            let ending = try await TrainWorkerTests.run(
                "train", in: folder, Self.job, earlier.merging(["TRAIN_DATASET_URL": data, "OUTPUT_URL": output]) { $1 })
            #expect(ending.status == 0, "\(ending.errors)")
            let results = try #require(try JSONParser.parse(Array(ending.output.utf8)).array)
            let names = results.map { $0["name"]?.string }
            #expect(names == ["model.onnx", "state.bin", "round.json"])
            #expect(results[0]["metrics"]?["samples"]?.number == Double(300 * (round + 1)))
            figures.append(results[0]["metrics"]?["rmse"]?.number ?? .infinity)
            earlier = ["KNOWLEDGE_URL": output, "HAS_COMPLETED_INITIAL_TRAINING": "true"]
        }
        #expect(figures[0] < 1.5 && figures[1] < figures[0])
        let test = try Rooms.write(Self.csv(2000..<2300), folder, "test.csv")
        let output = folder.path + "/out-1"
        let judged = try EvaluateWorker.run(
            TrainWorkerTests.context(Self.job.merging(["TEST_DATASET_URL": test, "MODEL_URLS": "\(output);\(output)/state.bin"]) { $1 }))
        let rmse = judged.map { $0.metrics["rmse"]?.number ?? .infinity }
        #expect(rmse[0] < 1.2 && abs(rmse[0] - rmse[1]) < 1e-4 && judged[0].metrics["r2"]?.number ?? 0 > 0.9)
        try await ServeWorkerTests.with(Self.job) { _ in
            output
        } _: { served in
            var bytes: [UInt8]? = Self.csv(2000..<2010)
            let table = try TextTable(source: "t") {
                defer { bytes = nil }
                return bytes
            }
            let answer = try await served.ask(
                "POST", "/v2/models/comfort/infer", try ServeWorkerTests.inputs(table, ["ta", "rh", "Season"]))
            let values = ServeWorkerTests.output(answer.json, "value").compactMap(\.number)
            let predictor = try NumberPredictor(
                try ONNXRuntime(candidates: TrainWorkerTests.onnxRuntime), try ModelFile(try Rooms.read(output + "/model.onnx")))
            var roles = TabularRoles(label: "warmth")
            roles.isNumber = true
            let schema = TabularSchema(featureNames: predictor.featureNames, classNames: [], roles: roles)
            let found = values.map { Float($0) }, expected = try predictor.predict(schema.features(table))
            #expect(found == expected, "\(answer.json.text.prefix(300))")
        }
    }

    @Test func `a label that is no number is told with its line`() async throws {
        let folder = try TemporaryFolder()
        let bad = try Rooms.write(Array("ta,warmth\n1,20\n2,warm\n".utf8), folder, "bad.csv")
        let ending = try await TrainWorkerTests.run(
            "train", in: folder, Self.job, ["TRAIN_DATASET_URL": bad, "OUTPUT_URL": folder.path + "/out"])
        #expect(
            ending.status == 3 && ending.errors.contains("\(bad), line 3, column \"warmth\": \"warm\" is not a number"), "\(ending.errors)")
        let few = try Rooms.write(Self.csv(0..<5), folder, "few.csv")
        let waits = try await TrainWorkerTests.run(
            "train", in: folder, Self.job, ["TRAIN_DATASET_URL": few, "OUTPUT_URL": folder.path + "/out"])
        #expect(waits.status == 3 && waits.errors.contains("5 labelled rows; at least 8 are needed"), "\(waits.errors)")
    }
}
