import Network
import Permits
import Resources
import Storage
import TestKit
import Testing

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

/// What a node bounds of its serving workers: how many compute at once, and the memory of each.
@Suite(.offThePool) struct NodeBoundsTests {
    /// A worker by hand, of one model.
    struct Worker {
        let program: Program
        let client: PooledHTTPClient

        init(_ folder: TemporaryFolder, _ name: String, _ file: [UInt8], _ more: [String: String]) async throws {
            let path = "\(folder.path)/\(name).onnx"
            try Data(file).write(to: URL(filePath: path))
            let own = ["MODEL_URL": path, "MODEL_NAME": name, "INFERENCE_PORT": "0"]
            program = try Program(["worker", "infer"], in: folder, environment: own.merging(more) { $1 })
            try program.waitForError(containing: "model \"\(name)\", version")
            let words = try program.errorsSoFar().split(separator: "serving on http://127.0.0.1:").last ?? ""
            client = try PooledHTTPClient(
                host: "127.0.0.1", port: try #require(Int(words.prefix { $0.isNumber }), "\(words)"), trust: nil)
        }

        func ask(_ name: String, _ values: [Float], width: Int) async throws -> (status: Int, json: JSON) {
            try await NodeBoundsTests.ask(client, name, values, width: width)
        }

        func end(_ signal: Int32 = SIGTERM) async throws {
            await client.close()
            program.send(signal)
            _ = try await program.ending()
        }
    }

    static func ask(
        _ client: PooledHTTPClient, _ name: String, _ values: [Float], width: Int
    ) async throws -> (status: Int, json: JSON) {
        let data = values.map { "\($0)" }.joined(separator: ",")
        let text =
            "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[\(values.count / width),\(width)],\"data\":[\(data)]}]}"
        let answer = try await client.send(HTTPRequest(method: "POST", path: "/v2/models/\(name)/infer", body: Array(text.utf8)))
        return (answer.status, try JSONParser.parse(answer.body))
    }

    /// y = x · W, again and again: a row of it keeps a thread busy for a good while.
    static func slow(width: Int, times: Int) -> [UInt8] {
        let weights = (0..<width * width).map { Float($0 % 7) / Float(width * 4) }
        var nodes: [UInt8] = []
        for step in 0..<times {
            let (from, to) = (step == 0 ? "x" : "h\(step)", step == times - 1 ? "y" : "h\(step + 1)")
            nodes += TinyModel.node("MatMul", [from, "w"], [to])
        }
        let graph = nodes + TinyModel.tensor("w", weights, [width, width])
        return TinyModel.file(graph + TinyModel.value(11, "x", [nil, width]) + TinyModel.value(12, "y", [nil, width]))
    }

    @Test func `models of a node share its permits, and a worker that is killed while it computes leaves none taken`() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/inference.permits"
        let node = try ComputePermits(file: path, limit: 1)
        let bounds = ["INFERENCE_PERMITS": path]
        let quick = try await Worker(folder, "quick", TinyModel.adding(1, version: "1"), bounds)
        let slow = try await Worker(folder, "slow", Self.slow(width: 256, times: 4000), bounds)
        let answered = try await quick.ask("quick", [1, 2], width: 2)
        #expect(answered.status == 200)
        // Blocks of rows, each of which keeps the one permit for a while, until nobody answers any more.
        let (quickClient, slowClient) = (quick.client, slow.client)
        let asked = Task {
            while (try? await Self.ask(slowClient, "slow", [Float](repeating: 0.5, count: 256 * 64), width: 256)) != nil {}
        }
        while node.use.busy == 0 { try await Task.sleep(for: .milliseconds(1)) }
        let waiting = Task { try await Self.ask(quickClient, "quick", [3, 4], width: 2) }
        try await slow.end(SIGKILL)
        let waited = try await waiting.value
        _ = await asked.value
        #expect(waited.status == 200 && waited.json["outputs"]?.array?[0]["data"]?.array?.compactMap(\.number) == [4, 5])
        let use = node.use
        #expect(use.busy == 0 && use.limit == 1)
        try await quick.end()
    }

    @Test func `a worker with little memory refuses what is too large for it, and answers the rest`() async throws {
        let folder = try TemporaryFolder()
        let worker = try await Worker(folder, "m", TinyModel.adding(1, version: "1"), ["MEMORY_LIMIT_BYTES": "\(16 << 20)"])
        // A body of a sixteenth at most, whatever is in it.
        let large = try await worker.ask("m", [Float](repeating: 1, count: 600_000), width: 2)
        #expect(large.status == 413 && large.json["error"]?.string?.contains("at most 1048576") ?? false, "\(large.json.text)")
        // A small body whose tensors are larger than what is left: 16,000 rows of two numbers in and out.
        let rows = try await worker.ask("m", [Float](repeating: 1, count: 32_000), width: 2)
        #expect(
            rows.status == 413 && rows.json["error"]?.string?.contains("rows in one request; at most 4096") ?? false, "\(rows.json.text)")
        let small = try await worker.ask("m", [1, 2, 3, 4], width: 2)
        #expect(small.status == 200)
        try await worker.end()
    }

    @Test func `a worker whose node's permits cannot be had says so and serves`() async throws {
        let folder = try TemporaryFolder()
        let worker = try await Worker(folder, "m", TinyModel.adding(1, version: "1"), ["INFERENCE_PERMITS": folder.path + "/missing"])
        let answered = try await worker.ask("m", [1, 2], width: 2)
        let words = try worker.program.errorsSoFar()
        #expect(answered.status == 200 && words.contains("not counted among the node's") && words.contains("/missing"), "\(words)")
        try await worker.end()
    }
}
