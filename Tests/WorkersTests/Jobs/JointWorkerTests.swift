import Learning
import Network
import Resources
import Synchronization
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

/// `skerry worker infer` with `JOINT=true`: hard rows are answered by the large model, within budget and deadline, else by the small one.
@Suite(.offThePool) struct JointWorkerTests {
    /// A node's agent that takes reports, and questions for the large model as it is told to.
    private final class Agent: HTTPResponder {
        enum Way: Sendable { case to(port: Int), refuses, takesNot, stalls }

        let recorder: RecordingServer
        private let way = Mutex(Way.refuses)
        private let asked = Mutex(0)

        init(_ recorder: RecordingServer) { self.recorder = recorder }

        private static func lengthOfJSON(_ body: [UInt8]) -> Int? {
            body.indices.first { body[$0] == 0x7d && (try? JSONParser.parse(Array(body[...$0]))) != nil }.map { $0 + 1 }
        }

        var questions: Int { asked.withLock { $0 } }
        func go(_ new: Way) { way.withLock { $0 = new } }

        func respond(to request: HTTPRequest) async -> HTTPResponse {
            guard request.path.hasSuffix("/ask") else { return await recorder.respond(to: request) }
            asked.withLock { $0 += 1 }
            switch way.withLock({ $0 }) {
            case .refuses: return HTTPResponse(status: 503)
            case .takesNot: return HTTPResponse(status: 422)
            case .stalls:
                try? await Task.sleep(for: .seconds(120))
                return HTTPResponse(status: 503)
            case .to(let port):
                guard let client = try? PooledHTTPClient(host: "127.0.0.1", port: port, trust: nil) else {
                    return HTTPResponse(status: 503)
                }
                var question = HTTPRequest(
                    method: "POST", path: "/v2/models/comfort/infer", headers: ["Content-Type": "application/json"], body: request.body)
                if let length = Self.lengthOfJSON(request.body), length < request.body.count {
                    question.headers["Inference-Header-Content-Length"] = "\(length)"
                }
                let answer = try? await client.send(question)
                await client.close()
                return HTTPResponse(status: answer?.status ?? 503, body: .bytes(answer?.body ?? []))
            }
        }
    }

    private static let columns = ["City", "Season", "Cooling", "ta", "rh"]

    private static func train(_ estimator: String, _ rows: Range<Int>, to output: String, in folder: TemporaryFolder) throws {
        let data = try Rooms.write(Rooms.csv(rows), folder, "train-\(rows.upperBound).csv")
        _ = try TrainWorker.run(
            TrainWorkerTests.context(["TRAIN_DATASET_URL": data, "OUTPUT_URL": output, "ESTIMATOR": estimator]))
    }

