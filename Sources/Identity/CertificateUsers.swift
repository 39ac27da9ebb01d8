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
    private let known = Mutex<[[UInt8]: User]>([:])

    /// Remembers nobody yet.
    package init() {}

    /// The common name with the organizations as groups; nil for a certificate without a name, or of an authority.
    ///
    /// - Parameter certificate: DER.
    package func user(_ certificate: [UInt8]) -> User? {
        if let user = known.withLock({ $0[certificate] }) { return user }
        guard let user = Self.read(certificate) else { return nil }
        known.withLock { known in
            if known.count >= Self.countMax { known = [:] }
            known[certificate] = user
        }
        return user
    }

    private static func read(_ bytes: [UInt8]) -> User? {
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
