import NIOCore

/// Makes one piece of what is written until it is flushed: a head, a body and its end become one TLS record and one packet instead of three.
///
/// Large pieces are handed on as they are, so that nothing large is copied. Of a connection with many streams, what those write that are served
/// together is one piece too.
final class OutboundGatherer: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Pieces from this size on are handed on by themselves, and what has gathered is handed on beyond it: the most that fits one TLS record.
    private static let bytesMax = 16 << 10
    /// Bytes that are flushed at once, whoever is being served: those that are not don't count with `isWritable`. With the piece that reaches it less
    /// than 64 KiB, since NIOSSL encrypts what is flushed together into one buffer that is a power of two and stays with its connection.
    private static let unflushedBytesMax = 46 << 10
    /// Of a connection with many streams.
    private let wakes: StreamWakes?
    private var gathered: ByteBuffer?
    private var promises: [EventLoopPromise<Void>] = []
    private var unflushedBytes = 0
    private var isFlushDue = false
    private var isGone = false

    init(_ wakes: StreamWakes? = nil) { self.wakes = wakes }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var piece = unwrapOutboundIn(data)
        unflushedBytes += piece.readableBytes
        if (gathered?.readableBytes ?? 0) + piece.readableBytes > Self.bytesMax { handOn(context) }
        if piece.readableBytes >= Self.bytesMax { return context.write(wrapOutboundOut(piece), promise: promise) }
        if let promise { promises.append(promise) }
        guard piece.readableBytes > 0 || gathered == nil else { return }
        if gathered == nil {
            gathered = piece
        } else {
            // Of the streams that are served together this is the second at least: more will come.
            if isFlushDue { gathered?.reserveCapacity(Self.bytesMax) }
            gathered?.writeBuffer(&piece)
        }
    }

    private func handOn(_ context: ChannelHandlerContext) {
        guard let buffer = gathered else { return }
        gathered = nil
        let waiting = promises
        promises = []
        guard let first = waiting.first else { return context.write(wrapOutboundOut(buffer), promise: nil) }
        for promise in waiting.dropFirst() { first.futureResult.cascade(to: promise) }
        context.write(wrapOutboundOut(buffer), promise: first)
    }

    func flush(context: ChannelHandlerContext) {
        guard let wakes, unflushedBytes < Self.unflushedBytesMax else { return flushNow(context) }
        if isFlushDue { return }
        let gatherer = NIOLoopBound(self, eventLoop: context.eventLoop)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        isFlushDue = wakes.flushesLater { gatherer.value.flushIfDue(bound.value) }
        if !isFlushDue { flushNow(context) }
    }

    private func flushIfDue(_ context: ChannelHandlerContext) {
        if isFlushDue, !isGone { flushNow(context) }
    }

    private func flushNow(_ context: ChannelHandlerContext) {
        isFlushDue = false
        unflushedBytes = 0
        handOn(context)
        context.flush()
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        // As without this: what was not flushed is handed on, to be failed with the connection.
        handOn(context)
        context.close(mode: mode, promise: promise)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        isGone = true
        gathered = nil
        for promise in promises { promise.fail(ChannelError.ioOnClosedChannel) }
        promises = []
    }
}
