import Crypto
import SwiftASN1
import X509

#if canImport(FoundationEssentials)
    package import FoundationEssentials
#else
    package import Foundation
#endif

/// The cloud's own certificate authority: signs the server's, users' and nodes' certificates. Keys are P-256.
package struct Authority: Sendable {
    /// A certificate and its key, in PEM.
    package struct Issued: Sendable {
        /// PEM: the certificate alone, without the authority's.
        package let certificatePEM: String
        /// PEM, PKCS #8; kept nowhere but here.
        package let keyPEM: String
    }

    private static let validityOfAuthority: TimeInterval = 10 * 365 * 86400
    /// Certificates are valid from a little before they are made: clocks of nodes differ.
    private static let clockSkew: TimeInterval = 3600
    private let key: P256.Signing.PrivateKey
    private let certificate: Certificate
    /// The authority's own certificate, which clients trust.
    package let certificatePEM: String

    /// The authority's key in PEM, PKCS #8; to be kept from everybody.
    package var keyPEM: String { key.pemRepresentation }

    /// A new authority.
    ///
    /// - Parameter now: begins its ten years.
    package static func make(name: String, now: Date) throws -> Authority {
        let key = P256.Signing.PrivateKey()
        let subject = try DistinguishedName { CommonName(name) }
        let certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey), notValidBefore: now - clockSkew,
            notValidAfter: now + validityOfAuthority, issuer: subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(digitalSignature: true, keyCertSign: true, cRLSign: true))
            }, issuerPrivateKey: .init(key))
        return try Authority(key: key, certificate: certificate)
    }

    private init(key: P256.Signing.PrivateKey, certificate: Certificate) throws {
        self.key = key
        self.certificate = certificate
        certificatePEM = try certificate.serializeAsPEM().pemString + "\n"
    }

    /// The authority whose certificate and key were kept.
    ///
    /// - Throws: `IdentityError` when one of the two cannot be read, or they do not belong together.
    package init(certificatePEM: String, keyPEM: String) throws(IdentityError) {
        do {
            let certificate = try Certificate(pemEncoded: certificatePEM)
            let key = try P256.Signing.PrivateKey(pemRepresentation: keyPEM)
            guard certificate.publicKey == .init(key.publicKey) else {
                throw IdentityError(
                    "the authority's key does not belong to its certificate; restore the pair ca.crt and ca.key from a backup")
            }
            try self.init(key: key, certificate: certificate)
        } catch let error as IdentityError {
            throw error
        } catch {
            throw IdentityError("the authority's certificate or key cannot be read: \(error); restore ca.crt and ca.key from a backup")
        }
    }

    /// SHA-256 of the authority's certificate (DER) in hexadecimal: how a join token names the authority.
    package var fingerprint: String {
        var serializer = DER.Serializer()
        // It was serialized before, when the authority was made.
        try! serializer.serialize(certificate)
        return Hexadecimal.encode(SHA256.hash(data: serializer.serializedBytes))
    }

    /// A certificate for a server that is reached by these names and IPv4 or IPv6 addresses.
    package func issueServer(names: [String], addresses: [[UInt8]], now: Date, validFor: TimeInterval) throws -> Issued {
        let key = P256.Signing.PrivateKey()
        let alternatives: [GeneralName] =
            names.map { .dnsName($0) } + addresses.map { .ipAddress(ASN1OctetString(contentBytes: ArraySlice($0))) }
        let pem = try sign(
            try DistinguishedName { CommonName(names.first ?? "server") }, .init(key.publicKey), [.serverAuth], alternatives, now, validFor)
        return Issued(certificatePEM: pem, keyPEM: key.pemRepresentation)
    }

    /// A certificate for a user: the name is the common name, groups are organizations, as Kubernetes reads them.
    package func issueUser(name: String, groups: [String], now: Date, validFor: TimeInterval) throws -> Issued {
        let key = P256.Signing.PrivateKey()
        let pem = try sign(try Self.subject(name, groups), .init(key.publicKey), [.clientAuth], [], now, validFor)
        return Issued(certificatePEM: pem, keyPEM: key.pemRepresentation)
    }

    /// A client's certificate for a key that somebody else holds.
    func issueClient(name: String, groups: [String], _ key: Certificate.PublicKey, now: Date, validFor: TimeInterval) throws -> String {
        try sign(try Self.subject(name, groups), key, [.clientAuth], [], now, validFor)
    }

    /// Whether a certificate bears this authority's signature; its times are not looked at.
    func hasSigned(_ other: Certificate) -> Bool {
        other.issuer == certificate.subject && certificate.publicKey.isValidSignature(other.signature, for: other)
    }

    private static func subject(_ name: String, _ groups: [String]) throws -> DistinguishedName {
        try DistinguishedName {
            for group in groups { OrganizationName(group) }
            CommonName(name)
        }
    }

    private func sign(
        _ subject: DistinguishedName, _ key: Certificate.PublicKey, _ usages: [ExtendedKeyUsage.Usage], _ alternatives: [GeneralName],
        _ now: Date,
        _ validFor: TimeInterval
    ) throws -> String {
        let end = min(now + validFor, certificate.notValidAfter)
        let signed = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: key, notValidBefore: now - Self.clockSkew, notValidAfter: end,
            issuer: certificate.subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage(usages)
                if !alternatives.isEmpty { SubjectAlternativeNames(alternatives) }
            }, issuerPrivateKey: .init(self.key))
        return try signed.serializeAsPEM().pemString + "\n"
    }
}
