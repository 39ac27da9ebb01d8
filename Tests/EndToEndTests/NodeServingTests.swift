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

/// Models on the cloud's own node, asked at its port, fed by a broker, replaced.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct NodeServingTests {
    private static let broker = "\(FileManager.default.currentDirectoryPath)/.deps/mosquitto"
    private static let libraries = ["LD_LIBRARY_PATH": broker + "/lib"]

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
            // Long answers, so that not many fill what lies between.
            let long = "1.2345679e30,1.2345679e30"
            for (type, head, row, wide) in [
                ("text/csv", "x.0,x.1\n", "1,2\n", "\(long)\n"), ("application/x-ndjson", "", "{\"x\":[1,2]}\n", "{\"x\":[\(long)]}\n"),
            ] {
                let request = HTTPRequest(method: "POST", path: "/v2/models/adding/infer-stream", headers: ["Content-Type": type])
                let upload = try await client.upload(request, timeLimit: .seconds(600))
                try await upload.send(Array((head + row).utf8))
                let answer = try await upload.answer()
                var (text, lines) = ("", 0)
                while !text.contains("3"), let piece = try await answer.next() { text += String(decoding: piece, as: UTF8.self) }
                #expect(answer.status == 200 && text.contains(type == "text/csv" ? "2.0,3.0\n" : "{\"y\":[2"), "\(text)")
                lines = text.split(separator: "\n").count
                // Without a reader some megabytes go, and no more: what is sent stands still long before as much as this.
                let many = Array(String(repeating: wide, count: 1024).utf8)
                let total = 2048
                let sent = Counter()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        while await sent.goesOn(below: total) {
                            try await upload.send(many)
                            await sent.add()
                        }
                        try await upload.finish()
                    }
                    var (before, quiet) = (-1, 0)
                    while quiet < 100 {
                        let now = await sent.count
                        (before, quiet) = (now, now == before ? quiet + 1 : 0)
                        try await Task.sleep(for: .milliseconds(20))
                    }
                    #expect(before < total, "\(type): all was taken that nobody reads")
                    await sent.end()
                    while let piece = try await answer.next() { lines += piece.count { $0 == 0x0a } }
                    try await group.waitForAll()
                }
                let all = await sent.count
                #expect(lines == 1 + all * 1024 + (type == "text/csv" ? 1 : 0))
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
        private var hasEnded = false
        func add() { count += 1 }
        func end() { hasEnded = true }
        func goesOn(below total: Int) -> Bool { !hasEnded && count < total }
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

    @Test(.enabled(if: FileManager.default.fileExists(atPath: broker + "/bin/mosquitto"), "mosquitto is not there"))
    func `rows of a broker that asks for a password of a Secret are answered on a node`() async throws {
        try await Cloud.with(node: true) { cloud in
            let folder = cloud.folder
            try cloud.write("passwords", "plant:s3cret,word\n")
            chmod("\(folder)/passwords", 0o600)
            let hashed = await ServingProgram(
                Self.broker + "/bin/mosquitto_passwd", ["-U", "\(folder)/passwords"], environment: Self.libraries, folder: folder
            ).wait()
            #expect(hashed.status == 0, "\(hashed.error)")
            var (broker, port): (ServingProgram?, Int) = (nil, 0)
            for choice in KeptPort.choices() {
                let user = geteuid() == 0 ? "user root" : ""
                try cloud.write(
                    "broker.conf",
                    "listener \(choice) 127.0.0.1\nallow_anonymous false\npassword_file \(folder)/passwords\nlog_dest stderr\nlog_type all\n\(user)\n"
                )
                let program = ServingProgram(
                    Self.broker + "/bin/mosquitto", ["-c", "\(folder)/broker.conf"], environment: Self.libraries, folder: folder)
                try await Edge.until("a broker") { program.error.contains("running") || program.error.contains("Error") }
                if program.error.contains("running") {
                    (broker, port) = (program, choice)
                    break
                }
                _ = await program.wait()
            }
            let running = try #require(broker)
            let login = ["-h", "127.0.0.1", "-p", "\(port)", "-u", "plant", "-P", "s3cret,word", "-q", "1"]
            let reader = ServingProgram(
                Self.broker + "/bin/mosquitto_sub", login + ["-t", "line/answers", "-C", "20"], environment: Self.libraries, folder: folder)
            let made = await cloud.kubectl([
                "create", "secret", "generic", "plant-login", "--from-literal=username=plant", "--from-literal=password=s3cret,word",
            ])
            #expect(made.status == 0, "\(made.error)")
            try await Self.serve(
                cloud, TinyModel.adding(1, version: "1"),
                """
                  sources:
                  - mqtt: {broker: "mqtt://127.0.0.1:\(port)", topic: line/rows, credentialName: plant-login}
                    id: number
                  sinks:
                  - mqtt: {broker: "mqtt://127.0.0.1:\(port)", topic: line/answers, credentialName: plant-login}
                """)
            try await Edge.until("the model") { try await Self.version(cloud, "adding") != nil }
            // Not before the worker has subscribed: a broker keeps nothing for whom it does not know.
            try await Edge.until("subscriptions: \(running.error)") {
                running.error.contains("skerry.default.adding.cloud-0.0 1 line/rows") && running.error.contains(" 1 line/answers")
            }
            for number in 0..<20 {
                let sent = await ServingProgram(
                    Self.broker + "/bin/mosquitto_pub", login + ["-t", "line/rows", "-m", "{\"number\":\(number),\"x\":[\(number),2]}"],
                    environment: Self.libraries, folder: folder
                ).wait()
                #expect(sent.status == 0, "\(sent.error)")
            }
            try await Edge.until("all answers: \(reader.output)") { reader.output.count { $0.isNewline } == 20 }
            let answers = await reader.wait()
            let found = try answers.output.split(separator: "\n").map { try JSONParser.parse(Array($0.utf8)) }
            #expect(Set(found.compactMap { $0["id"]?.text }).count == 20, "\(answers.output)")
            #expect(found.allSatisfy { $0["model"] == "adding" }, "\(answers.output)")
            try await Self.end(cloud)
            running.signal(SIGTERM)
            _ = await running.wait()
        }
    }
}
