import Learning
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

/// Rows of files and brokers, answered by a worker process that is killed now and then.
@Suite(.offThePool) struct StreamTests {
    /// Waits until something is so; about two minutes.
    static func until(_ what: String, _ words: () throws -> String = { "" }, _ isSo: () throws -> Bool) async throws {
        for _ in 0..<2400 {
            if try isSo() { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        Issue.record("not within two minutes: \(what); \(try words())")
        throw CancellationError()
    }

    static func worker(_ folder: TemporaryFolder, _ streams: JSON, _ more: [String: String] = [:]) throws -> Program {
        let variables = [
            "MODEL_URL": folder.path + "/model", "MODEL_NAME": "comfort", "NAMESPACE": "lab", "NODE_NAME": "edge-1", "INFERENCE_PORT": "0",
            "SKERRY_MOSQUITTO_LIB": MQTTBroker.folder + "/lib/libmosquitto.so.1", "STREAMS": streams.text,
        ]
        return try Program(
            ["worker", "infer"], in: folder, environment: Rooms.variables.merging(variables) { $1 }.merging(more) { $1 })
    }

    /// Whole lines of a file, as JSON; none where there is no file.
    static func lines(_ path: String) -> [JSON] {
        guard let bytes = try? Rooms.read(path) else { return [] }
        let whole = bytes.lastIndex(of: 0x0a).map { bytes[...$0] } ?? []
        return whole.split(separator: 0x0a).compactMap { try? JSONParser.parse(Array($0)) }
    }

    static func ids(_ path: String) -> [Int] {
        lines(path).compactMap { $0["id"]?.integer.map { Int($0) } ?? $0["id"]?.string.flatMap { Int($0) } }
    }

    /// Rows of rooms with a number each, as CSV without a header.
    static func csv(_ rows: Range<Int>) throws -> [UInt8] {
        let table = try Rooms.table(rows)
        return zip(rows, table.rows).flatMap { csvLine(["\($0)"] + $1.dropLast()) }
    }

    static let header = csvLine(["number"] + Rooms.columns.dropLast())

    static func json(_ rows: Range<Int>) throws -> [String] {
        let table = try Rooms.table(rows)
        return zip(rows, table.rows).map { number, row in
            let members = zip(Rooms.columns.dropLast(), row).map { ($0, JSON.string($1)) }
            return JSON.object(JSONObject([("number", .integer(Int64(number)))] + members)).text
        }
    }

    static func end(_ program: Program) throws {
        program.send(SIGTERM)
        let ending = try program.wait()
        #expect(ending.status == 0, "\(ending.errors)")
    }

    @Test func `rows of a file are all answered, whatever happens to the worker and to the file`() async throws {
        let folder = try TemporaryFolder()
        try ServeWorkerTests.train(0..<300, to: folder.path + "/model", in: folder)
        let rows = folder.path + "/rows.csv", answers = folder.path + "/answers.jsonl", bad = folder.path + "/bad.jsonl"
        let streams: JSON = [
            "sources": [["file": ["path": .string(rows), "name": "/data/rows.csv"], "id": "number"]],
            "sinks": [["file": ["path": .string(answers)]], ["file": ["path": .string(folder.path + "/answers.csv")]]],
            "deadLetter": ["file": ["path": .string(bad)]],
        ]
        _ = try Rooms.write(Self.header + Self.csv(0..<50), folder, "rows.csv")
        var worker = try Self.worker(folder, streams)
        defer { worker.kill() }
        func seen(_ count: Int) async throws {
            try await Self.until("\(count) answers", { try worker.errorsSoFar() }, { Set(Self.ids(answers)).count >= count })
        }
        try await seen(50)
        // A row that does not fit, and half a row, which waits for its end.
        Rooms.append(Array("x,Athens,Summer\n".utf8) + (try Self.csv(50..<60)) + Array("60,Athens,Sum".utf8), to: rows)
        try await seen(60)
        try await Self.until("a letter", { try worker.errorsSoFar() }, { !Self.lines(bad).isEmpty })
        let letter = try #require(Self.lines(bad).first)
        #expect(letter["line"]?.integer == 52 && letter["source"]?.string == "/data/rows.csv", "\(letter.text)")
        #expect(letter["reason"]?.string == "3 fields, the header has 6" && letter["row"]?.string == "x,Athens,Summer", "\(letter.text)")
        // Answers are there before the worker has kept that they are: killed in between, it gives them twice.
        try await Self.until("62 lines to be done with", { try worker.errorsSoFar() }) {
            try JSONParser.parse(Rooms.read(folder.path + "/.rows.csv.lab.comfort.position"))["line"] == 62
        }
        // Killed; the file is renamed while nobody looks, and begun anew.
        worker.kill()
        _ = try worker.wait()
        Rooms.append(Array("mer,AC,25,40\n".utf8) + (try Self.csv(61..<80)), to: rows)
        try FileManager.default.moveItem(atPath: rows, toPath: rows + ".1")
        _ = try Rooms.write(Self.header + Self.csv(80..<100), folder, "rows.csv")
        worker = try Self.worker(folder, streams)
        try await seen(100)
        // Renamed while it looks; then cut and written anew.
        try FileManager.default.moveItem(atPath: rows, toPath: rows + ".2")
        _ = try Rooms.write(Self.header + Self.csv(100..<130), folder, "rows.csv")
        try await seen(130)
        let file = open(rows, O_WRONLY | O_TRUNC)
        close(file)
        Rooms.append(Self.header + (try Self.csv(130..<140)), to: rows)
        try await seen(140)
        try Self.end(worker)
        let found = Self.lines(answers)
        #expect(Set(Self.ids(answers)) == Set(0..<140))
        // Only what it had answered last when it was killed, and had not noted yet, may have come twice.
        let counts = Dictionary(Self.ids(answers).map { ($0, 1) }, uniquingKeysWith: +)
        #expect(counts.allSatisfy { $0.value == 1 || $0.value == 2 && (50..<60).contains($0.key) }, "\(counts)")
        #expect(found.allSatisfy { ["0", "1", "2"].contains($0["class"]?.string ?? "") && $0["probability"]?.number ?? 0 > 0.3 })
        #expect(found[0]["model"]?.string == "comfort" && found[0]["line"]?.integer == 2)
        let table = try ServeWorkerTests.table(folder.path + "/answers.csv")
        #expect(table.count == found.count && table.columns.starts(with: ["source", "topic", "line", "id", "model", "version", "class"]))
        let classes = try table.words("class")
        #expect(classes == found.map { $0["class"]?.string ?? "" })
    }

    @Test(.enabled(if: MQTTBroker.isThere, "Debian's mosquitto could not be fetched"))
    func `messages are acknowledged once their answers have arrived, and not before`() async throws {
        let folder = try TemporaryFolder()
        try ServeWorkerTests.train(0..<300, to: folder.path + "/model", in: folder)
        let broker = try await MQTTBroker(in: folder)
        let address = "mqtt://127.0.0.1:\(broker.port)"
        func streams(sink: JSON) -> JSON {
            [
                "sources": [["mqtt": ["broker": .string(address), "topic": "plant/+/rows"], "id": "number"]], "sinks": [sink],
                "deadLetter": ["mqtt": ["broker": .string(address), "topic": "plant/bad"]],
            ]
        }
        // A sink that cannot be had: a file below a file.
        let nowhere: JSON = ["file": ["path": .string(folder.path + "/model/model.onnx/answers.jsonl")]]
        var worker = try Self.worker(folder, streams(sink: nowhere))
        defer {
            worker.kill()
            try? broker.stop()
        }
        try await Self.until("a subscription", { try broker.words() }) { try broker.words().contains("as skerry.lab.comfort.edge-1.0") }
        try broker.publish(try Self.json(0..<5), to: "plant/a/rows")
        try worker.waitForError(containing: "sink ")
        worker.kill()
        let first = try worker.wait()
        #expect(first.errors.contains("answers.jsonl"), "\(first.errors)")
        // Everything comes again to the next life, which has somewhere to put it.
        let answers = folder.path + "/answers.jsonl", bad = folder.path + "/bad.jsonl"
        let listener = try await broker.subscribe("plant/bad", into: bad, name: "listener")
        defer { listener.kill() }
        worker = try Self.worker(folder, streams(sink: ["file": ["path": .string(answers)]]))
        try broker.publish(["{\"number\": 99, \"ta\": [1]}", "nonsense", "{\"number\": 98}"], to: "plant/b/rows")
        let program = worker
        try await Self.until("5 answers", { try program.errorsSoFar() }) { Set(Self.ids(answers)) == Set(0..<5) }
        try await Self.until("3 dead letters", { try program.errorsSoFar() }) { Self.lines(bad).count >= 3 }
        let letters = Self.lines(bad)
        #expect(letters.map { $0["topic"]?.string } == [String?](repeating: "plant/b/rows", count: 3))
        #expect(letters[1]["row"]?.string == "nonsense" && letters[1]["reason"]?.string?.hasPrefix("no JSON object") == true)
        #expect(letters[2]["reason"]?.string?.contains("no column \"Season\"") == true, "\(letters[2].text)")
        try Self.end(worker)
    }

    @Test(.enabled(if: MQTTBroker.isThere, "Debian's mosquitto could not be fetched"))
    func `no row is lost while workers are killed and the broker is away`() async throws {
        let folder = try TemporaryFolder()
        try ServeWorkerTests.train(0..<300, to: folder.path + "/model", in: folder)
        let broker = try await MQTTBroker(in: folder)
        let address = "mqtt://127.0.0.1:\(broker.port)"
        let streams: JSON = [
            "sources": [["mqtt": ["broker": .string(address), "topic": "rows"], "id": "number"]],
            "sinks": [["mqtt": ["broker": .string(address), "topic": "answers"]]],
        ]
        let answers = folder.path + "/answers.jsonl"
        var listener = try await broker.subscribe("answers", into: answers, name: "listener")
        var worker = try Self.worker(folder, streams)
        defer {
            worker.kill()
            listener.kill()
            try? broker.stop()
        }
        try await Self.until("a subscription", { try broker.words() }) { try broker.words().contains("as skerry.lab.comfort.edge-1.0") }
        for round in 0..<4 {
            try broker.publish(try Self.json(round * 100..<(round + 1) * 100), to: "rows")
            // Somewhere in the middle of it.
            try await Self.until("answers of round \(round)", { try worker.errorsSoFar() }) {
                Set(Self.ids(answers)).count > round * 100 + 5
            }
            switch round {
            case 0, 2:
                worker.kill()
                _ = try worker.wait()
                worker = try Self.worker(folder, streams)
            case 1:
                try broker.stop()
                listener.kill()
                _ = try listener.wait()
                try await broker.start()
                listener = try await broker.subscribe("answers", into: answers, name: "listener")
            default: break
            }
        }
        try await Self.until("all answers", { try worker.errorsSoFar() + "\(Set(Self.ids(answers)).count)" }) {
            Set(Self.ids(answers)) == Set(0..<400)
        }
        try Self.end(worker)
    }

    @Test(.enabled(if: MQTTBroker.isThere, "Debian's mosquitto could not be fetched"))
    func `a broker with TLS and passwords is asked with what the Secret holds`() async throws {
        let folder = try TemporaryFolder()
        try ServeWorkerTests.train(0..<300, to: folder.path + "/model", in: folder)
        let data = folder.path + "/keys"
        try FileManager.default.createDirectory(atPath: data + "/secret", withIntermediateDirectories: true)
        func run(_ executable: String, _ arguments: [String]) throws {
            let ending = try Program.run(arguments, executable: executable, in: folder, environment: MQTTBroker.environment)
            #expect(ending.status == 0, "\(ending.errors)")
        }
        try run(
            "openssl",
            [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", data + "/key.pem", "-out", data + "/secret/ca.crt", "-days",
                "2",
                "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            ])
        try Data("line-1:opensesame\n".utf8).write(to: URL(filePath: data + "/passwords"))
        try run(MQTTBroker.folder + "/bin/mosquitto_passwd", ["-U", data + "/passwords"])
        let broker = try await MQTTBroker(
            in: folder,
            settings: [
                "allow_anonymous false", "password_file \(data)/passwords", "certfile \(data)/secret/ca.crt", "keyfile \(data)/key.pem",
            ])
        try Data("line-1\n".utf8).write(to: URL(filePath: data + "/secret/username"))
        try Data("wrong".utf8).write(to: URL(filePath: data + "/secret/password"))
        let answers = folder.path + "/answers.jsonl"
        let streams: JSON = [
            "sources": [
                [
                    "mqtt": [
                        "broker": .string("mqtts://127.0.0.1:\(broker.port)"), "topic": "rows", "credentials": .string(data + "/secret"),
                        "credentialName": "login",
                    ], "id": "number",
                ]
            ], "sinks": [["file": ["path": .string(answers)]]],
        ]
        let worker = try Self.worker(folder, streams)
        defer {
            worker.kill()
            try? broker.stop()
        }
        try worker.waitForError(containing: "refuses the connection")
        let words = try worker.errorsSoFar()
        #expect(
            words.contains("mqtts://127.0.0.1:\(broker.port) refuses the connection") && words.contains("see credentialName"), "\(words)")
        // The Secret is put right: the next try takes it.
        try Data("opensesame".utf8).write(to: URL(filePath: data + "/secret/password"))
        try await Self.until("a subscription", { try worker.errorsSoFar() }) { try worker.errorsSoFar().contains("works again") }
        try broker.publish(
            try Self.json(0..<3), to: "rows", ["-u", "line-1", "-P", "opensesame", "--cafile", data + "/secret/ca.crt"])
        try await Self.until("3 answers", { try worker.errorsSoFar() }) { Set(Self.ids(answers)) == [0, 1, 2] }
        let said = try worker.errorsSoFar()
        #expect(!said.contains("opensesame"))
        try Self.end(worker)
    }

    @Test func `without libmosquitto a worker serves all the same, and says what it lacks`() async throws {
        let folder = try TemporaryFolder()
        try ServeWorkerTests.train(0..<300, to: folder.path + "/model", in: folder)
        let answers = folder.path + "/answers.jsonl"
        let streams: JSON = [
            "sources": [
                ["mqtt": ["broker": "mqtt://127.0.0.1:1", "topic": "rows"]],
                ["file": ["path": .string(folder.path + "/rows.csv")], "id": "number"],
            ], "sinks": [["file": ["path": .string(answers)]]],
        ]
        _ = try Rooms.write(Self.header + Self.csv(0..<5), folder, "rows.csv")
        let worker = try Self.worker(folder, streams, ["SKERRY_MOSQUITTO_LIB": folder.path + "/none.so"])
        defer { worker.kill() }
        try await Self.until("5 answers", { try worker.errorsSoFar() }) { Self.ids(answers).count == 5 }
        try worker.waitForError(containing: "MQTT needs libmosquitto")
        let words = try worker.errorsSoFar()
        #expect(words.contains("install Debian's libmosquitto1") && words.contains(folder.path + "/none.so"), "\(words)")
        try Self.end(worker)
    }

    @Test func `a model of inputs of its own answers rows of files too`() async throws {
        let folder = try TemporaryFolder()
        let graph =
            TinyModel.node("Neg", ["x"], ["y"]) + TinyModel.value(11, "x", [nil, 2]) + TinyModel.value(12, "y", [nil, 2])
        try Data(TinyModel.file(graph)).write(to: URL(filePath: folder.path + "/negative.onnx"))
        let answers = folder.path + "/answers.jsonl", bad = folder.path + "/bad.jsonl"
        let streams: JSON = [
            "sources": [
                ["file": ["path": .string(folder.path + "/rows.csv")]],
                ["file": ["path": .string(folder.path + "/rows.jsonl")], "id": "n"],
            ], "sinks": [["file": ["path": .string(answers)]]], "deadLetter": ["file": ["path": .string(bad)]],
        ]
        _ = try Rooms.write(Array("x.0,x.1\n1,2\n3,warm\n5,6\n".utf8), folder, "rows.csv")
        _ = try Rooms.write(Array("{\"n\": 7, \"x\": [8, 9]}\n{\"n\": 8, \"x\": [8]}\n".utf8), folder, "rows.jsonl")
        let worker = try Self.worker(folder, streams, ["MODEL_URL": folder.path + "/negative.onnx"])
        defer { worker.kill() }
        try await Self.until("answers and letters", { try worker.errorsSoFar() }) {
            Self.lines(answers).count == 3 && Self.lines(bad).count == 2
        }
        let csv = Self.lines(answers).filter { $0["source"]?.string?.hasSuffix("csv") == true }
        #expect(csv.map { $0["y.1"]?.number } == [-2, -6], "\(csv.map(\.text))")
        let json = try #require(Self.lines(answers).first { $0["id"] != nil })
        #expect(json["id"]?.integer == 7 && json["y"]?.array?.map { $0.number } == [-8, -9], "\(json.text)")
        let reasons = Self.lines(bad).compactMap { $0["reason"]?.string }
        #expect(reasons.contains { $0.contains("\"warm\" is no number") }, "\(reasons)")
        #expect(reasons.contains { $0.contains("shape") }, "\(reasons)")
        try Self.end(worker)
    }
}
