import Network
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

/// A version that ends the worker's life each time it is loaded.
@Suite(.offThePool) struct VersionLivesTests {
    /// The version that the worker has written down as in use.
    private static func inUse(_ folder: TemporaryFolder) -> String? {
        guard let bytes = try? Rooms.read(folder.path + "/lives/record.json") else { return nil }
        return (try? JSONParser.parse(bytes))?["inUse"]?["number"]?.string
    }

    private static func good(_ folder: TemporaryFolder) -> [String] {
        guard let bytes = try? Rooms.read(folder.path + "/lives/record.json"), let json = try? JSONParser.parse(bytes) else { return [] }
        return (json["good"]?.array ?? []).compactMap { $0["number"]?.string }
    }

    /// - Parameter goodAfter: seconds; no version becomes good within a test that takes less.
    private static func start(_ folder: TemporaryFolder, _ environment: [String: String], goodAfter: Int = 1) throws -> Program {
        var variables = Rooms.variables.merging(environment) { $1 }
        variables["MODEL_URL"] = folder.path + "/volume/model.onnx"
        variables["MODEL_HOT_UPDATE_CONFIG"] = folder.path + "/volume/model_config.json"
        variables["LIVES_URL"] = folder.path + "/lives"
        variables["LIVES_GOOD_SECONDS"] = String(goodAfter)
        variables["MODEL_NAME"] = "comfort"
        variables["INFERENCE_PORT"] = "0"
        variables["LC_PERIOD"] = "1"
        return try Program(["worker", "infer"], in: folder, environment: variables)
    }

    /// The version that answers requests.
    private static func answering(_ program: Program) async throws -> String? {
        let words = try program.errorsSoFar()
        guard let port = Int((words.split(separator: "serving on http://127.0.0.1:").last ?? "").prefix { $0.isNumber }) else { return nil }
        let client = try PooledHTTPClient(host: "127.0.0.1", port: port, trust: nil)
        let request = HTTPRequest(
            method: "POST", path: "/v2/models/comfort/infer", headers: ["Content-Type": "application/json"],
            body: try ServeWorkerTests.inputs(try Rooms.table(900..<903), ["Season", "Cooling", "ta", "rh"]).bytes())
        let answer = try? await client.send(request)
        await client.close()
        return answer.flatMap { $0.status == 200 ? (try? JSONParser.parse($0.body))?["model_version"]?.string : nil }
    }

    @Test func `a version that crashes three times is replaced by the last good one, until another comes`() async throws {
        try await RecordingServer.with(name: "comfort-infer-0-0123456789abcdef") { recorder, environment in
            let folder = try TemporaryFolder()
            try ServeWorkerTests.train(0..<200, to: folder.path + "/one", in: folder)
            try ServeWorkerTests.train(5000..<5200, to: folder.path + "/two", in: folder)
            try FileManager.default.createDirectory(atPath: folder.path + "/volume", withIntermediateDirectories: false)
            try ServeWorkerTests.put(1, of: folder.path + "/one", into: folder.path + "/volume")
            var worker = try Self.start(folder, environment)
            defer { worker.kill() }
            try await StreamTests.until("version 1 is good", { try worker.errorsSoFar() }) { Self.good(folder) == ["1"] }
            worker.send(SIGTERM)
            _ = try await worker.ending()
            // However late this test looks: version 2 is not good before it is killed.
            worker = try Self.start(folder, environment, goodAfter: 86_400)
            try ServeWorkerTests.put(2, of: folder.path + "/two", into: folder.path + "/volume")
            for life in 1...3 {
                // Killed as it loads, or just has: as a file would do that ends the process.
                try await StreamTests.until("life \(life) loads version 2", { try worker.errorsSoFar() }) { Self.inUse(folder) == "2" }
                worker.kill()
                _ = try worker.wait()
                worker = try Self.start(folder, environment, goodAfter: 86_400)
                // What was good serves at once, and while the other is waited for.
                try worker.waitForError(containing: "serves in its place")
                let version = try await Self.answering(worker)
                let words = try worker.errorsSoFar()
                // After the pause the newer one is tried again, which this test may be too slow to see.
                #expect(version == "1" || life < 3 && version == "2", "life \(life): \(version ?? "none"), \(words)")
            }
            let words = try worker.errorsSoFar()
            #expect(words.contains("version 2 has crashed the worker 3 times and is not loaded any more"), "\(words)")
            let told = await recorder.first {
                $0.ownerInfo["incident"]?.string?.contains("not loaded any more; give another one; version 1 serves in its place") == true
            }
            #expect(told?.ownerInfo["modelVersion"]?.string == "1")
            // An orderly end is no crash, and forgets nothing.
            worker.send(SIGTERM)
            let ending = try await worker.ending()
            #expect(ending.status == 0)
            worker = try Self.start(folder, environment)
            try worker.waitForError(containing: "serves in its place")
            // Another version is another chance.
            try ServeWorkerTests.put(3, of: folder.path + "/two", into: folder.path + "/volume")
            let last = worker
            try await StreamTests.until("version 3 is good", { try last.errorsSoFar() }) { Self.good(folder) == ["1", "3"] }
            let version = try await Self.answering(worker)
            #expect(version == "3")
            worker.send(SIGTERM)
            _ = try await worker.ending()
        }
    }

