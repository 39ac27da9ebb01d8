import Crypto
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Signs and reads the bearer tokens of service accounts: JSON web tokens with ES256 (RFC 7515, RFC 7519).
package struct ServiceTokens: Sendable {
    /// What a token says of its bearer.
    package struct Claims: Sendable, Equatable {
        /// Of the ServiceAccount.
        package var namespace: String
        /// Name of the ServiceAccount.
        package var account: String
        /// Of the ServiceAccount; a token of a deleted and newly made account is void.
        package var accountUID: String
        /// Whom the token is meant for, `aud`. Reading does not compare them.
        package var audiences: [String]
        /// Seconds since 1970.
        package var issuedAt: Int64
        /// Seconds since 1970, `exp`; from then on the token is void.
        package var expiresAt: Int64
        /// Unlike that of every other token, `jti`.
        package var id: String
        /// The Pod that the token is bound to, by name and uid: without that Pod it is void. Nil for a token of no Pod.
        package var pod: BoundPod?

        /// Nothing is checked; the authenticator chooses times and audiences.
        package init(
            namespace: String, account: String, accountUID: String, audiences: [String], issuedAt: Int64, expiresAt: Int64, id: String
        ) {
            self.namespace = namespace
            self.account = account
            self.accountUID = accountUID
            self.audiences = audiences
            self.issuedAt = issuedAt
            self.expiresAt = expiresAt
            self.id = id
        }
    }

    /// A Pod that a token ends with.
    package struct BoundPod: Sendable, Equatable {
        /// In the namespace of the account.
        package let name: String
        /// Another Pod of the name has another.
        package let uid: String

        /// Nothing is checked.
        package init(name: String, uid: String) { (self.name, self.uid) = (name, uid) }
    }

    /// Who signs, `iss`: the name of the API server within a cluster. Tokens of other issuers are not read.
    package static let issuer = "https://kubernetes.default.svc"
    /// A longer token is refused unread.
    package static let bytesMax = 16 << 10
    private let key: P256.Signing.PrivateKey
    private let known = SignedTokens()

    /// - Parameter keyPEM: PKCS #8, P-256.
    package init(keyPEM: String) throws(IdentityError) {
        do {
            key = try P256.Signing.PrivateKey(pemRepresentation: keyPEM)
        } catch {
            throw IdentityError("the key of service accounts cannot be read: \(error); restore sa.key from a backup")
        }
    }

    /// A new P-256 key in PEM, PKCS #8; to be kept, since a new one voids every token.
    package static func newKeyPEM() -> String { P256.Signing.PrivateKey().pemRepresentation }

    private struct Header: Codable {
        var alg: String
        var typ: String?
    }

    private struct Named: Codable {
        var name: String
        var uid: String
    }

    private struct Private: Codable {
        var namespace: String
        var pod: Named?
        var serviceaccount: Named
    }

    private struct Payload: Codable {
        var aud: [String]
        var exp: Int64
        var iat: Int64
        var nbf: Int64
        var iss: String
        var jti: String
        var sub: String
        var details: Private

        enum CodingKeys: String, CodingKey {
            case aud, exp, iat, nbf, iss, jti, sub
            case details = "kubernetes.io"
        }
    }

    /// The token of the claims, valid from `issuedAt` on.
    ///
    /// - Throws: what encoding or signing throws; neither fails for claims as they are.
    package func sign(_ claims: Claims) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let payload = Payload(
            aud: claims.audiences, exp: claims.expiresAt, iat: claims.issuedAt, nbf: claims.issuedAt, iss: Self.issuer, jti: claims.id,
            sub: "system:serviceaccount:\(claims.namespace):\(claims.account)",
            details: Private(
                namespace: claims.namespace, pod: claims.pod.map { Named(name: $0.name, uid: $0.uid) },
                serviceaccount: Named(name: claims.account, uid: claims.accountUID)))
        let head = Self.text(try encoder.encode(Header(alg: "ES256", typ: "JWT")))
        let body = Self.text(try encoder.encode(payload))
        let signature = try key.signature(for: Data("\(head).\(body)".utf8))
        return "\(head).\(body).\(Self.text(signature.rawRepresentation))"
    }

    /// The claims of a token that this key has signed and that is valid at a moment; nil for every other text.
    package func read(_ token: String, now: Int64) -> Claims? {
        guard token.utf8.count <= Self.bytesMax else { return nil }
        // A bearer shows a token with each request, and what it says never changes.
        let signed = known.signed(token) { self.signed(token) }
        guard let signed, signed.notBefore <= now, now < signed.claims.expiresAt else { return nil }
        return signed.claims
    }

    /// What a token says, at whatever time; nil for one that this key has not signed for this issuer.
    private func signed(_ token: String) -> SignedTokens.Signed? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let head = Self.data(parts[0]), let body = Self.data(parts[1]), let raw = Self.data(parts[2]),
            let header = try? JSONDecoder().decode(Header.self, from: head), header.alg == "ES256",
            let signature = try? P256.Signing.ECDSASignature(rawRepresentation: raw),
            key.publicKey.isValidSignature(signature, for: Data("\(parts[0]).\(parts[1])".utf8)),
            let payload = try? JSONDecoder().decode(Payload.self, from: body), payload.iss == Self.issuer
        else { return nil }
        var claims = Claims(
            namespace: payload.details.namespace, account: payload.details.serviceaccount.name,
            accountUID: payload.details.serviceaccount.uid,
            audiences: payload.aud, issuedAt: payload.iat, expiresAt: payload.exp, id: payload.jti)
        claims.pod = payload.details.pod.map { BoundPod(name: $0.name, uid: $0.uid) }
        return SignedTokens.Signed(claims: claims, notBefore: payload.nbf)
    }

    /// base64url without padding.
    private static func text(_ data: some DataProtocol) -> String {
        Data(data).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    private static func data(_ text: Substring) -> Data? {
        let plain = text.replacing("-", with: "+").replacing("_", with: "/")
        return Data(base64Encoded: plain + String(repeating: "=", count: (4 - plain.utf8.count % 4) % 4))
    }
}

/// Tokens whose signature has been found good, by the SHA-256 of their text, so that a bearer's thousandth request costs a digest and no
/// curve. Tokens that are not good are never kept: who makes them up fills nothing.
private final class SignedTokens: Sendable {
    /// What a token says; times are compared at each use.
    struct Signed: Sendable {
        var claims: ServiceTokens.Claims
        /// Seconds since 1970, `nbf`.
        var notBefore: Int64
    }

    /// At this many the memory begins anew.
    private static let countMax = 1024
    private let known = Mutex<[[UInt8]: Signed]>([:])

    /// What is known of a token, or else what `read` finds.
    func signed(_ token: String, read: () -> Signed?) -> Signed? {
        let digest = Array(SHA256.hash(data: Data(token.utf8)))
        if let signed = known.withLock({ $0[digest] }) { return signed }
        guard let signed = read() else { return nil }
        known.withLock { known in
            if known.count >= Self.countMax { known = [:] }
            known[digest] = signed
        }
        return signed
    }
}