    private static func trained(_ kept: TemporaryFolder) throws {
        try train(#"gbt:{"rounds": 2, "max_depth": 1}"#, 0..<200, to: kept.path + "/small", in: kept)
        try train(#"gbt:{"rounds": 60}"#, 0..<1500, to: kept.path + "/large", in: kept)
    }

    /// Models of bare tensors that never agree: shares of two classes by two numbers, and the other way round.
    private static func opposed(_ kept: TemporaryFolder) throws {
        let ends = TinyModel.value(11, "x", [nil, 2]) + TinyModel.value(12, "shares", [nil, 2])
        let small = TinyModel.file(TinyModel.node("Softmax", ["x"], ["shares"]) + ends, version: "1")
        let large = TinyModel.file(
            TinyModel.node("Neg", ["x"], ["y"]) + TinyModel.node("Softmax", ["y"], ["shares"]) + ends, version: "1")
        for (name, bytes) in [("small", small), ("large", large)] {
            try FileManager.default.createDirectory(atPath: "\(kept.path)/\(name)", withIntermediateDirectories: false)
            _ = try Rooms.write(bytes, kept, "\(name)/model.onnx")
        }
    }

    /// As `opposed`, with a map of each row as converters of classifiers give it.
    ///
    /// - Parameter large: the large model's classes; the small one's are `no` and `yes`.
    private static func opposedMaps(_ large: [String]) -> (TemporaryFolder) throws -> Void {
        { kept in
            let numbers = TinyModel.bytes(1, TinyModel.int(1, 1) + TinyModel.bytes(2, []))
            let maps = TinyModel.bytes(5, TinyModel.int(1, 8) + TinyModel.bytes(2, numbers))
            let type = TinyModel.bytes(2, TinyModel.bytes(4, TinyModel.bytes(1, maps)))
            let ends = TinyModel.value(11, "x", [nil, 2]) + TinyModel.bytes(12, TinyModel.text(1, "probabilities") + type)
            for (name, classes, first) in [("small", ["no", "yes"], "Identity"), ("large", large, "Neg")] {
                let words = classes.flatMap { TinyModel.text(9, $0) }
                let labels = TinyModel.bytes(5, TinyModel.text(1, "classlabels_strings") + words + TinyModel.int(20, 8))
                let graph =
                    TinyModel.node(first, ["x"], ["y"]) + TinyModel.node("Softmax", ["y"], ["shares"])
                    + TinyModel.node("ZipMap", ["shares"], ["probabilities"], domain: "ai.onnx.ml", attributes: labels)
                try FileManager.default.createDirectory(atPath: "\(kept.path)/\(name)", withIntermediateDirectories: false)
                _ = try Rooms.write(TinyModel.file(graph + ends, version: "1"), kept, "\(name)/model.onnx")
            }
        }
    }

    /// Models that fail at rows of an input for which the other has no partners.
    private static func failing(_ kept: TemporaryFolder) throws {
        let ends =
            TinyModel.value(11, "x", [nil, 2]) + TinyModel.value(11, "z", [nil, 2]) + TinyModel.value(12, "shares", [nil, 2])
        let graph =
            TinyModel.node("Add", ["x", "z"], ["sum"]) + TinyModel.node("Neg", ["sum"], ["less"])
            + TinyModel.node("Softmax", ["less"], ["shares"]) + ends
        for name in ["small", "large"] {
            try FileManager.default.createDirectory(atPath: "\(kept.path)/\(name)", withIntermediateDirectories: false)
            _ = try Rooms.write(TinyModel.file(graph, version: "1"), kept, "\(name)/model.onnx")
        }
    }

    /// An edge worker of the model in `FOLDER/small`, and beside it a large one.
    ///
    /// - Parameters:
    ///   - lives: a folder that outlives the worker.
    ///   - isKilled: ends it without a word.
    private static func with(
        _ parameters: [(String, String)], filter: String = "Margin", models: (TemporaryFolder) throws -> Void = trained,
        lives: TemporaryFolder? = nil, isKilled: Bool = false,
        _ body: (Agent, ServeWorkerTests.Served, _ large: ServeWorkerTests.Served) async throws -> Void
    ) async throws {
        let kept = try TemporaryFolder()
        try models(kept)
        let list = JSON.array(parameters.map { ["key": .string($0.0), "value": .string($0.1)] })
        try await ServeWorkerTests.with(volume: { _ in kept.path + "/large" }) { large in
            let name = "joint-edge-0123456789abcdef"
            let agent = Agent(RecordingServer(name: name))
            let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: agent)
            let folder = try TemporaryFolder()
            var variables = Rooms.variables.merging([
                "LC_SERVER": "http://127.0.0.1:\(server.port)", "WORKER_NAME": name, "NAMESPACE": "lab", "SERVICE_NAME": "comfort",
                "MODEL_URL": kept.path + "/small", "INFERENCE_PORT": "0", "LC_PERIOD": "1", "JOINT": "true", "HEM_NAME": filter,
                "HEM_PARAMETERS": list.text,
            ]) { $1 }
            if let lives { variables["LIVES_URL"] = lives.path }
            let program = try Program(["worker", "infer"], in: folder, environment: variables)
            let first = await agent.recorder.first { $0.ownerInfo["modelVersion"]?.string != "" && $0.ownerInfo["address"] != nil }
            let port = first?.ownerInfo["address"]?.string?.split(separator: ":").last.flatMap { Int($0) } ?? 0
            var failure: (any Error)?
            do {
                let client = try PooledHTTPClient(host: "127.0.0.1", port: port, trust: nil)
                let served = ServeWorkerTests.Served(program: program, recorder: agent.recorder, client: client, folder: folder)
                do { try await body(agent, served, large) } catch { failure = error }
                await client.close()
            } catch { failure = error }
            program.send(isKilled ? SIGKILL : SIGTERM)
            let ending = try await program.ending()
            await server.stop(grace: .zero)
            #expect(isKilled || ending.status == 0, "\(ending.errors)")
            if let failure { throw failure }
        }
    }

    private static func port(_ served: ServeWorkerTests.Served) -> Int {
        let address = served.recorder.reports.compactMap { $0.ownerInfo["address"]?.string }.last ?? ""
        return address.split(separator: ":").last.flatMap { Int($0) } ?? 0
    }

    private struct Answer {
        var classes: [String]
        var isFromCloud: [Bool]
        var probabilities: [Float]
    }

    private static func ask(_ served: ServeWorkerTests.Served, _ table: TextTable) async throws -> Answer {
        let answer = try await served.ask("POST", "/v2/models/comfort/infer", try ServeWorkerTests.inputs(table, columns))
        #expect(answer.status == 200, "\(answer.json.text.prefix(300))")
        let sources = ServeWorkerTests.output(answer.json, "answered_by").map { $0.string == "cloud" }
        let classes = ServeWorkerTests.output(answer.json, "class").map { $0.string ?? "" }
        return Answer(
            classes: classes, isFromCloud: sources,
            probabilities: ServeWorkerTests.output(answer.json, "probabilities").map { Float($0.number ?? -1) })
    }

    @Test func `the hardest rows are answered by the large model as far as the budget goes, and labels tell who was right`() async throws {
        try await Self.with([("budget_share", "0.25"), ("deadline_ms", "120000")]) { agent, edge, large in
            agent.go(.to(port: Self.port(large)))
            let table = try Rooms.table(2000..<2400)
            let alone = try await Self.ask(large, table)
            var uploaded = 0
            for part in stride(from: 0, to: 400, by: 40) {
                let rows = Array(part..<part + 40)
                let answer = try await Self.ask(edge, table.rows(rows))
                for (place, row) in rows.enumerated() where answer.isFromCloud[place] {
                    uploaded += 1
                    #expect(answer.classes[place] == alone.classes[row])
                    #expect(Array(answer.probabilities[place * 3..<place * 3 + 3]) == Array(alone.probabilities[row * 3..<row * 3 + 3]))
                }
            }
            #expect((70...101).contains(uploaded), "\(uploaded) of 400")
            let told = try await edge.ask("POST", "/v2/models/comfort/labels", try ServeWorkerTests.inputs(table, Rooms.columns))
            #expect(told.status == 200 && told.json["judged"]?.integer == Int64(uploaded), "\(told.json.text)")
            let wanted = Int64(uploaded)
            let report = await edge.recorder.first {
                $0.ownerInfo["uploadNumber"]?.integer == wanted && ($0.ownerInfo["helpedNumber"]?.integer ?? 0) > 0
            }
            let info = try #require(report?.ownerInfo, "\(edge.recorder.reports.last?.ownerInfo.map { "\($0.0)=\($0.1.text)" } ?? [])")
            #expect(info["inferenceNumber"]?.integer == 400)
            let helped = info["helpedNumber"]?.integer ?? 0, hurt = info["hurtNumber"]?.integer ?? 0
            #expect(helped > hurt, "\(helped) helped, \(hurt) hurt")
            #expect((info["uploadBytes"]?.integer ?? 0) > 1000 && (info["downloadBytes"]?.integer ?? 0) > 1000)
            #expect(edge.recorder.refusals.isEmpty, "\(edge.recorder.refusals)")
        }
    }

    @Test func `without a large model the edge answers, and does not ask again at once`() async throws {
        try await Self.with([], filter: "CloudOnly") { agent, edge, _ in
            let table = try Rooms.table(2000..<2010)
            for _ in 0..<20 {
                let answer = try await Self.ask(edge, table)
                #expect(answer.classes.count == 10 && !answer.isFromCloud.contains(true))
            }
            #expect(agent.questions < 20)
            let report = await edge.recorder.first { $0.ownerInfo["inferenceNumber"]?.integer == 200 }
            #expect(report?.ownerInfo["uploadNumber"]?.integer == 0 && (report?.ownerInfo["cloudFailures"]?.integer ?? 0) >= 1)
        }
    }

    @Test func `a question that is not answered within the deadline is answered by the edge`() async throws {
        try await Self.with([("deadline_ms", "1000")], filter: "CloudOnly") { agent, edge, large in
            agent.go(.stalls)
            let table = try Rooms.table(2000..<2005)
            let late = try await Self.ask(edge, table)
            #expect(late.classes.count == 5 && !late.isFromCloud.contains(true) && agent.questions == 1)
            // It comes back to the large model when that answers again.
            agent.go(.to(port: Self.port(large)))
            for _ in 0..<600 {
                if try await Self.ask(edge, table).isFromCloud.allSatisfy({ $0 }) { return }
                try await Task.sleep(for: .milliseconds(100))
            }
            Issue.record("the large model was never asked again")
        }
    }

    @Test func `a filter that is none is refused by name`() throws {
        let folder = try TemporaryFolder()
        let program = try Program(
            ["worker", "infer"], in: folder,
            environment: Rooms.variables.merging([
                "MODEL_URL": folder.path, "INFERENCE_PORT": "0", "JOINT": "true", "HEM_NAME": "BertRouter",
            ]) { $1 })
        let ending = try program.wait()
        #expect(
            ending.status == 3 && ending.errors.contains("HEM_NAME=BertRouter: known are CloudOnly"), "\(ending.status) \(ending.errors)")
    }

