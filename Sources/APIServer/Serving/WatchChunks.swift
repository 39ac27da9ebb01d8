import Synchronization

/// Changes of a collection as they are sent, and the revision up to which they tell.
struct WatchChunk: Sendable {
    let bytes: [UInt8]
    let cursor: Int64
}

/// The newest chunks of watches that show objects as they are stored: what a thousand watches send next is put together once.
///
/// Holds at most `chunksMax` chunks of at most `bytesMax` bytes; beyond, the oldest go.
final class WatchChunks: Sendable {
    /// What a chunk depends on.
    struct Place: Equatable, Sendable {
        let collection: String
        let groupVersion: String
        /// Of the names that are shown.
        let prefix: String
        /// The watch has told everything up to here.
        let after: Int64
        /// Newest revision of the store when the chunk was asked for: later, more may belong to it.
        let newest: Int64

        // The numbers tell nearly all apart.
        static func == (left: Place, right: Place) -> Bool {
            left.after == right.after && left.newest == right.newest && left.collection == right.collection && left.prefix == right.prefix
                && left.groupVersion == right.groupVersion
        }
    }

    private static let chunksMax = 8
    private static let bytesMax = 512 << 10
    /// The newest last.
    private let kept = Mutex<[(place: Place, chunk: WatchChunk)]>([])

    func chunk(at place: Place) -> WatchChunk? { kept.withLock { $0.last { $0.place == place }?.chunk } }

    func keep(_ chunk: WatchChunk, at place: Place) {
        guard chunk.bytes.count <= Self.bytesMax else { return }
        kept.withLock { kept in
            if kept.count == Self.chunksMax { kept.removeFirst() }
            kept.append((place, chunk))
        }
    }
}
