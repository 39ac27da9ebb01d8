import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Asks one server, over TLS or plain: connections are kept and used again, sizes and times are bounded. By HTTP/1.1, or where that is wanted
/// (`HTTPClientLimits.streamsPerConnectionMax`) and the server speaks it by HTTP/2.
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
        var trust: (given: TLSTrust, end: TLSClientEnd, shared: TLSClientEnd?)?
        var open: [ObjectIdentifier: any Channel] = [:]
        /// Connections that are being made.
        var dialling = 0
        var isClosed = false
        /// Counts what `trust` was; a connection of an older one is not used again.
        var generation = 0
        /// Connections of HTTP/2 that take requests, or are being made, by numbers of ours.
        var shared: [Int: Shared] = [:]
        var sharedCount = 0
        /// A server that was offered HTTP/2 has chosen the other.
        var isOldFashioned = false
    }

    /// A connection of HTTP/2; its requests wait for it together.
    private struct Shared {
        /// Nil: the server speaks HTTP/1.1.
        let line: EventLoopFuture<HTTP2ClientLine?>
        var streams: Int
    }

    private let host: String
    private let port: Int
    /// Host and port, as the header `Host` has them.
    private let name: String
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
        name = Self.name(host, port)
        self.limits = limits
        socketPath = nil
        renewedTrust = nil
        if let trust { try take(trust) }
    }

    /// A client of a server that listens on a socket of the file system, in plain text.
    package init(socket path: String, limits: HTTPClientLimits = HTTPClientLimits()) {
        (host, port, socketPath) = ("localhost", 0, path)
        name = Self.name(host, port)
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
        name = Self.name(host, port)
        self.limits = limits
        socketPath = nil
        renewedTrust = trust
        try take(try trust())
    }

    private static func name(_ host: String, _ port: Int) -> String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// What later connections trust and show; those at rest were made with something else.
    private func take(_ trust: TLSTrust) throws {
        let end = try TLSClientEnd(trust, host: host)
        let sharedEnd = limits.streamsPerConnectionMax > 0 ? try TLSClientEnd(trust, host: host, offersHTTP2: true) : nil
        let (rested, old) = pool.withLock { pool in
            pool.trust = (trust, end, sharedEnd)
            pool.generation += 1
            defer { (pool.idle, pool.shared) = ([], [:]) }
            return (pool.idle, pool.shared.values.map(\.line))
        }
        for line in rested { line.channel.close(promise: nil) }
        for line in old { line.whenSuccess { $0?.connection.value.end() } }
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
        let (head, exchange) = try await begin(request, times, isWhole: true)
        if let length = head.length, length > limits.answerBytesMax {
            exchange.stop()
            throw tooLarge(length)
        }
        var body: [UInt8] = []
        while let chunk = try await exchange.next() {
            guard body.count + chunk.count <= limits.answerBytesMax else {
                exchange.stop()
                throw tooLarge(body.count + chunk.count)
            }
            if body.isEmpty { body = chunk } else { body += chunk }
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

    /// - Parameter isWhole: returns when the answer has ended, or more is to come than may wait.
    private func begin(
        _ request: HTTPRequest, _ times: HTTPClientConnection.Times, isWhole: Bool = false, _ sink: (@Sendable ([UInt8]?) -> Void)? = nil
    ) async throws(HTTPClientError) -> (HTTPExchange.Head, HTTPExchange) {
        renewTrust()
        let request = named(request)
        if let begun = try await beginShared(request, times, isWhole: isWhole, sink) { return begun }
        // What is followed begins on a connection of its own: its end is told once.
        if sink == nil, let kept = takeIdle() {
            let exchange = HTTPExchange(bufferedBytesMax: limits.streamBytesMax)
            do throws(HTTPClientError) { return (try await ask(kept, request, exchange, times, isWhole: isWhole), exchange) } catch {
                guard error.code == .closedEarly, ["GET", "HEAD"].contains(request.method), !Task.isCancelled else { throw error }
            }
        }
        let exchange = HTTPExchange(bufferedBytesMax: limits.streamBytesMax, sink: sink)
        return (try await ask(try await dial(), request, exchange, times, isWhole: isWhole), exchange)
    }

    /// The request with the header `Host`, which HTTP/1.1 demands.
    private func named(_ request: HTTPRequest) -> HTTPRequest {
        guard request.headers["host"] == nil else { return request }
        var request = request
        request.headers.add("Host", name)
        return request
    }

    private func ask(
        _ line: Line, _ request: HTTPRequest, _ exchange: HTTPExchange, _ times: HTTPClientConnection.Times, isWhole: Bool
    ) async throws(HTTPClientError) -> HTTPExchange.Head {
        line.channel.eventLoop.execute { line.connection.value.begin(request, exchange, times) }
        return try await exchange.head(isWhole: isWhole)
    }

    // MARK: Connections that are shared

    /// - Returns: nil where HTTP/1.1 is spoken.
    private func beginShared(
        _ request: HTTPRequest, _ times: HTTPClientConnection.Times, isWhole: Bool, _ sink: (@Sendable ([UInt8]?) -> Void)?
    ) async throws(HTTPClientError) -> (HTTPExchange.Head, HTTPExchange)? {
        while let (number, shared, isNew) = try share() {
            guard let line = try await line(shared, number) else { return nil }
            let exchange = HTTPExchange(bufferedBytesMax: limits.streamBytesMax, sink: sink)
            line.begin(request, exchange, times) { [weak self] in self?.left(number) }
            do throws(HTTPClientError) { return (try await exchange.head(isWhole: isWhole), exchange) } catch {
                // As with a connection that was kept: it may have ended before it was known.
                guard error.code == .closedEarly, !isNew, sink == nil, ["GET", "HEAD"].contains(request.method), !Task.isCancelled
                else { throw error }
            }
        }
        return nil
    }

    /// A place on a connection; one that is made if there is none.
    private func share() throws(HTTPClientError) -> (number: Int, line: EventLoopFuture<HTTP2ClientLine?>, isNew: Bool)? {
        let loop = NIOSingletons.posixEventLoopGroup.next()
        enum Place {
            case none, there(Int, EventLoopFuture<HTTP2ClientLine?>), wanted(Int, EventLoopPromise<HTTP2ClientLine?>, TLSClientEnd)
        }
        let found = pool.withLock { pool -> Result<Place, HTTPClientError> in
            guard let end = pool.trust?.shared, !pool.isOldFashioned else { return .success(.none) }
            if pool.isClosed { return .failure(HTTPClientError(.busy, "the client has been closed")) }
            if let (number, shared) = pool.shared.first(where: { $0.value.streams < self.limits.streamsPerConnectionMax }) {
                pool.shared[number]!.streams += 1
                return .success(.there(number, shared.line))
            }
            guard pool.open.count + pool.dialling < self.limits.connectionsMax else {
                return .failure(HTTPClientError(.busy, "\(self.limits.connectionsMax) connections to \(self.place) are in use"))
            }
            pool.dialling += 1
            pool.sharedCount += 1
            let promise = loop.makePromise(of: HTTP2ClientLine?.self)
            pool.shared[pool.sharedCount] = Shared(line: promise.futureResult, streams: 1)
            return .success(.wanted(pool.sharedCount, promise, end))
        }
        switch try found.get() {
        case .none: return nil
        case .there(let number, let line): return (number, line, false)
        case .wanted(let number, let promise, let end):
            dialShared(number, promise, end)
            return (number, promise.futureResult, true)
        }
    }

    private func line(_ shared: EventLoopFuture<HTTP2ClientLine?>, _ number: Int) async throws(HTTPClientError) -> HTTP2ClientLine? {
        do {
            guard let line = try await shared.get() else {
                left(number)
                return nil
            }
            return line
        } catch {
            left(number)
            throw error as? HTTPClientError ?? HTTPClientError(.unreachable, "cannot connect to \(place): \(error)")
        }
    }

    private func left(_ number: Int) { pool.withLock { $0.shared[number]?.streams -= 1 } }

    private func dialShared(_ number: Int, _ made: EventLoopPromise<HTTP2ClientLine?>, _ end: TLSClientEnd) {
        let loop = made.futureResult.eventLoop
        let place = place
        let ended: @Sendable () -> Void = { [weak self] in self?.pool.withLock { $0.shared[number] = nil } }
        made.futureResult.whenFailure { _ in ended() }
        let bootstrap = ClientBootstrap(group: loop).connectTimeout(TimeAmount(limits.connectTimeout))
            .channelOption(.socketOption(.tcp_nodelay), value: 1).channelOption(.socketOption(.so_keepalive), value: 1)
            .channelInitializer { [limits] channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.keepFromChildren()
                    try pipeline.addHandler(end.handler())
                    try pipeline.addHandler(
                        ClientProtocolChoice(timeout: limits.headTimeout, made) { pipeline in
                            try HTTP2ClientConnection.add(to: pipeline, of: channel, limits, ended: ended)
                        })
                }
            }
        bootstrap.connect(host: host, port: port).whenComplete { [weak self] result in
            guard let self else { return }
            self.pool.withLock { $0.dialling -= 1 }
            switch result {
            case .success(let channel):
                let isLate = self.pool.withLock { pool in
                    pool.open[ObjectIdentifier(channel)] = channel
                    return pool.isClosed
                }
                if isLate { channel.close(promise: nil) }
                channel.closeFuture.whenComplete { [weak self] _ in self?.forget(channel) }
            case .failure(let error): made.fail(HTTPClientError(.unreachable, "cannot connect to \(place): \(error)"))
            }
        }
        made.futureResult.whenSuccess { [weak self] line in
            if line == nil { self?.pool.withLock { ($0.isOldFashioned, $0.shared[number]) = (true, nil) } }
        }
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
