import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// HTTP/2 and HTTP/1.1 over TLS on one port: keep-alive, streams with back-pressure, limits, an orderly end.
package final class HTTPServer: Sendable {
    /// Connections and requests of the moment.
    final class Load: Sendable {
        struct Counts {
            var connections: [ObjectIdentifier: any Channel] = [:]
            /// Streams of all connections of HTTP/2.
            var streams = 0
            var requests = 0
            var isDraining = false
        }
        let counts = Mutex(Counts())

        /// Takes a connection up into the count.
        ///
        /// - Returns: false for one too many, and while the server ends.
        func admit(_ channel: any Channel, _ limits: HTTPLimits) -> Bool {
            counts.withLock { counts in
                guard !counts.isDraining, counts.connections.count < limits.connectionsMax else { return false }
                counts.connections[ObjectIdentifier(channel)] = channel
                return true
            }
        }

        func forget(_ channel: any Channel) {
            let id = ObjectIdentifier(channel)
            counts.withLock { _ = $0.connections.removeValue(forKey: id) }
        }
    }

    /// Tells connections to end after what they are at.
    struct Drain: Sendable {}

    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel
    private let load: Load
    /// Where connections over TLS wait; nil without TLS.
    private let vestibule: Vestibule?
    /// The port that listens; the one that was asked for unless that was 0.
    package let port: Int

    private init(group: MultiThreadedEventLoopGroup, channel: any Channel, load: Load, vestibule: Vestibule?) {
        self.group = group
        self.channel = channel
        self.load = load
        self.vestibule = vestibule
        port = channel.localAddress?.port ?? 0
    }

    /// Listens and serves until `stop`.
    ///
    /// - Parameters:
    ///   - port: 0 lets the system choose.
    ///   - tls: nil serves plain text, for tests on loopback.
    /// - Throws: `NetworkError` naming the address when it cannot be used, or the certificate when it cannot be read.
    package static func start(
        host: String, port: Int, tls: TLSIdentity?, limits: HTTPLimits = HTTPLimits(), responder: any HTTPResponder
    ) async throws -> HTTPServer {
        let context = try tls.map { try TLSContexts.server($0) }
        do {
            return try await start(context, limits, responder) { bootstrap in
                try await bootstrap.serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                    .childChannelOption(.socketOption(.tcp_nodelay), value: 1).bind(host: host, port: port).get()
            }
        } catch {
            throw NetworkError("cannot listen on \(host):\(port): \(error); choose another address with --listen")
        }
    }

    /// Listens in plain text on a socket of the file system and serves until `stop`. Who may open it is decided by its folder, which must be
    /// closed to others; a socket that lies there from before is replaced.
    ///
    /// - Parameter path: at most 107 bytes, as the system has it.
    /// - Throws: `NetworkError` naming the path when it cannot be used.
    package static func start(socket path: String, limits: HTTPLimits = HTTPLimits(), responder: any HTTPResponder) async throws
        -> HTTPServer
    {
        do {
            return try await start(nil, limits, responder) { bootstrap in
                try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
            }
        } catch {
            throw NetworkError("cannot listen on the socket \(path): \(error)")
        }
    }

    private static func start(
        _ context: NIOSSLContext?, _ limits: HTTPLimits, _ responder: any HTTPResponder,
        _ bind: (ServerBootstrap) async throws -> any Channel
    ) async throws -> HTTPServer {
        let service = HTTPService(responder: responder, limits: limits, load: Load(), wakes: StreamWakes())
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: limits.backlog)
            // Connections over TLS are taken by the vestibule.
            .serverChannelOption(.autoRead, value: context == nil)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.keepFromChildren() }
            }
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.recvAllocator, value: UnkeptBuffers())
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.keepFromChildren()
                    try addHTTP1(channel.pipeline.syncOperations, service)
                }
            }
        do {
            let channel = try await bind(bootstrap)
            do {
                var vestibule: Vestibule?
                if let context { vestibule = try await Self.vestibule(before: channel, group, context, service) }
                return HTTPServer(group: group, channel: channel, load: service.load, vestibule: vestibule)
            } catch {
                try? await channel.close()
                throw error
            }
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// Has the connections that come to a listening channel wait before they are let in, where they become channels of the group.
    private static func vestibule(
        before channel: any Channel, _ group: MultiThreadedEventLoopGroup, _ context: NIOSSLContext, _ service: HTTPService
    ) async throws -> Vestibule {
        let listener = try await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
                fcntl($0, F_DUPFD_CLOEXEC, 0)
            }
        }.get()
        guard let listener, listener >= 0 else { throw NetworkError("the listening socket cannot be shared with a thread") }
        let turns = HandshakeTurns()
        return try Vestibule(listener: listener, service.limits, service.load) { socket, seat in
            _ = ClientBootstrap(group: group)
                .channelOption(.maxMessagesPerRead, value: 1)
                .channelOption(.recvAllocator, value: UnkeptBuffers())
                .channelOption(.allowRemoteHalfClosure, value: true)
                .channelOption(.socketOption(.tcp_nodelay), value: 1)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let pipeline = channel.pipeline.syncOperations
                        try pipeline.addHandler(HandshakeTurn(turns, context, seat))
                        try pipeline.addHandler(ProtocolChoice(service))
                    }
                }
                .withConnectedSocket(socket)
        }
    }

    /// Names of the handlers that go when a connection becomes a WebSocket, and of the decoder, which goes last.
    static let handlersOfHTTP = ["HTTP connection"]
    static let decoderOfHTTP = "HTTP decoder"

    /// Has a connection speak HTTP/1.1.
    static func addHTTP1(_ pipeline: ChannelPipeline.SynchronousOperations, _ service: HTTPService) throws {
        try pipeline.addHandler(OutboundGatherer())
        try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes)), name: decoderOfHTTP)
        try pipeline.addHandler(HTTPConnection(service), name: handlersOfHTTP[0])
    }

    /// Connections that are open.
    package var connectionCount: Int { load.counts.withLock { $0.connections.count } }

    /// Stops listening, ends streams, lets requests finish within `grace`, then closes what is left. To be called once.
    package func stop(grace: Duration = .seconds(10)) async {
        await vestibule?.close()
        try? await channel.close()
        let open = load.counts.withLock { counts in
            counts.isDraining = true
            return Array(counts.connections.values)
        }
        for connection in open { connection.pipeline.fireUserInboundEventTriggered(Drain()) }
        let deadline = ContinuousClock.now + grace
        while connectionCount > 0, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(5)) }
        for connection in load.counts.withLock({ Array($0.connections.values) }) { try? await connection.close() }
        // Answers that nobody waits for any more still come back to the connections' thread.
        let last = min(deadline, ContinuousClock.now + .seconds(1))
        while load.counts.withLock({ $0.requests }) > 0, ContinuousClock.now < last { try? await Task.sleep(for: .milliseconds(5)) }
        try? await group.shutdownGracefully()
    }
}

/// What a server's connections and streams share: one for all of them, however many there are.
final class HTTPService: Sendable {
    let responder: any HTTPResponder
    let limits: HTTPLimits
    let load: HTTPServer.Load
    let wakes: StreamWakes

    init(responder: any HTTPResponder, limits: HTTPLimits, load: HTTPServer.Load, wakes: StreamWakes) {
        (self.responder, self.limits, self.load, self.wakes) = (responder, limits, load, wakes)
    }
}

/// NIOSSL's contexts out of PEM.
enum TLSContexts {
    static func server(_ identity: TLSIdentity) throws -> NIOSSLContext {
        do {
            let chain = try NIOSSLCertificate.fromPEMBytes(Array(identity.chainPEM.utf8))
            let key = try NIOSSLPrivateKey(bytes: Array(identity.keyPEM.utf8), format: .pem)
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
            configuration.minimumTLSVersion = .tlsv12
            configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(identity.trustedPEM.utf8)))
            // Tokens are the other way in: a certificate is checked where one is shown.
            configuration.certificateVerification = .optionalVerification
            configuration.applicationProtocols = [ProtocolChoice.http2, "http/1.1"]
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw NetworkError("the server's certificate or key cannot be used: \(error)")
        }
    }
}
