import Crypto

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A node's own key, with which Secrets lie on its disk. Whoever has the disk without the key reads none of them.
package struct NodeKey: Sendable {
    /// Bytes of a key.
    package static let byteCount = 32
    private let key: SymmetricKey

    /// - Returns: nil for any other number of bytes than `byteCount`.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        key = SymmetricKey(data: bytes)
    }

    /// A new key, by the system's lots; to be kept where only this user reads it.
    package static func newBytes() -> [UInt8] { SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) } }

    /// - Parameter place: what the bytes belong to; they open nowhere else.
    func seal(_ bytes: [UInt8], place: String) throws -> [UInt8] {
        // AES-GCM with a nonce of 96 bits draws a new one each time; a node seals far fewer than 2^32.
        Array(try AES.GCM.seal(bytes, using: key, authenticating: Array(place.utf8)).combined!)
    }

    /// - Returns: nil for bytes that were sealed by another key, for another place, or changed.
    func open(_ bytes: [UInt8], place: String) -> [UInt8]? {
        guard let box = try? AES.GCM.SealedBox(combined: bytes),
            let plain = try? AES.GCM.open(box, using: key, authenticating: Array(place.utf8))
        else { return nil }
        return Array(plain)
    }
}
