import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Opens WebSockets to one server, over TLS or plain, on one thread of its own.
package final class WebSocketClient: Sendable {
    /// Bytes that the other end has not confirmed for so long end the connection: on a path that swallows them the system would go on for a
    /// quarter of an hour, with pauses of minutes, and not notice for as long that the path is there again.
    package static let unansweredMax: Duration = .seconds(7)

    private let host: String
    private let port: Int
    private let trust: @Sendable () -> TLSTrust?
    private let limits: WebSocketLimits
    private let connectTimeout: Duration
    private let handshakeTimeout: Duration
    private let isPatient: Bool
    private let group: MultiThreadedEventLoopGroup
    private let ownsGroup: Bool

    /// - Parameters:
    ///   - host: a name or an address, without brackets.
    ///   - trust: asked before each connection, so that renewed certificates are shown; nil speaks plain text.
    ///   - handshakeTimeout: for TLS and the server's answer, behind the connection.
    ///   - isPatient: when many come at once a server of ours lets others go first; to be given a longer time.
    package init(
        host: String, port: Int, limits: WebSocketLimits = WebSocketLimits(), connectTimeout: Duration = .seconds(5),
        handshakeTimeout: Duration = .seconds(20), isPatient: Bool = false, trust: @escaping @Sendable () -> TLSTrust?
    ) {
        self.host = host
        self.port = port
        self.limits = limits
        self.connectTimeout = connectTimeout
        self.handshakeTimeout = handshakeTimeout
        self.isPatient = isPatient
        self.trust = trust
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        ownsGroup = true
    }

    private init(_ other: WebSocketClient, trust: @escaping @Sendable () -> TLSTrust?) {
        (host, port, limits) = (other.host, other.port, other.limits)
        (connectTimeout, handshakeTimeout, isPatient) = (other.connectTimeout, other.handshakeTimeout, other.isPatient)
        group = other.group
        ownsGroup = false
        self.trust = trust
    }

    /// A client of the same server on the same thread that shows something else. It lives as long as this one is open.
    package func showing(_ trust: @escaping @Sendable () -> TLSTrust?) -> WebSocketClient { WebSocketClient(self, trust: trust) }

    /// Ends the thread. To be called once, when every WebSocket is closed.
    package func close() async { if ownsGroup { try? await group.shutdownGracefully() } }

    /// Connects, and hands what comes to the peer from then on; `opened` is called before this returns.
    ///
    /// - Throws: `.unreachable`, `.untrusted`, `.timedOut`, `.cancelled`; `.busy` with the seconds asked for when the server answers 429 or 503,
    ///   `.malformed` for every other answer that is no WebSocket.
    package func connect(path: String, headers: HTTPHeaders = [:], _ peer: any WebSocketPeer) async throws(HTTPClientError) {
        let end: TLSClientEnd?
        do { end = try trust().map { try TLSClientEnd($0, host: host, isPatient: isPatient) } } catch {
            throw HTTPClientError(.untrusted, "\(error)")
        }
        let opened = Mutex<(any Channel)?>(nil)
        do {
            let answer = try await withTaskCancellationHandler {
                try await dial(path, headers, peer, end) { channel in opened.withLock { $0 = channel } }
            } onCancel: {
                opened.withLock { $0 }?.close(promise: nil)
            }
            if case .refused(let answer) = answer { throw try await answer.get() }
        } catch let error as HTTPClientError {
            throw error
        } catch {
            if Task.isCancelled { throw .cancelled }
            throw Self.explained(error, "\(host):\(port)")
        }
    }

    /// What becomes of a request for a WebSocket.
    private enum Outcome: Sendable {
        case opened
        /// The answer is read once the handler of the upgrade is gone.
        case refused(EventLoopFuture<HTTPClientError>)
    }

    private func dial(
        _ path: String, _ headers: HTTPHeaders, _ peer: any WebSocketPeer, _ end: TLSClientEnd?,
        made: @escaping @Sendable (any Channel) -> Void
    ) async throws -> Outcome {
        var fields = NIOHTTP1.HTTPHeaders([("Host", host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)")])
        for (field, value) in headers.fields { fields.add(name: field, value: value) }
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: path, headers: fields)
        let limits = limits
        let upgrade = try await ClientBootstrap(group: group)
            .connectTimeout(TimeAmount(connectTimeout))
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .keepUnansweredAtMost(Self.unansweredMax)
            .connect(host: host, port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    made(channel)
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.keepFromChildren()
                    if let end { try pipeline.addHandler(end.handler()) }
                    let upgrader = NIOTypedWebSocketClientUpgrader<Outcome>(
                        maxFrameSize: limits.messageBytesMax, enableAutomaticErrorHandling: false,
                        upgradePipelineHandler: { channel, _ in
                            channel.eventLoop.makeCompletedFuture {
                                try channel.pipeline.syncOperations.addHandler(
                                    WebSocketConnection(peer: peer, limits: limits, side: .client))
                                return .opened
                            }
                        })
                    let configuration = NIOTypedHTTPClientUpgradeConfiguration<Outcome>(
                        upgradeRequestHead: head, upgraders: [upgrader],
                        notUpgradingCompletionHandler: { channel in
                            channel.eventLoop.makeCompletedFuture {
                                let promise = channel.eventLoop.makePromise(of: HTTPClientError.self)
                                try channel.pipeline.syncOperations.addHandler(WebSocketRefusal(promise))
                                return .refused(promise.futureResult)
                            }
                        })
                    return try pipeline.configureUpgradableHTTPClientPipeline(configuration: .init(upgradeConfiguration: configuration))
                }
            }
        return try await settled(upgrade)
    }

    private func settled(_ upgrade: EventLoopFuture<Outcome>) async throws -> Outcome {
        let loop = upgrade.eventLoop
        let promise = loop.makePromise(of: Outcome.self)
        let isDone = NIOLoopBoundBox.makeBoxSendingValue(false, eventLoop: loop)
        upgrade.whenComplete { result in
            guard !isDone.value else { return }
            isDone.value = true
            promise.completeWith(result)
        }
        let timeout = handshakeTimeout
        let timer = loop.scheduleTask(in: TimeAmount(timeout)) {
            guard !isDone.value else { return }
            isDone.value = true
            promise.fail(HTTPClientError(.timedOut, "no WebSocket within \(timeout)"))
        }
        defer { timer.cancel() }
        return try await promise.futureResult.get()
    }

    private static func explained(_ error: any Error, _ server: String) -> HTTPClientError {
        switch error {
        case let error as HTTPClientError: error
        case let error as NIOSSLExtraError:
            HTTPClientError(.untrusted, "the certificate of \(server) is not for this address: \(error)")
        case NIOSSLError.handshakeFailed(let reason): HTTPClientError(.untrusted, "no trust between \(server) and this client: \(reason)")
        case let error as NIOSSLError: HTTPClientError(.untrusted, "TLS with \(server): \(error)")
        case let error as BoringSSLError: HTTPClientError(.untrusted, "TLS with \(server): \(error)")
        case let error as HTTPParserError: HTTPClientError(.malformed, "the answer of \(server) is no HTTP/1.1: \(error)")
        default: HTTPClientError(.unreachable, "cannot connect to \(server): \(error)")
        }
    }
}

