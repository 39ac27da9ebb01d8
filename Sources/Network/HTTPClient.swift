import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// What an exchange brings, in this order: one head, chunks as they arrive, then `end` or `failed`. `failed` may come at any time.
package enum HTTPExchangeEvent: Sendable {
    case head(status: Int, headers: HTTPHeaders)
    case chunk([UInt8])
    case end
    case failed(NetworkError)
}

/// One connection to a server over HTTP/1.1: requests one after the other, answers whole or in chunks as they come.
///
/// A connection that failed stays failed: connect again. Closed when the last reference goes.
package final class HTTPClient: Sendable {
    private let channel: any Channel
    private let name: String

    private init(channel: any Channel, name: String) {
        self.channel = channel
        self.name = name
    }

    deinit { channel.close(promise: nil) }

    /// Connects to a server.
    ///
    /// - Parameters:
    ///   - host: a name or an address, which the server's certificate must bear.
    ///   - tls: what is trusted, and the certificate that is shown (none where its chain is empty); nil speaks plain text.
    ///   - timeout: for the connection; the TLS handshake goes on with the first request.
    /// - Throws: `NetworkError` naming the address.
    package static func connect(host: String, port: Int, tls: TLSIdentity?, timeout: Duration = .seconds(10)) async throws -> HTTPClient {
        let name = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        let context = try tls.map { try TLSContexts.client($0) }
        let isAddress = (try? SocketAddress(ipAddress: host, port: port)) != nil
        let bootstrap = ClientBootstrap(group: NIOSingletons.posixEventLoopGroup)
            .connectTimeout(TimeAmount(timeout))
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let context {
                        // Names of certificates are sent to servers, addresses are not; both are checked against the certificate.
                        try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : host))
                    }
                    try pipeline.addHTTPClientHandlers(leftOverBytesStrategy: .dropBytes)
                    try pipeline.addHandler(HTTPExchangeHandler(server: name))
                }
            }
        do {
            return HTTPClient(channel: try await bootstrap.connect(host: host, port: port).get(), name: name)
        } catch {
            throw NetworkError("cannot connect to \(name): \(error); check the address and that the server runs")
        }
    }

    /// Sends a request; its answer comes as events, on the connection's thread, so `receive` must be quick.
    ///
    /// To be called again only after `end`.
    package func exchange(_ request: HTTPRequest, _ receive: @escaping @Sendable (HTTPExchangeEvent) -> Void) {
        channel.write(HTTPExchangeHandler.Order(request: request, receive: receive)).whenFailure { error in
            receive(.failed(NetworkError("the connection to \(self.name) is gone: \(error)")))
        }
    }

    /// Sends a request and gathers its answer.
    ///
    /// - Parameter bodyBytesMax: a longer answer is an error, and ends the connection.
    /// - Throws: `NetworkError`; `CancellationError`, which ends the connection too.
    package func send(_ request: HTTPRequest, bodyBytesMax: Int = 64 << 20) async throws -> HTTPResponse {
        let answer = Answer()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                exchange(request) { [self] event in
                    switch event {
                    case .head(let status, let headers): answer.parts.withLock { ($0.status, $0.headers) = (status, headers) }
                    case .chunk(let bytes):
                        let byteCount = answer.parts.withLock { parts in
                            parts.body += bytes
                            return parts.body.count
                        }
                        if byteCount > bodyBytesMax { close() }
                    case .end:
                        let parts = answer.parts.withLock { $0 }
                        continuation.resume(returning: HTTPResponse(status: parts.status, headers: parts.headers, body: .bytes(parts.body)))
                    case .failed(let error): continuation.resume(throwing: Task.isCancelled ? CancellationError() : error)
                    }
                }
            }
        } onCancel: {
            close()
        }
    }

    /// Ends the connection, and an exchange on it with `failed`.
    package func close() { channel.close(promise: nil) }

    /// What has come of an answer.
    private final class Answer: Sendable {
        struct Parts {
            var status = 0
            var headers = HTTPHeaders()
            var body: [UInt8] = []
        }
        let parts = Mutex(Parts())
    }
}

/// One request at a time: writes it, hands on what comes back.
private final class HTTPExchangeHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundIn = Order
    typealias OutboundOut = HTTPClientRequestPart

    struct Order: Sendable {
        let request: HTTPRequest
        let receive: @Sendable (HTTPExchangeEvent) -> Void
    }

    private let server: String
    private var receive: (@Sendable (HTTPExchangeEvent) -> Void)?
    private var failure: String?

    init(server: String) { self.server = server }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let order = unwrapOutboundIn(data)
        guard context.channel.isActive else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        precondition(receive == nil, "a second request before the first one's answer has ended")
        receive = order.receive
        let request = order.request
        var headers = NIOHTTP1.HTTPHeaders()
        for (name, value) in request.headers.fields { headers.add(name: name, value: value) }
        if !headers.contains(name: "Host") { headers.add(name: "Host", value: server) }
        if !request.body.isEmpty || ["POST", "PUT", "PATCH"].contains(request.method) {
            headers.replaceOrAdd(name: "Content-Length", value: String(request.body.count))
        }
        let target = request.query.isEmpty ? request.path : "\(request.path)?\(request.query)"
        let head = HTTPRequestHead(version: .http1_1, method: HTTPMethod(rawValue: request.method), uri: target, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !request.body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(bytes: request.body)))), promise: nil)
        }
        // Its failure is told by `channelInactive`, once.
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        promise?.succeed()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            // 100 Continue and its like precede the answer.
            guard head.status.code >= 200 || head.status == .switchingProtocols else { return }
            var headers = HTTPHeaders()
            for (name, value) in head.headers { headers.add(name, value) }
            receive?(.head(status: Int(head.status.code), headers: headers))
        case .body(let buffer): receive?(.chunk(Array(buffer: buffer)))
        case .end:
            let done = receive
            receive = nil
            done?(.end)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failure = failure ?? "\(error)"
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        let pending = receive
        receive = nil
        pending?(.failed(NetworkError("the connection to \(server) ended before its answer: \(failure ?? "closed by the peer")")))
        context.fireChannelInactive()
    }
}
