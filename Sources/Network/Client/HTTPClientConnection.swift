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
    /// When what the connection is at has taken too long.
    private var deadline = NIODeadline.distantFuture
    /// One at most, which looks at the deadline when its time has come: to set one for each step of a request costs as much as to read its
    /// answer.
    private var timer: (task: Scheduled<Void>, due: NIODeadline)?
    /// Of the request that is under way, and when its answer must have ended.
    private var times = Times(head: .zero, whole: .zero)
    private var end = NIODeadline.distantFuture
    /// An exchange has more than may wait.
    private var isReadingStopped = false
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
        let now = NIODeadline.now()
        self.times = times
        end = now + TimeAmount(times.whole)
        limit(context, at: now + TimeAmount(times.head))
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
        if !request.body.isEmpty || request.method == "POST" || request.method == "PUT" || request.method == "PATCH" {
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

    /// What the connection is at is to be over by then.
    private func limit(_ context: ChannelHandlerContext, at deadline: NIODeadline) {
        self.deadline = deadline
        if timer.map({ $0.due > deadline }) ?? true { wake(context, at: deadline) }
    }

    private func wake(_ context: ChannelHandlerContext, at due: NIODeadline) {
        timer?.task.cancel()
        let connection = NIOLoopBound(self, eventLoop: context.eventLoop)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = (context.eventLoop.scheduleTask(deadline: due) { connection.value.lookAtDeadline(bound.value) }, due)
    }

    private func lookAtDeadline(_ context: ChannelHandlerContext) {
        timer = nil
        if deadline > .now() { return wake(context, at: deadline) }
        switch state {
        case .idle: context.close(promise: nil)
        case .asking: fail(context, HTTPClientError(.timedOut, "no answer within \(times.head)"))
        case .answering: fail(context, HTTPClientError(.timedOut, "the answer did not end in time"))
        case .closed: break
        }
    }

    private func endTimer() {
        timer?.task.cancel()
        timer = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (unwrapInboundIn(data), state) {
        // 100 Continue and its like announce the answer.
        case (.head(let head), .asking) where (100..<200).contains(head.status.code): break
        case (.head(let head), .asking(let exchange)):
            state = .answering(exchange, isKept: head.isKeepAlive)
            limit(context, at: end)
            var headers = HTTPHeaders()
            for (name, value) in head.headers { headers.add(name, value) }
            exchange.received(HTTPExchange.Head(status: Int(head.status.code), headers: headers))
        case (.body(let part), .answering(let exchange, _)):
            if part.readableBytes > 0, exchange.received(Array(buffer: part)) {
                isReadingStopped = true
                context.channel.setOption(.autoRead, value: false).whenFailure { _ in }
            }
        case (.end, .answering(let exchange, let isKept)):
            finish(context, exchange, isKept: isKept)
        default: fail(context, HTTPClientError(.malformed, "an answer to no request"))
        }
    }

    private func finish(_ context: ChannelHandlerContext, _ exchange: HTTPExchange, isKept: Bool) {
        // Told last: who asks again at once finds this connection at rest.
        defer { exchange.finish(.success(())) }
        guard let idleTimeout else {
            endTimer()
            return state = .closed
        }
        guard isKept, !isUploading, context.channel.isActive else {
            endTimer()
            state = .closed
            return context.close(promise: nil)
        }
        state = .idle
        // Reading may rest for the sake of the answer that has just ended.
        if isReadingStopped {
            isReadingStopped = false
            context.channel.setOption(.autoRead, value: true).whenFailure { _ in }
        }
        limit(context, at: .now() + TimeAmount(idleTimeout))
        becameIdle(self)
    }

    private func fail(_ context: ChannelHandlerContext, _ error: HTTPClientError) {
        endTimer()
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
