package import Identity
package import Network
package import Resources
import Synchronization

/// `/join/v1`: machines become nodes, and nodes keep their certificates fresh.
///
///     GET  /join/v1/authority                             the authority's certificate, to be compared with a token
///     POST /join/v1          {token, node, hostName, request}  a certificate for a token
///     POST /join/v1/renewal  {request}                    another certificate for the one that is shown in TLS
///     POST /join/v1/renewal  {certificate, proof, request} the same without TLS, for one that has expired
///     POST /join/v1/confirmation                          the certificate shown in TLS is kept; the one before ends
///
/// Of a signing request only the key counts. What is issued is recorded on the Node, and holds as long as it stands there.
package struct JoinDoor: ServerDoor {
    /// Times and bounds.
    package struct Policy: Sendable {
        /// Life of a node's certificate, seconds.
        package var validForSeconds: Int64 = 90 * 86400
        /// How long after its end a certificate may still be renewed by its key, seconds; after that the machine must join again.
        package var renewableForSeconds: Int64 = 365 * 86400
        /// Bytes of a request's body; beyond: 413.
        package var bodyBytesMax = 64 << 10

        /// Every value as it stands here.
        package init() {}
    }

    /// What counts against strangers: refused tokens and proofs by address, renewals by node.
    private final class Limits: Sendable {
        struct State {
            var failures = FailureLimit(burst: 20, secondsPerFailure: 10)
            var renewals = FailureLimit(burst: 10, secondsPerFailure: 60)
        }
        let state = Mutex(State())
    }

    /// `/join/v1`.
    package let path = "/join/v1"
    /// Whoever joins is a stranger.
    package let isOpen = true
    /// A Node is written so often against others who write it.
    private static let attemptsMax = 12
    private let client: any ObjectClient
    private let authority: Authority
    private let pinned: PinnedAuthority
    private let policy: Policy
    private let now: @Sendable () -> Timestamp
    private let certificates = CertificateUsers.shared
    private let limits = Limits()

    /// - Parameters:
    ///   - client: may write Nodes and the Secrets of `kube-system`.
    ///   - now: the cloud's clock.
    /// - Throws: `IdentityError` for an authority whose certificate cannot be read.
    package init(
        client: any ObjectClient, authority: Authority, policy: Policy = Policy(), now: @escaping @Sendable () -> Timestamp
    ) throws(IdentityError) {
        self.client = client
        self.authority = authority
        self.policy = policy
        self.now = now
        pinned = try PinnedAuthority(pem: authority.certificatePEM)
    }

    /// Answers a machine or a node; who it is, the token, the certificate or the proof says.
    ///
    /// - Throws: 401 for what proves nobody, 403 and 409 for a token or name that is somebody else's, 413, 422, 429.
    package func answer(
        _ request: HTTPRequest, _ user: User, _ notes: inout [String: String]
    ) async throws(APIStatus) -> HTTPResponse {
        switch (request.method, request.path.dropFirst(path.utf8.count)) {
        case ("GET", "/authority"): return APIServer.text(pinned.certificatePEM)
        case ("POST", ""): return try await limited(request, &notes, join)
        case ("POST", "/renewal"): return try await limited(request, &notes, renew)
        case ("POST", "/confirmation"): return try await limited(request, &notes, confirm)
        case (_, ""), (_, "/authority"), (_, "/renewal"), (_, "/confirmation"): throw .methodNotAllowed
        default: throw .noSuchPath
        }
    }

    /// Refuses whoever has been refused too often, before anything is read, and counts refusals.
    private func limited(
        _ request: HTTPRequest, _ notes: inout [String: String],
        _ body: (HTTPRequest, inout [String: String]) async throws(APIStatus) -> HTTPResponse
    ) async throws(APIStatus) -> HTTPResponse {
        let address = AuditLog.address(request.peer)
        let seconds = now().seconds
        let wait = limits.state.withLock { $0.failures.wait(address, now: seconds) }
        guard wait == 0 else { throw .tooManyRequests(retryAfterSeconds: Int(wait)) }
        do throws(APIStatus) { return try await body(request, &notes) } catch {
            if [400, 401, 403, 413, 422].contains(error.code) { limits.state.withLock { $0.failures.failed(address, now: seconds) } }
            throw error
        }
    }

    // MARK: Joining

    private func join(_ request: HTTPRequest, _ notes: inout [String: String]) async throws(APIStatus) -> HTTPResponse {
        let body = try fields(request, ["token", "node", "hostName", "request"])
        let token: JoinToken
        let signing: SigningRequest
        do throws(IdentityError) {
            token = try JoinToken(body["token"] ?? "")
            notes["join.skerry.io/token"] = token.secret.id
            signing = try SigningRequest(pem: body["request"] ?? "")
        } catch { throw .badRequest("\(error)") }
        guard token.authority == authority.fingerprint else { throw Self.refused(.unknown) }
        let wanted = body["node"] ?? ""
        let hostName = body["hostName"] ?? ""
        for name in [wanted, hostName] where !name.isEmpty && !NameRules.isSubdomain(name) { throw JoinTokens.badName(name) }
        let tokens = JoinTokens(client)
        guard let grant = try await tokens.grant(token.secret) else { throw Self.refused(.unknown) }
        let name = try admitted(grant, token.secret, wanted, hostName, signing)
        notes["join.skerry.io/node"] = name
        let existing = try await node(name)
        // Looked at before the token is used up, so that a taken name does not cost a token.
        if let use = grant.use { return try again(use, existing) }
        try checkTaken(name, existing, grant)
        let issued = try issue(name, signing)
        guard
            let use = try await tokens.use(
                token.secret,
                { (grant) throws(APIStatus) in
                    _ = try admitted(grant, token.secret, wanted, hostName, signing)
                    return grant.use
                        ?? JoinGrant.Use(
                            node: name, keyFingerprint: signing.keyFingerprint, certificatePEM: issued.pem, at: now().seconds)
                })
        else { throw Self.refused(.unknown) }
        if use.certificatePEM != issued.pem { return try again(use, try await node(name)) }
        try await record(name, isNew: existing == nil, NodeIdentityRecord(certificate: issued.certificate.fingerprint))
        return answer(issued.pem, issued.certificate, status: 201)
    }

    private func admitted(
        _ grant: JoinGrant, _ secret: JoinSecret, _ node: String, _ hostName: String, _ signing: SigningRequest
    ) throws(APIStatus) -> String {
        do throws(JoinGrant.Refusal) {
            return try grant.admittedNode(
                secret, node: node, hostName: hostName, keyFingerprint: signing.keyFingerprint, now: now().seconds)
        } catch { throw Self.refused(error) }
    }

    private static func refused(_ refusal: JoinGrant.Refusal) -> APIStatus {
        refusal == .unknown
            ? APIStatus(code: 401, reason: "Unauthorized", message: "\(refusal)")
            : APIStatus(code: 403, reason: "Forbidden", message: "\(refusal)")
    }

    /// The answer that a key was given before, as long as it is what its Node says: not after the Node was removed, or joined by another.
    private func again(_ use: JoinGrant.Use, _ existing: JSON?) throws(APIStatus) -> HTTPResponse {
        guard let certificate = try? NodeCertificate(pem: use.certificatePEM), let existing,
            NodeIdentityRecord(existing).accepts(certificate.fingerprint)
        else {
            throw APIStatus(
                code: 403, reason: "Forbidden",
                message:
                    "the join token has been used for node \"\(use.node)\", which is no longer there or was joined anew; make another with 'skerry token create'"
            )
        }
        return answer(use.certificatePEM, certificate, status: 200)
    }

    /// A name that is there is given away only by a token that was made for it.
    private func checkTaken(_ name: String, _ existing: JSON?, _ grant: JoinGrant) throws(APIStatus) {
        guard let existing else { return }
        guard existing["metadata"]?["deletionTimestamp"] == nil else {
            throw APIStatus(code: 409, reason: "Conflict", message: "node \"\(name)\" is being removed; join once it is gone")
        }
        guard grant.node == name else {
            throw APIStatus(
                code: 409, reason: "AlreadyExists",
                message:
                    "there is a node \"\(name)\" already; join with another --name, remove it first (kubectl delete node \(name)), or make a token for it: skerry token create --node \(name)"
            )
        }
    }

    /// Writes on the Node which certificate holds.
    ///
    /// - Parameter change: the record as it shall be, from what it is; nil to leave it. Called again after others have written the Node.
    /// - Throws: 404, or what `change` throws.
    private func change(
        _ name: String, _ change: (JSON) throws(APIStatus) -> NodeIdentityRecord?
    ) async throws(APIStatus) {
        for _ in 0..<Self.attemptsMax {
            let node = try await client.get(.node, ObjectKey(name: name))
            guard let record = try change(node) else { return }
            let patch = Resources.ObjectPatch(.merge, record.patch(at: node["metadata"]?["resourceVersion"]?.string ?? ""))
            do throws(APIStatus) {
                _ = try await client.patch(.node, ObjectKey(name: name), patch, part: .whole)
                return
            } catch { guard error.code == 409 else { throw error } }
        }
        throw .tooManyRequests(retryAfterSeconds: 1)
    }

    /// Makes a Node with its record, or gives one that is there to another machine.
    private func record(_ name: String, isNew: Bool, _ record: NodeIdentityRecord) async throws(APIStatus) {
        guard isNew else { return try await change(name) { _ in record } }
        try await client.create(
            .node,
            [
                "apiVersion": "v1", "kind": "Node",
                "metadata": [
                    "name": .string(name), "labels": ["kubernetes.io/hostname": .string(name), "node-role.kubernetes.io/edge": ""],
                    "annotations": record.annotations,
                ],
            ])
    }

    // MARK: Renewing

    private func renew(_ request: HTTPRequest, _ notes: inout [String: String]) async throws(APIStatus) -> HTTPResponse {
        let body = try fields(request, ["certificate", "proof", "request"])
        let signing: SigningRequest
        do throws(IdentityError) { signing = try SigningRequest(pem: body["request"] ?? "") } catch { throw .badRequest("\(error)") }
        let shown = try request.certificate == nil ? proven(body) : inTLS(request)
        notes["join.skerry.io/node"] = shown.node
        _ = try recorded(shown, try await node(shown.node))
        let seconds = now().seconds
        let wait = limits.state.withLock { limits -> Int64 in
            let wait = limits.renewals.wait(shown.node, now: seconds)
            if wait == 0 { limits.renewals.failed(shown.node, now: seconds) }
            return wait
        }
        guard wait == 0 else { throw .tooManyRequests(retryAfterSeconds: Int(wait)) }
        let issued = try issue(shown.node, signing)
        try await change(shown.node) { (node) throws(APIStatus) in
            try recorded(shown, node).renewed(by: shown.fingerprint, to: issued.certificate.fingerprint)
        }
        return answer(issued.pem, issued.certificate, status: 201)
    }

    private static func unproven(_ reason: String) -> APIStatus { APIStatus(code: 401, reason: "Unauthorized", message: reason) }

    /// The certificate of the connection, which TLS has checked against the authority and the time.
    private func inTLS(_ request: HTTPRequest) throws(APIStatus) -> NodeCertificate {
        guard let der = request.certificate, let certificate = try? NodeCertificate(der: der) else {
            throw Self.unproven("no certificate of a node was shown; renew with the one that is to be replaced")
        }
        return certificate
    }

    /// A certificate that came in the body with a proof of its key: it may have expired.
    private func proven(_ body: [String: String]) throws(APIStatus) -> NodeCertificate {
        let certificate: NodeCertificate
        do throws(IdentityError) { certificate = try NodeCertificate(pem: body["certificate"] ?? "") } catch {
            throw Self.unproven("\(error)")
        }
        guard certificate.isSigned(by: authority),
            certificate.isProven(by: body["proof"] ?? "", body["request"] ?? "", authority: authority.fingerprint)
        else { throw Self.unproven("the certificate of node \"\(certificate.node)\" is not this cloud's, or its key was not proven") }
        let end = certificate.validUntil
        guard now().seconds < end + policy.renewableForSeconds else {
            throw Self.unproven(
                "the certificate of node \"\(certificate.node)\" ended \(Timestamp(seconds: end).text), too long ago to be renewed; join again with a token: skerry token create --node \(certificate.node)"
            )
        }
        return certificate
    }

    /// What a Node says of a certificate that holds.
    private func recorded(_ certificate: NodeCertificate, _ node: JSON?) throws(APIStatus) -> NodeIdentityRecord {
        guard let node else {
            throw Self.unproven("node \"\(certificate.node)\" has been removed; join again with a token: skerry token create")
        }
        let record = NodeIdentityRecord(node)
        guard record.accepts(certificate.fingerprint) else { throw Self.replaced(certificate.node) }
        return record
    }

    /// What the bearer of a certificate is told that no longer holds.
    static func replaced(_ node: String) -> APIStatus {
        unproven(
            "the certificate is not the one that is recorded for node \"\(node)\": it was replaced, or the node was removed; join again with a token: skerry token create --node \(node)"
        )
    }

    private func confirm(_ request: HTTPRequest, _ notes: inout [String: String]) async throws(APIStatus) -> HTTPResponse {
        let certificate = try inTLS(request)
        notes["join.skerry.io/node"] = certificate.node
        _ = try recorded(certificate, try await node(certificate.node))
        try await change(certificate.node) { (node) throws(APIStatus) in
            try recorded(certificate, node).confirmed(certificate.fingerprint)
        }
        return APIServer.json([
            "node": .string(certificate.node), "expires": .string(Timestamp(seconds: certificate.validUntil).text),
        ])
    }

    // MARK: Parts

    private func node(_ name: String) async throws(APIStatus) -> JSON? {
        do throws(APIStatus) { return try await client.get(.node, ObjectKey(name: name)) } catch {
            if error.code == 404 { return nil }
            throw error
        }
    }

    private func issue(_ node: String, _ signing: SigningRequest) throws(APIStatus) -> (pem: String, certificate: NodeCertificate) {
        do {
            let pem = try authority.issueNode(node, signing, now: now().seconds, validFor: policy.validForSeconds)
            return (pem, try NodeCertificate(pem: pem))
        } catch { throw .internalError("issuing a certificate: \(error)") }
    }

    private func answer(_ pem: String, _ certificate: NodeCertificate, status: Int) -> HTTPResponse {
        APIServer.json(
            [
                "node": .string(certificate.node), "certificate": .string(pem), "authority": .string(pinned.certificatePEM),
                "expires": .string(Timestamp(seconds: certificate.validUntil).text),
            ], status: status)
    }

    /// The texts of a JSON body; a field that is unknown or no text is refused, for it would be ignored otherwise.
    private func fields(_ request: HTTPRequest, _ names: Set<String>) throws(APIStatus) -> [String: String] {
        guard request.body.count <= policy.bodyBytesMax else {
            throw APIStatus(
                code: 413, reason: "RequestEntityTooLarge",
                message: "the request's body has \(request.body.count) bytes, at most \(policy.bodyBytesMax) are read")
        }
        let body: JSON
        do throws(JSONParseError) {
            body = try JSONParser.parse(request.body, limits: .init(depthMax: 4, bytesMax: policy.bodyBytesMax))
        } catch { throw .badRequest("the request's body is no JSON: \(error)") }
        guard let object = body.object else { throw .badRequest("the request's body is \(body.typeName), expected an object") }
        var result: [String: String] = [:]
        for (name, value) in object {
            guard names.contains(name), let text = value.string else {
                throw .badRequest(
                    "the request's body has \"\(name.prefix(64))\": \(value.typeName), expected texts: \(names.sorted().joined(separator: ", "))"
                )
            }
            result[name] = text
        }
        return result
    }
}
