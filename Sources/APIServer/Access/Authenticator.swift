package import Identity
import Network
package import Resources

/// Tells who makes a request: a client certificate, a service account's token, or nobody.
package struct Authenticator: Sendable {
    let service: ObjectService
    let tokens: ServiceTokens
    private let certificates = CertificateUsers.shared
    private let nodes: NodeIdentities

    /// The service is asked whether a token's account still exists.
    package init(service: ObjectService, tokens: ServiceTokens) {
        self.service = service
        self.tokens = tokens
        nodes = NodeIdentities(service.store)
    }

    private static let accounts = BuiltInKinds.all.first { $0.kind == "ServiceAccount" }!
    private static let pods = BuiltInKinds.all.first { $0.kind == "Pod" }!

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

    /// The user of a token that was made for one of the audiences and whose service account still exists, as does the Pod it is bound to.
    ///
    /// - Parameter audiences: this server's own unless another service asks on its own behalf (TokenReview).
    func user(token: String, audiences: [String] = [ServiceTokens.issuer]) -> User? {
        guard let claims = tokens.read(token, now: service.environment.now().seconds), claims.audiences.contains(where: audiences.contains),
            let account = try? service.get(Self.accounts, namespace: claims.namespace, name: claims.account),
            account["metadata"]?["uid"]?.string == claims.accountUID, account["metadata"]?["deletionTimestamp"] == nil
        else { return nil }
        if let bound = claims.pod {
            guard let pod = try? service.get(Self.pods, namespace: claims.namespace, name: bound.name),
                pod["metadata"]?["uid"]?.string == bound.uid
            else { return nil }
        }
        return .serviceAccount(namespace: claims.namespace, name: claims.account, uid: claims.accountUID)
    }

    /// A token of a service account for a node that lives in this process, as `create serviceaccounts/token` answers an agent elsewhere.
    ///
    /// - Throws: 403 for a token that is bound to no Pod of the node, 404, 409.
    package func token(of account: ObjectKey, _ request: JSON, for node: String) throws(APIStatus) -> JSON {
        if let reason = try NodeAccess(node: node, service: service).refusal(ofToken: request, namespace: account.namespace) {
            throw APIStatus(code: 403, reason: "Forbidden", message: reason)
        }
        return try issueToken(namespace: account.namespace, name: account.name, request)
    }

    /// A token for a service account: the answer to a TokenRequest.
    ///
    /// - Throws: `APIStatus` 404 for an account or Pod that is not there, 400 for an object that tokens are not bound to, 409 for another Pod
    ///   of the name or one that uses another account.
    func issueToken(namespace: String, name: String, _ request: JSON) throws(APIStatus) -> JSON {
        let account = try service.get(Self.accounts, namespace: namespace, name: name)
        let now = service.environment.now().seconds
        let seconds = min(max(request["spec"]?["expirationSeconds"]?.integer ?? 3600, 600), 365 * 86400)
        var audiences = (request["spec"]?["audiences"]?.array ?? []).compactMap(\.string)
        if audiences.isEmpty { audiences = [ServiceTokens.issuer] }
        var claims = ServiceTokens.Claims(
            namespace: namespace, account: name, accountUID: account["metadata"]?["uid"]?.string ?? "", audiences: audiences, issuedAt: now,
            expiresAt: now + seconds, id: service.environment.newUID())
        let bound = request["spec"]?["boundObjectRef"]
        if let bound, bound != .null { claims.pod = try pod(bound, namespace, account: name) }
        let token: String
        do { token = try tokens.sign(claims) } catch { throw .internalError("signing a token: \(error)") }
        var spec: JSON = ["audiences": .array(audiences.map { .string($0) }), "expirationSeconds": .integer(seconds)]
        spec["boundObjectRef"] = bound
        return [
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": [
                "name": .string(name), "namespace": .string(namespace), "creationTimestamp": .string(Timestamp(seconds: now).text),
            ],
            "spec": spec, "status": ["token": .string(token), "expirationTimestamp": .string(Timestamp(seconds: now + seconds).text)],
        ]
    }

    /// The Pod that a token is to be bound to.
    private func pod(_ bound: JSON, _ namespace: String, account: String) throws(APIStatus) -> ServiceTokens.BoundPod {
        guard bound["kind"]?.string == "Pod", ["", "v1"].contains(bound["apiVersion"]?.string ?? "") else {
            throw .badRequest(
                "spec.boundObjectRef: found \(bound["apiVersion"]?.string ?? "") \(bound["kind"]?.string ?? ""); tokens are bound to v1 Pods here"
            )
        }
        let pod = try service.get(Self.pods, namespace: namespace, name: bound["name"]?.string ?? "")
        let (name, uid) = (pod["metadata"]?["name"]?.string ?? "", pod["metadata"]?["uid"]?.string ?? "")
        let wanted = bound["uid"]?.string ?? ""
        guard wanted.isEmpty || wanted == uid, NodeAccess.account(of: pod) == account else {
            throw APIStatus(
                code: 409, reason: "Conflict",
                message:
                    "spec.boundObjectRef: pod \(namespace)/\(name) has uid \(uid) and uses account \(NodeAccess.account(of: pod)); asked for is uid \(wanted), account \(account)"
            )
        }
        return ServiceTokens.BoundPod(name: name, uid: uid)
    }
}
