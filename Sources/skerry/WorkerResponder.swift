import Network
import NodeAgent
import Resources

/// Workers' reports on a loopback port; everything else goes to whoever answers there beside it.
struct WorkerResponder: HTTPResponder {
    let door: WorkerDoor
    /// Nil where nothing else is answered.
    let others: (any HTTPResponder)?
    /// Models of this node, whose workers' reports pass here.
    let models: ModelProxy
    /// What the node has for runs of models.
    let threads: InferenceThreads

    func takesInParts(path: String) -> Bool { ModelProxy.isStream(path) }

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        if request.path.hasPrefix(WorkerDoor.labelsFolder) {
            let answer = await door.labels(
                method: request.method, path: request.path, type: request.headers["content-type"] ?? "", body: request.body)
            return HTTPResponse(
                status: answer.status, headers: ["Content-Type": "application/json"], body: .bytes(answer.body.bytes()))
        }
        if request.path.hasPrefix(ModelProxy.folder + "/") || request.path == ModelProxy.folder {
            return await models.respond(to: request)
        }
        if request.path == "/metrics", request.method == "GET" || request.method == "HEAD" {
            let text = MetricTexts.together([threads.metrics] + (await models.metrics()))
            return HTTPResponse(
                status: 200, headers: ["Content-Type": "text/plain; version=0.0.4; charset=utf-8"], body: .bytes(Array(text.utf8)))
        }
        if let others, !request.path.hasPrefix(WorkerDoor.folder) { return await others.respond(to: request) }
        if WorkerDoor.isQuestion(request.path) { return await ask(request) }
        let answer = await door.answer(method: request.method, path: request.path, body: request.body)
        if answer.status == 200 { models.take(request.body, path: request.path) }
        var headers: HTTPHeaders = ["Content-Type": "application/json"]
        if answer.retryAfterSeconds > 0 { headers["Retry-After"] = String(answer.retryAfterSeconds) }
        return HTTPResponse(status: answer.status, headers: headers, body: .bytes(answer.body.bytes()))
    }

    private func ask(_ request: HTTPRequest) async -> HTTPResponse {
        do throws(APIStatus) {
            let answer = try await door.ask(method: request.method, path: request.path, body: request.body)
            return HTTPResponse(status: 200, headers: ["Content-Type": "application/json"], body: .bytes(answer))
        } catch {
            return HTTPResponse(status: error.code, headers: ["Content-Type": "application/json"], body: .bytes(error.json.bytes()))
        }
    }
}