    private static func post(
        _ served: ServeWorkerTests.Served, _ verb: String, _ body: [UInt8], _ headers: HTTPHeaders = ["Content-Type": "application/json"]
    ) async throws -> HTTPAnswer {
        try await served.client.send(HTTPRequest(method: "POST", path: "/v2/models/comfort/\(verb)", headers: headers, body: body))
    }

    /// One hard row, whose lead is small, and two easy ones.
    private static let rows = "[[0,0.1],[0,5],[3,0]]"

    /// Detectors whose scores and boxes are their inputs: of rows with two places each, or of one picture, in which the large one finds everything
    /// twice.
    private static func detectors(ofRows: Bool) -> (TemporaryFolder) throws -> Void {
        { kept in
            let (given, found): ([Int?], [Int?]) = ofRows ? ([nil, 2], [nil, 2]) : ([1, nil], [nil])
            // Of any size, and not of the inputs' size.
            func output(_ name: String, _ shape: [Int?]) -> [UInt8] {
                let sizes = shape.flatMap { size in TinyModel.bytes(1, size.map { TinyModel.int(1, $0) } ?? TinyModel.text(2, "M")) }
                let type = TinyModel.bytes(1, TinyModel.int(1, 1) + TinyModel.bytes(2, sizes))
                return TinyModel.bytes(12, TinyModel.text(1, name) + TinyModel.bytes(2, type))
            }
            let ends =
                TinyModel.value(11, "x", given) + TinyModel.value(11, "b", given + [4]) + output("scores", found)
                + output("boxes", found + [4])
            let first = TinyModel.bytes(5, TinyModel.text(1, "axis") + TinyModel.int(3, 0) + TinyModel.int(20, 2))
            func once(_ input: String, _ output: String) -> [UInt8] { TinyModel.node(ofRows ? "Identity" : "Squeeze", [input], [output]) }
            func twice(_ input: String, _ output: String) -> [UInt8] {
                once(input, input + "1") + TinyModel.node("Concat", [input + "1", input + "1"], [output], attributes: first)
            }
            let small = once("x", "scores") + once("b", "boxes")
            let large =
                ofRows
                ? TinyModel.node("Identity", ["x"], ["scores"]) + TinyModel.node("Neg", ["b"], ["boxes"])
                : twice("x", "scores") + twice("b", "boxes")
            for (name, graph) in [("small", small), ("large", large)] {
                try FileManager.default.createDirectory(atPath: "\(kept.path)/\(name)", withIntermediateDirectories: false)
                _ = try Rooms.write(TinyModel.file(graph + ends, version: "1"), kept, "\(name)/model.onnx")
            }
        }
    }

