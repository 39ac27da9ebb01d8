import Network
import NodeAgent
import Resources

/// Workers' reports on a loopback port; everything else goes to whoever answers there beside it.
struct WorkerResponder: HTTPResponder {
    let door: WorkerDoor
    /// Nil where nothing else is answered.
    let others: (any HTTPResponder)?

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        if request.path.hasPrefix(WorkerDoor.labelsFolder) {
            let answer = await door.labels(
                method: request.method, path: request.path, type: request.headers["content-type"] ?? "", body: request.body)
            return HTTPResponse(
                status: answer.status, headers: ["Content-Type": "application/json"], body: .bytes(answer.body.bytes()))
        }
        if let others, !request.path.hasPrefix(WorkerDoor.folder) { return await others.respond(to: request) }
        let answer = await door.answer(method: request.method, path: request.path, body: request.body)
        var headers: HTTPHeaders = ["Content-Type": "application/json"]
        if answer.retryAfterSeconds > 0 { headers["Retry-After"] = String(answer.retryAfterSeconds) }
        return HTTPResponse(status: answer.status, headers: headers, body: .bytes(answer.body.bytes()))
    }
}
