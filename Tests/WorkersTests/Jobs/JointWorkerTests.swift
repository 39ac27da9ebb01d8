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
@Suite struct JointWorkerTests {
    /// A node's agent that takes reports, and questions for the large model as it is told to.
    private final class Agent: HTTPResponder {
        enum Way: Sendable { case to(port: Int), refuses, stalls }

        let recorder: RecordingServer
        private let way = Mutex(Way.refuses)
        private let asked = Mutex(0)

        init(_ recorder: RecordingServer) { self.recorder = recorder }

        var questions: Int { asked.withLock { $0 } }
        func go(_ new: Way) { way.withLock { $0 = new } }

        func respond(to request: HTTPRequest) async -> HTTPResponse {
            guard request.path.hasSuffix("/ask") else { return await recorder.respond(to: request) }
            asked.withLock { $0 += 1 }
            switch way.withLock({ $0 }) {
            case .refuses: return HTTPResponse(status: 503)
            case .stalls:
                try? await Task.sleep(for: .seconds(120))
                return HTTPResponse(status: 503)
            case .to(let port):
                guard let client = try? PooledHTTPClient(host: "127.0.0.1", port: port, trust: nil) else {
                    return HTTPResponse(status: 503)
                }
                let answer = try? await client.send(
                    HTTPRequest(
                        method: "POST", path: "/v2/models/comfort/infer", headers: ["Content-Type": "application/json"], body: request.body)
                )
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

    /// An edge worker of the model in `FOLDER/small`, and beside it a large one.
    private static func with(
        _ parameters: [(String, String)], filter: String = "Margin",
        _ body: (Agent, ServeWorkerTests.Served, _ large: ServeWorkerTests.Served) async throws -> Void
    ) async throws {
        let kept = try TemporaryFolder()
        try train(#"gbt:{"rounds": 2, "max_depth": 1}"#, 0..<200, to: kept.path + "/small", in: kept)
        try train(#"gbt:{"rounds": 60}"#, 0..<1500, to: kept.path + "/large", in: kept)
        let list = JSON.array(parameters.map { ["key": .string($0.0), "value": .string($0.1)] })
        try await ServeWorkerTests.with(volume: { _ in kept.path + "/large" }) { large in
            let name = "joint-edge-0123456789abcdef"
            let agent = Agent(RecordingServer(name: name))
            let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: agent)
            let folder = try TemporaryFolder()
            let variables = Rooms.variables.merging([
                "LC_SERVER": "http://127.0.0.1:\(server.port)", "WORKER_NAME": name, "NAMESPACE": "lab", "SERVICE_NAME": "comfort",
                "MODEL_URL": kept.path + "/small", "INFERENCE_PORT": "0", "LC_PERIOD": "1", "JOINT": "true", "HEM_NAME": filter,
                "HEM_PARAMETERS": list.text,
            ]) { $1 }
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
            program.send(SIGTERM)
            let ending = try await program.ending()
            await server.stop(grace: .zero)
            #expect(ending.status == 0, "\(ending.errors)")
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
            classes: classes, isFromCloud: sources.isEmpty ? classes.map { _ in false } : sources,
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
}
