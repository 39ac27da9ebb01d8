import Resources
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What begins a round and what takes its model back, by what is measured; and workers that are plain Python.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .serialized, .timeLimit(.minutes(30)))
struct JobTriggerTests {
    private static let header = "room,season,warmth,humidity,vote\n"

    /// Rows whose vote follows the warmth.
    private static func rows(_ range: Range<Int>, warmer: Double = 0) -> String {
        range.map { row in
            let warmth = Double((row * 37) % 200) / 10
            return "\(row),\(row % 2 == 0 ? "summer" : "winter"),\(warmth + warmer),\((row * 61) % 100),\(warmth > 9 ? "warm" : "cold")\n"
        }.joined()
    }

    private static func worker(_ kind: String, _ more: String = "") -> String {
        "{name: \(kind), image: \"skerry/worker:builtin\", args: [\(kind)], env: [{name: LABEL_COLUMN, value: vote},"
            + " {name: TASK_ATTRIBUTES, value: season}, {name: IGNORED_COLUMNS, value: room}, {name: ESTIMATOR, value: nearest-centres}\(more)]}"
    }

    private static func apply(_ name: String, condition: String, rollback: String = "[]", _ cloud: Cloud) async throws {
        try FileManager.default.createDirectory(atPath: cloud.folder + "/data", withIntermediateDirectories: true)
        try cloud.write("data/\(name).csv", header + rows(0..<300))
        let asked = ", {name: LC_PERIOD, value: \"1\"}, {name: INFER_DATASET_URL, value: \(cloud.folder)/data/asked.csv}"
        try cloud.write(
            "\(name).yaml",
            """
            apiVersion: sedna.io/v1alpha1
            kind: Dataset
            metadata: {name: \(name)}
            spec: {url: \(cloud.folder)/data/\(name).csv, format: csv, nodeName: cloud-0}
            ---
            apiVersion: sedna.io/v1alpha1
            kind: LifelongLearningJob
            metadata: {name: \(name), annotations: {jobs.skerry.io/train: first}}
            spec:
              dataset: {name: \(name), trainProb: 0.8}
              outputDir: \(cloud.folder)/output/\(name)
              trainSpec:
                trigger: {checkPeriodSeconds: 1, condition: \(condition)}
                template: {spec: {containers: [\(worker("train"))]}}
              evalSpec: {template: {spec: {containers: [\(worker("evaluate"))]}}}
              deploySpec:
                rollback: \(rollback)
                template: {spec: {containers: [\(worker("infer", asked))]}}
            """)
        let applied = await cloud.kubectl("apply -f \(cloud.folder)/\(name).yaml")
        #expect(applied.status == 0, "\(applied.error)")
    }

    private static func field(_ path: String, _ name: String, _ cloud: Cloud, kind: String = "lifelonglearningjob") async -> String {
        await cloud.kubectl("get \(kind) \(name) -o jsonpath={.status.\(path)}").output
    }

