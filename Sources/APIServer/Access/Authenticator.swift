package import Identity
import Network
import Resources

/// Tells who makes a request: a client certificate, a service account's token, or nobody.
package struct Authenticator: Sendable {
    let service: ObjectService
    let tokens: ServiceTokens
    private let certificates = CertificateUsers()
    private let nodes: NodeIdentities

    /// The service is asked whether a token's account still exists.
    package init(service: ObjectService, tokens: ServiceTokens) {
        self.service = service
        self.tokens = tokens
        nodes = NodeIdentities(service.store)
    }

    private static let accounts = BuiltInKinds.all.first { $0.kind == "ServiceAccount" }!

    /// - Throws: `APIStatus` 401 for a token that is not valid, and for the certificate of a node that is gone or has another one now; a request
    ///   without any is anonymous.
    func user(_ request: HTTPRequest) throws(APIStatus) -> User {
        if let header = request.headers["authorization"] {
            let parts = header.split(separator: " ", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "bearer", let user = user(token: String(parts[1])) else { throw .unauthorized }
            return user
        }
        guard let certificate = request.certificate, let holder = certificates.holder(certificate) else { return .anonymous }
        // A node's certificate holds as long as its Node says so: that is how nodes are revoked, and copies of replaced certificates end.
        if let node = holder.user.nodeName, !nodes.accepts(node: node, fingerprint: holder.fingerprint) { throw JoinDoor.replaced(node) }
        return holder.user
    }

    /// The user of a token that was made for one of the audiences and whose service account still exists.
    ///
    /// - Parameter audiences: this server's own unless another service asks on its own behalf (TokenReview).
    func user(token: String, audiences: [String] = [ServiceTokens.issuer]) -> User? {
        guard let claims = tokens.read(token, now: service.environment.now().seconds), claims.audiences.contains(where: audiences.contains),
            let account = try? service.get(Self.accounts, namespace: claims.namespace, name: claims.account),
            account["metadata"]?["uid"]?.string == claims.accountUID, account["metadata"]?["deletionTimestamp"] == nil
        else { return nil }
        return .serviceAccount(namespace: claims.namespace, name: claims.account, uid: claims.accountUID)
    }

    /// A token for a service account: the answer to a TokenRequest.
    ///
    /// - Throws: `APIStatus` 404.
    func issueToken(namespace: String, name: String, _ request: JSON) throws(APIStatus) -> JSON {
        let account = try service.get(Self.accounts, namespace: namespace, name: name)
        let now = service.environment.now().seconds
        let seconds = min(max(request["spec"]?["expirationSeconds"]?.integer ?? 3600, 600), 365 * 86400)
        var audiences = (request["spec"]?["audiences"]?.array ?? []).compactMap(\.string)
        if audiences.isEmpty { audiences = [ServiceTokens.issuer] }
        let claims = ServiceTokens.Claims(
            namespace: namespace, account: name, accountUID: account["metadata"]?["uid"]?.string ?? "", audiences: audiences, issuedAt: now,
            expiresAt: now + seconds, id: service.environment.newUID())
        let token: String
        do { token = try tokens.sign(claims) } catch { throw .internalError("signing a token: \(error)") }
        return [
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": [
                "name": .string(name), "namespace": .string(namespace), "creationTimestamp": .string(Timestamp(seconds: now).text),
            ],
            "spec": ["audiences": .array(audiences.map { .string($0) }), "expirationSeconds": .integer(seconds)],
            "status": ["token": .string(token), "expirationTimestamp": .string(Timestamp(seconds: now + seconds).text)],
        ]
    }
}
