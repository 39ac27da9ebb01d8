import Crypto
import SwiftASN1
import Synchronization
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Reads users out of certificates that the network has already checked against the authority; remembers the last ones.
package final class CertificateUsers: Sendable {
    /// At this many the memory begins anew.
    private static let countMax = 1024
    /// Who shows a certificate, and which one it is.
    package struct Holder: Sendable, Equatable {
        /// The common name with the organizations as groups.
        package let user: User
        /// SHA-256 of the certificate (DER) in hexadecimal.
        package let fingerprint: String
    }

    /// A certificate among others: found by its end, which is of the authority's signature, since each request asks for one.
    private struct Shown: Hashable {
        let bytes: [UInt8]

        func hash(into hasher: inout Hasher) {
            bytes.withUnsafeBytes { hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: $0.suffix(16))) }
        }
    }

    private let known = Mutex<[Shown: Holder]>([:])

    /// Of the whole process: what a certificate says never changes, and several doors ask for each node that comes.
    package static let shared = CertificateUsers()

    /// Remembers nobody yet.
    package init() {}

    /// Who a certificate is of; nil for one without a name, or of an authority or a server.
    ///
    /// - Parameter certificate: DER.
    package func holder(_ certificate: [UInt8]) -> Holder? {
        if let holder = known.withLock({ $0[Shown(bytes: certificate)] }) { return holder }
        guard let user = Self.read(certificate) else { return nil }
        let holder = Holder(user: user, fingerprint: Hexadecimal.encode(SHA256.hash(data: certificate)))
        known.withLock { known in
            if known.count >= Self.countMax { known = [:] }
            known[Shown(bytes: certificate)] = holder
        }
        return holder
    }

    /// The common name with the organizations as groups; nil for a certificate without a name, or of an authority.
    ///
    /// - Parameter certificate: DER.
    package func user(_ certificate: [UInt8]) -> User? { holder(certificate)?.user }

    static func read(_ bytes: [UInt8]) -> User? {
        guard let certificate = try? Certificate(derEncoded: bytes) else { return nil }
        // The authority's own certificate, and a server's, are no users.
        if let constraints = try? certificate.extensions.basicConstraints, case .isCertificateAuthority = constraints { return nil }
        if let usage = try? certificate.extensions.extendedKeyUsage, !usage.contains(.clientAuth) { return nil }
        var name: String?
        var groups: [String] = []
        for attribute in certificate.subject.lazy.flatMap({ $0 }) {
            guard let text = String(attribute.value) else { continue }
            if attribute.type == .RDNAttributeType.commonName { name = text }
            if attribute.type == .RDNAttributeType.organizationName { groups.append(text) }
        }
        guard let name, !name.isEmpty else { return nil }
        return User(name: name, groups: groups + ["system:authenticated"])
    }
}
