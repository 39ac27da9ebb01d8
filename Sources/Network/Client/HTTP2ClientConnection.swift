import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOSSL
import NIOTLS

/// One connection of a client whose server speaks HTTP/2: carries many requests at a time, each as `HTTPClientConnection` on a stream.
///
///     open ─server says goodbye, or it is old→ no new requests ─last stream ended→ closed
///       └──── nothing asked for a while ─────────────────────────────────────────┘
final class HTTP2ClientConnection: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    /// What may come of a stream before it is taken, and of all together.
    private static let windowBytes = (stream: 1 << 20, connection: 16 << 20)
    private static let headerBytesMax = 64 << 10

    private let limits: HTTPClientLimits
    private let ended: @Sendable () -> Void
    private var context: ChannelHandlerContext?
    private var streamCount = 0
    private var isEnding = false
    private var timer: Scheduled<Void>?
    /// The server has not answered the last ping.
    private var isPingOpen = false

    private init(_ limits: HTTPClientLimits, ended: @escaping @Sendable () -> Void) {
        self.limits = limits
        self.ended = ended
    }

    /// Has a connection speak HTTP/2; its handshake is over.
    ///
    /// - Parameter ended: called once no request is to be begun on it any more.
    /// - Returns: where requests begin.
    static func add(
        to pipeline: ChannelPipeline.SynchronousOperations, of channel: any Channel, _ limits: HTTPClientLimits,
        ended: @escaping @Sendable () -> Void
    ) throws -> HTTP2ClientLine {
        var settings = NIOHTTP2Handler.ConnectionConfiguration()
        settings.initialSettings = [
            HTTP2Setting(parameter: .enablePush, value: 0), HTTP2Setting(parameter: .maxHeaderListSize, value: headerBytesMax),
            HTTP2Setting(parameter: .initialWindowSize, value: windowBytes.stream),
        ]
        settings.targetWindowSize = windowBytes.connection
        // Servers ping and end streams as they like; each of these costs next to nothing.
        settings.controlFrameRateLimit.maximumCount = 1000
        var streams = NIOHTTP2Handler.StreamConfiguration()
        streams.targetWindowSize = windowBytes.stream
        streams.streamResetFrameRateLimit.maximumCount = 1000
        let handler = NIOHTTP2Handler(
            mode: .client, eventLoop: channel.eventLoop, connectionConfiguration: settings, streamConfiguration: streams
        ) { stream in stream.close() }
        let connection = HTTP2ClientConnection(limits, ended: ended)
        try pipeline.addHandler(OutboundGatherer())
        try pipeline.addHandler(handler)
        try pipeline.addHandler(connection)
        return HTTP2ClientLine(
            channel: channel, multiplexer: try handler.syncMultiplexer(),
            connection: NIOLoopBound(connection, eventLoop: channel.eventLoop))
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        rest()
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    private func rest() {
        guard let context else { return }
        timer?.cancel()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: TimeAmount(limits.idleTimeout)) { bound.value.close(promise: nil) }
    }

    fileprivate func began() {
        streamCount += 1
        if streamCount == 1 { ask() }
    }

    /// Asks every now and then whether the server is there still: requests that wait for one that has gone would never end, and those after
    /// them would wait with them.
    private func ask() {
        guard let context else { return }
        timer?.cancel()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: TimeAmount(limits.silenceTimeout)) { bound.value.ping() }
    }

    private func ping() {
        guard let context else { return }
        // Nothing of the last time has come since.
        if isPingOpen { return context.close(promise: nil) }
        isPingOpen = true
        let ping = HTTP2Frame(streamID: .rootStream, payload: .ping(HTTP2PingData(), ack: false))
        context.writeAndFlush(wrapOutboundOut(ping), promise: nil)
        ask()
    }

    fileprivate func streamEnded() {
        streamCount -= 1
        guard streamCount == 0 else { return }
        if isEnding { context?.close(promise: nil) } else { rest() }
    }

    /// Begins no more requests; closed with the last of its streams.
    func end() {
        guard !isEnding else { return }
        isEnding = true
        ended()
        if streamCount == 0 { context?.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data).payload {
        case .goAway: end()
        case .ping(_, ack: true): isPingOpen = false
        default: break
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        isEnding = true
        ended()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if !HTTP2Connection.isOfOneStream(error) { context.close(promise: nil) }
    }
}

