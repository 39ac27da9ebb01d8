import NIOCore

/// What arrives on a connection of HTTP/2: counts its frames (`FrameRates`), and hands it on in a buffer of its own size.
///
/// NIOSSL decrypts into one buffer of 32 KiB for as long as nobody else holds it. The decoder of HTTP/2 holds what it was given last even when
/// it has read all of it: each connection would have two, most of it never used. Requests are small; what is larger is handed on as it is.
final class OwnReads: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let bytesMax = 2048
    private var rates: FrameRates
    /// Nothing more is handed on.
    private var isOver = false

    init(_ limits: HTTPStreamLimits) { rates = FrameRates(limits) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isOver { return }
        let bytes = unwrapInboundIn(data)
        if let excess = rates.take(bytes.readableBytesView, at: .nanoseconds(NIODeadline.now().uptimeNanoseconds)) {
            isOver = true
            return context.fireErrorCaught(excess)
        }
        guard bytes.readableBytes <= Self.bytesMax else { return context.fireChannelRead(data) }
        var own = context.channel.allocator.buffer(capacity: bytes.readableBytes)
        own.writeImmutableBuffer(bytes)
        context.fireChannelRead(wrapInboundOut(own))
    }
}
