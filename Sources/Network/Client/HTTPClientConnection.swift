import NIOCore
import NIOHTTP1
import NIOSSL

/// One connection of a client: one request at a time. Of HTTP/2 one stream, for one request.
///
///     idle ─begin→ asking ─head→ answering ─end→ idle, or closed
///                     └────── error, time, close ──► closed
final class HTTPClientConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private enum State {
        case idle
        case asking(HTTPExchange)
        case answering(HTTPExchange, isKept: Bool)
        case closed
    }

    /// Times of one request, from its sending.
    struct Times: Sendable {
        let head: Duration
        let whole: Duration
    }

    /// Nil for a stream, which goes with its answer.
    private let idleTimeout: Duration?
    private let becameIdle: @Sendable (HTTPClientConnection) -> Void
    private var context: ChannelHandlerContext?
    private var state = State.idle
    /// Why the connection ended while nobody asked anything: the handshake.
    private var failure: HTTPClientError?
    private var timer: Scheduled<Void>?
    private var end: NIODeadline?
    /// The request's body has not ended.
    private var isUploading = false

    /// - Parameter becameIdle: called when the connection can take the next request.
    init(idleTimeout: Duration, becameIdle: @escaping @Sendable (HTTPClientConnection) -> Void) {
        self.idleTimeout = idleTimeout
        self.becameIdle = becameIdle
    }

    /// For a stream of HTTP/2.
    init() {
        idleTimeout = nil
        becameIdle = { _ in }
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// Sends a request. On the connection's thread.
    ///
    /// - Parameter isUpload: its body follows by `send` and `endUpload`.
    func begin(_ request: HTTPRequest, _ exchange: HTTPExchange, _ times: Times, isUpload: Bool = false) {
        guard case .idle = state, let context, context.channel.isActive else {
            let unsent = HTTPClientError(.closedEarly, "the connection was closed before the request was sent")
            return exchange.finish(.failure(failure ?? unsent))
        }
        guard exchange.begin(on: context.channel) else {
            if idleTimeout == nil { context.close(promise: nil) }
            return becameIdle(self)
        }
        state = .asking(exchange)
        end = .now() + TimeAmount(times.whole)
        limit(context, times.head, "no answer within \(times.head)")
        var head = HTTPRequestHead(
            version: .http1_1, method: HTTPMethod(rawValue: request.method),
            uri: request.query.isEmpty ? request.path : "\(request.path)?\(request.query)")
        for (name, value) in request.headers.fields { head.headers.add(name: name, value: value) }
        if isUpload {
            isUploading = true
            head.headers.remove(name: "Content-Length")
            head.headers.replaceOrAdd(name: "Transfer-Encoding", value: "chunked")
            return context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
        }
        if !request.body.isEmpty || ["POST", "PUT", "PATCH"].contains(request.method) {
            head.headers.replaceOrAdd(name: "Content-Length", value: String(request.body.count))
        }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !request.body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: request.body)))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    /// Sends a piece of the body; the promise is kept when the system has taken it. On the connection's thread.
    func send(_ bytes: [UInt8], _ sent: EventLoopPromise<Void>) {
        guard isUploading, let context, context.channel.isActive else { return sent.fail(Self.notTaken) }
        context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: bytes)))), promise: sent)
    }

    /// The body has ended. On the connection's thread.
    func endUpload(_ sent: EventLoopPromise<Void>) {
        guard isUploading, let context, context.channel.isActive else { return sent.fail(Self.notTaken) }
        isUploading = false
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: sent)
    }

    private static let notTaken = HTTPClientError(.closedEarly, "the server has ended the connection before it took the whole body")

    private func limit(_ context: ChannelHandlerContext, _ time: Duration, _ text: String) {
        timer?.cancel()
        let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: TimeAmount(time)) {
            connection.value.fail(bound.value, HTTPClientError(.timedOut, text))
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (unwrapInboundIn(data), state) {
        // 100 Continue and its like announce the answer.
        case (.head(let head), .asking) where (100..<200).contains(head.status.code): break
        case (.head(let head), .asking(let exchange)):
            state = .answering(exchange, isKept: head.isKeepAlive)
            if let end { limit(context, Duration(end - .now()), "the answer did not end in time") }
            var headers = HTTPHeaders()
            for (name, value) in head.headers { headers.add(name, value) }
            exchange.received(HTTPExchange.Head(status: Int(head.status.code), headers: headers))
        case (.body(let part), .answering(let exchange, _)):
            if part.readableBytes > 0, exchange.received(Array(buffer: part)) {
                context.channel.setOption(.autoRead, value: false).whenFailure { _ in }
            }
        case (.end, .answering(let exchange, let isKept)):
            finish(context, exchange, isKept: isKept)
        default: fail(context, HTTPClientError(.malformed, "an answer to no request"))
        }
    }

    private func finish(_ context: ChannelHandlerContext, _ exchange: HTTPExchange, isKept: Bool) {
        timer?.cancel()
        // Told last: who asks again at once finds this connection at rest.
        defer { exchange.finish(.success(())) }
        guard let idleTimeout else { return state = .closed }
        guard isKept, !isUploading, context.channel.isActive else {
            state = .closed
            return context.close(promise: nil)
        }
        state = .idle
        // Reading may rest for the sake of the answer that has just ended.
        context.channel.setOption(.autoRead, value: true).whenFailure { _ in }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: TimeAmount(idleTimeout)) { bound.value.close(promise: nil) }
        becameIdle(self)
    }

    private func fail(_ context: ChannelHandlerContext, _ error: HTTPClientError) {
        timer?.cancel()
        let was = state
        state = .closed
        switch was {
        case .asking(let exchange), .answering(let exchange, _): exchange.finish(.failure(error))
        case .idle: failure = error
        case .closed: break
        }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(context, HTTPClientError(.closedEarly, "the server closed the connection before its answer had ended"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(context, Self.explained(error)) }

    /// What an error on a connection means to who asked.
    static func explained(_ error: any Error) -> HTTPClientError {
        switch error {
        case let error as HTTPClientError: error
        case let error as NIOSSLExtraError:
            HTTPClientError(.untrusted, "the server's certificate is not for this address: \(error)")
        case NIOSSLError.handshakeFailed(let reason):
            HTTPClientError(.untrusted, "no trust between server and client: \(reason)")
        case NIOSSLError.uncleanShutdown:
            HTTPClientError(.closedEarly, "the server closed the connection before its answer had ended")
        case let error as NIOSSLError: HTTPClientError(.untrusted, "TLS: \(error)")
        case let error as BoringSSLError: HTTPClientError(.untrusted, "TLS: \(error)")
        case HTTPParserError.invalidEOFState:
            HTTPClientError(.closedEarly, "the server closed the connection before its answer had ended")
        case let error as HTTPParserError: HTTPClientError(.malformed, "the answer is no HTTP/1.1: \(error)")
        default: HTTPClientError(.closedEarly, "the connection broke: \(error)")
        }
    }
}

extension Duration {
    /// Of a NIO time.
    init(_ amount: TimeAmount) { self = .nanoseconds(max(0, amount.nanoseconds)) }
}
