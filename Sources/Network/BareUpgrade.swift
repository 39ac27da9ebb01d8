import NIOCore
import NIOHTTP1
import NIOWebSocket
import Synchronization

/// A connection whose request asked for another protocol than WebSockets: its bytes go to the peer as they come, in binary messages of any
/// length, and the peer's messages go out as they are.
final class BareConnection: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    /// What a `WebSocket` writes; of a frame its data alone goes out.
    typealias OutboundIn = WebSocketFrame
    typealias OutboundOut = ByteBuffer

    private let peer: any WebSocketPeer
    private let limits: WebSocketLimits
    private let load: HTTPServer.Load
    private var isClosing = false

    init(peer: any WebSocketPeer, limits: WebSocketLimits, load: HTTPServer.Load) {
        self.peer = peer
        self.limits = limits
        self.load = load
    }

    func handlerAdded(context: ChannelHandlerContext) {
        peer.opened(WebSocket(channel: context.channel, limits: limits, isMasked: false))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing else { return }
        var bytes = unwrapInboundIn(data)
        while let part = bytes.readBytes(length: min(bytes.readableBytes, limits.messageBytesMax)), !part.isEmpty {
            peer.received(.binary(part))
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        context.write(wrapOutboundOut(unwrapOutboundIn(data).data), promise: promise)
    }

    func channelInactive(context: ChannelHandlerContext) {
        let id = ObjectIdentifier(context.channel)
        load.counts.withLock { _ = $0.connections.removeValue(forKey: id) }
        peer.closed(code: isClosing ? 1000 : 1006)
        context.fireChannelInactive()
    }

    /// Ends the connection once what was written is with the system. What is still on its way from the peer is dropped for a moment, so that
    /// our last words are not lost to a reset.
    private func close(_ context: ChannelHandlerContext) {
        guard !isClosing else { return }
        isClosing = true
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in bound.value.close(mode: .output, promise: nil) }
        context.eventLoop.scheduleTask(in: TimeAmount(limits.goodbyeTimeout)) { bound.value.close(promise: nil) }
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard event is WebSocketConnection.Goodbye else { return context.triggerUserOutboundEvent(event, promise: promise) }
        close(context)
        promise?.succeed()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is HTTPServer.Drain { close(context) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// The way from a request to a connection of bare bytes.
enum BareUpgrade {
    static func isAsked(_ head: HTTPRequestHead, _ name: String) -> Bool {
        head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
            && head.headers[canonicalForm: "upgrade"].contains { $0.lowercased() == name.lowercased() }
    }

    /// Answers and hands the connection over; the handlers of HTTP go, the decoder last: what it has read beyond the request is the peer's.
    ///
    /// - Parameter answer: sends the answer with these headers, or for nil a refusal: the request asked for something else.
    static func perform(
        _ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ name: String, _ connection: BareConnection,
        answer: (NIOHTTP1.HTTPHeaders?) -> Void
    ) {
        guard isAsked(head, name) else { return answer(nil) }
        let channel = context.channel
        answer(["Connection": "Upgrade", "Upgrade": name])
        let pipeline = channel.pipeline.syncOperations
        for name in HTTPServer.handlersOfHTTP { pipeline.removeHandler(name: name).whenFailure { _ in channel.close(promise: nil) } }
        do { try pipeline.addHandler(connection) } catch { return channel.close(promise: nil) }
        pipeline.removeHandler(name: HTTPServer.decoderOfHTTP).whenFailure { _ in channel.close(promise: nil) }
    }
}