extension ClientBootstrap {
    /// Ends a connection whose bytes stay unconfirmed for longer, where the system can.
    fileprivate func keepUnansweredAtMost(_ time: Duration) -> ClientBootstrap {
        #if os(Linux)
            channelOption(
                .socket(SocketOptionLevel(IPPROTO_TCP), SocketOptionName(TCP_USER_TIMEOUT)),
                value: SocketOptionValue(time / .milliseconds(1)))
        #else
            self
        #endif
    }
}

/// Reads the head of an answer that is no WebSocket, and the beginning of its body.
private final class WebSocketRefusal: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    /// Bytes of a refusal's body that are read.
    private static let bodyBytesMax = 4096
    private let promise: EventLoopPromise<HTTPClientError>
    private var head: HTTPResponseHead?
    private var body: [UInt8] = []
    private var isDone = false

    init(_ promise: EventLoopPromise<HTTPClientError>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body(let part): body += part.readableBytesView.prefix(max(0, Self.bodyBytesMax - body.count))
        case .end: finish(context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) { finish(context) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { finish(context) }

    private func finish(_ context: ChannelHandlerContext) {
        guard !isDone else { return }
        isDone = true
        context.close(promise: nil)
        guard let head else { return promise.succeed(HTTPClientError(.closedEarly, "the server closed the connection before it answered")) }
        let text = String(decoding: body.prefix(300), as: UTF8.self).map { $0.asciiValue.map { $0 < 0x20 } ?? false ? " " : $0 }
        var error = HTTPClientError(
            [429, 503].contains(head.status.code) ? .busy : .malformed,
            "the server opens no WebSocket (\(head.status.code)): \(String(text))")
        error.status = Int(head.status.code)
        error.retryAfterSeconds = head.headers.first(name: "retry-after").flatMap { Int($0) }.map { max(0, min($0, 3600)) } ?? 0
        promise.succeed(error)
    }
}
