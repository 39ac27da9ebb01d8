import Network
import Synchronization
import TestKit
import Testing

/// Answers `/bytes/N` with so many bytes, everything else with its body; counts connections by their peers.
private final class Responder: HTTPResponder {
    let peers = Mutex<Set<String>>([])

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        peers.withLock { _ = $0.insert(request.peer) }
        guard request.path.hasPrefix("/bytes/"), let count = Int(request.path.dropFirst(7)) else {
            return HTTPResponse(status: 200, body: .bytes(request.body))
        }
        return HTTPResponse(status: 200, body: .bytes((0..<count).map { UInt8(truncatingIfNeeded: $0) }))
    }
}

@Suite(.offThePool) struct PooledClientTests {
    private func withClient(
        _ limits: HTTPClientLimits = HTTPClientLimits(), _ body: (PooledHTTPClient, Responder) async throws -> Void
    ) async throws {
        let responder = Responder()
        let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: responder)
        let client = try PooledHTTPClient(host: "127.0.0.1", port: server.port, trust: nil, limits: limits)
        try await body(client, responder)
        await client.close()
        await server.stop(grace: .seconds(5))
    }

    @Test(arguments: [0, 1, 1000, 5000])
    func `answers that are smaller and larger than what may wait come whole, over one connection`(count: Int) async throws {
        var limits = HTTPClientLimits()
        limits.streamBytesMax = 1000
        try await withClient(limits) { client, responder in
            for _ in 0..<3 {
                let answer = try await client.send(HTTPRequest(method: "GET", path: "/bytes/\(count * 100)"))
                let expected = (0..<count * 100).map { UInt8(truncatingIfNeeded: $0) }
                #expect(answer.status == 200 && answer.body == expected)
            }
            #expect(responder.peers.withLock { $0.count } == 1)
        }
    }

    @Test func `a connection that has been used is closed once it has rested for its time`() async throws {
        var limits = HTTPClientLimits()
        limits.idleTimeout = .milliseconds(50)
        try await withClient(limits) { client, _ in
            for _ in 0..<3 { _ = try await client.send(HTTPRequest(method: "GET", path: "/bytes/3")) }
            while client.connectionCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
            let answer = try await client.send(HTTPRequest(method: "POST", path: "/echo", body: [4]))
            #expect(answer.body == [4])
        }
    }

    @Test func `a task that is cancelled while it waits gets no answer, and the next one does`() async throws {
        try await withClient { client, _ in
            let task = Task { try await client.send(HTTPRequest(method: "GET", path: "/bytes/100000")) }
            task.cancel()
            _ = try? await task.value
            let answer = try await client.send(HTTPRequest(method: "POST", path: "/echo", body: [4]))
            #expect(answer.body == [4])
        }
    }
}
