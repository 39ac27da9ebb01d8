import Identity
import Network
import Resources

/// Asks a cloud's `/join/v1`.
struct JoinClient: Sendable {
    /// Bytes of an answer; a certificate and its authority have some 2 KiB.
    private static let answerBytesMax = 64 << 10
    let host: String
    let port: Int
    let userAgent: String

    private var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// The authority of the cloud that a token names. What is sent before it is recognised is not secret, and what comes is believed for its
    /// digest alone.
    func authority(expecting fingerprint: String) async throws(EdgeAccessError) -> PinnedAuthority {
        var trust = TLSTrust()
        trust.isUnverified = true
        let answer = try await send(HTTPRequest(method: "GET", path: "/join/v1/authority"), trust)
        guard answer.status == 200, let pem = String(validating: answer.body, as: UTF8.self) else { throw refusal(answer) }
        do throws(IdentityError) { return try PinnedAuthority(pem: pem, expecting: fingerprint) } catch {
            throw EdgeAccessError(.untrusted, "\(address): \(error)")
        }
    }

    /// What the cloud issues.
    struct Issued {
        let node: String
        let certificatePEM: String
    }

    /// A certificate for a token.
    ///
    /// - Parameter hostName: the node's name where neither the identity nor the token says one.
    func join(_ token: JoinToken, _ identity: EdgeIdentity, hostName: String) async throws(EdgeAccessError) -> Issued {
        var body: JSON = ["token": .string(token.text), "request": .string(try request(identity.node, identity.keyPEM))]
        if !identity.node.isEmpty { body["node"] = .string(identity.node) }
        if !hostName.isEmpty { body["hostName"] = .string(hostName) }
        return try issued(try await post("", body, trust(identity, isShown: false)), identity.keyPEM)
    }

    /// Another certificate, for another key.
    ///
    /// - Parameter isShown: the certificate is shown in TLS; one that has expired would be refused there, and is proven in the request.
    func renew(_ identity: EdgeIdentity, keyPEM: String, isShown: Bool) async throws(EdgeAccessError) -> Issued {
        let request = try request(identity.node, keyPEM)
        var body: JSON = ["request": .string(request)]
        if !isShown {
            body["certificate"] = identity.certificatePEM.map { .string($0) }
            body["proof"] = .string(
                try usable { () throws(IdentityError) in
                    try NodeCertificate.renewalProof(
                        request, authority: try PinnedAuthority(pem: identity.authorityPEM).fingerprint, keyPEM: identity.keyPEM)
                })
        }
        return try issued(try await post("/renewal", body, trust(identity, isShown: isShown)), keyPEM)
    }

    /// Tells that the certificate is kept. Calling it twice is harmless.
    func confirm(_ identity: EdgeIdentity) async throws(EdgeAccessError) {
        _ = try await post("/confirmation", [:], trust(identity, isShown: true))
    }

    // MARK: Parts

    private func usable<Result>(_ body: () throws(IdentityError) -> Result) throws(EdgeAccessError) -> Result {
        do throws(IdentityError) { return try body() } catch { throw EdgeAccessError(.unusable, "\(error)") }
    }

    private func request(_ node: String, _ keyPEM: String) throws(EdgeAccessError) -> String {
        try usable { () throws(IdentityError) in try SigningRequest.make(node: node, keyPEM: keyPEM) }
    }

    private func trust(_ identity: EdgeIdentity, isShown: Bool) -> TLSTrust {
        var trust = TLSTrust()
        trust.trustedPEM = identity.authorityPEM
        if isShown {
            trust.chainPEM = identity.certificatePEM ?? ""
            trust.keyPEM = identity.keyPEM
        }
        return trust
    }

    private func post(_ part: String, _ body: JSON, _ trust: TLSTrust) async throws(EdgeAccessError) -> HTTPAnswer {
        let answer = try await send(
            HTTPRequest(method: "POST", path: "/join/v1" + part, headers: ["Content-Type": "application/json"], body: body.bytes()), trust)
        guard (200..<300).contains(answer.status) else { throw refusal(answer) }
        return answer
    }

    private func send(_ request: HTTPRequest, _ trust: TLSTrust) async throws(EdgeAccessError) -> HTTPAnswer {
        var limits = HTTPClientLimits()
        limits.answerBytesMax = Self.answerBytesMax
        limits.connectionsMax = 1
        let http: PooledHTTPClient
        do { http = try PooledHTTPClient(host: host, port: port, trust: trust, limits: limits) } catch {
            throw EdgeAccessError(.unusable, "\(error); move the identity away and join again with --join TOKEN")
        }
        var request = request
        request.headers["Host"] = address
        request.headers["User-Agent"] = userAgent
        let result: Result<HTTPAnswer, EdgeAccessError>
        do throws(HTTPClientError) { result = .success(try await http.send(request)) } catch {
            result = .failure(EdgeAccessError(error, from: address))
        }
        await http.close()
        return try result.get()
    }

    /// What a refusal says, in the cloud's words.
    private func refusal(_ answer: HTTPAnswer) -> EdgeAccessError {
        let message = (try? JSONParser.parse(answer.body))?["message"]?.string
        let text = "\(address): \(message ?? "HTTP status \(answer.status)")"
        if answer.status == 404, message == nil || message == APIStatus.noSuchPath.message {
            return EdgeAccessError(.malformed, "\(address) lets nobody join; is it a cloud of skerry?")
        }
        return EdgeAccessError(answer.status >= 500 || answer.status == 429 ? .unavailable : .refused(status: answer.status), text)
    }

    /// The certificate in an answer, which must be for the key that was sent.
    private func issued(_ answer: HTTPAnswer, _ keyPEM: String) throws(EdgeAccessError) -> Issued {
        guard let json = try? JSONParser.parse(answer.body), let pem = json["certificate"]?.string,
            let certificate = try? NodeCertificate(pem: pem), let key = try? SigningRequest.fingerprint(ofKeyPEM: keyPEM),
            certificate.keyFingerprint == key
        else {
            throw EdgeAccessError(
                .malformed, "\(address) answered without a certificate for the key that was sent; is it of another release?")
        }
        return Issued(node: certificate.node, certificatePEM: pem)
    }
}
