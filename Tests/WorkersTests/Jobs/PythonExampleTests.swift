import Inference
import Learning
import Resources
import TestKit
import Testing
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

/// What the examples import, where `make` puts it.
private enum PythonPackages {
    static let path = ".deps/python"
    static var areThere: Bool { ["onnx", "numpy"].allSatisfy { access("\(path)/\($0)/__init__.py", R_OK) == 0 } }
    static let xgboost = ".deps/python-xgboost"
    /// Made once it could be imported: where it is there, what needs it must work.
    static var hasXGBoost: Bool { access(xgboost, R_OK) == 0 }
}

/// The workers of `examples/incremental-python`, as a job runs them.
@Suite(.offThePool, .enabled(if: PythonPackages.areThere, "Python's onnx could not be fetched: scripts/bootstrap"))
struct PythonExampleTests {

    private static let variables = [
        "PYTHONPATH": "\(PythonPackages.path):\(PythonPackages.xgboost)", "PYTHONDONTWRITEBYTECODE": "1",
        "LABEL_COLUMN": "Thermal preference", "FEATURES": "ta,rh",
        "EPOCHS": "120", "BOOSTING_ROUNDS": "25",
    ]

    private static func program(
        _ script: String, in folder: TemporaryFolder, _ environment: [String: String], _ more: [String: String]
    ) throws -> Program {
        try Program(
            ["examples/incremental-python/\(script)"], executable: "python3", in: folder,
            environment: variables.merging(environment) { $1 }.merging(more) { $1 })
    }

    private static func run(
        _ script: String, in folder: TemporaryFolder, _ environment: [String: String], _ more: [String: String]
    ) async throws -> Program.Ending {
        try await program(script, in: folder, environment, more).ending()
    }

    @Test func `two rounds and an evaluation in Python, and the built-in workers read what it wrote`() async throws {
        try await twoRounds("train.py", steps: 120, unit: "epochs", versions: ["softmax regression, ", "softmax regression, "])
    }

    @Test(.enabled(if: PythonPackages.hasXGBoost, "XGBoost for Python could not be fetched: scripts/bootstrap"))
    func `two rounds of XGBoost and an evaluation in Python, and the built-in workers read what it wrote`() async throws {
        let versions = ["XGBoost, 25 rounds of 3 trees, ", "XGBoost, 50 rounds of 3 trees, "]
        try await twoRounds("train_xgboost.py", steps: 25, unit: "rounds", versions: versions)
    }

    private func twoRounds(_ trainer: String, steps: Int64, unit: String, versions: [String]) async throws {
        try await RecordingServer.with { recorder, environment in
            let folder = try TemporaryFolder()
            let (one, two) = (folder.path + "/one", folder.path + "/two")
            let first = try Rooms.write(Rooms.csv(0..<400), folder, "first.csv")
            let begun = try await Self.run(trainer, in: folder, environment, ["TRAIN_DATASET_URL": first, "MODEL_URL": one])
            #expect(begun.status == 0, "\(begun.errors)")
            let running = recorder.reports.last { $0.status == .running }
            let progress = try #require(running?.progress)
            #expect(progress.done == steps && progress.total == steps && progress.unit == unit)
            #expect(recorder.reports.last?.results.map(\.format) == ["onnx"])
            let more = try Rooms.write(Rooms.csv(400..<500), folder, "more.csv")
            let went = try await Self.run(
                trainer, in: folder, environment, ["TRAIN_DATASET_URL": more, "MODEL_URL": two, "BASE_MODEL_URL": one + "/model.onnx"])
            #expect(went.status == 0, "\(went.errors)")
            for (path, version) in zip([one, two], versions) {
                let file = try Data(contentsOf: URL(filePath: path + "/model.onnx"))
                #expect(file.firstRange(of: Data(version.utf8)) != nil, "\(path) is not of \(version)")
            }
            let test = try Rooms.write(Rooms.csv(900..<1100), folder, "test.csv")
            let judging = ["TEST_DATASET_URL": test, "MODEL_URLS": "\(two);\(one)/model.onnx"]
            let judged = try await Self.run("evaluate.py", in: folder, environment, judging)
            #expect(judged.status == 0 && recorder.refusals.isEmpty, "\(judged.errors) \(recorder.refusals)")
            let results = try #require(recorder.reports.last).results
            let precisions = results.map { $0.metrics["precision"]?.array?.count ?? 0 }
            #expect(results.map(\.url) == [two, "\(one)/model.onnx"] && precisions == [3, 3])
            let own = try EvaluateWorker.run(TrainWorkerTests.context(judging.merging(["TASK_ATTRIBUTES": ""]) { $1 }))
            for (left, right) in zip(results, own) {
                let (a, b) = (left.metrics["accuracy"]?.number ?? 0, right.metrics["accuracy"]?.number ?? 1)
                #expect(abs(a - b) < 1e-9 && a > 0.55 && left.metrics["n"]?.number == 200)
            }
        }
    }

