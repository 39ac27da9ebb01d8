package import Identity
package import Network
package import Resources

/// `POST /joint/v1/NAMESPACE/SERVICE`: what an edge worker's small model cannot answer, for the cloud worker of its service. A node may ask for the
/// services of which it runs an edge worker, and nobody else but administrators may.
package struct JointDoor: ServerDoor {
    /// `/joint/v1`.
    package let path = "/joint/v1"
    /// Who asks must have a name.
    package let isOpen = false
    private let calls: JointCalls

    /// Asks by `calls`.
    package init(calls: JointCalls) { self.calls = calls }

    /// Answers with the cloud worker's own answer.
    ///
    /// - Throws: as `JointCalls.ask`; 404 for another path, 405 for another verb.
    package func answer(_ request: HTTPRequest, _ user: User, _ notes: inout [String: String]) async throws(APIStatus) -> HTTPResponse {
        let parts = request.path.split(separator: "/").map(String.init)
        guard parts.count == 4 else {
            throw APIStatus(code: 404, reason: "NotFound", message: "\(request.path.prefix(128)): expected \(path)/NAMESPACE/SERVICE")
        }
        guard request.method == "POST" else { throw .methodNotAllowed }
        guard user.nodeName != nil || user.isMaster else {
            throw APIStatus(code: 403, reason: "Forbidden", message: "\(user.name) is no node; nodes ask for their edge workers")
        }
        let service = ObjectKey(namespace: parts[2], name: parts[3])
        notes["joint.skerry.io/service"] = "\(service)"
        let body = try await calls.ask(service, by: user.isMaster ? nil : user.nodeName, request.body)
        return HTTPResponse(status: 200, headers: ["Content-Type": "application/json"], body: .bytes(body))
    }
}
