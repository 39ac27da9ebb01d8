import Crypto
import SwiftASN1
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A certificate of a node's agent, as it was read; whether an authority signed it is asked for separately.
package struct NodeCertificate: Sendable {
    /// A longer text is refused unread.
    package static let bytesMax = 16 << 10
    private let certificate: Certificate
    /// Name of the node, from the common name `system:node:NAME`.
    package let node: String
    /// SHA-256 of the certificate (DER) in hexadecimal: what is recorded on the Node.
    package let fingerprint: String
    /// SHA-256 of its public key, as `SigningRequest.keyFingerprint`.
    package let keyFingerprint: String
    /// Seconds since 1970, from which on it is valid.
    package let validFrom: Int64
    /// Seconds since 1970, up to which it is valid.
    package let validUntil: Int64

    /// Reads a certificate.
    ///
    /// - Parameter pem: one block `CERTIFICATE`.
    /// - Throws: `IdentityError` for what is none, or is not that of a node.
    package init(pem: String) throws(IdentityError) {
        guard pem.utf8.count <= Self.bytesMax else {
            throw IdentityError("the node's certificate has \(pem.utf8.count) bytes, at most \(Self.bytesMax) are read")
        }
        let der: [UInt8]
        do {
            der = try PEMDocument(pemString: pem).derBytes
        } catch { throw IdentityError("the node's certificate cannot be read: \(error); send one certificate in PEM") }
        try self.init(der: der)
    }

    /// Reads a certificate.
    ///
    /// - Throws: `IdentityError` for what is none, or is not that of a node.
    package init(der: [UInt8]) throws(IdentityError) {
        let certificate: Certificate
        do {
            certificate = try Certificate(derEncoded: der)
        } catch { throw IdentityError("the node's certificate cannot be read: \(error)") }
        guard let user = CertificateUsers.read(der), let node = user.nodeName, !node.isEmpty else {
            throw IdentityError(
                "the certificate of \"\(certificate.subject)\" is not that of a node: expected O=system:nodes, CN=system:node:NAME")
        }
        self.certificate = certificate
        self.node = node
        fingerprint = Hexadecimal.encode(SHA256.hash(data: der))
        keyFingerprint = Hexadecimal.encode(SHA256.hash(data: certificate.publicKey.subjectPublicKeyInfoBytes))
        validFrom = Int64(certificate.notValidBefore.timeIntervalSince1970)
        validUntil = Int64(certificate.notValidAfter.timeIntervalSince1970)
    }

    /// Whether an authority has signed it. Its times are not looked at.
    package func isSigned(by authority: Authority) -> Bool { authority.hasSigned(certificate) }

    /// What a node signs with the key of its certificate to ask for another one without showing the certificate in TLS, as when it has
    /// expired. The authority is in it, so that it is worth nothing at another cloud; the new key is in the request.
    private static func statement(_ request: String, _ authority: String) -> [UInt8] {
        Array("skerry join/v1 renewal\n\(authority)\n".utf8) + Array(request.utf8)
    }

    /// Proves that the sender of a signing request holds a certificate's key.
    ///
    /// - Parameters:
    ///   - request: the signing request, PEM, as it is sent.
    ///   - authority: as `Authority.fingerprint`.
    ///   - keyPEM: the certificate's key, P-256.
    /// - Returns: an ECDSA signature (DER) in base64.
    /// - Throws: `IdentityError` for a key that cannot be read.
    package static func renewalProof(_ request: String, authority: String, keyPEM: String) throws(IdentityError) -> String {
        do {
            let key = try P256.Signing.PrivateKey(pemRepresentation: keyPEM)
            return try key.signature(for: statement(request, authority)).derRepresentation.base64EncodedString()
        } catch { throw IdentityError("the node's key cannot be used: \(error)") }
    }

    /// Whether a proof was made with the key of this certificate, for this request and this authority.
    package func isProven(by proof: String, _ request: String, authority: String) -> Bool {
        guard proof.utf8.count <= 512, let der = Data(base64Encoded: proof) else { return false }
        let statement = Self.statement(request, authority)
        if let key = P256.Signing.PublicKey(certificate.publicKey), let signature = try? P256.Signing.ECDSASignature(derRepresentation: der)
        {
            return key.isValidSignature(signature, for: statement)
        }
        if let key = P384.Signing.PublicKey(certificate.publicKey), let signature = try? P384.Signing.ECDSASignature(derRepresentation: der)
        {
            return key.isValidSignature(signature, for: statement)
        }
        return false
    }
}

/// An authority that was recognised by its digest.
package struct PinnedAuthority: Sendable, Equatable {
    /// PEM of the one certificate that was recognised; whatever else came with it is left out.
    package let certificatePEM: String
    /// SHA-256 of the certificate (DER) in hexadecimal.
    package let fingerprint: String

    /// Takes the first certificate of a text.
    ///
    /// - Throws: `IdentityError` for what is no certificate, or not that of an authority.
    package init(pem: String) throws(IdentityError) {
        guard pem.utf8.count <= NodeCertificate.bytesMax else {
            throw IdentityError("the authority's certificate has \(pem.utf8.count) bytes, at most \(NodeCertificate.bytesMax) are read")
        }
        do {
            guard let first = try PEMDocument.parseMultiple(pemString: pem).first else {
                throw IdentityError("the authority's certificate cannot be read: there is no PEM block")
            }
            let certificate = try Certificate(derEncoded: first.derBytes)
            guard case .isCertificateAuthority? = try certificate.extensions.basicConstraints else {
                throw IdentityError("the certificate of \"\(certificate.subject)\" is not that of an authority")
            }
            certificatePEM = PEMDocument(type: "CERTIFICATE", derBytes: first.derBytes).pemString + "\n"
            fingerprint = Hexadecimal.encode(SHA256.hash(data: first.derBytes))
        } catch let error as IdentityError {
            throw error
        } catch { throw IdentityError("the authority's certificate cannot be read: \(error)") }
    }

    /// Takes the certificate of a server's authority only if it is the one that a token names.
    ///
    /// - Throws: `IdentityError` for another one: then the server is not the cloud that made the token.
    package init(pem: String, expecting fingerprint: String) throws(IdentityError) {
        let found = try PinnedAuthority(pem: pem)
        guard Hexadecimal.isSame(found.fingerprint, fingerprint) else {
            throw IdentityError(
                "the server's authority is \(found.fingerprint.prefix(16))…, the token names \(fingerprint.prefix(16))…: this is not the cloud that made the token; check its address, or make a token there"
            )
        }
        self = found
    }
}
