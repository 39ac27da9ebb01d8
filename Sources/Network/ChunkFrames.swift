import NIOCore
import Synchronization

/// Chunks of streamed bodies as they stand on the wire (RFC 9112, section 7.1): what one stream after the other sends is framed once. Those
/// of HTTP/2 are bare: each stream frames its own.
///
/// Holds one frame of at most `keptBytesMax` bytes.
final class ChunkFrames: Sendable {
    private static let keptBytesMax = 512 << 10
    private let last = Mutex<(bytes: [UInt8], frame: ByteBuffer)?>(nil)
    private let isBare: Bool

    init(isBare: Bool = false) { self.isBare = isBare }

    /// The chunk that holds these bytes.
    ///
    /// - Precondition: there are some: an empty chunk would end the body.
    func frame(_ bytes: [UInt8]) -> ByteBuffer {
        precondition(!bytes.isEmpty, "an empty chunk ends a body")
        if let frame = last.withLock({ last in last.flatMap { Self.areOne($0.bytes, bytes) ? $0.frame : nil } }) { return frame }
        var frame = ByteBufferAllocator().buffer(capacity: bytes.count + 16)
        if isBare {
            frame.writeBytes(bytes)
        } else {
            frame.writeString(String(bytes.count, radix: 16))
            frame.writeStaticString("\r\n")
            frame.writeBytes(bytes)
            frame.writeStaticString("\r\n")
        }
        if bytes.count <= Self.keptBytesMax { last.withLock { $0 = (bytes, frame) } }
        return frame
    }

    /// Whether both are the same array: it is held here, so nothing else can lie at its place.
    private static func areOne(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count
            && left.withUnsafeBufferPointer { left in right.withUnsafeBufferPointer { left.baseAddress == $0.baseAddress } }
    }
}
