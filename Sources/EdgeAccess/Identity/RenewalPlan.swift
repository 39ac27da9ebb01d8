package import Identity

/// When a certificate is to be renewed, and how. Pure: told what time it is.
package struct RenewalPlan: Sendable, Equatable {
    /// How the old certificate is shown.
    package enum Way: Sendable, Equatable {
        /// In TLS.
        case shown
        /// In the request with a proof of its key, for TLS refuses one that has expired.
        case proven
    }

    /// Seconds since 1970.
    package let renewAt: Int64
    private let validUntil: Int64

    /// At 60 to 80 % of a certificate's life; which, its fingerprint says, so that machines that joined together renew apart.
    package init(_ certificate: NodeCertificate) {
        validUntil = certificate.validUntil
        let lots = Int64(UInt16(certificate.fingerprint.prefix(4), radix: 16) ?? 0)
        let life = max(0, certificate.validUntil - certificate.validFrom)
        renewAt = certificate.validFrom + life / 10 * 6 + life / 5 * lots / 65535
    }

    /// Whether it is time.
    package func isDue(_ now: Int64) -> Bool { now >= renewAt }

    /// How to renew now.
    package func way(_ now: Int64) -> Way { now < validUntil ? .shown : .proven }
}