    private static func detected(
        _ edge: ServeWorkerTests.Served, _ scores: [Double], _ shape: [Int]
    ) async throws -> (boxes: [Double], answeredBy: [String], hard: [Bool]) {
        func tensor(_ name: String, _ shape: [Int], _ data: [Double]) -> JSON {
            [
                "name": .string(name), "datatype": "FP32", "shape": .array(shape.map { .integer(Int64($0)) }),
                "data": .array(data.map { .decimal("\($0)") }),
            ]
        }
        let boxes = scores.indices.flatMap { [Double](repeating: Double($0 + 1), count: 4) }
        let answer = try await edge.ask(
            "POST", "/v2/models/comfort/infer", ["inputs": [tensor("x", shape, scores), tensor("b", shape + [4], boxes)]])
        #expect(answer.status == 200, "\(answer.json.text)")
        func output(_ name: String) -> [JSON] { ServeWorkerTests.output(answer.json, name) }
        return (output("boxes").compactMap(\.number), output("answered_by").compactMap(\.string), output("hard").compactMap(\.bool))
    }

    @Test func `rows in which a detector is not sure of what it finds are looked at by the large one`() async throws {
        let parameters = [("threshold_box", "0.5"), ("threshold_img", "0.5"), ("deadline_ms", "120000")]
        try await Self.with(parameters, filter: "IBT", models: Self.detectors(ofRows: true)) { agent, edge, large in
            agent.go(.to(port: Self.port(large)))
            // Sure of both; not sure of either; sure of the only one; nothing there.
            let found = try await Self.detected(edge, [0.9, 0.8, 0.2, 0.3, 0.9, 0, 0, 0], [4, 2])
            #expect(found.hard == [false, true, false, false])
            #expect(found.answeredBy == ["edge", "cloud", "edge", "edge"])
            let turned = found.boxes.map { $0 < 0 }, expected = (0..<32).map { (8..<16).contains($0) }
            #expect(turned == expected)
        }
    }

