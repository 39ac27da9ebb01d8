import NIOCore
import NIOTLS

/// A new connection over TLS until its handshake is over; then it speaks what both ends chose: HTTP/2 where the client offers it, else
/// HTTP/1.1.
final class ProtocolChoice: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    /// As TLS names it (RFC 9113, section 3.2).
    static let http2 = "h2"
    private let service: HTTPService
    private var timer: Scheduled<Void>?

    init(_ service: HTTPService) { self.service = service }

    func channelActive(context: ChannelHandlerContext) {
        guard service.load.admit(context.channel, service.limits) else { return context.close(promise: nil) }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: TimeAmount(service.limits.arrivalTimeout)) { bound.value.close(promise: nil) }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        service.load.forget(context.channel)
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let chosen)? = event as? TLSUserEvent { return goOn(context, chosen) }
        if event is HTTPServer.Drain { return context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    private func goOn(_ context: ChannelHandlerContext, _ chosen: String?) {
        timer?.cancel()
        let pipeline = context.pipeline.syncOperations
        do {
            if chosen == Self.http2 {
                // Its requests are bounded by their own number: its place in the order of handshakes ends here.
                context.triggerUserOutboundEvent(HandshakeTurn.Event.asked, promise: nil)
                context.triggerUserOutboundEvent(HandshakeTurn.Event.answered, promise: nil)
                try HTTP2Connection.add(to: pipeline, of: context.channel, service)
                // Streams are served at the end of a read, and of this one they may not be told: who had its place before leaves meanwhile.
                let channel = context.channel
                channel.eventLoop.execute { channel.pipeline.fireChannelReadComplete() }
            } else {
                try HTTPServer.addHTTP1(pipeline, service)
            }
            pipeline.removeHandler(self, promise: nil)
        } catch { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
