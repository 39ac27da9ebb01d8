/// Which certificates a Node's agent may show, as annotations of the Node: no Node, no certificate.
///
///     none ─join→ certificate ─renew→ certificate + next ─confirm, or the next renewal→ certificate
///
/// During a renewal two certificates hold, so that an agent whose answer was lost is not locked out; the old one ends as soon as the agent
/// has confirmed that it keeps the new one.
package struct NodeIdentityRecord: Sendable, Equatable {
    /// Before the names of all these annotations; nodes may not change them.
    package static let prefix = "identity.skerry.io/"
    private static let certificateKey = prefix + "certificate"
    private static let nextKey = prefix + "next-certificate"
    /// SHA-256 (DER, hexadecimal) of the certificate that holds; nil for a Node that no agent has joined.
    package var certificate: String?
    /// Of the one that was issued to replace it and is not confirmed yet.
    package var next: String?

    /// Of a Node that is to be.
    package init(certificate: String) { self.certificate = certificate }

    /// As a Node says.
    package init(_ node: JSON) {
        let annotations = node["metadata"]?["annotations"]
        certificate = annotations?[Self.certificateKey]?.string
        next = annotations?[Self.nextKey]?.string
    }

    /// Whether a certificate is one of those that hold; an empty fingerprint never is.
    package func accepts(_ fingerprint: String) -> Bool { !fingerprint.isEmpty && (certificate == fingerprint || next == fingerprint) }

    /// The record after a certificate that holds was used to ask for another one.
    package func renewed(by fingerprint: String, to next: String) -> NodeIdentityRecord {
        var record = NodeIdentityRecord(certificate: fingerprint)
        record.next = next
        return record
    }

    /// The record once its agent has shown that it keeps a certificate; nil where nothing changes.
    package func confirmed(_ fingerprint: String) -> NodeIdentityRecord? {
        next == fingerprint ? NodeIdentityRecord(certificate: fingerprint) : nil
    }

    /// A merge patch of the Node that writes this record.
    ///
    /// - Parameter resourceVersion: the revision at which it may be written.
    package func patch(at resourceVersion: String) -> JSON {
        [
            "metadata": [
                "resourceVersion": .string(resourceVersion),
                "annotations": .object([
                    Self.certificateKey: certificate.map { .string($0) } ?? .null, Self.nextKey: next.map { .string($0) } ?? .null,
                ]),
            ]
        ]
    }

    /// The annotations of a new Node.
    package var annotations: JSON {
        var result: JSON = [:]
        if let certificate { result[Self.certificateKey] = .string(certificate) }
        if let next { result[Self.nextKey] = .string(next) }
        return result
    }
}
