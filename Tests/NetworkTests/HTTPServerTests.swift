import Network
import Synchronization
import TestKit
import Testing

/// Answers by path: `/echo` the body, `/large` much text, `/stream` a stream, `/slow` when it is let go.
private final class Responder: HTTPResponder {
    let stream = CountedStream()
    let gate = AsyncStream.makeStream(of: Void.self)

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        switch request.path {
        case "/large": return HTTPResponse(status: 200, body: .bytes([UInt8](repeating: 0x61, count: 300_000)))
        case "/stream": return HTTPResponse(status: 200, body: .stream(stream))
        case "/due": return HTTPResponse(status: 200, body: .stream(DueStream()))
        case "/slow":
            for await _ in gate.stream { break }
            return HTTPResponse(status: 200, body: .bytes(Array("done".utf8)))
        default: return HTTPResponse(status: 200, headers: ["X-Query": request.query], body: .bytes(request.body))
        }
    }
}

/// A stream without end; counts what was pulled from it.
private final class CountedStream: HTTPBodyStream {
    static let chunkBytes = 64 << 10
    let pulled = Atomic(0)
    let isStopped = Atomic(false)
    func start(wake: @escaping @Sendable () -> Void) {}
    func next() -> HTTPBodyStep {
        pulled.add(1, ordering: .relaxed)
        return .chunk([UInt8](repeating: 0x62, count: Self.chunkBytes))
    }
    func stop() { isStopped.store(true, ordering: .relaxed) }
}

/// A stream that nobody wakes: it asks to be asked, sends the same array each time, and ends after some.
private final class DueStream: HTTPBodyStream {
    static let chunk = Array("due!".utf8)
    private let asked = Atomic(0)
    var dueAfter: Duration? { .milliseconds(1) }
    func start(wake: @escaping @Sendable () -> Void) {}
    func next() -> HTTPBodyStep {
        switch asked.add(1, ordering: .relaxed).newValue {
        case 1: .chunk(Self.chunk)
        case 2: .wait
        case 3: .chunk(Self.chunk)
        default: .end
        }
    }
    func stop() {}
}