/// A connection of HTTP/2 as other threads hold it.
struct HTTP2ClientLine: Sendable {
    let channel: any Channel
    fileprivate let multiplexer: NIOHTTP2Handler.StreamMultiplexer
    let connection: NIOLoopBound<HTTP2ClientConnection>

    fileprivate init(
        channel: any Channel, multiplexer: NIOHTTP2Handler.StreamMultiplexer, connection: NIOLoopBound<HTTP2ClientConnection>
    ) {
        (self.channel, self.multiplexer, self.connection) = (channel, multiplexer, connection)
    }

    /// Sends a request on a stream of its own. What becomes of it is told by the exchange.
    ///
    /// - Parameter ended: called once the stream is gone, or was never there.
    func begin(
        _ request: HTTPRequest, _ exchange: HTTPExchange, _ times: HTTPClientConnection.Times, ended: @escaping @Sendable () -> Void
    ) {
        channel.eventLoop.execute {
            guard channel.isActive else {
                exchange.finish(.failure(HTTPClientError(.closedEarly, "the connection was closed before the request was sent")))
                return ended()
            }
            connection.value.began()
            let made = channel.eventLoop.makePromise(of: (any Channel).self)
            multiplexer.createStreamChannel(promise: made) { stream in
                stream.eventLoop.makeCompletedFuture {
                    let pipeline = stream.pipeline.syncOperations
                    try pipeline.addHandler(HTTP2FramePayloadToHTTP1ClientCodec(httpProtocol: .https))
                    try pipeline.addHandler(HTTPClientConnection())
                    stream.closeFuture.whenComplete { _ in
                        connection.value.streamEnded()
                        ended()
                    }
                }
            }
            made.futureResult.whenComplete { result in
                do {
                    let stream = try result.get().pipeline.syncOperations.handler(type: HTTPClientConnection.self)
                    stream.begin(request, exchange, times)
                } catch { exchange.finish(.failure(HTTPClientError(.closedEarly, "no stream for the request: \(error)"))) }
            }
        }
    }
}

/// A client's new connection that offers HTTP/2, until its handshake is over; closed where the server chooses the other.
final class ClientProtocolChoice: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    private let timeout: Duration
    private let made: EventLoopPromise<HTTP2ClientLine?>
    private let goOn: (ChannelPipeline.SynchronousOperations) throws -> HTTP2ClientLine
    private var timer: Scheduled<Void>?

    /// - Parameters:
    ///   - made: kept with what `goOn` gives, or nil where the server speaks HTTP/1.1 only.
    ///   - goOn: adds what speaks HTTP/2.
    init(
        timeout: Duration, _ made: EventLoopPromise<HTTP2ClientLine?>,
        goOn: @escaping (ChannelPipeline.SynchronousOperations) throws -> HTTP2ClientLine
    ) {
        self.timeout = timeout
        self.made = made
        self.goOn = goOn
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: TimeAmount(timeout)) { [made, timeout] in
            made.fail(HTTPClientError(.timedOut, "no handshake within \(timeout)"))
            bound.value.close(promise: nil)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let name)? = event as? TLSUserEvent else { return context.fireUserInboundEventTriggered(event) }
        timer?.cancel()
        guard name == ProtocolChoice.http2 else {
            made.succeed(nil)
            return context.close(promise: nil)
        }
        do {
            let pipeline = context.pipeline.syncOperations
            let line = try goOn(pipeline)
            pipeline.removeHandler(self, promise: nil)
            made.succeed(line)
        } catch { fail(context, error) }
    }

    private func fail(_ context: ChannelHandlerContext, _ error: any Error) {
        timer?.cancel()
        made.fail(HTTPClientConnection.explained(error))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(context, HTTPClientError(.closedEarly, "the server closed the connection before the handshake was over"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(context, error) }
}
