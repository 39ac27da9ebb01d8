import APIServer
import CloudHub
import HubProtocol
import Identity
import Network
import Resources

/// `/hub/v1`: a node's agent turns its connection into a link. Who it is says its certificate alone.
struct HubDoor: ServerDoor {
    let path = "/hub/v1"
    let isOpen = false
    let hub: CloudHub
    private let certificates = CertificateUsers.shared

    init(hub: CloudHub) { self.hub = hub }

    func answer(_ request: HTTPRequest, _ user: User, _ notes: inout [String: String]) async throws(APIStatus) -> HTTPResponse {
        guard request.path == path else { throw .noSuchPath }
        guard let certificate = request.certificate.flatMap({ certificates.holder($0) })?.fingerprint,
            request.headers["authorization"] == nil, request.headers["impersonate-user"] == nil,
            let node = user.nodeName
        else {
            throw APIStatus(
                code: 403, reason: "Forbidden",
                message: "\(path) is for agents of nodes, which show their certificate and nothing else; found user \"\(user.name)\"")
        }
        notes["hub.skerry.io/node"] = node
        var response = HTTPResponse(status: 101)
        response.upgradeLimits = WebSocketLink.limits
        response.upgrade = LinkUpgrade { [hub] link in hub.accept(node: node, certificate: certificate, link) }
        return response
    }
}

extension HubEnvironment {
    /// This process's own clock, lots and log.
    static func process(_ now: @escaping @Sendable () -> Timestamp) -> HubEnvironment {
        let start = ContinuousClock.now
        return HubEnvironment(
            elapsed: { .now - start }, sleep: { try? await Task.sleep(for: $0) }, now: now, random: { UInt64.random(in: 0 ... .max) },
            report: { writeError($0) })
    }
}
