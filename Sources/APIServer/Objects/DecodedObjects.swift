import Resources
import Synchronization

/// The newest objects as trees beside their stored bytes: who has just written an object has its tree, and who watches need not read it again.
///
/// Holds at most `slotCount` objects of at most `bytesMax` bytes each; a newer one takes the place of an older one.
final class DecodedObjects: Sendable {
    private struct Entry: Sendable {
        /// Held, so that no other bytes can lie at their place.
        let bytes: [UInt8]
        let object: JSON
    }

    private static let slotCount = 1024
    private static let bytesMax = 16 << 10
    private let slots = Mutex([Entry?](repeating: nil, count: slotCount))

    private static func address(_ bytes: [UInt8]) -> UInt { bytes.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) } }

    private static func slot(_ address: UInt) -> Int {
        let spread = UInt64(address >> 4) &* 0x9e37_79b9_7f4a_7c15
        return Int(spread >> 40) % slotCount
    }

    /// The object of these bytes, without its resource version or with any; nil if it is not here.
    func object(of bytes: [UInt8]) -> JSON? {
        let address = Self.address(bytes)
        return slots.withLock { slots in
            guard let entry = slots[Self.slot(address)], Self.address(entry.bytes) == address, entry.bytes.count == bytes.count else {
                return nil
            }
            return entry.object
        }
    }

    /// Remembers what the bytes say.
    func keep(_ object: JSON, of bytes: [UInt8]) {
        guard !bytes.isEmpty, bytes.count <= Self.bytesMax else { return }
        let entry = Entry(bytes: bytes, object: object)
        // What was there goes after the lock.
        let before = slots.withLock { slots -> Entry? in
            let slot = Self.slot(Self.address(bytes))
            defer { slots[slot] = entry }
            return slots[slot]
        }
        withExtendedLifetime(before) {}
    }
}
