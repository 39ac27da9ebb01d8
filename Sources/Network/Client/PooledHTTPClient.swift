import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// Asks one server by HTTP/1.1, over TLS or plain: connections are kept and used again, sizes and times are bounded.
package final class PooledHTTPClient: Sendable {
    /// A connection as other threads hold it.
    private struct Line: Sendable {
        let channel: any Channel
        let connection: NIOLoopBound<HTTPClientConnection>
    }

    private struct Pool {
        var idle: [Line] = []
        var open: [ObjectIdentifier: any Channel] = [:]
        /// Connections that are being made.
        var dialling = 0
        var isClosed = false
    }

    private let host: String
    private let port: Int
    private let serverName: String?
    private let context: NIOSSLContext?
    private let limits: HTTPClientLimits
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let pool = Mutex(Pool())

    /// - Parameters:
    ///   - host: a name or an address, without brackets.
    ///   - trust: nil speaks plain text.
    /// - Throws: `NetworkError` for a certificate or key that cannot be read.
    package init(host: String, port: Int, trust: TLSTrust?, limits: HTTPClientLimits = HTTPClientLimits()) throws {
        self.host = host
        self.port = port
        self.limits = limits
        context = try trust.map { try TLSContexts.client($0) }
        let name = trust.map { $0.serverName.isEmpty ? host : $0.serverName } ?? host
        // An address is no name to ask for; the certificate must then be for the address that was dialled.
        serverName = (try? SocketAddress(ipAddress: name, port: port)) == nil ? name : nil
    }

    /// Connections that are open, those at rest included.
    package var connectionCount: Int { pool.withLock { $0.open.count } }

    /// Closes every connection; requests in flight fail. To be called once, last.
    package func close() async {
        let open = pool.withLock { pool in
            pool.isClosed = true
            return Array(pool.open.values)
        }
        for channel in open { try? await channel.close() }
        try? await group.shutdownGracefully()
    }

    // MARK: Asking

    /// Sends a request and reads its answer whole.
    ///
    /// A read (GET, HEAD) that finds its kept connection closed is sent again on a new one; a write never is.
    package func send(_ request: HTTPRequest) async throws(HTTPClientError) -> HTTPAnswer {
        let times = HTTPClientConnection.Times(head: min(limits.headTimeout, limits.answerTimeout), whole: limits.answerTimeout)
        let (head, exchange) = try await begin(request, times)
        if let length = head.headers["content-length"].flatMap({ Int($0) }), length > limits.answerBytesMax {
            exchange.stop()
            throw tooLarge(length)
        }
        var body: [UInt8] = []
        while let chunk = try await exchange.next() {
            guard body.count + chunk.count <= limits.answerBytesMax else {
                exchange.stop()
                throw tooLarge(body.count + chunk.count)
            }
            body += chunk
        }
        return HTTPAnswer(status: head.status, headers: head.headers, body: body)
    }

    private func tooLarge(_ count: Int) -> HTTPClientError {
        HTTPClientError(.tooLarge, "the answer has at least \(count) bytes, at most \(limits.answerBytesMax) are read")
    }

    /// Sends a request and hands out its answer as it comes.
    ///
    /// - Parameter timeLimit: after so long the answer ends with `.timedOut`.
    package func open(_ request: HTTPRequest, timeLimit: Duration) async throws(HTTPClientError) -> HTTPAnswerStream {
        let (head, exchange) = try await begin(
            request, HTTPClientConnection.Times(head: min(limits.headTimeout, timeLimit), whole: timeLimit))
        return HTTPAnswerStream(head, exchange)
    }

    private func begin(
        _ request: HTTPRequest, _ times: HTTPClientConnection.Times
    ) async throws(HTTPClientError) -> (HTTPExchange.Head, HTTPExchange) {
        if let kept = takeIdle() {
            let exchange = HTTPExchange(bufferedBytesMax: limits.streamBytesMax)
            do throws(HTTPClientError) { return (try await ask(kept, request, exchange, times), exchange) } catch {
                guard error.code == .closedEarly, ["GET", "HEAD"].contains(request.method), !Task.isCancelled else { throw error }
            }
        }
        let exchange = HTTPExchange(bufferedBytesMax: limits.streamBytesMax)
        return (try await ask(try await dial(), request, exchange, times), exchange)
    }

    private func ask(
        _ line: Line, _ request: HTTPRequest, _ exchange: HTTPExchange, _ times: HTTPClientConnection.Times
    ) async throws(HTTPClientError) -> HTTPExchange.Head {
        line.channel.eventLoop.execute { line.connection.value.begin(request, exchange, times) }
        return try await exchange.head()
    }

    // MARK: Connections

    private func takeIdle() -> Line? {
        pool.withLock { pool in
            while let line = pool.idle.popLast() { if line.channel.isActive { return line } }
            return nil
        }
    }

    private func rest(_ line: Line) {
        pool.withLock { pool in if pool.open[ObjectIdentifier(line.channel)] != nil { pool.idle.append(line) } }
    }

    private func forget(_ channel: any Channel) {
        pool.withLock { pool in
            pool.open[ObjectIdentifier(channel)] = nil
            pool.idle.removeAll { $0.channel === channel }
        }
    }

    private func dial() async throws(HTTPClientError) -> Line {
        let refusal = pool.withLock { pool -> String? in
            if pool.isClosed { return "the client has been closed" }
            guard pool.open.count + pool.dialling < self.limits.connectionsMax else {
                return "\(self.limits.connectionsMax) connections to \(self.host):\(self.port) are in use"
            }
            pool.dialling += 1
            return nil
        }
        if let refusal { throw HTTPClientError(.busy, refusal) }
        let dialled = Mutex<Line?>(nil)
        do {
            let channel = try await withTaskCancellationHandler {
                try await bootstrap { line in dialled.withLock { $0 = line } }.connect(host: host, port: port).get()
            } onCancel: {
                dialled.withLock { $0 }?.channel.close(promise: nil)
            }
            pool.withLock { pool in
                pool.dialling -= 1
                pool.open[ObjectIdentifier(channel)] = channel
            }
            channel.closeFuture.whenComplete { [weak self] _ in self?.forget(channel) }
            // Set before the connection was begun.
            return dialled.withLock { $0 }!
        } catch {
            pool.withLock { $0.dialling -= 1 }
            if Task.isCancelled { throw .cancelled }
            throw HTTPClientError(.unreachable, "cannot connect to \(host):\(port): \(error)")
        }
    }

    private func bootstrap(_ made: @escaping @Sendable (Line) -> Void) -> ClientBootstrap {
        let rest: @Sendable (Line) -> Void = { [weak self] line in self?.rest(line) }
        return ClientBootstrap(group: group)
            .connectTimeout(TimeAmount(limits.connectTimeout))
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelInitializer { [context, serverName, limits] channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let context { try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: serverName)) }
                    try pipeline.addHTTPClientHandlers()
                    let connection = HTTPClientConnection(idleTimeout: limits.idleTimeout) { connection in
                        rest(Line(channel: channel, connection: NIOLoopBound(connection, eventLoop: channel.eventLoop)))
                    }
                    try pipeline.addHandler(connection)
                    made(Line(channel: channel, connection: NIOLoopBound(connection, eventLoop: channel.eventLoop)))
                }
            }
    }
}

extension TLSContexts {
    static func client(_ trust: TLSTrust) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        precondition(!trust.isUnverified || trust.chainPEM.isEmpty, "no certificate is shown to a server that is not known")
        if trust.isUnverified { configuration.certificateVerification = .none }
        do {
            if !trust.trustedPEM.isEmpty {
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(trust.trustedPEM.utf8)))
            }
        } catch { throw NetworkError("the certificate of the server's authority cannot be read as PEM: \(error)") }
        do {
            if !trust.chainPEM.isEmpty {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMBytes(Array(trust.chainPEM.utf8)).map { .certificate($0) }
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: Array(trust.keyPEM.utf8), format: .pem))
            }
            return try NIOSSLContext(configuration: configuration)
        } catch { throw NetworkError("the client's certificate or key cannot be used: \(error)") }
    }
}
