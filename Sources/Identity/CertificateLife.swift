import SwiftASN1
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Whose a certificate is and how long it holds, for whoever looks after it.
package struct CertificateLife: Sendable, Equatable {
    /// A longer text is not read.
    package static let bytesMax = 256 << 10
    /// As the certificate says: `O=system:masters,CN=kubernetes-admin`.
    package let subject: String
    /// Seconds since 1970, from which on it is valid.
    package let validFrom: Int64
    /// Seconds since 1970, up to which it is valid.
    package let validUntil: Int64

    /// Every certificate of a text.
    ///
    /// - Parameter pem: blocks `CERTIFICATE`, any number; other blocks are passed over.
    /// - Throws: `IdentityError` for a block that is none.
    package static func all(pem: String) throws(IdentityError) -> [CertificateLife] {
        guard pem.utf8.count <= bytesMax else {
            throw IdentityError("certificates of \(pem.utf8.count) bytes; at most \(bytesMax) are read")
        }
        do {
            return try PEMDocument.parseMultiple(pemString: pem).filter { $0.discriminator == "CERTIFICATE" }.map { document in
                let certificate = try Certificate(derEncoded: document.derBytes)
                return CertificateLife(
                    subject: "\(certificate.subject)", validFrom: Int64(certificate.notValidBefore.timeIntervalSince1970),
                    validUntil: Int64(certificate.notValidAfter.timeIntervalSince1970))
            }
        } catch { throw IdentityError("a certificate cannot be read: \(error)") }
    }
}
