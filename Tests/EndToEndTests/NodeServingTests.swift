import Network
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

/// Models on the cloud's own node, asked at its port, replaced.
@Suite(.enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct NodeServingTests {

    private static func port(_ cloud: Cloud) throws -> Int {
        let text = try String(contentsOf: URL(filePath: "\(cloud.folder)/node/workers.port"), encoding: .utf8)
        return try #require(Int(text.prefix { $0.isNumber }))
    }

    /// The version that answers a row of two numbers; nil for none.
    private static func version(_ cloud: Cloud, _ model: String) async throws -> String? {
        let client = try PooledHTTPClient(host: "127.0.0.1", port: try port(cloud), trust: nil)
        let question: JSON = ["inputs": [["name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]]]]
        let answer = try? await client.send(HTTPRequest(method: "POST", path: "/v2/models/\(model)/infer", body: question.bytes()))
        await client.close()
        return answer.flatMap { $0.status == 200 ? (try? JSONParser.parse($0.body))?["model_version"]?.string : nil }
    }

    private static func serve(_ cloud: Cloud, _ bytes: [UInt8], _ more: String = "") async throws {
        try Data(bytes).write(to: URL(filePath: "\(cloud.folder)/adding.onnx"))
        try cloud.write(
            "model.yaml",
            """
            apiVersion: sedna.io/v1alpha1
            kind: Model
            metadata: {name: adding}
            spec:
              url: \(cloud.folder)/adding.onnx
              format: onnx
              nodes: [cloud-0]
            \(more)
            """)
        let applied = await cloud.kubectl("apply -f \(cloud.folder)/model.yaml")
        #expect(applied.status == 0, "\(applied.error)")
    }

    private static func end(_ cloud: Cloud) async throws {
        #expect(await cloud.kubectl("delete model adding").status == 0)
        try await Edge.until("no Pod") { await cloud.kubectl("get pods -o name").output.isEmpty }
    }

    @Test func `rows sent to the node's port are answered while they arrive, and a client that does not read is held up`() async throws {
        try await Cloud.with(node: true) { cloud in
            try await Self.serve(cloud, TinyModel.adding(1, version: "1"))
            try await Edge.until("the model") { try await Self.version(cloud, "adding") != nil }
            let client = try PooledHTTPClient(host: "127.0.0.1", port: try Self.port(cloud), trust: nil)
            for (type, head, row) in [("text/csv", "x.0,x.1\n", "1,2\n"), ("application/x-ndjson", "", "{\"x\":[1,2]}\n")] {
                let request = HTTPRequest(method: "POST", path: "/v2/models/adding/infer-stream", headers: ["Content-Type": type])
                let upload = try await client.upload(request, timeLimit: .seconds(600))
                try await upload.send(Array((head + row).utf8))
                let answer = try await upload.answer()
                var (text, lines) = ("", 0)
                while !text.contains("3"), let piece = try await answer.next() { text += String(decoding: piece, as: UTF8.self) }
                #expect(answer.status == 200 && text.contains(type == "text/csv" ? "2.0,3.0\n" : "{\"y\":[2"), "\(text)")
                lines = text.split(separator: "\n").count
                // Without a reader some megabytes go, and no more.
                let many = Array(String(repeating: row, count: 4096).utf8)
                let total = 2048
                let sent = Counter()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for _ in 0..<total {
                            try await upload.send(many)
                            await sent.add()
                        }
                        try await upload.finish()
                    }
                    var (before, quiet) = (-1, 0)
                    while quiet < 60 {
                        let now = await sent.count
                        (before, quiet) = (now, now == before ? quiet + 1 : 0)
                        try await Task.sleep(for: .milliseconds(20))
                    }
                    #expect(before < total, "\(type): all was taken that nobody reads")
                    while let piece = try await answer.next() { lines += piece.count { $0 == 0x0a } }
                    try await group.waitForAll()
                }
                #expect(lines == 1 + total * 4096 + (type == "text/csv" ? 1 : 0))
            }
            // What cannot be read is refused in the stream's own words.
            let wrong = try await client.send(
                HTTPRequest(
                    method: "POST", path: "/v2/models/adding/infer-stream", headers: ["Content-Type": "image/png"], body: [1, 2, 3]))
            #expect(wrong.status == 415)
            await client.close()
            try await Self.end(cloud)
        }
    }

    private actor Counter {
        private(set) var count = 0
        func add() { count += 1 }
    }

    /// Files below a folder that end so.
    private static func files(_ folder: String, _ end: String) -> [String] {
        ((try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(end) }.map { "\(folder)/\($0)" }
    }

    /// Processes of workers that serve a model of a cloud in this folder.
    private static func workers(_ folder: String, _ model: String) -> [pid_t] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { pid_t($0) }.filter { id in
            func text(_ name: String) -> String {
                (try? Data(contentsOf: URL(filePath: "/proc/\(id)/\(name)"))).map { String(decoding: $0, as: UTF8.self) } ?? ""
            }
            return text("cmdline").split(separator: "\0").suffix(2).elementsEqual(["worker", "infer"])
                && text("environ").split(separator: "\0").contains("MODEL_NAME=\(model)") && text("mountinfo").contains(folder)
        }
    }

    @Test func `a version that cannot be loaded is replaced by the last good one after a crash, and an event says so`() async throws {
        try await Cloud.with(node: true) { cloud in
            func skerry(_ line: String) async {
                let result = await Edge.skerry(line.split(separator: " ").map(String.init), in: cloud.folder).wait()
                #expect(result.status == 0, "skerry \(line): \(result.error)")
            }
            func write(_ name: String, _ bytes: [UInt8]) throws {
                try Data(bytes).write(to: URL(filePath: "\(cloud.folder)/\(name)"))
            }
            try write("good.onnx", TinyModel.adding(1, version: "1"))
            // Passes every check of the file; ONNX Runtime knows no such operator.
            try write(
                "bad.onnx",
                TinyModel.file(
                    TinyModel.node("Nonsense", ["x"], ["y"]) + TinyModel.value(11, "x", [nil, 2]) + TinyModel.value(12, "y", [nil, 2]),
                    version: "2"))
            await skerry("model push \(cloud.folder)/good.onnx --name adding")
            #expect(await cloud.kubectl("patch model adding --type merge -p {\"spec\":{\"nodes\":[\"cloud-0\"]}}").status == 0)
            try await Edge.until("version 1") { try await Self.version(cloud, "adding") == "1" }
            let node = "\(cloud.folder)/node"
            try await Edge.until("version 1 to be good") {
                Self.files(node, "lives/record.json").contains { path in
                    let record = (try? Data(contentsOf: URL(filePath: path))).flatMap { try? JSONParser.parse(Array($0)) }
                    return record?["good"]?.array?.contains { $0["number"] == "1" } == true
                }
            }
            await skerry("model push \(cloud.folder)/bad.onnx --name adding")
            await skerry("model promote adding 2")
            try await Edge.until("version 2 in the volume") {
                Self.files(node, "model_config.json").contains { path in
                    let config = (try? Data(contentsOf: URL(filePath: path))).flatMap { try? JSONParser.parse(Array($0)) }
                    return config?["model_config"]?["version"]?.integer == 2
                }
            }
            // What serves goes on; then its process ends.
            #expect(try await Self.version(cloud, "adding") == "1")
            let workers = Self.workers(cloud.folder, "adding")
            #expect(workers.count == 1, "\(workers)")
            for worker in workers { kill(worker, SIGKILL) }
            try await Edge.until("an event: \(cloud.program.error)") {
                await cloud.kubectl("get events --field-selector reason=ModelReplaced").output.contains("version 1 serves in its place")
            }
            try await Edge.until("version 1 again") { try await Self.version(cloud, "adding") == "1" }
            try await Self.end(cloud)
        }
    }
}
