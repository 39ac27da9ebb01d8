import Inference
import KnowledgeBase
import Learning
import Resources
import Storage
import TestKit
import Testing
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

/// `skerry worker train` and `evaluate` as processes: files, figures and reports.
@Suite(.offThePool) struct TrainWorkerTests {
    static let xgboost = [".deps/xgboost/lib/libxgboost.so"]
    static let onnxRuntime = ONNXRuntime.candidates(chosen: getenv("SKERRY_ONNXRUNTIME_LIB").map { String(cString: $0) })

    static func run(
        _ work: String, in folder: TemporaryFolder, _ environment: [String: String], _ more: [String: String] = [:]
    ) async throws -> Program.Ending {
        let variables = Rooms.variables.merging(environment) { $1 }.merging(more) { $1 }
        return try await Program(["worker", work], in: folder, environment: variables).ending()
    }

    /// The worker's inside, without a process.
    static func context(_ variables: [String: String]) -> WorkerContext {
        WorkerContext(
            settings: WorkerSettings(variables: Rooms.variables.merging(variables) { $1 }), xgboost: candidates, onnxRuntime: onnxRuntime)
    }

    static var candidates: [String] { getenv("SKERRY_XGBOOST_LIB").map { [String(cString: $0)] } ?? xgboost }

    @Test func `a round leaves a model, its state and its record, and reports them in Sedna's words`() async throws {
        try await RecordingServer.with { recorder, environment in
            let folder = try TemporaryFolder()
            let data = try Rooms.write(Rooms.csv(0..<400), folder, "rows.csv")
            let ending = try await Self.run(
                "train", in: folder, environment, ["TRAIN_DATASET_URL": data, "OUTPUT_URL": folder.path + "/out"])
            #expect(ending.status == 0, "\(ending.errors)")
            #expect(ending.output.isEmpty && recorder.refusals.isEmpty)
            let last = try #require(recorder.reports.last)
            #expect(last.status == .completed && last.kind == "train")
            #expect(last.results.map(\.name) == ["model.onnx", "serving.json", "signs.bin", "state.bin", "round.json"])
            #expect(last.results.map(\.format) == ["onnx", "serving", "signs", "state", "knowledge"])
            let metrics = last.results[0].metrics
            #expect(metrics["samples"]?.number == 400 && metrics["tasks"]?.object?.count == 4 && metrics["trained"]?.number == 1)
            let accuracy = try #require(metrics["accuracy"]?.number)
            #expect(accuracy > 0.6 && accuracy < 1)
            let progress = recorder.reports.filter { $0.status == .running }
            #expect(!progress.isEmpty)
            for report in progress { if let step = report.progress { #expect(step.done <= step.total ?? 0 && step.unit == "rounds") } }
            for result in last.results { #expect(access(result.url, R_OK) == 0) }
            let json = try Data(contentsOf: URL(filePath: folder.path + "/out/round.json"))
            let record = try RoundRecord(json: json, name: "round.json")
            #expect(record.job.description == "lab/comfort" && record.pod == "comfort-train-0" && record.round == 0)
            #expect(record.tasks.map(\.name) == ["Summer_AC", "Summer_NV", "Winter_AC", "Winter_NV"])
            let deployed = record.decisions.count { $0.action == "deploy" }
            #expect(record.samples.count == 400 && deployed == 4)
            let model = try Rooms.read(folder.path + "/out/model.onnx")
            #expect(record.models.map(\.digest) == [ArtifactDigest(of: model).hex])
            #expect(!String(decoding: json, as: UTF8.self).contains("0123456789abcdef"))
        }
    }

    @Test func `rows of several data sets leave word of who was met where, round by round, and every part answers its own alike`() throws {
        let folder = try TemporaryFolder()
        let (one, two) = (folder.path + "/one", folder.path + "/two")
        // Every second room is in Athens.
        func split(_ rows: Range<Int>, _ name: String) throws -> [String] {
            let lines = String(decoding: Rooms.csv(rows), as: UTF8.self).split(separator: "\n")
            return try ["Athens", "Porto"].map { city in
                let own = lines.dropFirst().filter { $0.hasPrefix(city) }
                return try Rooms.write(Array(([lines[0]] + own).joined(separator: "\n").utf8), folder, "\(city)-\(name).csv")
            }
        }
        var variables = ["IGNORED_COLUMNS": "", "SITE_COLUMN": "City", "TRAIN_DATASETS": "athens;porto", "OUTPUT_URL": one]
        variables["TRAIN_DATASET_URL"] = try split(0..<300, "first").joined(separator: ";")
        let first = try TrainWorker.run(Self.context(variables))
        #expect(first.contains { $0.name == "places.bin" && $0.format == "places" })
        variables["OUTPUT_URL"] = two
        variables["KNOWLEDGE_URL"] = one
        variables["TRAIN_DATASET_URL"] = try split(300..<500, "second")[0]
        variables["TRAIN_DATASETS"] = "athens"
        _ = try TrainWorker.run(Self.context(variables))
        let places = try AdapterPlaces(try Rooms.read(two + "/places.bin"))
        #expect(places.union(["athens"]) == ["site": [AdapterTable.hash("Athens")]])
        #expect(places.union(["porto"]) == ["site": [AdapterTable.hash("Porto")]])
        let whole = try Rooms.read(two + "/model.onnx")
        let part = try ModelFile(whole).keeping(places.union(["athens"]))
        #expect(part.count < whole.count)
        let runtime = try ONNXRuntime(candidates: Self.onnxRuntime)
        let (before, after) = (try TabularPredictor(runtime, ModelFile(whole)), try TabularPredictor(runtime, ModelFile(part)))
        var features = FeatureMatrix(columnNames: before.featureNames)
        for row in 0..<50 { features.append(before.featureNames.indices.map { Float((row * 7 + $0 * 3) % 31) }) }
        func rows(_ city: String) -> TabularRows { TabularRows(features, sites: .init(repeating: city, count: 50)) }
        #expect(try before.predict(rows("Athens")) == after.predict(rows("Athens")))
        #expect(try before.predict(rows("Porto")) != after.predict(rows("Porto")))
        variables["TRAIN_DATASETS"] = "athens;porto"
        #expect(throws: WorkerInputError.self) { try TrainWorker.run(Self.context(variables)) }
    }

    @Test func `the figures of an evaluation are those of the model, computed here`() async throws {
        try await RecordingServer.with(name: "comfort-eval-0-0123456789abcdef") { recorder, environment in
            let folder = try TemporaryFolder()
            let data = try Rooms.write(Rooms.csv(0..<500), folder, "rows.csv")
            let output = folder.path + "/out"
            _ = try TrainWorker.run(Self.context(["TRAIN_DATASET_URL": data, "MODEL_URL": output]))
            let test = try Rooms.write(Rooms.csv(1000..<1300), folder, "test.csv")
            let ending = try await Self.run(
                "evaluate", in: folder, environment,
                ["TEST_DATASET_URL": test, "MODEL_URLS": "\(output)/model.onnx;\(output);\(output)/state.bin"])
            #expect(ending.status == 0, "\(ending.errors)")
            let completed = recorder.reports.last { $0.status == .completed }
            let results = try #require(completed).results
            #expect(results.map(\.url) == ["\(output)/model.onnx", output, "\(output)/state.bin"] && recorder.refusals.isEmpty)
            let predictor = try TabularPredictor(
                try ONNXRuntime(candidates: Self.onnxRuntime), try ModelFile(try Rooms.read(output + "/model.onnx")))
            let table = try Rooms.table(1000..<1300)
            let schema = TabularSchema(
                featureNames: predictor.featureNames, classNames: predictor.classNames, roles: TabularRoles(label: "Thermal preference"))
            let truth = try schema.labels(table).map { $0! }
            let expected = ClassificationMetrics(try predictor.predict(try schema.features(table)), truth: truth)
            for result in results {
                #expect(result.metrics["accuracy"]?.number == expected.accuracy && result.metrics["n"]?.number == 300)
                let loss = try #require(result.metrics["log_loss"]?.number)
                #expect(abs(loss - expected.logLoss) < 1e-5)
                let recall = try #require(result.metrics["recall"]?.array).compactMap(\.number)
                let isShare = recall.allSatisfy { $0 > 0 && $0 <= 1 }
                #expect(recall.count == 3 && isShare)
                let tasks = try #require(result.metrics["tasks"]?.object)
                #expect(tasks.keys.sorted() == ["Summer_AC", "Summer_NV", "Winter_AC", "Winter_NV"])
                let count = tasks.values.compactMap { $0["n"]?.number }.reduce(0, +)
                #expect(count == 300)
            }
        }
    }

    @Test func `held-out rows are told apart by round: by files, or by the lot that held them out`() throws {
        let folder = try TemporaryFolder()
        let output = folder.path + "/out"
        let data = try Rooms.write(Rooms.csv(0..<300), folder, "rows.csv")
        _ = try TrainWorker.run(Self.context(["TRAIN_DATASET_URL": data, "MODEL_URL": output]))
        let files = [
            try Rooms.write(Rooms.csv(1000..<1100), folder, "one.csv"), try Rooms.write(Rooms.csv(1100..<1150), folder, "two.csv"),
        ]
        func figures(_ variables: [String: String]) throws -> JSON? {
            try EvaluateWorker.run(Self.context(variables.merging(["MODEL_URLS": output]) { $1 })).first?.metrics["rounds"]
        }
        let byFile = try #require(
            try figures(["TEST_DATASET_URL": files.joined(separator: ";"), "TEST_ROUNDS": "1=\(files[0]);4=\(files[1])"]))
        #expect(byFile.object?.map(\.0) == ["1", "4"])
        #expect(byFile["1"]?["n"]?.number == 100 && byFile["4"]?["n"]?.number == 50)
        let alone = try EvaluateWorker.run(Self.context(["TEST_DATASET_URL": files[1], "MODEL_URLS": output])).first
        #expect(alone?.metrics["rounds"] == nil && alone?.metrics["accuracy"]?.number == byFile["4"]?["accuracy"]?.number)
        #expect(byFile["4"]?["majority"]?.number != nil && byFile["1"]?["majority"] == nil)
        // The same rows as an agent draws them of a data set that begins with them.
        let split = DatasetSplit(.eval, trainShare: 0.5, seed: 0)
        let held = (Int64(0)..<200).filter { split.contains($0) }
        let drawn = try Rooms.write(Rooms.csv(1000..<1000 + held.count), folder, "drawn.csv")
        let byLot = try #require(try figures(["TEST_DATASET_URL": drawn, "TEST_ROUNDS": "2=0-120;3=120-200", "TEST_SPLIT": "0.5,0"]))
        #expect(byLot["2"]?["n"]?.number == Double(held.count { $0 < 120 }) && byLot["3"]?["n"]?.number == Double(held.count { $0 >= 120 }))
        let error = #expect(throws: WorkerInputError.self) { try figures(["TEST_DATASET_URL": drawn, "TEST_ROUNDS": "x=1-2"]) }
        #expect(error?.description.contains("found \"x=1-2\"") == true)
    }

    @Test func `rounds by processes leave the same bytes as rounds in one process, and a model of an earlier round still serves`()
        async throws
    {
        let folder = try TemporaryFolder()
        var knowledge: [String: String] = [:], inside = knowledge
        for round in 0..<3 {
            let data = try Rooms.write(Rooms.csv(round * 200..<round * 200 + 200), folder, "rows-\(round).csv")
            let (out, here) = ("\(folder.path)/out-\(round)", "\(folder.path)/here-\(round)")
            knowledge["TRAIN_DATASET_URL"] = data
            knowledge["OUTPUT_URL"] = out
            let ending = try await Self.run("train", in: folder, [:], knowledge)
            #expect(ending.status == 0, "\(ending.errors)")
            inside["TRAIN_DATASET_URL"] = data
            inside["OUTPUT_URL"] = here
            let results = try TrainWorker.run(Self.context(inside))
            // Run by hand it says its results on standard output.
            #expect(try JSONParser.parse(Array(ending.output.utf8)).array?.count == results.count)
            for result in results where result.name != "round.json" {
                #expect(try Rooms.read("\(out)/\(result.name)") == Rooms.read("\(here)/\(result.name)"), "\(result.name), round \(round)")
            }
            #expect(
                results[0].metrics["samples"]?.number == Double(200 * (round + 1)) && results[0].metrics["round"]?.number == Double(round))
            (knowledge, inside) = (
                ["KNOWLEDGE_URL": out, "HAS_COMPLETED_INITIAL_TRAINING": "true"], ["BASE_MODEL_URL": "\(here)/model.onnx"]
            )
        }
    }

    @Test func `without any library nearest centres are learned, and their file says what the state says`() async throws {
        let folder = try TemporaryFolder()
        let data = try Rooms.write(Rooms.csv(0..<300), folder, "rows.csv")
        let output = folder.path + "/out"
        let job = ["ESTIMATOR": #"nearest-centres:{"shrinkage": 2}"#]
        let nowhere = ["SKERRY_XGBOOST_LIB": folder.path + "/none.so", "TRAIN_DATASET_URL": data, "OUTPUT_URL": output]
        let ending = try await Self.run("train", in: folder, job, nowhere)
        #expect(ending.status == 0, "\(ending.errors)")
        let test = try Rooms.write(Rooms.csv(1000..<1400), folder, "test.csv")
        let results = try EvaluateWorker.run(
            Self.context(job.merging(["TEST_DATASET_URL": test, "MODEL_URLS": "\(output);\(output)/state.bin"]) { $1 }))
        let figures = results.map { ($0.metrics["accuracy"]?.number ?? 0, $0.metrics["log_loss"]?.number ?? 0) }
        #expect(figures[0].0 > 0.5 && abs(figures[0].0 - figures[1].0) < 0.01 && abs(figures[0].1 - figures[1].1) < 0.01)
        let boosted = try await Self.run("train", in: folder, [:], nowhere)
        #expect(boosted.status == 1 && boosted.errors.contains("XGBoost's library was not found"))
    }

    @Test func `rows of a node's own data set stay there in a lifelong job, and no held-out row is no verdict`() async throws {
        let folder = try TemporaryFolder()
        let data = try Rooms.write(Rooms.csv(0..<300), folder, "data.csv")
        let card: JSON = ["dataset": "rooms", "digest": .string("\(ArtifactDigest(of: [1]))"), "rows": 300]
        _ = try Rooms.write(card.bytes(), folder, "dataset.json")
        var sizes: [Int] = []
        for more in [[:], ["HAS_COMPLETED_INITIAL_TRAINING": "false"]] {
            let output = "\(folder.path)/out-\(sizes.count)"
            _ = try TrainWorker.run(Self.context(["TRAIN_DATASET_URL": data, "OUTPUT_URL": output].merging(more) { $1 }))
            sizes.append(try Rooms.read(output + "/state.bin").count)
            let record = try RoundRecord(json: try Data(contentsOf: URL(filePath: output + "/round.json")), name: "round.json")
            #expect(record.datasets.map(\.name) == ["rooms"])
        }
        #expect(sizes[0] > sizes[1] + 300 * 10)
        let empty = try Rooms.write(Rooms.csv(0..<0), folder, "held.csv")
        let results = try EvaluateWorker.run(Self.context(["TEST_DATASET_URL": empty, "MODEL_URLS": folder.path + "/out-0"]))
        #expect(results.count == 1 && results[0].metrics["n"]?.number == 0 && results[0].metrics["accuracy"] == nil)
    }

    static let poison: [(name: String, rows: String, words: String)] = [
        ("empty", "", "line 1 must name the columns"),
        ("one class", "ta,Season,Cooling,City,Thermal preference\n1,a,b,c,0\n2,a,b,c,0\n", "all 2 labelled rows say \"0\""),
        ("no label column", "ta,Season,Cooling,City\n1,a,b,c\n", "no column \"Thermal preference\" (found: ta, Season, Cooling, City)"),
        ("no UTF-8", "ta,Season,Cooling,City,Thermal preference\n1,\u{1}\u{2},b,c,0\n", "line 2: not valid UTF-8; save the file as UTF-8"),
        ("a field too few", "ta,Season,Cooling,City,Thermal preference\n1,a,b,c\n", "line 2: 4 fields, the header has 5"),
        (
            "NaN", "ta,Season,Cooling,City,Thermal preference\n1,a,b,c,0\nNaN,a,b,c,1\n1,a,b,c,0\n2,a,b,c,1\n",
            "line 3, column \"ta\": \"NaN\" is not a number"
        ),
    ]

    @Test(arguments: poison)
    func `a poisoned table ends with status 3 and one sentence that names it`(name: String, rows: String, words: String) async throws {
        try await RecordingServer.with { recorder, environment in
            let folder = try TemporaryFolder()
            var bytes = Array(rows.utf8)
            for index in bytes.indices where bytes[index] < 3 { bytes[index] = 0xff }
            let data = try Rooms.write(bytes, folder, "rows.csv")
            let ending = try await Self.run(
                "train", in: folder, environment, ["TRAIN_DATASET_URL": data, "OUTPUT_URL": folder.path + "/out"])
            #expect(ending.status == 3)
            let last = try #require(recorder.reports.last)
            #expect(last.status == .failed && last.message.hasPrefix(data) && last.message.contains(words), "\(last.message)")
            #expect(access(folder.path + "/out/state.bin", F_OK) != 0)
        }
    }

    static let variables: [([String: String], String)] = [
        (["ESTIMATOR": "magic"], "no estimator is called \"magic\"; known: gbt"),
        (["SEED": "x"], "SEED=x: expected a whole number from 0"),
        (["HAS_COMPLETED_INITIAL_TRAINING": "true"], "but there is no KNOWLEDGE_URL"),
        (["STAGES": "quality_gate=Shut"], "no quality_gate is called \"Shut\""),
        (["LABEL_KIND": "word"], "LABEL_KIND=word: expected one of class, number"),
        (["LABEL_KIND": "number", "ESTIMATOR": "nearest-centres"], "a number (LABEL_KIND=number) is estimated by gbt"),
        (["TRAIN_DATASET_URL": "/nowhere/rows.csv"], "cannot open /nowhere/rows.csv"),
    ]

    @Test(arguments: variables)
    func `a variable that cannot be worked with ends with status 3 and its name`(more: [String: String], words: String) async throws {
        let folder = try TemporaryFolder()
        let data = try Rooms.write(Rooms.csv(0..<40), folder, "rows.csv")
        let ending = try await Self.run("train", in: folder, ["TRAIN_DATASET_URL": data, "OUTPUT_URL": folder.path + "/out"], more)
        #expect(ending.status == 3 && ending.errors.contains(words), "\(ending.errors)")
    }

    @Test func `a state of other columns or of no learner is refused with the file`() async throws {
        let folder = try TemporaryFolder()
        let data = try Rooms.write(Rooms.csv(0..<200), folder, "rows.csv")
        _ = try TrainWorker.run(Self.context(["TRAIN_DATASET_URL": data, "OUTPUT_URL": folder.path + "/out"]))
        func refusal(_ more: [String: String]) -> String {
            do {
                _ = try TrainWorker.run(
                    Self.context(["TRAIN_DATASET_URL": data, "OUTPUT_URL": folder.path + "/next"].merging(more) { $1 }))
                return "learned"
            } catch {
                return "\(error)"
            }
        }
        let earlier = ["KNOWLEDGE_URL": folder.path + "/out"]
        let other = refusal(earlier.merging(["TASK_ATTRIBUTES": "Season"]) { $1 })
        #expect(other.contains("the job's task columns were Season, Cooling and are now Season"))
        #expect(refusal(["KNOWLEDGE_URL": data, "BASE_MODEL_URL": folder.path + "/out/signs.bin"]).contains("models"))
        #expect(refusal(earlier) == "learned")
    }

    @Test func `SIGTERM ends the work with a report that says so`() async throws {
        try await RecordingServer.with { recorder, environment in
            let folder = try TemporaryFolder()
            let data = try Rooms.write(Rooms.csv(0..<4000), folder, "rows.csv")
            let variables = Rooms.variables.merging(environment) { $1 }.merging([
                "TRAIN_DATASET_URL": data, "OUTPUT_URL": folder.path + "/out", "ESTIMATOR": #"gbt:{"rounds": 10000}"#,
            ]) { $1 }
            let program = try Program(["worker", "train"], in: folder, environment: variables)
            let first = await recorder.first { ($0.progress?.done ?? 0) > 0 }
            program.send(SIGTERM)
            let ending = try await program.ending()
            #expect(first != nil && ending.status == 143, "\(ending.errors)")
            let last = try #require(recorder.reports.last)
            #expect(last.status == .failed && last.message == "cancelled")
            #expect(access(folder.path + "/out/model.onnx", F_OK) != 0)
        }
    }

    @Test func `the last report goes until the agent takes it`() async throws {
        try await RecordingServer.with(faults: [503, 500, 429]) { recorder, environment in
            let folder = try TemporaryFolder()
            let data = try Rooms.write(Rooms.csv(0..<60), folder, "rows.csv")
            let ending = try await Self.run(
                "train", in: folder, environment, ["TRAIN_DATASET_URL": data, "OUTPUT_URL": folder.path + "/out"])
            #expect(ending.status == 0 && recorder.reports.last?.status == .completed, "\(ending.errors)")
        }
    }
}
