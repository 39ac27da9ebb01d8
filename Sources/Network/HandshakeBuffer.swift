import NIOCore

/// Has a TLS connection go on in a fresh buffer once its handshake is over.
///
/// NIOSSL writes into one buffer of 16 KiB for as long as nobody else holds it. The handshake's certificates and tickets are several kilobytes, what
/// follows is often a few bytes: of thousands of connections each would keep pages that are never written again. Held here until the
/// next write, the buffers of the handshake are left behind, and serve the next connection's.
final class HandshakeBuffer: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Writes of the handshake: its flight, and the tickets.
    private static let writesMax = 2
    private var held: ByteBuffer?
    private var writeCount = 0
    private var isLeaving = false

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        writeCount += 1
        held = writeCount <= Self.writesMax ? unwrapOutboundIn(data) : nil
        context.write(data, promise: promise)
    }

    func flush(context: ChannelHandlerContext) {
        context.flush()
        // Not sooner: what was written is flushed by way of this handler's place.
        guard writeCount > Self.writesMax, !isLeaving else { return }
        isLeaving = true
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }
}
