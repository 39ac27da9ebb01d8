import Crypto
import SwiftASN1
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A request for a certificate (PKCS #10) of which one thing is believed: that its sender holds the key in it.
///
/// Subject, names, addresses and usages that it asks for are not even kept.
package struct SigningRequest: Sendable {
    /// A longer text is refused unread.
    package static let bytesMax = 16 << 10
    let publicKey: Certificate.PublicKey
    /// SHA-256 of the public key (SubjectPublicKeyInfo) in hexadecimal.
    package let keyFingerprint: String

    /// Reads a request.
    ///
    /// - Parameter pem: one block `CERTIFICATE REQUEST`, with ECDSA on P-256 or P-384.
    /// - Throws: `IdentityError` for what is no request, has another kind of key, or was not signed by its own key.
    package init(pem: String) throws(IdentityError) {
        guard pem.utf8.count <= Self.bytesMax else {
            throw IdentityError("the signing request has \(pem.utf8.count) bytes, at most \(Self.bytesMax) are read")
        }
        let parsed: CertificateSigningRequest
        do {
            parsed = try CertificateSigningRequest(pemEncoded: pem)
        } catch {
            throw IdentityError("the signing request cannot be read: \(error); send one PKCS #10 request in PEM")
        }
        guard P256.Signing.PublicKey(parsed.publicKey) != nil || P384.Signing.PublicKey(parsed.publicKey) != nil else {
            throw IdentityError("the signing request's key is \(parsed.publicKey); make an ECDSA key on P-256 or P-384")
        }
        guard parsed.publicKey.isValidSignature(parsed.signature, for: parsed) else {
            throw IdentityError("the signing request is not signed by its own key; make it anew")
        }
        publicKey = parsed.publicKey
        keyFingerprint = Hexadecimal.encode(SHA256.hash(data: parsed.publicKey.subjectPublicKeyInfoBytes))
    }

    /// A request for a node's key, in PEM.
    ///
    /// - Parameters:
    ///   - node: stands in the subject for people who look at it; the cloud decides by itself.
    ///   - keyPEM: PKCS #8, P-256.
    /// - Throws: `IdentityError` for a key that cannot be read.
    package static func make(node: String, keyPEM: String) throws(IdentityError) -> String {
        do {
            let key = try P256.Signing.PrivateKey(pemRepresentation: keyPEM)
            let subject = try DistinguishedName {
                OrganizationName("system:nodes")
                CommonName("system:node:\(node)")
            }
            return try CertificateSigningRequest(
                version: .v1, subject: subject, privateKey: .init(key), attributes: .init(), signatureAlgorithm: .ecdsaWithSHA256
            ).serializeAsPEM().pemString + "\n"
        } catch { throw IdentityError("the node's key cannot be used: \(error); remove the node's identity and join again") }
    }

    /// A new key for a node, PEM, PKCS #8, P-256.
    package static func newKeyPEM() -> String { P256.Signing.PrivateKey().pemRepresentation }

    /// SHA-256 of the public half of a key, as `keyFingerprint` of a request it signs.
    ///
    /// - Throws: `IdentityError` for a key that cannot be read.
    package static func fingerprint(ofKeyPEM keyPEM: String) throws(IdentityError) -> String {
        do {
            let key = Certificate.PublicKey(try P256.Signing.PrivateKey(pemRepresentation: keyPEM).publicKey)
            return Hexadecimal.encode(SHA256.hash(data: key.subjectPublicKeyInfoBytes))
        } catch { throw IdentityError("the node's key cannot be read: \(error)") }
    }
}

extension Authority {
    /// A node's certificate for the key of a request: subject, usages and times are decided here.
    ///
    /// - Parameters:
    ///   - node: the name, which the caller has checked.
    ///   - now: seconds since 1970; it is valid from an hour before, since clocks differ.
    ///   - validFor: seconds; never longer than the authority's own certificate.
    /// - Returns: PEM.
    package func issueNode(_ node: String, _ request: SigningRequest, now: Int64, validFor: Int64) throws -> String {
        try issueClient(
            name: "system:node:\(node)", groups: ["system:nodes"], request.publicKey, now: Date(timeIntervalSince1970: Double(now)),
            validFor: Double(validFor))
    }
}
