import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Asks one server by HTTP/1.1, over TLS or plain: connections are kept and used again, sizes and times are bounded.
package final class PooledHTTPClient: Sendable {
    /// A connection as other threads hold it.
    private struct Line: Sendable {
        let channel: any Channel
        let connection: NIOLoopBound<HTTPClientConnection>
        let generation: Int
    }

    private struct Pool {
        var idle: [Line] = []
        /// What connections that are made now trust and show, as it was given and for connections; nil for plain text.
        var trust: (given: TLSTrust, end: TLSClientEnd)?
        var open: [ObjectIdentifier: any Channel] = [:]
        /// Connections that are being made.
        var dialling = 0
        var isClosed = false
        /// Counts what `trust` was; a connection of an older one is not used again.
        var generation = 0
    }

    private let host: String
    private let port: Int
    /// A socket of the file system in place of host and port.
    private let socketPath: String?
    private let renewedTrust: (@Sendable () throws -> TLSTrust)?
    private let limits: HTTPClientLimits
    private let pool = Mutex(Pool())

    /// - Parameters:
    ///   - host: a name or an address, without brackets.
    ///   - trust: nil speaks plain text.
    /// - Throws: `NetworkError` for a certificate or key that cannot be read.
    package init(host: String, port: Int, trust: TLSTrust?, limits: HTTPClientLimits = HTTPClientLimits()) throws {
        self.host = host
        self.port = port
        self.limits = limits
        socketPath = nil
        renewedTrust = nil
        if let trust { try take(trust) }
    }

    /// A client of a server that listens on a socket of the file system, in plain text.
    package init(socket path: String, limits: HTTPClientLimits = HTTPClientLimits()) {
        (host, port, socketPath) = ("localhost", 0, path)
        self.limits = limits
        renewedTrust = nil
    }

    /// A client of a server over TLS whose certificates may be renewed while it runs.
    ///
    /// - Parameter trust: asked here and before each request, so it must be quick. While it throws, or gives what cannot be read, the last
    ///   that could is kept; a connection that rests is closed once it was made with another.
    /// - Throws: what `trust` throws here; `NetworkError` for a certificate or key that cannot be read.
    package init(
        host: String, port: Int, limits: HTTPClientLimits = HTTPClientLimits(), renewing trust: @escaping @Sendable () throws -> TLSTrust
    ) throws {
        self.host = host
        self.port = port
        self.limits = limits
        socketPath = nil
        renewedTrust = trust
        try take(try trust())
    }

    /// What later connections trust and show; those at rest were made with something else.
    private func take(_ trust: TLSTrust) throws {
        let end = try TLSClientEnd(trust, host: host)
        let rested = pool.withLock { pool in
            pool.trust = (trust, end)
            pool.generation += 1
            defer { pool.idle = [] }
            return pool.idle
        }
        for line in rested { line.channel.close(promise: nil) }
    }

    private func renewTrust() {
        guard let renewedTrust, let new = try? renewedTrust(), pool.withLock({ $0.trust?.given != new }) else { return }
        // Written in two files, a certificate may be there before its key: then what was is kept until both are.
        try? take(new)
    }

    /// The server, for messages.
    private var place: String { socketPath ?? "\(host):\(port)" }

    /// Connections that are open, those at rest included.
    package var connectionCount: Int { pool.withLock { $0.open.count } }

    /// Closes every connection; requests in flight fail. To be called once, last.
    package func close() async {
        let open = pool.withLock { pool in
            pool.isClosed = true
            return Array(pool.open.values)
        }
        for channel in open { try? await channel.close() }
    }

    // MARK: Asking

    /// The status of one GET over TLS to whoever answers, whatever certificate is shown; the connection is closed behind it.
    ///
    /// - Parameters:
    ///   - target: path and query.
    ///   - timeout: for the whole.
    package static func statusFromAnybody(
        host: String, port: Int, target: String, headers: [(String, String)], timeout: Duration
    ) async throws -> Int {
        var trust = TLSTrust()
        trust.isUnverified = true
        var limits = HTTPClientLimits()
        (limits.connectTimeout, limits.headTimeout) = (min(timeout, limits.connectTimeout), timeout)
        let client = try PooledHTTPClient(host: host, port: port, trust: trust, limits: limits)
        var fields = HTTPHeaders()
        for (name, value) in headers { fields.add(name, value) }
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let request = HTTPRequest(method: "GET", path: parts[0], query: parts.count > 1 ? parts[1] : "", headers: fields)
        do {
            let answer = try await client.open(request, timeLimit: timeout)
            let status = answer.status
            answer.close()
            await client.close()
            return status
        } catch {
            await client.close()
            throw error
        }
    }

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

    /// Sends a request whose answer is taken as it comes, on the connection's thread: `receive` must be quick. Nil is the end.
    ///
    /// - Parameter timeLimit: after so long the answer ends.
    /// - Returns: the status, as soon as it is there, and what ends the answer before its time.
    package func follow(
        _ request: HTTPRequest, timeLimit: Duration, _ receive: @escaping @Sendable ([UInt8]?) -> Void
    ) async throws(HTTPClientError) -> (status: Int, stop: @Sendable () -> Void) {
        let (head, exchange) = try await begin(
            request, HTTPClientConnection.Times(head: min(limits.headTimeout, timeLimit), whole: timeLimit), receive)
        return (head.status, { exchange.stop() })
    }

    /// Sends a request whose body follows piece by piece, on a connection of its own; it is closed with the answer unless both have ended.
    ///
    /// - Parameter timeLimit: after so long the answer ends with `.timedOut`.
    package func upload(_ request: HTTPRequest, timeLimit: Duration) async throws(HTTPClientError) -> HTTPUpload {
        renewTrust()
        let request = named(request)
        let exchange = HTTPExchange(bufferedBytesMax: limits.streamBytesMax)
        let line = try await dial()
        let times = HTTPClientConnection.Times(head: timeLimit, whole: timeLimit)
        line.channel.eventLoop.execute { line.connection.value.begin(request, exchange, times, isUpload: true) }
        return HTTPUpload(channel: line.channel, connection: line.connection, exchange: exchange)
    }

    private func begin(
        _ request: HTTPRequest, _ times: HTTPClientConnection.Times, _ sink: (@Sendable ([UInt8]?) -> Void)? = nil
    ) async throws(HTTPClientError) -> (HTTPExchange.Head, HTTPExchange) {
        renewTrust()
        let request = named(request)
        // What is followed begins on a connection of its own: its end is told once.
        if sink == nil, let kept = takeIdle() {
            let exchange = HTTPExchange(bufferedBytesMax: limits.streamBytesMax)
            do throws(HTTPClientError) { return (try await ask(kept, request, exchange, times), exchange) } catch {
                guard error.code == .closedEarly, ["GET", "HEAD"].contains(request.method), !Task.isCancelled else { throw error }
            }
        }
        let exchange = HTTPExchange(bufferedBytesMax: limits.streamBytesMax, sink: sink)
        return (try await ask(try await dial(), request, exchange, times), exchange)
    }

    /// The request with the header `Host`, which HTTP/1.1 demands.
    private func named(_ request: HTTPRequest) -> HTTPRequest {
        guard request.headers["host"] == nil else { return request }
        var request = request
        request.headers.add("Host", host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)")
        return request
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
        let isOld = pool.withLock { pool in
            guard line.generation == pool.generation else { return true }
            if pool.open[ObjectIdentifier(line.channel)] != nil { pool.idle.append(line) }
            return false
        }
        if isOld { line.channel.close(promise: nil) }
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
                return "\(self.limits.connectionsMax) connections to \(self.place) are in use"
            }
            pool.dialling += 1
            return nil
        }
        if let refusal { throw HTTPClientError(.busy, refusal) }
        let dialled = Mutex<Line?>(nil)
        do {
            let channel = try await withTaskCancellationHandler {
                let bootstrap = bootstrap { line in dialled.withLock { $0 = line } }
                if let socketPath { return try await bootstrap.connect(unixDomainSocketPath: socketPath).get() }
                return try await bootstrap.channelOption(.socketOption(.tcp_nodelay), value: 1)
                    .channelOption(.socketOption(.so_keepalive), value: 1).connect(host: host, port: port).get()
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
            throw HTTPClientError(.unreachable, "cannot connect to \(place): \(error)")
        }
    }

    private func bootstrap(_ made: @escaping @Sendable (Line) -> Void) -> ClientBootstrap {
        let rest: @Sendable (Line) -> Void = { [weak self] line in self?.rest(line) }
        let (end, generation) = pool.withLock { ($0.trust?.end, $0.generation) }
        return ClientBootstrap(group: NIOSingletons.posixEventLoopGroup)
            .connectTimeout(TimeAmount(limits.connectTimeout))
            .channelInitializer { [limits] channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.keepFromChildren()
                    if let end { try pipeline.addHandler(end.handler()) }
                    try pipeline.addHandler(OutboundGatherer())
                    try pipeline.addHTTPClientHandlers()
                    @Sendable func line(_ connection: HTTPClientConnection) -> Line {
                        Line(
                            channel: channel, connection: NIOLoopBound(connection, eventLoop: channel.eventLoop), generation: generation)
                    }
                    let connection = HTTPClientConnection(idleTimeout: limits.idleTimeout) { rest(line($0)) }
                    try pipeline.addHandler(connection)
                    made(line(connection))
                }
            }
    }
}
