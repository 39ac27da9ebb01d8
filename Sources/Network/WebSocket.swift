import NIOCore
import NIOHTTP1
import NIOWebSocket
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A whole message of a WebSocket.
package enum WebSocketMessage: Sendable, Equatable {
    case text(String)
    case binary([UInt8])
}

/// Bounds of WebSockets; beyond each the connection is closed with the code that RFC 6455 gives for it.
package struct WebSocketLimits: Sendable {
    /// Bytes of one frame and of the message that frames make; beyond: 1009.
    package var messageBytesMax = 1 << 20
    /// Frames of one message; beyond: 1009.
    package var framesMax = 1024
    /// Bytes that wait for a peer that does not read; beyond: 1013, and what waits is dropped.
    package var pendingBytesMax = 4 << 20
    /// How often a silent peer is asked whether it lives; one that has not answered by the next time is closed. Nil where
    /// those who talk over the socket ask each other.
    package var pingInterval: Duration? = .seconds(30)
    /// How long bytes may stay unconfirmed by the peer's system before the connection ends, where the system can tell; nil for as long as that goes
    /// on trying, a quarter of an hour.
    package var unconfirmedTimeout: Duration?
    /// How long an answer to a goodbye is waited for; then the connection is closed.
    package var goodbyeTimeout: Duration = .seconds(2)

    package init() {}
}

/// Which end of a WebSocket this is: clients mask what they send, servers do not.
enum WebSocketSide {
    /// The server's counts of connections.
    case server(HTTPServer.Load)
    case client

    var isClient: Bool { if case .client = self { true } else { false } }
}

/// What a program does with a WebSocket. All calls come from the connection's thread, in order, and must be quick.
package protocol WebSocketPeer: AnyObject, Sendable {
    /// Called once, before any message.
    func opened(_ socket: WebSocket)
    func received(_ message: WebSocketMessage)
    /// Called once, whoever ended it. The code is RFC 6455's, 1006 for a connection that broke.
    func closed(code: Int)
}

/// One end of an open WebSocket; may be used from any thread.
package final class WebSocket: Sendable {
    private let channel: any Channel
    private let limits: WebSocketLimits
    private let isMasked: Bool
    /// Bytes handed over and not yet written.
    private let pendingBytes = Atomic(0)
    /// Messages that are on their way to the connection's thread.
    private let comingCount = Atomic(0)

    init(channel: any Channel, limits: WebSocketLimits, isMasked: Bool) {
        self.channel = channel
        self.limits = limits
        self.isMasked = isMasked
    }

    /// Sends a message. Messages of callers that wait for each other, as by a lock, go in the order of their calls, whatever threads they are on.
    ///
    /// - Returns: false when it is not sent, because the socket is closed or is closed now for a peer that does not read.
    @discardableResult
    package func send(_ message: WebSocketMessage) -> Bool {
        guard channel.isActive else { return false }
        let count =
            switch message {
            case .text(let text): text.utf8.count
            case .binary(let bytes): bytes.count
            }
        guard pendingBytes.add(count, ordering: .relaxed).newValue <= limits.pendingBytesMax else {
            close(code: 1013)
            return false
        }
        write(frame(message)) { [self] in pendingBytes.subtract(count, ordering: .relaxed) }
        return true
    }

    /// The connection's own thread writes at once, all others have it written: without a look at what is on its way, a message of the first
    /// would overtake those of the others.
    private func write(_ frame: WebSocketFrame, done: @escaping @Sendable () -> Void) {
        if channel.eventLoop.inEventLoop, comingCount.load(ordering: .acquiring) == 0 {
            return channel.writeAndFlush(frame).whenComplete { _ in done() }
        }
        comingCount.add(1, ordering: .acquiringAndReleasing)
        later { [self] in
            channel.writeAndFlush(frame).whenComplete { _ in done() }
            comingCount.subtract(1, ordering: .releasing)
        }
    }

    private func frame(_ message: WebSocketMessage) -> WebSocketFrame {
        let mask = isMasked ? WebSocketMaskingKey.random() : nil
        return switch message {
        case .text(let text): WebSocketFrame(fin: true, opcode: .text, maskKey: mask, data: channel.allocator.buffer(string: text))
        case .binary(let bytes): WebSocketFrame(fin: true, opcode: .binary, maskKey: mask, data: channel.allocator.buffer(bytes: bytes))
        }
    }

    /// Sends a message and waits until it is in the hands of the system, so that a peer that reads slowly slows the sender down.
    ///
    /// - Returns: false when it is not sent, because the socket is closed.
    package func deliver(_ message: WebSocketMessage) async -> Bool {
        do {
            try await channel.writeAndFlush(frame(message))
            return true
        } catch { return false }
    }

    /// Whether anything is read from the peer. Off, a peer that goes on sending is held back by the connection; nothing is answered then,
    /// pings neither. Calls from several threads hold in their order.
    package func setReading(_ isReading: Bool) {
        later { [channel] in channel.setOption(.autoRead, value: isReading).whenFailure { _ in } }
    }

    /// Does something on the connection's thread, behind what that is doing now.
    func later(_ body: @escaping @Sendable () -> Void) { channel.eventLoop.execute(body) }

    /// Says goodbye and ends the connection.
    package func close(code: Int = 1000) {
        channel.triggerUserOutboundEvent(WebSocketConnection.Goodbye(code: code), promise: nil)
    }
}

