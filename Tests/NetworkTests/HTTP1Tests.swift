import Network
import Synchronization
import TestKit
import Testing

/// Answers by path: `/stream` with a stream of three pieces, `/sized` with one whose length is told, `/none` with 204, `/broken` with a field that
/// would end its line, `/slow` when it is let go, everything else with its query.
private final class Responder: HTTPResponder {
    let gate = AsyncStream.makeStream(of: Void.self)

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        switch request.path {
        case "/stream": return HTTPResponse(status: 200, body: .stream(Pieces()))
        case "/sized": return HTTPResponse(status: 200, headers: ["Content-Length": "9"], body: .stream(Pieces()))
        case "/none": return HTTPResponse(status: 204, headers: ["X-Query": request.query])
        case "/broken": return HTTPResponse(status: 200, headers: ["X-Query": "a\r\nSet-Cookie: b"], body: .bytes([0x61]))
        case "/slow":
            for await _ in gate.stream { break }
            return HTTPResponse(status: 200, body: .bytes(Array("slow".utf8)))
        default: return HTTPResponse(status: 200, body: .bytes(Array("<\(request.query)>".utf8)))
        }
    }
}

/// Three pieces of three bytes.
private final class Pieces: HTTPBodyStream {
    private let left = Atomic(3)
    func start(wake: @escaping @Sendable () -> Void) {}
    func next() -> HTTPBodyStep { left.subtract(1, ordering: .relaxed).newValue >= 0 ? .chunk(Array("abc".utf8)) : .end }
    func stop() {}
}

@Suite(.offThePool) struct HTTP1Tests {
    private func withServer(_ body: (HTTPServer, Responder) async throws -> Void) async throws {
        let responder = Responder()
        let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: responder)
        try await body(server, responder)
        await server.stop(grace: .seconds(5))
    }

    private func answers(_ text: String) async throws -> String {
        var result = ""
        try await withServer { server, _ in
            let client = PlainClient(port: server.port)
            client.send(text)
            result = String(decoding: await client.receiveAll(), as: UTF8.self)
        }
        return result
    }

    private static let last = "GET /?last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    @Test func `hundreds of requests sent at once are answered in their order`() async throws {
        let requests = (0..<500).map { "GET /?\($0) HTTP/1.1\r\nHost: x\r\n\r\n" }.joined()
        let text = try await answers(requests + Self.last)
        let found = text.split(separator: "<").dropFirst().map { String($0.prefix { $0 != ">" }) }
        #expect(found == (0..<500).map { String($0) } + ["last"])
    }

    @Test func `a request behind a stream is answered when the stream has ended`() async throws {
        for path in ["/stream", "/sized"] {
            let text = try await answers("GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n" + Self.last)
            let body = path == "/stream" ? "3\r\nabc\r\n3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n" : "\r\n\r\nabcabcabc"
            #expect(text.contains(body + "HTTP/1.1 200 OK"))
            #expect(text.hasSuffix("<last>"))
        }
    }

    @Test func `what is no request behind one that is being answered is refused after its answer`() async throws {
        try await withServer { server, responder in
            let client = PlainClient(port: server.port)
            client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\nNONSENSE\r\n\r\n")
            responder.gate.continuation.yield()
            let text = String(decoding: await client.receiveAll(), as: UTF8.self)
            let answer = try #require(text.firstRange(of: "slow"))
            let refusal = try #require(text.firstRange(of: "HTTP/1.1 400"))
            #expect(answer.lowerBound < refusal.lowerBound)
        }
    }

    @Test func `an answer without a body says no length, and one to HEAD says what it would be`() async throws {
        let none = try await answers("GET /none?q HTTP/1.1\r\nHost: x\r\n\r\n" + Self.last)
        #expect(none.hasPrefix("HTTP/1.1 204 No Content\r\nX-Query: q\r\n\r\nHTTP/1.1 200 OK"))
        let head = try await answers("HEAD /?abc HTTP/1.1\r\nHost: x\r\n\r\n" + Self.last)
        #expect(head.hasPrefix("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK"))
    }

    @Test func `a field that would end its line is not sent, nor anything of its answer`() async throws {
        let text = try await answers("GET /broken HTTP/1.1\r\nHost: x\r\n\r\n" + Self.last)
        #expect(text.hasPrefix("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK"))
        #expect(!text.contains("Cookie"))
    }

    @Test func `a client that waits for leave to send its body gets it`() async throws {
        try await withServer { server, _ in
            let client = PlainClient(port: server.port)
            client.send("POST /?x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
            #expect(await client.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
            client.send("abc" + Self.last)
            #expect(String(decoding: await client.receiveAll(), as: UTF8.self).contains("<x>"))
        }
    }
}
