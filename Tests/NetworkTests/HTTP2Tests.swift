import Identity
import NIOCore
import NIOPosix
import NIOSSL
import Network
import Synchronization
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Answers by path: `/echo` the query and the body, `/peer` who asks, `/large` much text, `/stream` a stream that never ends, `/taken` how much came
/// of a body taken in parts, `/slow` when it is let go, `/upgrade` a WebSocket.
private final class Responder: HTTPResponder {
    let gate = Gate()
    let streams = Mutex<[EndlessStream]>([])
    let askedCount = Atomic(0)
    var hasOpenStreams: Bool { streams.withLock { $0.contains { !$0.isStopped.load(ordering: .relaxed) } } }

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        askedCount.add(1, ordering: .relaxed)
        switch request.path {
        case "/peer": return HTTPResponse(status: 200, body: .bytes(Array("\(request.certificate?.count ?? 0)".utf8)))
        case "/large": return HTTPResponse(status: 200, body: .bytes([UInt8](repeating: 0x61, count: 300_000)))
        case "/stream":
            let stream = EndlessStream()
            streams.withLock { $0.append(stream) }
            return HTTPResponse(status: 200, body: .stream(stream))
        case "/slow":
            await gate.pass()
            return HTTPResponse(status: 200, body: .bytes(Array("done".utf8)))
        case "/taken":
            var count = 0
            while let part = try? await request.incoming?.next() { count += part.count }
            return HTTPResponse(status: 200, body: .bytes(Array("\(count)".utf8)))
        case "/upgrade":
            var response = HTTPResponse(status: 101)
            response.upgrade = Nobody()
            return response
        default: return HTTPResponse(status: 200, headers: ["X-Query": request.query], body: .bytes(request.body))
        }
    }

    func takesInParts(path: String) -> Bool { path == "/taken" }
}

private final class Nobody: WebSocketPeer {
    func opened(_ socket: WebSocket) {}
    func received(_ message: WebSocketMessage) {}
    func closed(code: Int) {}
}

/// Lets all pass once it is open.
private final class Gate: Sendable {
    private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

    func pass() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}

/// Has always more to send; counts what was pulled from it.
private final class EndlessStream: HTTPBodyStream {
    static let chunk = [UInt8](repeating: 0x62, count: 8 << 10)
    let pulled = Atomic(0)
    let isStopped = Atomic(false)
    func start(wake: @escaping @Sendable () -> Void) {}
    func next() -> HTTPBodyStep {
        pulled.add(1, ordering: .relaxed)
        return .chunk(Self.chunk)
    }
    func stop() { isStopped.store(true, ordering: .relaxed) }
}

