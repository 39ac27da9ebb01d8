import Inference
import Learning
import Network
import Resources
import Storage
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

/// `skerry worker infer` over HTTP and over a file, as a process.
@Suite(.offThePool) struct ServeWorkerTests {
    /// A worker process that serves a model, and a client for it.
    struct Served {
        let program: Program
        let recorder: RecordingServer
        let client: PooledHTTPClient
        let folder: TemporaryFolder

        func ask(_ method: String, _ path: String, _ body: JSON? = nil) async throws -> (status: Int, json: JSON) {
            let answer = try await client.send(
                HTTPRequest(method: method, path: path, headers: ["Content-Type": "application/json"], body: body?.bytes() ?? []))
            return (answer.status, try JSONParser.parse(answer.body))
        }
    }

    /// Trains a model on the rows and leaves its files in the folder.
    static func train(_ rows: Range<Int>, to output: String, in folder: TemporaryFolder) throws {
        let data = try Rooms.write(Rooms.csv(rows), folder, "train-\(rows.lowerBound).csv")
        _ = try TrainWorker.run(TrainWorkerTests.context(["TRAIN_DATASET_URL": data, "OUTPUT_URL": output]))
    }

    /// Copies a version into a volume as a node's agent does: the configuration last.
    static func put(_ version: Int, of files: String, into volume: String) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: files) where name != "state.bin" {
            let file = try WholeFile(path: "\(volume)/\(name)")
            try file.write(try Rooms.read("\(files)/\(name)"))
            try file.commit()
        }
        let digest = ArtifactDigest(of: try Rooms.read("\(files)/model.onnx"))
        let config: JSON = [
            "model_config": [
                "model_path": "model.onnx", "model_update_time": "2026-01-01T00:00:00Z", "version": .integer(Int64(version)),
                "digest": .string("\(digest)"),
            ]
        ]
        let file = try WholeFile(path: "\(volume)/model_config.json")
        try file.write(config.bytes())
        try file.commit()
    }

    static func with(
        _ more: [String: String] = [:], volume: (TemporaryFolder) throws -> String, _ body: (Served) async throws -> Void
    ) async throws {
        try await RecordingServer.with(name: "comfort-infer-0-0123456789abcdef") { recorder, environment in
            let folder = try TemporaryFolder()
            let variables = Rooms.variables.merging(environment) { $1 }.merging([
                "MODEL_URL": try volume(folder), "INFERENCE_PORT": "0", "LC_PERIOD": "1",
            ]) { $1 }.merging(more.mapValues { $0.replacing("FOLDER", with: folder.path) }) { $1 }
            let program = try Program(["worker", "infer"], in: folder, environment: variables)
            let first = await recorder.first { $0.ownerInfo["modelVersion"]?.string != "" && $0.ownerInfo["address"] != nil }
            let address = first?.ownerInfo["address"]?.string ?? ""
            guard let port = address.split(separator: ":").last.flatMap({ Int($0) }) else {
                program.kill()
                let ending = try await program.ending()
                Issue.record("the worker serves no model: \(ending.errors)")
                return
            }
            let client = try PooledHTTPClient(host: "127.0.0.1", port: port, trust: nil)
            do {
                try await body(Served(program: program, recorder: recorder, client: client, folder: folder))
            } catch {
                program.kill()
                _ = try await program.ending()
                await client.close()
                throw error
            }
            await client.close()
            program.send(SIGTERM)
            let ending = try await program.ending()
            #expect(ending.status == 0, "\(ending.errors)")
            #expect(recorder.refusals.isEmpty)
        }
    }

    /// A request's columns.
    static func inputs(_ table: TextTable, _ names: [String]) throws -> JSON {
        let inputs = try names.map { name -> JSON in
            let words = try table.words(name)
            return [
                "name": .string(name), "datatype": "BYTES", "shape": [.integer(Int64(table.count))],
                "data": .array(words.map { .string($0) }),
            ]
        }
        return ["id": "q", "inputs": .array(inputs)]
    }

    static func output(_ json: JSON, _ name: String) -> [JSON] {
        json["outputs"]?.array?.first { $0["name"]?.string == name }?["data"]?.array ?? []
    }

    @Test func `requests of the Open Inference Protocol get the numbers of ONNX Runtime in this process`() async throws {
        try await Self.with { folder in
            try Self.train(0..<300, to: folder.path + "/model", in: folder)
            return folder.path + "/model"
        } _: { served in
            let file = try ModelFile(try Rooms.read(served.folder.path + "/model/model.onnx"))
            let predictor = try TabularPredictor(try ONNXRuntime(candidates: TrainWorkerTests.onnxRuntime), file)
            let live = try await served.ask("GET", "/v2/health/live"), ready = try await served.ask("GET", "/v2/health/ready")
            #expect(live.status == 200 && ready.json["ready"]?.bool == true)
            let metadata = try await served.ask("GET", "/v2/models/comfort")
            #expect(metadata.json["inputs"]?.array?[0]["shape"]?.array?[1].integer == Int64(predictor.featureNames.count))
            let table = try Rooms.table(900..<940)
            let features = try TabularSchema(
                featureNames: predictor.featureNames, classNames: predictor.classNames, roles: TabularRoles(label: "Thermal preference")
            ).features(table)
            let expected = try predictor.predict(TabularRows(features))
            let asFeatures: JSON = [
                "inputs": [
                    [
                        "name": "features", "datatype": "FP32", "shape": [40, .integer(Int64(features.columnCount))],
                        "data": .array(features.values.map { $0.isNaN ? .null : .decimal("\($0)") }),
                    ]
                ]
            ]
            let numbers = try await served.ask("POST", "/v2/models/comfort/infer", asFeatures)
            let words = try await served.ask("POST", "/v2/models/comfort/infer", try Self.inputs(table, ["Season", "Cooling", "ta", "rh"]))
            for answer in [numbers, words] {
                #expect(answer.status == 200, "\(answer.json.text.prefix(300))")
                let probabilities = Self.output(answer.json, "probabilities").map { Float($0.number ?? -1) }
                #expect(probabilities == expected.probabilities)
                let labels = Self.output(answer.json, "label").map { Int($0.integer ?? -1) }
                let classes = Self.output(answer.json, "class").map { $0.string ?? "" }
                let words = expected.labels.map { predictor.classNames[$0] }
                #expect(labels == expected.labels && classes == words)
            }
            #expect(words.json["id"]?.string == "q" && Self.output(words.json, "unseen").count == 40)
            let strange = try await served.ask(
                "POST", "/v2/models/comfort/infer",
                ["inputs": [["name": "ta", "datatype": "FP32", "shape": [1], "data": [25]]]])
            #expect(
                strange.status == 400 && strange.json["error"]?.string?.contains("no column \"Season\"") == true, "\(strange.json.text)")
            let missing = try await served.ask("GET", "/v2/models/other")
            #expect(missing.status == 404 && missing.json["error"]?.string?.contains("this worker serves \"comfort\"") == true)
            let counted = await served.recorder.first { $0.ownerInfo["inferenceNumber"]?.integer == 80 }
            #expect(counted != nil)
        }
    }

    @Test func `how sure a model is of bare tensors is watched, and a change is told at once`() async throws {
        // No report is due before an hour has gone by.
        try await Self.with(["LC_PERIOD": "3600"]) { folder in
            let graph =
                TinyModel.node("Softmax", ["x"], ["shares"]) + TinyModel.value(11, "x", [nil, 2]) + TinyModel.value(12, "shares", [nil, 2])
            return try Rooms.write(TinyModel.file(graph, version: "1"), folder, "model.onnx")
        } _: { served in
            func ask(_ row: String, _ count: Int) async throws {
                let data = try JSON(parsing: "[" + Array(repeating: row, count: count).joined(separator: ",") + "]")
                let answer = try await served.ask(
                    "POST", "/v2/models/comfort/infer",
                    ["inputs": [["name": "x", "datatype": "FP32", "shape": [.integer(Int64(count)), 2], "data": data]]])
                #expect(answer.status == 200, "\(answer.json.text)")
            }
            for _ in 0..<300 { try await ask("[0,0.2]", 1) }
            for _ in 0..<10 { try await ask("[0,9]", 100) }
            let report = await served.recorder.first { ($0.ownerInfo["driftNumber"]?.integer ?? 0) > 0 }
            let info = try #require(report?.ownerInfo)
            #expect(info["modelVersion"]?.string == "1" && (info["qualityEstimate"]?.number ?? 0) > 0.5)
        }
    }

    @Test func `a newer version is served without a request that fails`() async throws {
        try await Self.with { folder in
            try Self.train(0..<200, to: folder.path + "/one", in: folder)
            try Self.train(5000..<5300, to: folder.path + "/two", in: folder)
            try FileManager.default.createDirectory(atPath: folder.path + "/volume", withIntermediateDirectories: false)
            try Self.put(1, of: folder.path + "/one", into: folder.path + "/volume")
            return folder.path + "/volume"
        } _: { served in
            let request = try Self.inputs(try Rooms.table(900..<910), ["Season", "Cooling", "ta", "rh"])
            var versions: [String] = []
            var failures: [String] = []
            for attempt in 0..<3000 {
                if attempt == 20 { try Self.put(2, of: served.folder.path + "/two", into: served.folder.path + "/volume") }
                let answer = try await served.ask("POST", "/v2/models/comfort/infer", request)
                if answer.status != 200 { failures.append(answer.json.text) }
                let version = answer.json["model_version"]?.string ?? ""
                if versions.last != version { versions.append(version) }
                if version == "2" { break }
                try await Task.sleep(for: .milliseconds(5))
            }
            #expect(failures.isEmpty && versions == ["1", "2"], "\(failures.first ?? "")")
            // A version that cannot be loaded: what serves goes on, and the reason is said.
            let broken: JSON = ["model_config": ["model_path": "nothing.onnx", "version": 3]]
            try Data(broken.bytes()).write(to: URL(filePath: served.folder.path + "/volume/model_config.json"))
            try served.program.waitForError(containing: "the model is not taken")
            let after = try await served.ask("POST", "/v2/models/comfort/infer", request)
            #expect(after.status == 200 && after.json["model_version"]?.string == "2")
        }
    }

    @Test func `rows that are appended to a file are predicted once each, and those worth a label are kept`() async throws {
        let more = [
            "INFER_DATASET_URL": "FOLDER/rows.csv", "OUTPUT_URL": "FOLDER/out", "UNSEEN_SAVED_URL": "FOLDER/unseen.csv",
            "HEM_NAME": "EdgeOnly",
        ]
        try await Self.with(more) { folder in
            try Self.train(0..<300, to: folder.path + "/model", in: folder)
            _ = try Rooms.write(Rooms.csv(0..<30), folder, "rows.csv")
            return folder.path + "/model"
        } _: { served in
            let folder = served.folder.path
            _ = await served.recorder.first { $0.ownerInfo["inferenceNumber"]?.integer == 30 }
            let fresh = Rooms.csv(30..<50, season: "Monsoon").drop { $0 != 0x0a }.dropFirst()
            Rooms.append(Array("Athens,Summer,AC,warm,40,\nAthens,Summer\n".utf8) + fresh, to: folder + "/rows.csv")
            // Rows are counted first, and then what was found of them.
            let counted = await served.recorder.first {
                $0.ownerInfo["inferenceNumber"]?.integer == 50 && ($0.ownerInfo["unseenNumber"]?.integer ?? 0) >= 20
            }
            #expect(counted != nil)
            // And they are written last.
            try await StreamTests.until("50 predictions", { try served.program.errorsSoFar() }) {
                try Self.table(folder + "/out/predictions.csv").count == 50
            }
            let predictions = try Self.table(folder + "/out/predictions.csv")
            let lines = try predictions.words("line").compactMap { Int($0) }
            #expect(lines == Array(2..<32) + Array(34..<54))
            #expect(try Set(predictions.words("class")).isSubset(of: ["0", "1", "2"]))
            let unseen = try Self.table(folder + "/unseen.csv")
            let monsoon = try unseen.words("Season").count { $0 == "Monsoon" }
            #expect(monsoon == 20 && unseen.columns == Rooms.columns)
        }
    }

    static func table(_ path: String) throws -> TextTable {
        var bytes: [UInt8]? = try Rooms.read(path)
        return try TextTable(source: path) {
            defer { bytes = nil }
            return bytes
        }
    }

    @Test func `what may leave a node are the rows worth learning and the columns allowed, with a manifest`() async throws {
        try await RecordingServer.with(name: "comfort-collect-1-0123456789abcdef") { recorder, environment in
            let folder = try TemporaryFolder()
            try Self.train(0..<300, to: folder.path + "/model", in: folder)
            let rows = Rooms.csv(300..<340) + Rooms.csv(340..<350, season: "Monsoon").drop { $0 != 0x0a }.dropFirst()
            let data = try Rooms.write(rows, folder, "rows.csv")
            let held = try Rooms.write(Rooms.csv(400..<420, season: "Monsoon"), folder, "held.csv")
            let variables = [
                "TRAIN_DATASET_URL": data, "TEST_DATASET_URL": held, "OUTPUT_URL": folder.path + "/out",
                "MODEL_URL": folder.path + "/model", "HEM_NAME": "EdgeOnly",
            ]
            let ending = try await TrainWorkerTests.run("collect", in: folder, environment, variables)
            #expect(ending.status == 0, "\(ending.errors)")
            let results = try #require(recorder.reports.last).results
            #expect(results.map(\.name) == ["train.csv", "eval.csv", "manifest.json"] && results.map(\.format) == ["csv", "csv", "json"])
            let samples = try Self.table(folder.path + "/out/train.csv")
            #expect(samples.columns == ["Season", "Cooling", "ta", "rh", "Thermal preference"])
            let monsoon = try samples.words("Season").count { $0 == "Monsoon" }
            #expect(monsoon == 10 && samples.count < 25)
            let manifest = try JSONParser.parse(try Rooms.read(folder.path + "/out/manifest.json"))
            let parts = try #require(manifest["files"]?.array)
            #expect(parts.count == 2 && parts[0]["rows"]?.integer == 50 && parts[0]["left"]?.integer == Int64(samples.count))
            #expect(parts[0]["withheldColumns"] == ["City"] && parts[0]["reasons"]?["unseen task"]?.integer == 10)
            #expect(parts[1]["left"]?.integer == 20 && parts[1]["reasons"]?["unseen task"]?.integer == 20)
            let all = try await TrainWorkerTests.run(
                "collect", in: folder, [:], variables.merging(["COLLECT_RULE": "all", "COLLECT_COLUMNS": "ta,Thermal preference"]) { $1 })
            let whole = try Self.table(folder.path + "/out/train.csv")
            #expect(all.status == 0 && whole.count == 50 && whole.columns == ["ta", "Thermal preference"])
        }
    }
}