    @Test func `a bad field is told with its line, and SIGTERM as cancelled`() async throws {
        try await RecordingServer.with { recorder, environment in
            let folder = try TemporaryFolder()
            let bad = try Rooms.write(Array("ta,rh,Thermal preference\n1,2,0\nwarm,3,1\n".utf8), folder, "bad.csv")
            let ending = try await Self.run(
                "train.py", in: folder, environment, ["TRAIN_DATASET_URL": bad, "MODEL_URL": folder.path + "/out"])
            let last = try #require(recorder.reports.last)
            #expect(ending.status != 0 && last.status == .failed)
            #expect(last.message == "\(bad), line 3, column \"ta\": \"warm\" is not a number; correct it")
            let data = try Rooms.write(Rooms.csv(0..<4000), folder, "rows.csv")
            let long = try Self.program(
                "train.py", in: folder, environment,
                ["TRAIN_DATASET_URL": data, "MODEL_URL": folder.path + "/out", "EPOCHS": "1000000"])
            _ = await recorder.first { ($0.progress?.done ?? 0) > 1 }
            long.send(SIGTERM)
            let stopped = try await long.ending()
            #expect(stopped.status == 143 && recorder.reports.last?.message == "cancelled", "\(stopped.errors)")
        }
    }

    @Test func `an agent that says nothing, hangs up or is broken ends no training, and gets the last report`() async throws {
        try await RecordingServer.with(faults: [.silence, .hangUp, 503, 429]) { recorder, environment in
            let folder = try TemporaryFolder()
            let data = try Rooms.write(Rooms.csv(0..<400), folder, "rows.csv")
            let ending = try await Self.run(
                "train.py", in: folder, environment, ["TRAIN_DATASET_URL": data, "MODEL_URL": folder.path + "/out"])
            #expect(ending.status == 0, "\(ending.errors)")
            #expect(recorder.reports.map(\.status) == [.completed] && ending.errors.contains("did not take a report: "))
        }
    }

    @Test func `a last report that is wrong is told, and sent once`() async throws {
        try await RecordingServer.with(faults: [404, 404]) { recorder, environment in
            let folder = try TemporaryFolder()
            let data = try Rooms.write(Rooms.csv(0..<400), folder, "rows.csv")
            let ending = try await Self.run(
                "train.py", in: folder, environment, ["TRAIN_DATASET_URL": data, "MODEL_URL": folder.path + "/out", "EPOCHS": "1"])
            #expect(ending.status == 1 && recorder.reports.isEmpty)
            #expect(ending.errors.split(separator: "\n").count { $0.hasPrefix("the node's agent refused a report with 404: ") } == 2)
            #expect(try !Rooms.read(folder.path + "/out/model.onnx").isEmpty)
        }
    }

    @Test func `rows of a growing file are predicted by the newest model`() async throws {
        try await RecordingServer.with { recorder, environment in
            let folder = try TemporaryFolder()
            for (name, rows) in [("one", 0..<300), ("two", 300..<700)] {
                let data = try Rooms.write(Rooms.csv(rows), folder, "\(name).csv")
                let ending = try await Self.run(
                    "train.py", in: folder, [:], ["TRAIN_DATASET_URL": data, "MODEL_URL": "\(folder.path)/\(name)"])
                #expect(ending.status == 0, "\(ending.errors)")
            }
            func config(_ name: String, _ version: Int) throws {
                let json: JSON = [
                    "model_config": [
                        "model_path": .string("\(name)/model.onnx"), "model_update_time": .string("\(version)"),
                        "version": .integer(Int64(version)),
                    ]
                ]
                try Data(json.bytes()).write(to: URL(filePath: folder.path + "/model_config.json"), options: .atomic)
            }
            try config("one", 1)
            let rows = try Rooms.write(Rooms.csv(900..<920), folder, "rows.csv")
            let program = try Self.program(
                "infer.py", in: folder, environment,
                [
                    "MODEL_URL": folder.path + "/one", "MODEL_HOT_UPDATE_CONFIG": folder.path + "/model_config.json",
                    "INFER_DATASET_URL": rows, "OUTPUT_URL": folder.path + "/out", "LC_PERIOD": "0",
                ])
            let began = await recorder.first { $0.ownerInfo["inferenceNumber"]?.integer == 20 }
            try config("two", 2)
            let updated = await recorder.first { $0.ownerInfo["modelVersion"]?.string == "2" }
            Rooms.append(Rooms.csv(920..<925).drop { $0 != 0x0a }.dropFirst(), to: rows)
            let grown = await recorder.first { $0.ownerInfo["inferenceNumber"]?.integer == 25 }
            program.send(SIGTERM)
            let ending = try await program.ending()
            #expect(ending.status == 0 && began != nil && updated != nil && grown != nil, "\(ending.errors)")
            let predictions = try ServeWorkerTests.table(folder.path + "/out/predictions.csv")
            #expect(try predictions.words("model_version") == [String](repeating: "1", count: 20) + [String](repeating: "2", count: 5))
        }
    }
}