    /// Versions that answer several requests.
    private static func answers(_ program: Program) async throws -> Set<String> {
        var found: Set<String> = []
        for _ in 0..<4 { if let version = try await answering(program) { found.insert(version) } }
        return found
    }

    @Test func `a worker that begins anew goes on with a trial: both versions answer, and a version that crashes it is refused`()
        async throws
    {
        try await RecordingServer.with(name: "comfort-infer-0-0123456789abcdef") { recorder, environment in
            let folder = try TemporaryFolder()
            try ServeWorkerTests.train(0..<200, to: folder.path + "/one", in: folder)
            try ServeWorkerTests.train(5000..<5200, to: folder.path + "/two", in: folder)
            try FileManager.default.createDirectory(atPath: folder.path + "/volume", withIntermediateDirectories: false)
            try ServeWorkerTests.put(1, of: folder.path + "/one", into: folder.path + "/volume")
            let variables = environment.merging(["CANARY_SHARE": "0.5", "CANARY_REQUESTS": "1000"]) { $1 }
            // Nothing becomes good here: what served is held for the trial alone.
            func start() throws -> Program { try Self.start(folder, variables, goodAfter: 86_400) }
            func held() -> String? {
                let bytes = (try? Rooms.read(folder.path + "/lives/record.json")) ?? []
                return (try? JSONParser.parse(bytes))?["held"]?["number"]?.string
            }
            var worker = try start()
            defer { worker.kill() }
            try await StreamTests.until("version 1 is held", { try worker.errorsSoFar() }) { held() == "1" }
            try ServeWorkerTests.put(2, of: folder.path + "/two", into: folder.path + "/volume")
            try await StreamTests.until("version 2 is tried", { try worker.errorsSoFar() }) { Self.inUse(folder) == "2" }
            try worker.waitForError(containing: "version 2")
            let first = try await Self.answers(worker)
            #expect(first == ["1", "2"])
            worker.send(SIGTERM)
            _ = try await worker.ending()
            worker = try start()
            try worker.waitForError(containing: "version 2")
            let second = try await Self.answers(worker)
            let words = try worker.errorsSoFar()
            #expect(second == ["1", "2"] && held() == "1", "\(words)")
            // Killed on trial, three times: version 2 is to blame, and is told as refused.
            for life in 1...3 {
                try await StreamTests.until("life \(life) tries version 2", { try worker.errorsSoFar() }) { Self.inUse(folder) == "2" }
                worker.kill()
                _ = try worker.wait()
                worker = try start()
                try worker.waitForError(containing: "serves in its place")
            }
            let told = await recorder.first { $0.ownerInfo["canaryRefused"]?.string == "2" }
            #expect(told?.ownerInfo["canaryResult"]?.string?.contains("has crashed the worker 3 times") == true)
            let last = try await Self.answers(worker)
            #expect(last == ["1"])
            worker.send(SIGTERM)
            _ = try await worker.ending()
        }
    }

    @Test func `a file that no model can be made of leaves the last good version in its place after a restart`() async throws {
        try await RecordingServer.with(name: "comfort-infer-0-0123456789abcdef") { _, environment in
            let folder = try TemporaryFolder()
            try ServeWorkerTests.train(0..<200, to: folder.path + "/one", in: folder)
            try FileManager.default.createDirectory(atPath: folder.path + "/volume", withIntermediateDirectories: false)
            try ServeWorkerTests.put(1, of: folder.path + "/one", into: folder.path + "/volume")
            var worker = try Self.start(folder, environment)
            defer { worker.kill() }
            try await StreamTests.until("version 1 is good", { try worker.errorsSoFar() }) { Self.good(folder) == ["1"] }
            worker.send(SIGTERM)
            _ = try await worker.ending()
            try Data("no model".utf8).write(to: URL(filePath: folder.path + "/volume/model.onnx"))
            let config: JSON = ["model_config": ["model_path": "model.onnx", "version": 2]]
            try Data(config.bytes()).write(to: URL(filePath: folder.path + "/volume/model_config.json"))
            worker = try Self.start(folder, environment)
            try worker.waitForError(containing: "version 2 cannot be loaded; version 1 serves in its place")
            let version = try await Self.answering(worker)
            let words = try worker.errorsSoFar()
            #expect(version == "1", "\(words)")
            worker.send(SIGTERM)
            _ = try await worker.ending()
        }
    }
}
