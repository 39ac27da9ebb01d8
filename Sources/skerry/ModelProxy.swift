import Network
import NodeAgent
import Resources
import Synchronization

/// The Open Inference Protocol on a node's port: every model of the node under one address. Requests go on to the worker that serves the model, in its
/// own process.
final class ModelProxy: HTTPResponder {
    /// What every such path begins with.
    static let folder = "/v2"
    private static let bodyBytesMax = 64 << 20
    /// Requests to one worker at a time, streams included; beyond: 429.
    private static let connectionsMax = 256
    /// A stream may last as long as its two ends wish; what stands still is ended by the worker and by this node's server.
    private static let streamTimeMax = Duration.seconds(365 * 86_400)

    private struct State {
        var addresses = ServingAddresses()
        var clients: [Int: PooledHTTPClient] = [:]
    }

    private let state = Mutex(State())

    /// Learns from a report that the agent has taken.
    func take(_ body: [UInt8], path: String) {
        let words = path.split(separator: "/", omittingEmptySubsequences: false)
        guard words.count == 5, let report = try? JSONParser.parse(body) else { return }
        state.withLock { $0.addresses.take(report, of: String(words[3])) }
    }

    /// The answer of the worker that serves a model, nil without one: for whoever wants to know what rows are worth.
    func judge(_ model: String, _ question: JSON) async -> JSON? {
        let request = HTTPRequest(
            method: "POST", path: "\(Self.folder)/models/\(model)/infer", headers: ["Content-Type": "application/json"],
            body: question.bytes())
        let answer = await respond(to: request)
        guard answer.status == 200, case .bytes(let bytes) = answer.body else { return nil }
        return try? JSONParser.parse(bytes, limits: .init(depthMax: 64, bytesMax: Self.bodyBytesMax))
    }

    /// Whether a request's body goes on to its worker while it arrives.
    static func isStream(_ path: String) -> Bool { path.hasPrefix(folder + "/models/") && path.hasSuffix("/infer-stream") }

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        let parts = request.path.split(separator: "/").map(String.init)
        let isRead = request.method == "GET" || request.method == "HEAD"
        let models = state.withLock { $0.addresses.models }
        switch Array(parts.dropFirst()) {
        case [] where isRead:
            return Self.answer(200, ["name": "skerry", "version": "1", "extensions": ["binary_tensor_data", "infer_stream"]])
        case ["health", "live"] where isRead: return Self.answer(200, ["live": true])
        case ["health", "ready"] where isRead:
            let isReady = models.allSatisfy(\.isReady)
            return Self.answer(isReady ? 200 : 503, ["ready": .bool(isReady)])
        case ["models"] where isRead, ["repository", "index"] where request.method == "POST":
            return Self.answer(
                200, .array(models.map { ["name": .string($0.name), "state": .string($0.isReady ? "READY" : "LOADING")] }))
        case let rest where rest.count >= 2 && rest[0] == "models": return await ask(rest[1], request, models.map(\.name))
        default: return Self.answer(404, ["error": .string("\(request.method) \(request.path.prefix(200)) is nothing here")])
        }
    }

    private static func answer(_ status: Int, _ json: JSON) -> HTTPResponse {
        HTTPResponse(status: status, headers: ["Content-Type": "application/json"], body: .bytes(json.bytes()))
    }

    private func ask(_ model: String, _ request: HTTPRequest, _ known: [String]) async -> HTTPResponse {
        guard let port = state.withLock({ $0.addresses.port(of: model) }) else {
            let names = known.isEmpty ? "none" : known.joined(separator: ", ")
            return Self.answer(
                404,
                [
                    "error": .string(
                        "no model \"\(model.prefix(80))\" is served on this node (found: \(names)); give its Model this node in spec.nodes")
                ])
        }
        var passed = HTTPRequest(method: request.method, path: request.path, query: request.query, body: request.body)
        for name in ["Content-Type", "Inference-Header-Content-Length"] { passed.headers[name] = request.headers[name] }
        do {
            let client = try client(port)
            if let incoming = request.incoming {
                return try await relay(incoming, to: client.upload(passed, timeLimit: Self.streamTimeMax))
            }
            let answer = try await client.send(passed)
            return HTTPResponse(status: answer.status, headers: Self.passed(answer.headers), body: .bytes(answer.body))
        } catch {
            return await refusal(of: model, at: port, error)
        }
    }

    private static func passed(_ all: HTTPHeaders) -> HTTPHeaders {
        var headers = HTTPHeaders()
        for name in ["Content-Type", "Inference-Header-Content-Length", "Retry-After"] { headers[name] = all[name] }
        return headers
    }

    /// Brings a body to the worker while it arrives, and the answer back while it is made: who does not read is not written to, and not read from.
    private func relay(_ incoming: HTTPIncomingBody, to upload: HTTPUpload) async throws -> HTTPResponse {
        let feed = StreamFeed(incoming, upload)
        do {
            let answer = try await upload.answer()
            return HTTPResponse(
                status: answer.status, headers: Self.passed(answer.headers), body: .stream(StreamRelay(answer, feed)))
        } catch {
            feed.stop()
            guard let fault = feed.fault else { throw error }
            return Self.answer(408, ["error": .string("\(fault); send rows, and read their answers")])
        }
    }

    /// What a client is told whose request the worker has not answered.
    private func refusal(of model: String, at port: Int, _ error: any Error) async -> HTTPResponse {
        let fault = error as? HTTPClientError
        var (status, words) = (503, "the worker of model \"\(model)\" does not answer: \(error); ask again later")
        switch fault?.code {
        case .busy:
            (status, words) = (429, "model \"\(model)\" is asked \(Self.connectionsMax) things at once, which is the most; ask again later")
        case .timedOut: (status, words) = (504, "the worker of model \"\(model)\" has not answered in time: \(error)")
        case .cancelled: break
        default:
            // It reports again when it is there again.
            let gone = state.withLock { state in
                state.addresses.forget(port: port)
                return state.clients.removeValue(forKey: port)
            }
            await gone?.close()
        }
        var refusal = Self.answer(status, ["error": .string(words)])
        if status != 504 { refusal.headers["Retry-After"] = "1" }
        return refusal
    }

    /// What each worker tells Prometheus; nothing of those that do not answer.
    func metrics() async -> [String] {
        let names = state.withLock { $0.addresses.models.map(\.name) }
        var texts: [String] = []
        for name in names.sorted() {
            guard let port = state.withLock({ $0.addresses.port(of: name) }), let client = try? client(port),
                let answer = try? await client.send(HTTPRequest(method: "GET", path: "/metrics")), answer.status == 200
            else { continue }
            texts.append(String(decoding: answer.body, as: UTF8.self))
        }
        return texts
    }

    private func client(_ port: Int) throws -> PooledHTTPClient {
        if let found = state.withLock({ $0.clients[port] }) { return found }
        var limits = HTTPClientLimits()
        (limits.connectTimeout, limits.headTimeout, limits.answerTimeout) = (.seconds(2), .seconds(60), .seconds(60))
        (limits.answerBytesMax, limits.connectionsMax) = (Self.bodyBytesMax, Self.connectionsMax)
        let made = try PooledHTTPClient(host: "127.0.0.1", port: port, trust: nil, limits: limits)
        return state.withLock { state in
            if let found = state.clients[port] { return found }
            state.clients[port] = made
            return made
        }
    }
}
