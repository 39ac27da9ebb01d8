import Identity
package import Network
package import Resources

/// The doors of a cloud beside a Kubernetes that somebody else runs: joining, the hub, files. The objects are that server's, and kubectl's way to
/// them; here come nodes, by the certificates of this cloud's own authority.
package struct DoorServer: HTTPResponder {
    private let client: any ObjectClient
    private let doors: [any ServerDoor]
    private let certificates = CertificateUsers.shared

    /// - Parameter client: asked for the Node of each certificate of a node.
    package init(client: any ObjectClient, doors: [any ServerDoor]) {
        self.client = client
        self.doors = doors
    }

    /// Never fails: a refusal is answered with its `Status` and code.
    package func respond(to request: HTTPRequest) async -> HTTPResponse {
        do throws(APIStatus) { return try await answer(request) } catch { return APIServer.answer(error) }
    }

    private func answer(_ request: HTTPRequest) async throws(APIStatus) -> HTTPResponse {
        if ["/livez", "/readyz", "/healthz"].contains(request.path) { return APIServer.text("ok") }
        guard let door = doors.first(where: { $0.isMeant(by: request.path) }) else { throw .noSuchPath }
        var notes: [String: String] = [:]
        return try await door.answer(request, door.isOpen ? .anonymous : try await user(request), &notes)
    }

    /// - Throws: 401 without a certificate of the authority, and for that of a node that is gone or has another one now.
    private func user(_ request: HTTPRequest) async throws(APIStatus) -> User {
        guard request.headers["authorization"] == nil, let holder = request.certificate.flatMap({ certificates.holder($0) }) else {
            throw .unauthorized
        }
        guard let node = holder.user.nodeName else { return holder.user }
        let object: JSON
        do throws(APIStatus) { object = try await client.get(.node, ObjectKey(name: node)) } catch {
            throw error.code == 404 ? JoinDoor.replaced(node) : error
        }
        guard NodeIdentityRecord(object).accepts(holder.fingerprint) else { throw JoinDoor.replaced(node) }
        return holder.user
    }
}
