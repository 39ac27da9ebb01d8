import Inference
import Learning
import TestKit
import Testing
import Training
import Workers

#if canImport(Foundation)
    import Foundation
#endif

/// The built program as a worker.
@Suite struct InferenceWorkerProcessTests {
    /// Beside the test's own program.
    static let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().path + "/skerry"

    static func settings(_ environment: [String: String] = [:], startsMax: Int = 3) -> InferenceWorkerProcess.Settings {
        InferenceWorkerProcess.Settings(program: program, environment: environment, startsMax: startsMax)
    }

    /// Runs with a model file in a folder of its own.
    static func withModel<Result>(_ bytes: [UInt8]? = nil, _ body: (InferenceAssignment) throws -> Result) throws -> Result {
        let folder = NSTemporaryDirectory() + "skerry-worker-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data(bytes ?? ExampleModel.model().onnx()).write(to: URL(fileURLWithPath: folder + "/m.onnx"))
        return try body(InferenceAssignment(workerName: "edge-1", modelPath: folder + "/m.onnx"))
    }

    @Test func `a worker process answers as the model does, one row and many`() throws {
        try Self.withModel { assignment in
            let model = try ExampleModel.model()
            let worker = try InferenceWorkerProcess(assignment, Self.settings())
            defer { worker.stop() }
            #expect(worker.model.featureNames == ExampleModel.names && worker.model.version == "test 1" && worker.model.takesPersons)
            let features = ExampleModel.rows(2500)
            let (sites, persons) = ((0..<2500).map { ["A", nil, "C"][$0 % 3] }, (0..<2500).map { ["B/7", "x"][$0 % 2] })
            let expected = model.predict(features: features, sites: sites, persons: persons)
            let many = try worker.predict(TabularRows(features, sites: sites, persons: persons))
            #expect(many.predictions.labels.count == 2500 && many.nanoseconds > 0)
            #expect(zip(many.predictions.probabilities, expected.values).allSatisfy { abs($0 - $1) < 1e-5 })
            let one = try worker.predict(TabularRows(features.rows([42]), sites: [sites[42]], persons: [persons[42]])).predictions
            #expect(one.labels == [expected.predictedClass(row: 42)] && worker.startCount == 1)
        }
    }

    @Test func `a request that does not fit is refused and the worker lives on`() throws {
        try Self.withModel { assignment in
            let worker = try InferenceWorkerProcess(assignment, Self.settings())
            defer { worker.stop() }
            #expect {
                try worker.predict(TabularRows(count: 1, features: [1, 2]))
            } throws: {
                "\($0)".contains("edge-1") && "\($0)".contains("\"features\" needs 3 values, found 2")
            }
            #expect(try worker.predict(TabularRows(ExampleModel.rows(1))).predictions.labels.count == 1)
            #expect(worker.startCount == 1)
        }
    }

    @Test func `a worker that is killed is started again and the request answered`() throws {
        try Self.withModel { assignment in
            let worker = try InferenceWorkerProcess(assignment, Self.settings())
            defer { worker.stop() }
            let before = try worker.predict(TabularRows(ExampleModel.rows(3))).predictions
            kill(try #require(worker.processID), SIGKILL)
            #expect(try worker.predict(TabularRows(ExampleModel.rows(3))).predictions == before)
            #expect(worker.startCount == 2)
        }
    }

    @Test func `a worker that keeps dying is given up with its signal`() throws {
        try Self.withModel { assignment in
            let worker = try InferenceWorkerProcess(assignment, Self.settings(startsMax: 1))
            kill(try #require(worker.processID), SIGTERM)
            #expect {
                try worker.predict(TabularRows(ExampleModel.rows(1)))
            } throws: {
                "\($0)".contains("\"edge-1\" was ended by signal 15")
            }
        }
    }

    @Test func `a stopped worker is gone and answers nothing`() throws {
        try Self.withModel { assignment in
            let worker = try InferenceWorkerProcess(assignment, Self.settings())
            let process = try #require(worker.processID)
            worker.stop()
            worker.stop()
            #expect(kill(process, 0) == -1 && worker.processID == nil)
            #expect(throws: WorkersError.stopped(worker: "edge-1")) { try worker.predict(TabularRows(ExampleModel.rows(1))) }
        }
    }

    /// Why a worker would not start.
    static func refusal(_ assignment: InferenceAssignment, _ settings: InferenceWorkerProcess.Settings = settings()) -> String {
        do throws(WorkersError) {
            _ = try InferenceWorkerProcess(assignment, settings)
            return "started"
        } catch {
            return "\(error)"
        }
    }

    @Test func `a truncated, a missing and a hostile model are refused by the worker with the reason`() throws {
        let whole = try ExampleModel.model().onnx()
        #expect(
            try Self.withModel(Array(whole.prefix(500))) { Self.refusal($0) }.contains(
                "\"edge-1\" cannot serve: the model is no whole ONNX file"))
        #expect(
            Self.refusal(InferenceAssignment(workerName: "edge-1", modelPath: "/nowhere/m.onnx")).contains("/nowhere/m.onnx cannot be read")
        )
        #expect(Self.refusal(InferenceAssignment(workerName: "edge-1", modelPath: "/dev/zero")).contains("it is no regular file"))
    }

    @Test func `a worker without ONNX Runtime says what to do`() throws {
        let text = try Self.withModel { Self.refusal($0, Self.settings(["SKERRY_ONNXRUNTIME_LIB": "/nowhere/lib.so"])) }
        #expect(text.contains("cannot serve: ONNX Runtime's library was not found") && text.contains("scripts/bootstrap"))
    }

    @Test func `a program that is none, or is another, is named`() throws {
        var settings = Self.settings()
        settings.program = "/nowhere/skerry"
        try Self.withModel { #expect(Self.refusal($0, settings).contains("/nowhere/skerry cannot be started")) }
        settings.program = "/bin/sh"
        settings.arguments = ["-c", "exit 3"]
        try Self.withModel { #expect(Self.refusal($0, settings).contains("ended with status 3")) }
        settings.arguments = ["-c", "echo hello, I am no worker"]
        try Self.withModel { #expect(Self.refusal($0, settings).contains("malformed")) }
        settings.arguments = ["-c", "sleep 60"]
        settings.secondsMax = 0.2
        try Self.withModel { #expect(Self.refusal($0, settings).contains("did not answer within 0.2 s")) }
    }
}
