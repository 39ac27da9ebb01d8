import Network
import Synchronization
import TestKit
import Testing

/// Gives back what it gets; remembers how it ended.
private final class Echo: WebSocketPeer {
    let socket = Mutex<WebSocket?>(nil)
    let code = Mutex<Int?>(nil)
    let received = Atomic(0)
    func opened(_ socket: WebSocket) { self.socket.withLock { $0 = socket } }
    func received(_ message: WebSocketMessage) {
        received.add(1, ordering: .relaxed)
        socket.withLock { _ = $0?.send(message) }
    }
    func closed(code: Int) { self.code.withLock { $0 = code } }

    func waitForEnd() async -> Int? {
        for _ in 0..<6000 {
            if let code = code.withLock({ $0 }) { return code }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return nil
    }
}

private struct Upgrading: HTTPResponder {
    let peer = Echo()
    func respond(to request: HTTPRequest) async -> HTTPResponse {
        var response = HTTPResponse(status: 200, headers: ["X-For": "a peer"])
        if request.path == "/socket" || request.path == "/bare" { response.upgrade = peer }
        if request.path == "/bare" { response.upgradeProtocol = "SPDY/3.1" }
        return response
    }
}

/// RFC 6455 on the port that serves HTTP.
@Suite(.offThePool) struct WebSocketTests {
    private static let handshake =
        "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

    private func withServer(_ change: (inout HTTPLimits) -> Void = { _ in }, _ body: (HTTPServer, Upgrading) async throws -> Void)
        async throws
    {
        let responder = Upgrading()
        var limits = HTTPLimits()
        limits.webSocket.messageBytesMax = 70_000
        limits.webSocket.goodbyeTimeout = .milliseconds(100)
        change(&limits)
        let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, limits: limits, responder: responder)
        try await body(server, responder)
        await server.stop(grace: .seconds(5))
    }

    /// A frame as a client sends it.
    private func frame(_ opcode: UInt8, _ payload: [UInt8], isLast: Bool = true, isMasked: Bool = true, reserved: UInt8 = 0) -> [UInt8] {
        let mask: [UInt8] = [0x12, 0x34, 0x56, 0x78]
        var bytes: [UInt8] = [(isLast ? 0x80 : 0) | reserved | opcode]
        let bit: UInt8 = isMasked ? 0x80 : 0
        switch payload.count {
        case ..<126: bytes.append(bit | UInt8(payload.count))
        case ..<65536: bytes += [bit | 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xff)]
        default: bytes += [bit | 127] + (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
        }
        return bytes + (isMasked ? mask + payload.enumerated().map { $1 ^ mask[$0 % 4] } : payload)
    }

    private func open(_ server: HTTPServer, then more: [UInt8] = []) async -> PlainClient {
        let client = PlainClient(port: server.port)
        client.send(Array(Self.handshake.utf8))
        let head = await client.receive(until: "\r\n\r\n")
        #expect(head.hasPrefix("HTTP/1.1 101 "), "\(head)")
        // The example of RFC 6455, section 1.3.
        #expect(head.lowercased().contains("sec-websocket-accept: s3ppLmbitxaq9kygzzhzrbk+xoo=".lowercased()), "\(head)")
        #expect(head.contains("X-For: a peer"))
        if !more.isEmpty { client.send(more) }
        return client
    }

    @Test func `messages of both kinds go both ways, in one frame or in several`() async throws {
        try await withServer { server, responder in
            let client = await open(server)
            client.send(frame(1, Array("héllo".utf8)))
            #expect(await client.receive(atLeast: 8) == [0x81, 6] + Array("héllo".utf8))
            let large = (0..<66_000).map { UInt8(truncatingIfNeeded: $0) }
            client.send(frame(2, large))
            let answer = await client.receive(atLeast: 66_010)
            #expect(answer.prefix(10) == [0x82, 127, 0, 0, 0, 0, 0, 1, 0x01, 0xd0] && Array(answer.dropFirst(10)) == large)
            // A character in two frames, and a ping between them.
            client.send(frame(1, [0xc3], isLast: false) + frame(9, [1, 2]) + frame(0, [0xa9]))
            #expect(await client.receive(atLeast: 8) == [0x8a, 2, 1, 2, 0x81, 2, 0xc3, 0xa9])
            client.send(frame(8, [0x0f, 0xa0]))
            #expect(await client.receiveAll() == [0x88, 2, 0x0f, 0xa0])
            #expect(await responder.peer.waitForEnd() == 4000)
        }
    }

    @Test func `what comes in one piece with the handshake is the first message`() async throws {
        try await withServer { server, _ in
            let client = PlainClient(port: server.port)
            client.send(Array(Self.handshake.utf8) + frame(1, Array("early".utf8)))
            #expect(await client.receive(until: "early").hasSuffix("early"))
        }
    }