/// HTTP/2 as friends and enemies speak it.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct HTTP2Tests {
    private static func serving(_ limits: HTTPLimits = HTTPLimits()) async throws -> (HTTPServer, Responder, Authority) {
        let authority = try Authority.make(name: "test", now: Date())
        let issued = try authority.issueServer(names: ["localhost"], addresses: [[127, 0, 0, 1]], now: Date(), validFor: 3600)
        let identity = TLSIdentity(chainPEM: issued.certificatePEM, keyPEM: issued.keyPEM, trustedPEM: authority.certificatePEM)
        let responder = Responder()
        let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: identity, limits: limits, responder: responder)
        return (server, responder, authority)
    }

    private static func client(_ server: HTTPServer, _ authority: Authority, streams: Int = 100) throws -> PooledHTTPClient {
        let issued = try authority.issueUser(name: "somebody", groups: [], now: Date(), validFor: 3600)
        var trust = TLSTrust()
        trust.trustedPEM = authority.certificatePEM
        trust.chainPEM = issued.certificatePEM
        trust.keyPEM = issued.keyPEM
        var limits = HTTPClientLimits()
        limits.streamsPerConnectionMax = streams
        return try PooledHTTPClient(host: "127.0.0.1", port: server.port, trust: trust, limits: limits)
    }

    private func withServer(_ limits: HTTPLimits = HTTPLimits(), _ body: (HTTPServer, Responder, Authority) async throws -> Void)
        async throws
    {
        let (server, responder, authority) = try await Self.serving(limits)
        do { try await body(server, responder, authority) } catch {
            await server.stop(grace: .zero)
            throw error
        }
        responder.gate.open()
        await server.stop(grace: .milliseconds(500))
    }

    @Test func `many requests at once share a connection and its certificate, each with its own answer`() async throws {
        try await withServer { server, _, authority in
            let client = try Self.client(server, authority)
            let answers = try await withThrowingTaskGroup(of: (Int, HTTPAnswer).self) { group in
                for number in 0..<60 {
                    group.addTask {
                        let body = [UInt8](repeating: UInt8(number), count: number * 5_000)
                        let request = HTTPRequest(method: "POST", path: "/echo", query: "n=\(number)", body: body)
                        return (number, try await client.send(request))
                    }
                }
                return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            for number in 0..<60 {
                #expect(answers[number]?.headers["x-query"] == "n=\(number)")
                #expect(answers[number]?.body == [UInt8](repeating: UInt8(number), count: number * 5_000))
            }
            let peer = try await client.send(HTTPRequest(method: "GET", path: "/peer"))
            #expect(String(decoding: peer.body, as: UTF8.self) != "0")
            #expect(client.connectionCount == 1 && server.connectionCount == 1)
            let head = try await client.send(HTTPRequest(method: "HEAD", path: "/large"))
            #expect(head.headers["content-length"] == "300000" && head.body.isEmpty)
            await client.close()
        }
    }

    @Test func `a client that does not offer it is spoken to by HTTP one`() async throws {
        try await withServer { server, responder, authority in
            let client = try Self.client(server, authority, streams: 0)
            async let one = client.send(HTTPRequest(method: "GET", path: "/slow"))
            while server.connectionCount < 1 { try await Task.sleep(for: .milliseconds(5)) }
            let two = try await client.send(HTTPRequest(method: "GET", path: "/large"))
            #expect(two.body.count == 300_000 && client.connectionCount == 2)
            responder.gate.open()
            #expect(try await one.status == 200)
            await client.close()
        }
    }

    @Test func `a slow reader of one stream holds up neither the others nor the server's memory`() async throws {
        try await withServer { server, responder, _ in
            let client = try await FrameClient(port: server.port, settings: [(4, 20_000)])
            client.open(0, by: 1 << 20)
            client.get("/stream", on: 1)
            try await client.wait { $0.body(1).count == 20_000 }
            client.get("/large", on: 3)
            for _ in 0..<20 { client.open(3, by: 15_000) }
            try await client.wait { $0.hasEnded(3) }
            #expect(client.body(3).count == 300_000)
            #expect(client.body(1).count == 20_000)
            let stream = try #require(responder.streams.withLock { $0.first })
            let pulled = stream.pulled.load(ordering: .relaxed)
            #expect(pulled * EndlessStream.chunk.count < 200_000)
            client.open(1, by: 50_000)
            try await client.wait { $0.body(1).count == 70_000 }
            #expect(client.body(1).count == 70_000 && !stream.isStopped.load(ordering: .relaxed))
            client.send(.reset, on: 1, FrameClient.big(8))
            while !stream.isStopped.load(ordering: .relaxed) { try await Task.sleep(for: .milliseconds(5)) }
        }
    }

    @Test func `a body that is taken in parts is held back by its stream's window and goes on when it is taken`() async throws {
        try await withServer { server, _, authority in
            let client = try Self.client(server, authority)
            let body = [UInt8](repeating: 7, count: 2_000_000)
            let answer = try await client.send(HTTPRequest(method: "POST", path: "/taken", body: body))
            #expect(String(decoding: answer.body, as: UTF8.self) == "2000000")
            await client.close()
        }
    }

    @Test func `a thousand streams over a few connections are all served, and their number is bounded`() async throws {
        try await withServer { server, responder, authority in
            let client = try Self.client(server, authority, streams: 250)
            let stops = try await withThrowingTaskGroup(of: (@Sendable () -> Void).self) { group in
                for _ in 0..<1000 {
                    group.addTask {
                        try await client.follow(HTTPRequest(method: "GET", path: "/stream"), timeLimit: .seconds(600)) { _ in }.stop
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(client.connectionCount == 4 && stops.count == 1000)
            for stop in stops { stop() }
            while responder.hasOpenStreams {
                try await Task.sleep(for: .milliseconds(5))
            }
            await client.close()
        }
    }

    @Test func `more streams than may be open end the connection, and what was asked for is stopped`() async throws {
        var limits = HTTPLimits()
        limits.streams.perConnectionMax = 5
        try await withServer(limits) { server, responder, _ in
            let client = try await FrameClient(port: server.port)
            try await client.wait { $0.frames.contains { $0.kind == .settings } }
            for stream in 0..<6 { client.get("/stream", on: stream * 2 + 1) }
            try await client.wait { $0.isClosed }
            #expect(client.isClosed && client.goodbye != nil)
            while responder.hasOpenStreams { try await Task.sleep(for: .milliseconds(5)) }
            #expect(responder.askedCount.load(ordering: .relaxed) <= 5)
        }
    }

    @Test func `streams of all connections are bounded, and the one too many is told to come again`() async throws {
        var limits = HTTPLimits()
        limits.streams.totalMax = 4
        try await withServer(limits) { server, _, authority in
            let first = try Self.client(server, authority)
            for _ in 0..<4 { _ = try await first.follow(HTTPRequest(method: "GET", path: "/stream"), timeLimit: .seconds(600)) { _ in } }
            let second = try Self.client(server, authority)
            let refused = try await second.send(HTTPRequest(method: "GET", path: "/echo"))
            #expect(refused.status == 429 && refused.headers["retry-after"] == "1")
            await first.close()
            var answer = refused
            while answer.status == 429 { answer = try await second.send(HTTPRequest(method: "GET", path: "/echo")) }
            #expect(answer.status == 200)
            await second.close()
        }
    }

    @Test func `a body beyond the limit is refused by its length and by its bytes, and the connection goes on`() async throws {
        var limits = HTTPLimits()
        limits.bodyBytesMax = 1000
        limits.streams.bodyBytesMax = 1500
        try await withServer(limits) { server, _, _ in
            let client = try await FrameClient(port: server.port)
            client.send(.headers, 4, on: 1, FrameClient.head("POST", "/echo", [("content-length", "1001")]))
            client.send(.headers, 4, on: 3, FrameClient.head("POST", "/echo"))
            client.send(.data, on: 3, [UInt8](repeating: 1, count: 1001))
            try await client.wait { $0.hasEnded(1) && $0.hasEnded(3) }
            for stream in [1, 3] { #expect(String(decoding: client.body(stream), as: UTF8.self).contains("send less"), "stream \(stream)") }
            // Each is small enough, but not both together.
            client.send(.headers, 4, on: 5, FrameClient.head("POST", "/echo"))
            client.send(.data, on: 5, [UInt8](repeating: 1, count: 900))
            client.send(.headers, 4, on: 7, FrameClient.head("POST", "/echo"))
            client.send(.data, on: 7, [UInt8](repeating: 1, count: 900))
            try await client.wait { $0.hasEnded(7) }
            #expect(String(decoding: client.body(7), as: UTF8.self).contains("try again"))
            client.send(.data, 1, on: 5, [2])
            try await client.wait { $0.hasEnded(5) }
            #expect(client.body(5).count == 901)
            #expect(!client.isClosed)
        }
    }

    @Test func `a request that does not arrive whole in time is reset, the connection goes on`() async throws {
        var limits = HTTPLimits()
        limits.arrivalTimeout = .seconds(1)
        try await withServer(limits) { server, _, _ in
            let client = try await FrameClient(port: server.port)
            client.send(.headers, 4, on: 1, FrameClient.head("POST", "/echo"))
            client.send(.data, on: 1, [1, 2, 3])
            try await client.wait { $0.reset(1) != nil }
            #expect(client.reset(1) != nil)
            client.get("/echo?still", on: 3)
            try await client.wait { $0.hasEnded(3) }
            #expect(client.hasEnded(3) && !client.isClosed)
        }
    }

    @Test func `a connection on which nothing is asked is told goodbye and closed`() async throws {
        var limits = HTTPLimits()
        limits.idleTimeout = .seconds(2)
        try await withServer(limits) { server, _, _ in
            let client = try await FrameClient(port: server.port)
            client.get("/echo", on: 1)
            try await client.wait { $0.isClosed }
            #expect(client.goodbye?.errorCode == 0 && client.hasEnded(1))
            while server.connectionCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
        }
    }

    @Test func `an upgrade is refused with where to ask for it`() async throws {
        try await withServer { server, _, authority in
            let client = try Self.client(server, authority)
            let answer = try await client.send(HTTPRequest(method: "GET", path: "/upgrade"))
            #expect(answer.status == 400 && String(decoding: answer.body, as: UTF8.self).contains("over HTTP/1.1"))
            await client.close()
        }
    }

    // MARK: The end

    @Test func `a server that stops says which requests it took, answers them, ends streams, and takes no more`() async throws {
        let (server, responder, _) = try await Self.serving()
        let client = try await FrameClient(port: server.port)
        client.get("/slow", on: 1)
        client.get("/stream", on: 3)
        client.open(3, by: 1 << 20)
        client.open(0, by: 1 << 20)
        try await client.wait { $0.body(3).count > 100_000 }
        async let stopped: Void = server.stop(grace: .seconds(60))
        try await client.wait { $0.goodbye != nil }
        // What was sent before fits no window: the end stands behind it.
        client.open(3, by: 1 << 20)
        client.open(0, by: 1 << 20)
        try await client.wait { $0.hasEnded(3) }
        #expect(client.goodbye?.payload.prefix(4) == [0, 0, 0, 3])
        #expect(client.goodbye?.errorCode == 0)
        #expect(client.frames.contains { $0.stream == 3 && $0.endsStream })
        #expect(!client.isClosed && !client.hasEnded(1))
        responder.gate.open()
        try await client.wait { $0.isClosed }
        #expect(String(decoding: client.body(1), as: UTF8.self) == "done")
        await stopped
    }

    @Test func `a client asks again elsewhere when its connection is told goodbye`() async throws {
        var limits = HTTPLimits()
        limits.idleTimeout = .milliseconds(200)
        try await withServer(limits) { server, _, authority in
            let client = try Self.client(server, authority)
            for _ in 0..<4 {
                #expect(try await client.send(HTTPRequest(method: "GET", path: "/echo")).status == 200)
                while client.connectionCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
            }
            await client.close()
        }
    }

    @Test func `a server that has fallen silent is given up by all who wait for it`() async throws {
        let (channel, authority) = try await Self.silentServer()
        var limits = HTTPClientLimits()
        limits.streamsPerConnectionMax = 100
        limits.silenceTimeout = .milliseconds(100)
        var trust = TLSTrust()
        trust.trustedPEM = authority.certificatePEM
        let client = try PooledHTTPClient(host: "127.0.0.1", port: channel.localAddress!.port!, trust: trust, limits: limits)
        let codes = await withTaskGroup(of: HTTPClientError.Code?.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    do throws(HTTPClientError) { _ = try await client.send(HTTPRequest(method: "POST", path: "/")) } catch {
                        return error.code
                    }
                    return nil
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(codes == [.closedEarly, .closedEarly, .closedEarly])
        await client.close()
        try await channel.close()
    }

    /// Sends its settings, and then nothing.
    private static func silentServer() async throws -> (any Channel, Authority) {
        let authority = try Authority.make(name: "test", now: Date())
        let issued = try authority.issueServer(names: ["localhost"], addresses: [[127, 0, 0, 1]], now: Date(), validFor: 3600)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(issued.certificatePEM.utf8)).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(issued.keyPEM.utf8), format: .pem)))
        configuration.applicationProtocols = ["h2"]
        let context = try NIOSSLContext(configuration: configuration)
        let channel = try await ServerBootstrap(group: NIOSingletons.posixEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                    channel.writeAndFlush(ByteBuffer(bytes: FrameClient.frame(.settings, 0, 0)), promise: nil)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return (channel, authority)
    }

    // MARK: Enemies

    @Test func `streams that are ended as fast as they are asked for end the connection before they cost`() async throws {
        var limits = HTTPLimits()
        limits.streams.resetsMax = 100
        try await withServer(limits) { server, responder, _ in
            let client = try await FrameClient(port: server.port)
            for number in 0..<1000 {
                client.get("/slow", on: number * 2 + 1)
                client.send(.reset, on: number * 2 + 1, FrameClient.big(8))
            }
            try await client.wait { $0.isClosed }
            #expect(client.isClosed && client.goodbye?.errorCode == 0xb)
            #expect(responder.askedCount.load(ordering: .relaxed) <= 101)
        }
    }

    @Test func `requests whose streams were ended count until they are over`() async throws {
        var limits = HTTPLimits()
        limits.streams.perConnectionMax = 10
        try await withServer(limits) { server, responder, _ in
            let client = try await FrameClient(port: server.port)
            for number in 0..<10 {
                client.get("/slow", on: number * 2 + 1)
                client.send(.reset, on: number * 2 + 1, FrameClient.big(8))
            }
            client.get("/echo", on: 21)
            try await client.wait { $0.hasEnded(21) }
            #expect(String(decoding: client.body(21), as: UTF8.self).contains("10 requests of this connection are being answered"))
            #expect(responder.askedCount.load(ordering: .relaxed) == 10)
        }
    }

    private static let manyFields = (0..<100).map { ("x-\($0)", String(repeating: "v", count: 1000)) }

    @Test(arguments: ["large", "continued"])
    func `fields without end are cut off: one block too large, and blocks that go on and on`(kind: String) async throws {
        try await withServer { server, responder, _ in
            let client = try await FrameClient(port: server.port)
            let block = FrameClient.head("GET", "/echo", Self.manyFields)
            client.send(.headers, 1, on: 1, Array(block.prefix(16_000)))
            if kind == "large" {
                for start in stride(from: 16_000, to: block.count, by: 16_000) {
                    client.send(
                        .continuation, start + 16_000 >= block.count ? 4 : 0, on: 1, Array(block[start..<min(start + 16_000, block.count)]))
                }
            } else {
                for _ in 0..<1000 { client.send(.continuation, on: 1, []) }
            }
            try await client.wait { $0.isClosed }
            #expect(client.isClosed && responder.askedCount.load(ordering: .relaxed) == 0)
        }
    }

    @Test(arguments: [FrameClient.Frame.Kind.ping, .settings, .priority])
    func `a flood of frames that ask for nothing ends the connection`(kind: FrameClient.Frame.Kind) async throws {
        var limits = HTTPLimits()
        limits.streams.controlFramesMax = 100
        try await withServer(limits) { server, _, _ in
            let client = try await FrameClient(port: server.port)
            for _ in 0..<1000 {
                switch kind {
                case .ping: client.send(.ping, on: 0, [UInt8](repeating: 0, count: 8))
                case .settings: client.send(.settings, on: 0)
                default: client.send(.priority, on: 1, [0, 0, 0, 3, 1])
                }
            }
            try await client.wait { $0.isClosed }
            #expect(client.isClosed && client.goodbye?.errorCode == 0xb)
        }
    }

    @Test func `pings of an honest client are all answered`() async throws {
        try await withServer { server, _, _ in
            let client = try await FrameClient(port: server.port)
            for number in 0..<250 { client.send(.ping, on: 0, [UInt8](repeating: UInt8(number & 0xff), count: 8)) }
            try await client.wait { $0.frames.filter { $0.kind == .ping && $0.flags == 1 }.count == 250 }
            client.get("/echo", on: 1)
            try await client.wait { $0.hasEnded(1) }
            #expect(client.hasEnded(1) && !client.isClosed)
        }
    }

    /// What breaks the rules, and whether it ends the connection or one stream.
    private static let broken: [(name: String, bytes: [UInt8], endsConnection: Bool)] = [
        ("a frame too large", FrameClient.frame(.data, 0, 1, [UInt8](repeating: 0, count: 16_385)), true),
        ("data on no stream", FrameClient.frame(.data, 0, 0, [1]), true),
        ("a stream of the server's", FrameClient.frame(.headers, 5, 2, FrameClient.head("GET", "/echo")), true),
        ("a continuation of nothing", FrameClient.frame(.continuation, 4, 1, []), true),
        ("fields that are no HPACK", FrameClient.frame(.headers, 5, 1, [0xff, 0xff, 0xff, 0xff, 0xff]), true),
        ("a window beyond all bounds", FrameClient.frame(.windowUpdate, 0, 0, [0x7f, 0xff, 0xff, 0xff]), true),
        ("a reset of no stream", FrameClient.frame(.reset, 0, 99, [0, 0, 0, 8]), true),
        ("no HTTP/2 at all", Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), true),
        ("fields of a connection", FrameClient.frame(.headers, 5, 1, FrameClient.head("GET", "/echo", [("connection", "close")])), false),
        ("a name in capitals", FrameClient.frame(.headers, 5, 1, FrameClient.head("GET", "/echo", [("X-Y", "z")])), false),
        (
            "no path",
            FrameClient.frame(.headers, 5, 1, FrameClient.fields([(":method", "GET"), (":scheme", "https"), (":authority", "a")])), false
        ),
        (
            "a body of another length",
            FrameClient.frame(.headers, 4, 1, FrameClient.head("POST", "/echo", [("content-length", "3")]))
                + FrameClient.frame(.data, 1, 1, [1]), false
        ),
    ]

    @Test(arguments: broken.indices)
    func `what breaks the rules ends its stream, or the connection, and nothing else`(index: Int) async throws {
        let (name, bytes, endsConnection) = Self.broken[index]
        try await withServer { server, responder, _ in
            let honest = try await FrameClient(port: server.port)
            let client = try await FrameClient(port: server.port)
            client.send(bytes)
            let isOver: @Sendable (FrameClient) -> Bool = { endsConnection ? $0.isClosed : $0.reset(1) != nil }
            try await client.wait(until: isOver)
            #expect(isOver(client), "\(name)")
            if !endsConnection {
                client.get("/echo", on: 3)
                try await client.wait { $0.hasEnded(3) }
                #expect(client.hasEnded(3) && !client.isClosed, "\(name)")
            }
            honest.get("/echo", on: 1)
            try await honest.wait { $0.hasEnded(1) }
            #expect(honest.hasEnded(1))
            _ = responder
        }
    }

    @Test func `a client that never says a word after its handshake is closed`() async throws {
        var limits = HTTPLimits()
        limits.idleTimeout = .milliseconds(300)
        try await withServer(limits) { server, _, _ in
            let mute = try await FrameClient(port: server.port, hasPreface: false)
            try await mute.wait { $0.isClosed }
            #expect(mute.isClosed)
        }
    }

    @Test func `a client that is cut off leaves nothing behind`() async throws {
        try await withServer { server, responder, _ in
            let cut = try await FrameClient(port: server.port)
            cut.open(0, by: 1 << 20)
            cut.get("/stream", on: 1)
            try await cut.wait { !$0.body(1).isEmpty }
            cut.close()
            try await Self.untilNobodyIsLeft(server, responder)
            let isOpen = responder.hasOpenStreams
            #expect(!isOpen)
        }
    }

    private static func untilNobodyIsLeft(_ server: HTTPServer, _ responder: Responder) async throws {
        while server.connectionCount > 0 || responder.hasOpenStreams { try await Task.sleep(for: .milliseconds(5)) }
    }
}