/// The messages of one upgraded connection: whole ones to the peer, pings answered, broken rules closed with their code.
final class WebSocketConnection: ChannelDuplexHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    struct Goodbye: Sendable { let code: Int }

    private let peer: any WebSocketPeer
    private let limits: WebSocketLimits
    private let side: WebSocketSide
    /// Frames of the message that is on its way.
    private var parts: (isText: Bool, bytes: ByteBuffer, count: Int)?
    private var closeCode: Int?
    private var isAwaitingPong = false
    private var timer: RepeatedTask?

    init(peer: any WebSocketPeer, limits: WebSocketLimits, side: WebSocketSide) {
        self.peer = peer
        self.limits = limits
        self.side = side
    }

    private func frame(_ opcode: WebSocketOpcode, _ data: ByteBuffer) -> NIOAny {
        wrapOutboundOut(WebSocketFrame(fin: true, opcode: opcode, maskKey: side.isClient ? .random() : nil, data: data))
    }

    func handlerAdded(context: ChannelHandlerContext) {
        peer.opened(WebSocket(channel: context.channel, limits: limits, isMasked: side.isClient))
        limitUnconfirmed(context)
        guard let interval = limits.pingInterval.map({ TimeAmount($0) }) else { return }
        let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in connection.value.ping(bound.value) }
    }

    private func limitUnconfirmed(_ context: ChannelHandlerContext) {
        #if os(Linux)
            guard let time = limits.unconfirmedTimeout else { return }
            let option = ChannelOptions.Types.SocketOption(level: SocketOptionLevel(IPPROTO_TCP), name: SocketOptionName(TCP_USER_TIMEOUT))
            // A socket of another kind has nothing to confirm.
            context.channel.setOption(option, value: SocketOptionValue(time / .milliseconds(1))).whenFailure { _ in }
        #endif
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        if case .server(let load) = side {
            let id = ObjectIdentifier(context.channel)
            load.counts.withLock { _ = $0.connections.removeValue(forKey: id) }
        }
        peer.closed(code: closeCode ?? 1006)
        context.fireChannelInactive()
    }

    private func ping(_ context: ChannelHandlerContext) {
        guard !isAwaitingPong else { return close(context, 1011) }
        isAwaitingPong = true
        context.writeAndFlush(frame(.ping, ByteBuffer()), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        guard closeCode == nil else {
            // The peer's answer to our goodbye; anything else is dropped.
            if frame.opcode == .connectionClose { context.close(promise: nil) }
            return
        }
        // RFC 6455, section 5.1: a client masks everything it sends, a server nothing.
        guard (frame.maskKey != nil) != side.isClient, !frame.rsv1, !frame.rsv2, !frame.rsv3 else { return close(context, 1002) }
        if frame.opcode.isControlOpcode, !frame.fin || frame.length > 125 { return close(context, 1002) }
        isAwaitingPong = false
        let bytes = frame.unmaskedData
        switch frame.opcode {
        case .ping: context.writeAndFlush(self.frame(.pong, bytes), promise: nil)
        case .pong: break
        case .connectionClose: answerGoodbye(context, bytes)
        case .text, .binary:
            guard parts == nil else { return close(context, 1002) }
            gather(context, frame.opcode == .text, bytes, 1, isLast: frame.fin)
        case .continuation:
            guard let (isText, gathered, count) = parts else { return close(context, 1002) }
            parts = nil
            var before = gathered
            before.writeImmutableBuffer(bytes)
            gather(context, isText, before, count + 1, isLast: frame.fin)
        default: close(context, 1002)
        }
    }

    private func gather(_ context: ChannelHandlerContext, _ isText: Bool, _ bytes: ByteBuffer, _ count: Int, isLast: Bool) {
        guard bytes.readableBytes <= limits.messageBytesMax, count <= limits.framesMax else { return close(context, 1009) }
        guard isLast else { return parts = (isText, bytes, count) }
        guard isText else { return peer.received(.binary(Array(buffer: bytes))) }
        guard let text = String(validating: bytes.readableBytesView, as: UTF8.self) else { return close(context, 1007) }
        peer.received(.text(text))
    }

    private func answerGoodbye(_ context: ChannelHandlerContext, _ bytes: ByteBuffer) {
        let code = bytes.getInteger(at: bytes.readerIndex, as: UInt16.self).map(Int.init)
        let isLegal = code.map { (1000...1014).contains($0) && ![1004, 1005, 1006].contains($0) || (3000..<5000).contains($0) } ?? true
        close(context, isLegal && bytes.readableBytes != 1 ? code ?? 1000 : 1002, isAnswer: true)
    }

    /// Says goodbye. Our own is waited for to be answered, so that it is not lost to a reset by what the peer is still sending.
    private func close(_ context: ChannelHandlerContext, _ code: Int, isAnswer: Bool = false) {
        guard closeCode == nil else { return }
        closeCode = code
        var data = context.channel.allocator.buffer(capacity: 2)
        data.writeInteger(UInt16(code))
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        let done = context.writeAndFlush(frame(.connectionClose, data))
        if isAnswer { done.whenComplete { _ in bound.value.close(promise: nil) } }
        // A peer that neither reads nor answers is not waited for.
        context.eventLoop.scheduleTask(in: TimeAmount(limits.goodbyeTimeout)) { bound.value.close(promise: nil) }
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard let goodbye = event as? Goodbye else { return context.triggerUserOutboundEvent(event, promise: promise) }
        close(context, goodbye.code)
        promise?.succeed()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is HTTPServer.Drain { close(context, 1001) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error as? NIOWebSocketError {
        case .invalidFrameLength: close(context, 1009)
        case .some: close(context, 1002)
        case nil: context.close(promise: nil)
        }
    }
}

/// The way from a request to a WebSocket.
enum WebSocketUpgrade {
    /// Turns a connection whose request asked for it into a WebSocket; the request must have been answered by nothing yet.
    ///
    /// The handlers of HTTP go, the decoder last: what it has read beyond the request goes to the frames' decoder.
    ///
    /// - Parameter answer: sends the answer with these headers, or for nil a refusal: the request is no proper handshake.
    static func perform(
        _ context: ChannelHandlerContext, _ head: HTTPRequestHead, _ peer: any WebSocketPeer, _ limits: WebSocketLimits,
        _ load: HTTPServer.Load,
        answer: @escaping (NIOHTTP1.HTTPHeaders?) -> Void
    ) {
        let upgrader = upgrader(peer, limits, load)
        let channel = context.channel
        let bound = NIOLoopBound(answer, eventLoop: channel.eventLoop)
        upgrader.buildUpgradeResponse(channel: channel, upgradeRequest: head, initialResponseHeaders: [:]).whenComplete { result in
            guard case .success(let headers) = result, head.method == .GET, isAsked(head) else { return bound.value(nil) }
            bound.value(headers)
            let pipeline = channel.pipeline.syncOperations
            for name in HTTPServer.handlersOfHTTP { pipeline.removeHandler(name: name).whenFailure { _ in channel.close(promise: nil) } }
            upgrader.upgrade(channel: channel, upgradeRequest: head).whenComplete { result in
                guard case .success = result else { return channel.close(promise: nil) }
                channel.pipeline.syncOperations.removeHandler(name: HTTPServer.decoderOfHTTP).whenFailure { _ in
                    channel.close(promise: nil)
                }
            }
        }
    }

    static func isAsked(_ head: HTTPRequestHead) -> Bool {
        head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
            && head.headers[canonicalForm: "upgrade"].contains { $0.lowercased() == "websocket" }
    }

    private static func upgrader(
        _ peer: any WebSocketPeer, _ limits: WebSocketLimits, _ load: HTTPServer.Load
    ) -> NIOTypedWebSocketServerUpgrader<Void> {
        NIOTypedWebSocketServerUpgrader(
            maxFrameSize: limits.messageBytesMax, enableAutomaticErrorHandling: false,
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture([:]) },
            upgradePipelineHandler: { channel, _ in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(WebSocketConnection(peer: peer, limits: limits, side: .server(load)))
                }
            })
    }
}