    /// Waits for three minutes at most.
    private static func until(_ what: @autoclosure () -> String, _ isSo: () async throws -> Bool) async throws {
        for _ in 0..<1800 {
            if try await isSo() { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw Edge.Failed(text: "within three minutes it did not come to this: \(what())")
    }

    private static func append(_ text: String, _ name: String, _ cloud: Cloud) throws {
        let file = try #require(fopen("\(cloud.folder)/\(name)", "a"))
        fputs(text, file)
        fclose(file)
    }

    @Test func `drift of the data and a figure of the model begin rounds; unseen rows take a version back`() async throws {
        try await Cloud.with(node: true) { cloud in
            try FileManager.default.createDirectory(atPath: cloud.folder + "/data", withIntermediateDirectories: true)
            try cloud.write("data/asked.csv", "room,season,warmth,humidity\n")
            try await Self.apply("drift", condition: "{operator: \">\", threshold: 0.25, metric: drift}", cloud)
            try await Self.apply("figure", condition: "{operator: \"<\", threshold: 1.1, metric: accuracy}", cloud)
            try await Self.apply(
                "back", condition: "{operator: \">\", threshold: 100, metric: num_of_samples}",
                rollback: "[{metric: unseenShare, operator: \">\", threshold: 0.5}]", cloud)
            for name in ["drift", "figure", "back"] {
                try await Self.until("round 1 of \(name)") { await Self.field("round", name, cloud) == "1" }
            }
            #expect(await Self.field("trigger.message", "drift", cloud) == "waits for drift > 0.25: it is not known")
            // Another summer: the file is replaced.
            try cloud.write("data/drift.csv", Self.header + Self.rows(0..<300, warmer: 15))
            try Self.append(Self.rows(300..<400), "data/figure.csv", cloud)
            try Self.append(Self.rows(300..<500), "data/back.csv", cloud)
            for name in ["drift", "figure", "back"] {
                try await Self.until("round 2 of \(name)") { await Self.field("round", name, cloud) == "2" }
            }
            let events = await cloud.kubectl("get events --field-selector reason=TrainReady -o jsonpath={.items[*].message}").output
            #expect(events.contains("drift > 0.25: it is") && events.contains("accuracy < 1.1: it is"), "\(events)")

            // Version 2 meets rows of a season that nobody has taught it.
            try await Self.until("first report of version 2") { await Self.field("live.version", "back", cloud) == "2" }
            try Self.append((0..<60).map { "\($0),monsoon,\($0 % 30),50\n" }.joined(), "data/asked.csv", cloud)
            try await Self.until("version 1 again") { await Self.field("rounds[-1:].result", "back", cloud) == "RolledBack" }
            #expect(await Self.field("serving", "back", cloud, kind: "model") == "1")
            let reason = await Self.field("rounds[-1:].reason", "back", cloud)
            #expect(reason.contains("version 2 was taken back, version 1 serves again: unseenShare > 0.5"), "\(reason)")
            try await Self.until("the knowledge base to know") { await Self.field("unrecorded", "back", cloud).isEmpty }
            let told = await Edge.skerry(
                ["kb", "decisions", "--job", "default/back", "--action", "rollback", "-o", "csv"], in: cloud.folder
            ).wait()
            #expect(told.output.contains("unseenShare > 0.5"), "\(told.output) \(told.error)")
            try await cloud.removeJobs()
        }
    }

    /// What the example's scripts import, where `make` puts it.
    private static let deps = FileManager.default.currentDirectoryPath + "/.deps"

    @Test(.enabled(if: access("\(deps)/python/onnx/__init__.py", R_OK) == 0, "Python's onnx could not be fetched: scripts/bootstrap"))
    func `plain Python workers train at the edge in rounds, are judged, and serve what they learned`() async throws {
        let job = PythonJob(
            name: "votes", manifest: "job.yaml", trainer: "train.py", models: "models", output: "output", answers: "answers")
        try await Self.learnInPython(job, packages: ["python"])
    }

    // The folder is made once it could be imported: where it is there, this must work.
    @Test(.enabled(if: access("\(deps)/python-xgboost", R_OK) == 0, "XGBoost for Python could not be fetched: scripts/bootstrap"))
    func `XGBoost in plain Python grows trees at the edge in rounds, is judged, and serves what it learned`() async throws {
        let job = PythonJob(
            name: "trees", manifest: "job-xgboost.yaml", trainer: "train_xgboost.py", models: "trees", output: "output-trees",
            answers: "answers-trees")
        // 2 rounds by hand, then 30 each time: each goes on from the one before.
        try await Self.learnInPython(job, packages: ["python", "python-xgboost"], versions: ["32 rounds", "62 rounds"])
    }

    /// A job of the example: the names in its manifest.
    private struct PythonJob {
        var name: String
        var manifest: String
        var trainer: String
        /// Folder of the first model.
        var models: String
        var output: String
        var answers: String
    }

    /// - Parameter versions: what the models of two rounds say of themselves.
    private static func learnInPython(_ job: PythonJob, packages: [String], versions: [String] = []) async throws {
        let folder = try Cloud.newFolder()
        let cloud = try await Cloud.start(in: folder)
        let edge = try await Edge.join(cloud)
        let data = folder + "/data"
        try FileManager.default.createDirectory(atPath: data + "/python", withIntermediateDirectories: true)
        for package in packages {
            for name in try FileManager.default.contentsOfDirectory(atPath: "\(deps)/\(package)")
            where name != "bin" && name != "__pycache__" {
                try FileManager.default.createSymbolicLink(
                    atPath: "\(data)/python/\(name)", withDestinationPath: "\(deps)/\(package)/\(name)")
            }
        }
        let example = FileManager.default.currentDirectoryPath + "/examples/incremental-python"
        try FileManager.default.copyItem(atPath: example, toPath: data + "/workers")
        try cloud.write("data/first.csv", Self.header + Self.rows(0..<20))
        try cloud.write("data/rooms.csv", Self.header + Self.rows(0..<300))
        try cloud.write("data/asked.csv", Self.header)
        // The model to begin with, by hand.
        let first = await ServingProgram(
            try #require(ServingProgram.find("python3")), [data + "/workers/" + job.trainer],
            environment: [
                "PYTHONPATH": data + "/python", "TRAIN_DATASET_URL": data + "/first.csv", "LABEL_COLUMN": "vote",
                "FEATURES": "warmth,humidity", "EPOCHS": "5", "BOOSTING_ROUNDS": "2", "MODEL_URL": "\(data)/\(job.models)",
            ], folder: folder
        ).wait()
        #expect(first.status == 0, "\(first.error)")
        let manifest = try String(contentsOfFile: "\(example)/\(job.manifest)", encoding: .utf8)
        try cloud.write("job.yaml", manifest.split(separator: "/data/", omittingEmptySubsequences: false).joined(separator: data + "/"))
        let applied = await cloud.kubectl("apply -f \(folder)/job.yaml")
        #expect(applied.status == 0, "\(applied.error)")
        func field(_ path: String) async -> String { await Self.field(path, job.name, cloud, kind: "incrementallearningjob") }
        try await Self.until("a round in Python: \(edge.program.error.suffix(2000))") { await field("round") == "1" }
        #expect(await field("rounds[0].result") == "Deployed")
        #expect(await field("rounds[0].reason").hasPrefix("no worse: accuracy"))
        #expect(await cloud.kubectl("get pod \(job.name)-train-1 -o jsonpath={.spec.nodeName}").output == "e1")
        try Self.append(Self.rows(300..<303), "data/asked.csv", cloud)
        try await Self.until("answers of version 1") {
            let answers = (try? String(contentsOfFile: "\(data)/\(job.answers)/predictions.csv", encoding: .utf8)) ?? ""
            return answers.split(whereSeparator: \.isNewline).count == 4 && answers.hasSuffix(",1\r\n")
        }
        try Self.append(Self.rows(300..<500), "data/rooms.csv", cloud)
        try await Self.until("a second round in Python") { await field("round") == "2" }
        let accuracy = await field("accuracy")
        #expect(Double(accuracy) ?? 0 > 0.9, "\(accuracy)")
        // The knowledge base has what a worker left that knows nothing of it: each model, and the one it went on from.
        try await Self.until("the knowledge base to know both rounds") { await field("unrecorded").isEmpty }
        let models = await cloud.kubectl("get model \(job.name) -o jsonpath={.status.versions[*].digest}").output.split(separator: " ")
        let known = await cloud.kubectl("get knowledgemodels -o json")
        let objects = try JSONParser.parse(Array(known.output.utf8))["items"]?.array ?? []
        #expect(models.count == 2 && objects.count == 2, "\(known.output) \(known.error)")
        for (place, model) in models.enumerated() {
            let object = objects.first { $0["digest"]?.string == String(model) }
            let parents = (object?["parents"]?.array ?? []).compactMap(\.string)
            #expect(parents == (place == 0 ? [] : [String(models[0].dropFirst("sha256:".count))]))
            #expect(object?["serving"]?.bool == (place == 1) && object?["metrics"]?["accuracy"]?.number != nil)
        }
        for (round, version) in zip(1..., versions) {
            let file = try Data(contentsOf: URL(filePath: "\(data)/\(job.output)/train/\(round)/model.onnx"))
            #expect(file.firstRange(of: Data(version.utf8)) != nil, "round \(round) is not of \(version)")
        }
        try await cloud.removeJobs()
        await edge.stop()
        await cloud.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}