@Suite(.offThePool) struct HTTPServerTests {
    private func withServer(_ limits: HTTPLimits = HTTPLimits(), _ body: (HTTPServer, Responder) async throws -> Void) async throws {
        let responder = Responder()
        let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, limits: limits, responder: responder)
        try await body(server, responder)
        await server.stop(grace: .seconds(5))
    }

    @Test func `a connection carries several requests and keeps their order`() async throws {
        try await withServer { server, _ in
            let client = PlainClient(port: server.port)
            client.send(
                "POST /echo?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\noneGET /echo?b=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            let text = String(decoding: await client.receiveAll(), as: UTF8.self)
            let first = try #require(text.range(of: "a=1"))
            let second = try #require(text.range(of: "b=2"))
            #expect(first.lowerBound < second.lowerBound)
            #expect(text.contains("\r\n\r\none"))
            #expect(text.contains("Connection: close"))
        }
    }

    @Test func `a client that has ended its sending side is answered still, and the connection closed`() async throws {
        try await withServer { server, responder in
            let client = PlainClient(port: server.port)
            client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /echo?second HTTP/1.1\r\nHost: x\r\n\r\n")
            client.endSending()
            try await Task.sleep(for: .milliseconds(50))
            responder.gate.continuation.yield()
            let text = String(decoding: await client.receiveAll(), as: UTF8.self)
            #expect(text.contains("done"))
            #expect(text.contains("second"))
            while server.connectionCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
        }
    }

    @Test func `a body beyond the limit is refused by its length and by its bytes`() async throws {
        var limits = HTTPLimits()
        limits.bodyBytesMax = 1000
        try await withServer(limits) { server, _ in
            let announced = PlainClient(port: server.port)
            announced.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")
            #expect(await announced.receive(until: "send less").contains("413"))
            let chunked = PlainClient(port: server.port)
            chunked.send(
                "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n\(String(repeating: "x", count: 1024))\r\n")
            #expect(await chunked.receive(until: "send less").contains("413"))
        }
    }

    @Test(arguments: [
        "NONSENSE\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\n\u{1}: y\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
    ])
    func `a head that is no HTTP is refused and the connection closed`(head: String) async throws {
        try await withServer { server, _ in
            let client = PlainClient(port: server.port)
            client.send(head)
            #expect(String(decoding: await client.receiveAll(), as: UTF8.self).hasPrefix("HTTP/1.1 400"))
        }
    }

    @Test func `a head without end is not gathered without bound`() async throws {
        try await withServer { server, _ in
            let client = PlainClient(port: server.port)
            client.send("GET / HTTP/1.1\r\n")
            for index in 0..<4000 { client.send("X-\(index): \(String(repeating: "y", count: 100))\r\n") }
            let text = String(decoding: await client.receiveAll(), as: UTF8.self)
            #expect(text.isEmpty || text.hasPrefix("HTTP/1.1 4"))
        }
    }

    @Test func `connections beyond the limit are closed`() async throws {
        var limits = HTTPLimits()
        limits.connectionsMax = 1
        try await withServer(limits) { server, _ in
            let first = PlainClient(port: server.port)
            first.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await first.receive(until: "\r\n\r\n").contains("200"))
            let second = PlainClient(port: server.port)
            second.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await second.receiveAll().isEmpty)
        }
    }

    @Test func `requests in flight beyond the limit get 429 with the time to come back`() async throws {
        var limits = HTTPLimits()
        limits.requestsMax = 1
        try await withServer(limits) { server, responder in
            let slow = PlainClient(port: server.port)
            slow.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            let other = PlainClient(port: server.port)
            var answer = ""
            repeat {
                other.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = await other.receive(until: "\r\n\r\n")
            } while answer.contains("200")
            #expect(answer.contains("429"))
            #expect(answer.contains("Retry-After: 1"))
            responder.gate.continuation.yield()
            #expect(await slow.receive(until: "done").contains("200"))
        }
    }

    @Test func `a long answer is compressed for those who accept it`() async throws {
        try await withServer { server, _ in
            let client = PlainClient(port: server.port)
            client.send("GET /large HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br, gzip\r\nConnection: close\r\n\r\n")
            let bytes = await client.receiveAll()
            #expect(String(decoding: bytes, as: UTF8.self).contains("Content-Encoding: gzip"))
            #expect(bytes.count < 10_000)
            let plain = PlainClient(port: server.port)
            plain.send("GET /large HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip;q=0\r\nConnection: close\r\n\r\n")
            #expect(await plain.receiveAll().count > 300_000)
        }
    }

    @Test func `a stream is pulled only as fast as its client reads, and stopped when the client goes`() async throws {
        try await withServer { server, responder in
            var client: PlainClient? = PlainClient(port: server.port)
            client?.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            _ = await client?.receive(until: "bbbb")
            var before = -1
            // Until the kernel's buffers are full and nothing is pulled any more.
            while responder.stream.pulled.load(ordering: .relaxed) != before {
                before = responder.stream.pulled.load(ordering: .relaxed)
                try await Task.sleep(for: .milliseconds(300))
            }
            #expect(before * CountedStream.chunkBytes < 64 << 20)
            client = nil
            while !responder.stream.isStopped.load(ordering: .relaxed) { try await Task.sleep(for: .milliseconds(5)) }
        }
    }

    @Test func `a server that stops finishes requests, ends streams and takes no more`() async throws {
        let responder = Responder()
        let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: responder)
        let slow = PlainClient(port: server.port)
        slow.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        let idle = PlainClient(port: server.port)
        idle.send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(await idle.receive(until: "\r\n\r\n").contains("200"))
        while server.connectionCount < 2 { try await Task.sleep(for: .milliseconds(5)) }
        async let stopped: Void = server.stop(grace: .seconds(50))
        #expect(await idle.receiveAll().isEmpty)
        responder.gate.continuation.yield()
        #expect(String(decoding: await slow.receiveAll(), as: UTF8.self).contains("done"))
        await stopped
    }

    @Test func `a stream that is due is asked without being woken, and its chunks are framed one by one`() async throws {
        try await withServer { server, _ in
            let client = PlainClient(port: server.port)
            client.send("GET /due HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            let text = String(decoding: await client.receiveAll(), as: UTF8.self).lowercased()
            #expect(text.contains("transfer-encoding: chunked\r\n"))
            #expect(text.hasSuffix("\r\n\r\n4\r\ndue!\r\n4\r\ndue!\r\n0\r\n\r\n"), "\(text)")
        }
    }

    @Test func `a port in use is named with the remedy`() async throws {
        try await withServer { server, _ in
            let error = await #expect(throws: NetworkError.self) {
                try await HTTPServer.start(host: "127.0.0.1", port: server.port, tls: nil, responder: Responder())
            }
            #expect(error?.description.contains("127.0.0.1:\(server.port)") == true)
        }
    }
}

extension String {
    fileprivate func range(of text: String) -> Range<Index>? { firstRange(of: text) }
}