    @Test func `a picture in which a detector is not sure of what it finds gets all that the large one finds`() async throws {
        let parameters = [("threshold", "0.6"), ("deadline_ms", "120000")]
        try await Self.with(parameters, filter: "Threshold", models: Self.detectors(ofRows: false)) { agent, edge, large in
            agent.go(.to(port: Self.port(large)))
            let sure = try await Self.detected(edge, [0.9, 0.8, 0.7], [1, 3])
            #expect(sure.boxes.count == 12 && sure.answeredBy == ["edge"] && sure.hard == [false])
            let unsure = try await Self.detected(edge, [0.9, 0.3, 0.2], [1, 3])
            #expect(unsure.boxes == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3])
            #expect(unsure.answeredBy == ["cloud"] && unsure.hard == [true])
            agent.go(.refuses)
            let alone = try await Self.detected(edge, [0.1, 0.3, 0.2], [1, 3])
            #expect(alone.boxes.count == 12 && alone.answeredBy == ["edge"] && alone.hard == [true])
        }
    }

    @Test func `bare tensors are judged, handed on and counted in every form that a worker takes`() async throws {
        try await Self.with([("deadline_ms", "120000")], models: Self.opposed) { agent, edge, large in
            agent.go(.to(port: Self.port(large)))
            let json = try await edge.ask(
                "POST", "/v2/models/comfort/infer",
                ["inputs": [["name": "x", "datatype": "FP32", "shape": [3, 2], "data": try JSON(parsing: Self.rows)]]])
            #expect(json.status == 200, "\(json.json.text)")
            func words(_ name: String) -> [String] { ServeWorkerTests.output(json.json, name).map { $0.string ?? $0.text } }
            #expect(words("answered_by") == ["cloud", "edge", "edge"] && words("hard") == ["true", "false", "false"])
            let shares = ServeWorkerTests.output(json.json, "shares").map { $0.number ?? -1 }
            // The large model's row says the first class, which the small one does not.
            #expect(shares.count == 6 && shares[0] > 0.5 && shares[3] > 0.99 && shares[4] > 0.9, "\(shares)")

            let head =
                #"{"inputs":[{"name":"x","datatype":"FP32","shape":[3,2],"parameters":{"binary_data_size":24}}],"#
                + #""outputs":[{"name":"shares","parameters":{"binary_data":true}},{"name":"answered_by"}]}"#
            let numbers: [Float] = [0, 0.1, 0, 5, 3, 0]
            let tail = numbers.flatMap { value in withUnsafeBytes(of: value) { Array($0) } }
            let binary = try await Self.post(
                edge, "infer", Array(head.utf8) + tail, ["Inference-Header-Content-Length": "\(head.utf8.count)"])
            let length = try #require(binary.headers["Inference-Header-Content-Length"].flatMap { Int($0) })
            #expect(binary.status == 200 && binary.body.count == length + 24)
            let first = binary.body[length..<length + 4].withUnsafeBytes { $0.loadUnaligned(as: Float.self) }
            #expect(first == Float(shares[0]))

            let lines = try await Self.post(
                edge, "infer-stream", Array("{\"x\":[0,0.1]}\n{\"x\":[0,5]}\n{\"x\":[3,0]}\n".utf8),
                ["Content-Type": "application/x-ndjson"])
            let answers = try lines.body.split(separator: 0x0a).map { try JSONParser.parse(Array($0)) }
            #expect(answers.map { $0["answered_by"]?.string } == ["cloud", "edge", "edge"], "\(answers.map(\.text))")
            #expect(answers.first?["shares"]?.array?.first?.number == shares[0])
            let csv = try await Self.post(edge, "infer-stream", Array("x.0,x.1\n0,0.1\n0,5\n3,0\n".utf8), ["Content-Type": "text/csv"])
            let table = String(decoding: csv.body, as: UTF8.self).split(separator: "\n")
            #expect(table.first == "shares.0,shares.1,hard,answered_by" && table.count == 4, "\(table)")
            #expect(table.dropFirst().map { $0.hasSuffix(",cloud") } == [true, false, false], "\(table)")

            let told = try await edge.ask(
                "POST", "/v2/models/comfort/labels",
                [
                    "inputs": [
                        ["name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0, .decimal("0.1")]],
                        ["name": "Thermal preference", "datatype": "BYTES", "shape": [1], "data": ["0"]],
                    ]
                ])
            #expect(told.status == 200 && told.json["judged"]?.integer == 1, "\(told.json.text)")
            let report = await edge.recorder.first { $0.ownerInfo["helpedNumber"]?.integer == 1 }
            let info = try #require(report?.ownerInfo, "\(edge.recorder.reports.last?.ownerInfo.map { "\($0.0)=\($0.1.text)" } ?? [])")
            #expect(info["inferenceNumber"]?.integer == 12 && info["hardExampleNumber"]?.integer == 4)
            #expect(info["uploadNumber"]?.integer == 4 && info["changedNumber"]?.integer == 4 && info["uploadCloudRatio"]?.number == 0.3333)
            #expect(info["hurtNumber"]?.integer == 0 && info["cloudFailures"]?.integer == 0 && agent.questions == 4)
            #expect((info["uploadBytes"]?.integer ?? 0) > 4 * 8 && (info["downloadBytes"]?.integer ?? 0) > 0)
            #expect((info["latencyP50Micros"]?.integer ?? 0) > 0 && (info["cloudLatencyMillis"]?.number ?? 0) > 0)
        }
    }

    @Test(arguments: [["no", "yes"], ["maybe", "no"]])
    func `rows of a classifier that answers maps are handed on to one of the same classes alone`(classes: [String]) async throws {
        try await Self.with([("deadline_ms", "120000")], models: Self.opposedMaps(classes)) { agent, edge, large in
            agent.go(.to(port: Self.port(large)))
            let isSame = classes == ["no", "yes"]
            let answer = try await edge.ask(
                "POST", "/v2/models/comfort/infer",
                ["inputs": [["name": "x", "datatype": "FP32", "shape": [3, 2], "data": try JSON(parsing: Self.rows)]]])
            #expect(answer.status == 200, "\(answer.json.text)")
            func words(_ name: String) -> [String] { ServeWorkerTests.output(answer.json, name).map { $0.string ?? $0.text } }
            #expect(words("answered_by") == [isSame ? "cloud" : "edge", "edge", "edge"] && words("hard") == ["true", "false", "false"])
            #expect(words("probabilities.keys") == ["no", "yes"])
            let shares = ServeWorkerTests.output(answer.json, "probabilities").map { $0.number ?? -1 }
            #expect(shares.count == 6 && (shares[0] > 0.5) == isSame && shares[3] > 0.99 && shares[4] > 0.9, "\(shares)")
            let report = await edge.recorder.first { $0.ownerInfo["questionNumber"]?.integer == 1 }
            #expect(report?.ownerInfo["cloudFailures"]?.integer == (isSame ? 0 : 1))
            guard isSame else { return }
            let lines = try await Self.post(
                edge, "infer-stream", Array("{\"x\":[0,0.1]}\n{\"x\":[0,5]}\n{\"x\":[3,0]}\n".utf8),
                ["Content-Type": "application/x-ndjson"])
            let answers = try lines.body.split(separator: 0x0a).map { try JSONParser.parse(Array($0)) }
            #expect(answers.map { $0["answered_by"]?.string } == ["cloud", "edge", "edge"], "\(answers.map(\.text))")
            #expect(answers.first?["probabilities"]?.array?.first?.number == shares[0])
            let told = try await edge.ask(
                "POST", "/v2/models/comfort/labels",
                [
                    "inputs": [
                        ["name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0, .decimal("0.1")]],
                        ["name": "Thermal preference", "datatype": "BYTES", "shape": [1], "data": ["no"]],
                    ]
                ])
            #expect(told.status == 200 && told.json["judged"]?.integer == 1, "\(told.json.text)")
            let judged = await edge.recorder.first { $0.ownerInfo["helpedNumber"]?.integer == 1 }
            #expect(judged != nil)
        }
    }

    @Test func `what a worker has counted when it is killed, its next life goes on from`() async throws {
        let lives = try TemporaryFolder()
        for life in 1...3 as ClosedRange<Int64> {
            try await Self.with(
                [("deadline_ms", "120000")], models: Self.opposed, lives: lives, isKilled: life < 3
            ) { agent, edge, large in
                agent.go(.to(port: Self.port(large)))
                let answer = try await edge.ask(
                    "POST", "/v2/models/comfort/infer",
                    ["inputs": [["name": "x", "datatype": "FP32", "shape": [3, 2], "data": try JSON(parsing: Self.rows)]]])
                #expect(answer.status == 200, "\(answer.json.text)")
                let report = await edge.recorder.first { $0.ownerInfo["inferenceNumber"]?.integer == 3 * life }
                let info = try #require(report?.ownerInfo, "\(edge.recorder.reports.last?.ownerInfo.map { "\($0.0)=\($0.1.text)" } ?? [])")
                #expect(info["hardExampleNumber"]?.integer == life && info["uploadNumber"]?.integer == life)
                #expect(info["questionNumber"]?.integer == life && info["changedNumber"]?.integer == life)
                #expect((info["uploadBytes"]?.integer ?? 0) > 8 * life && (info["cloudLatencyMillis"]?.number ?? 0) > 0)
            }
        }
        // What is no count is passed over.
        _ = try Rooms.write(Array("{broken".utf8), lives, "counts.json")
        try await Self.with([], models: Self.opposed, lives: lives) { _, edge, _ in
            #expect(edge.recorder.reports.last?.ownerInfo["inferenceNumber"]?.integer == 0)
        }
    }

    @Test func `what a worker refuses and what its model fails at is counted apart, and its next life goes on from it`() async throws {
        let lives = try TemporaryFolder()
        func rows(_ name: String, _ count: Int, of width: Int) -> JSON {
            [
                "name": .string(name), "datatype": "FP32", "shape": [.integer(Int64(count)), .integer(Int64(width))],
                "data": .array(Array(repeating: 1, count: count * width)),
            ]
        }
        for life in 1...2 as ClosedRange<Int64> {
            try await Self.with([], filter: "EdgeOnly", models: Self.failing, lives: lives, isKilled: life < 2) { _, edge, _ in
                func status(_ inputs: JSON...) async throws -> Int {
                    try await edge.ask("POST", "/v2/models/comfort/infer", ["inputs": .array(inputs)]).status
                }
                let found = try await [
                    status(rows("x", 3, of: 2), rows("z", 3, of: 2)), status(rows("x", 4, of: 3), rows("z", 4, of: 2)),
                    status(rows("x", 3, of: 2), rows("z", 2, of: 2)),
                ]
                #expect(found == [200, 400, 500])
                let report = await edge.recorder.first { $0.ownerInfo["errors"]?.integer == life }
                let info = try #require(report?.ownerInfo, "\(edge.recorder.reports.last?.ownerInfo.map { "\($0.0)=\($0.1.text)" } ?? [])")
                #expect(info["refusedNumber"]?.integer == 4 * life && info["inferenceNumber"]?.integer == 3 * life)
                #expect(info["unseenNumber"]?.integer == 0)
            }
        }
    }

    @Test func `numbers of a table and streams of its columns go to the large model too`() async throws {
        try await Self.with([("deadline_ms", "120000")], filter: "CloudOnly") { agent, edge, large in
            agent.go(.to(port: Self.port(large)))
            let table = try Rooms.table(2000..<2010)
            let metadata = try await edge.ask("GET", "/v2/models/comfort")
            let names = (metadata.json["parameters"]?["features"]?.array ?? []).compactMap(\.string)
            let classes = (metadata.json["parameters"]?["classes"]?.array ?? []).compactMap(\.string)
            let features = try TabularSchema(
                featureNames: names, classNames: classes, roles: TabularRoles(label: "Thermal preference")
            ).features(table)
            let question: JSON = [
                "inputs": [
                    [
                        "name": "features", "datatype": "FP32", "shape": [10, .integer(Int64(names.count))],
                        "data": .array(features.values.map { $0.isNaN ? .null : .decimal("\($0)") }),
                    ]
                ]
            ]
            // A form that the large model does not take holds up no other.
            agent.go(.takesNot)
            let alone = try await edge.ask("POST", "/v2/models/comfort/infer", question)
            #expect(
                alone.status == 200
                    && ServeWorkerTests.output(alone.json, "answered_by").map(\.string) == Array(repeating: "edge", count: 10),
                "\(alone.json.text.prefix(300))")
            agent.go(.to(port: Self.port(large)))
            let expected = try await Self.ask(large, table)
            let csv = try await Self.post(
                edge, "infer-stream", csvLine(Self.columns) + table.rows.flatMap { csvLine(Array($0.prefix(Self.columns.count))) },
                ["Content-Type": "text/csv"])
            let lines = String(decoding: csv.body, as: UTF8.self).split(separator: "\n").map {
                $0.split(separator: ",", omittingEmptySubsequences: false)
            }
            #expect(lines.first?.last == "answered_by" && lines.count == 11, "\(lines)")
            #expect(lines.dropFirst().allSatisfy { $0.last == "cloud" }, "\(lines)")
            #expect(lines.dropFirst().map { String($0[0]) } == expected.classes)
            for _ in 0..<600 {
                let answer = try await edge.ask("POST", "/v2/models/comfort/infer", question)
                let sources = ServeWorkerTests.output(answer.json, "answered_by").map { $0.string ?? "" }
                if sources.contains("edge") {
                    // The pause after the refusal.
                    try await Task.sleep(for: .milliseconds(100))
                    continue
                }
                #expect(sources == Array(repeating: "cloud", count: 10))
                let found = ServeWorkerTests.output(answer.json, "probabilities").map { Float($0.number ?? -1) }
                #expect(found == expected.probabilities)
                return
            }
            Issue.record("numbers were never asked about again")
        }
    }
}