    @Test func `a connection of another protocol carries bytes as they are, from the first behind the head to the last`() async throws {
        try await withServer { server, responder in
            let head = "POST /bare HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n"
            let client = PlainClient(port: server.port)
            client.send(Array(head.utf8) + Array("early".utf8))
            let answer = await client.receive(until: "early")
            #expect(answer.hasPrefix("HTTP/1.1 101 ") && answer.hasSuffix("\r\n\r\nearly"), "\(answer)")
            #expect(answer.contains("Upgrade: SPDY/3.1\r\n") && answer.contains("X-For: a peer\r\n"), "\(answer)")
            let large = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            client.send(large)
            let echo = await client.receive(atLeast: large.count)
            #expect(echo == large, "\(echo.count) bytes")
            // What was sent before the end arrives before it.
            responder.peer.socket.withLock { socket in
                _ = socket?.send(.binary(Array("last".utf8)))
                socket?.close()
            }
            #expect(await client.receiveAll() == Array("last".utf8))
            #expect(await responder.peer.waitForEnd() == 1000)
            let other = PlainClient(port: server.port)
            other.send(head.replacing("Upgrade: SPDY/3.1", with: "Upgrade: websocket"))
            let refusal = String(decoding: await other.receiveAll(), as: UTF8.self)
            #expect(refusal.hasPrefix("HTTP/1.1 400 ") && refusal.contains("SPDY/3.1 is asked for"), "\(refusal)")
        }
    }

    @Test func `broken rules end the connection with the code for them`() async throws {
        let cases: [(String, [UInt8], Int)] = [
            ("no mask", frame(1, [0x61], isMasked: false), 1002), ("no UTF-8", frame(1, [0xff]), 1007),
            ("a message too long", frame(2, [UInt8](repeating: 0, count: 70_001)), 1009),
            (
                "frames that make a message too long",
                frame(2, [UInt8](repeating: 0, count: 40_000), isLast: false) + frame(0, [UInt8](repeating: 0, count: 40_000)), 1009
            ),
            ("frames without end", (0..<1100).flatMap { frame($0 == 0 ? 2 : 0, [], isLast: false) }, 1009),
            ("a length nobody sends", [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4], 1009),
            ("a continuation of nothing", frame(0, [1]), 1002),
            ("a message inside a message", frame(1, [0x61], isLast: false) + frame(1, [0x61]), 1002),
            ("reserved bits", frame(1, [0x61], reserved: 0x40), 1002), ("an unknown opcode", frame(3, []), 1002),
            ("a long ping", frame(9, [UInt8](repeating: 0, count: 126)), 1002), ("a ping in parts", frame(9, [], isLast: false), 1002),
            ("a code that is none", frame(8, [0x03, 0xed]), 1002), ("half a code", frame(8, [3]), 1002), ("no code", frame(8, []), 1000),
        ]
        for (name, bytes, code) in cases {
            try await withServer { server, responder in
                let client = await open(server, then: bytes)
                let answer = await client.receiveAll()
                #expect(answer.suffix(4) == [0x88, 2, UInt8(code >> 8), UInt8(code & 0xff)], "\(name): \(answer.suffix(8))")
                #expect(await responder.peer.waitForEnd() == code, "\(name)")
                #expect(responder.peer.received.load(ordering: .relaxed) == 0, "\(name)")
            }
        }
    }

    @Test func `a handshake that is none is refused, and a request that offers an upgrade in vain is answered`() async throws {
        try await withServer { server, responder in
            for part in ["Upgrade: websocket\r\n", "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"] {
                let client = PlainClient(port: server.port)
                client.send(Self.handshake.replacing(part, with: ""))
                #expect(await client.receive(until: "Sec-WebSocket-Key\n").hasPrefix("HTTP/1.1 400 "), "\(part)")
            }
            let client = PlainClient(port: server.port)
            client.send(Self.handshake.replacing("/socket", with: "/other"))
            #expect(String(decoding: await client.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 200 "))
            #expect(responder.peer.socket.withLock { $0 == nil })
        }
    }

    @Test func `a peer that does not read is closed before memory is gone`() async throws {
        try await withServer({ $0.webSocket.pendingBytesMax = 1 << 20 }) { server, responder in
            let client = await open(server)
            // The client may know of the upgrade a moment before the peer does.
            while responder.peer.socket.withLock({ $0 == nil }) { try await Task.sleep(for: .milliseconds(1)) }
            var isSent = true
            for _ in 0..<2000 where isSent {
                isSent = responder.peer.socket.withLock { $0?.send(.binary([UInt8](repeating: 1, count: 32 << 10))) } == true
            }
            #expect(!isSent)
            #expect(await responder.peer.waitForEnd() == 1013)
            withExtendedLifetime(client) {}
        }
    }

    @Test func `a peer that answers no ping is given up, and a stopping server says goodbye`() async throws {
        try await withServer({ $0.webSocket.pingInterval = .milliseconds(50) }) { server, responder in
            let client = await open(server)
            #expect(await client.receiveAll() == [0x89, 0, 0x88, 2, 0x03, 0xf3])
            #expect(await responder.peer.waitForEnd() == 1011)
        }
        let responder = Upgrading()
        let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: responder)
        let client = await open(server)
        await server.stop(grace: .seconds(5))
        #expect(await client.receiveAll() == [0x88, 2, 0x03, 0xe9])
        #expect(responder.peer.code.withLock { $0 } == 1001)
    }
}
