import Network
import Synchronization
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Bodies that are answered while they arrive, at the server and by a client.
@Suite(.offThePool) struct PartsTests {
    /// Answers `/parts` with what it is sent, as it comes; `/held` once it is told to; `/refused` at once.
    final class Echo: HTTPResponder {
        /// The body of an answer out of that of its request.
        final class Answer: HTTPBodyStream {
            private struct State {
                var pieces: [[UInt8]] = []
                var isOver = false
                var wake: (@Sendable () -> Void)?
                var task: Task<Void, Never>?
            }
            private let body: HTTPIncomingBody
            private let gate: Gate?
            private let state = Mutex(State())

            init(_ body: HTTPIncomingBody, _ gate: Gate?) { (self.body, self.gate) = (body, gate) }

            func start(wake: @escaping @Sendable () -> Void) {
                state.withLock { state in
                    state.wake = wake
                    state.task = Task { await self.pull() }
                }
            }

            private func pull() async {
                await gate?.wait()
                while let piece = try? await body.next() {
                    // Nothing is read before the last piece was taken.
                    while !state.withLock({ $0.pieces.isEmpty }), !Task.isCancelled { try? await Task.sleep(for: .milliseconds(1)) }
                    state.withLock { $0.pieces.append(piece) }
                    state.withLock { $0.wake }?()
                }
                state.withLock { $0.isOver = true }
                state.withLock { $0.wake }?()
            }

            func next() -> HTTPBodyStep {
                state.withLock { state in
                    if !state.pieces.isEmpty { return .chunk(state.pieces.removeFirst()) }
                    return state.isOver ? .end : .wait
                }
            }

            func stop() { state.withLock { $0.task }?.cancel() }
        }

        let gate = Gate()

        func takesInParts(path: String) -> Bool { path != "/whole" }

        func respond(to request: HTTPRequest) async -> HTTPResponse {
            guard let incoming = request.incoming else { return HTTPResponse(status: 200, body: .bytes(request.body)) }
            if request.path == "/refused" { return HTTPResponse(status: 415, body: .bytes(Array("not this".utf8))) }
            if request.path == "/fault" {
                do {
                    while let piece = try await incoming.next() { _ = piece }
                    return HTTPResponse(status: 200)
                } catch { return HTTPResponse(status: 408, body: .bytes(Array("\(error)".utf8))) }
            }
            return HTTPResponse(status: 200, body: .stream(Answer(incoming, request.path == "/held" ? gate : nil)))
        }
    }

    /// Closed until it is opened.
    final class Gate: Sendable {
        private let isOpen = Mutex(false)
        func open() { isOpen.withLock { $0 = true } }
        func wait() async { while !isOpen.withLock({ $0 }), !Task.isCancelled { try? await Task.sleep(for: .milliseconds(1)) } }
    }

    private final class Count: Sendable { let value = Atomic(0) }

    private static func with(
        _ limits: HTTPLimits = HTTPLimits(), _ body: (Echo, HTTPServer, PooledHTTPClient) async throws -> Void
    ) async throws {
        let echo = Echo()
        let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, limits: limits, responder: echo)
        let client = try PooledHTTPClient(host: "127.0.0.1", port: server.port, trust: nil)
        try await body(echo, server, client)
        await client.close()
        await server.stop(grace: .zero)
    }

    private static func post(_ path: String) -> HTTPRequest { HTTPRequest(method: "POST", path: path) }

    @Test func `each piece of a body is answered before the next one is sent`() async throws {
        try await Self.with { _, _, client in
            for round in 0..<3 {
                let upload = try await client.upload(Self.post("/parts"), timeLimit: .seconds(120))
                try await upload.send(Array("one".utf8))
                let answer = try await upload.answer()
                let first = try await answer.next()
                #expect(answer.status == 200 && first == Array("one".utf8), "\(round)")
                try await upload.send(Array("two".utf8))
                let second = try await answer.next()
                #expect(second == Array("two".utf8))
                try await upload.finish()
                let end = try await answer.next()
                #expect(end == nil)
            }
            let whole = try await client.send(HTTPRequest(method: "POST", path: "/whole", body: Array("abc".utf8)))
            #expect(whole.status == 200 && whole.body == Array("abc".utf8))
            // Every exchange ended well: one connection was enough for all.
            #expect(client.connectionCount <= 4)
        }
    }

    @Test func `a client that sends without end and does not read is held up, and nothing is lost when it reads`() async throws {
        try await Self.with { echo, _, client in
            let (piece, count) = ([UInt8](repeating: 0x61, count: 64 << 10), 1024)
            let upload = try await client.upload(Self.post("/held"), timeLimit: .seconds(600))
            let sent = Count()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for _ in 0..<count {
                        try await upload.send(piece)
                        sent.value.wrappingAdd(1, ordering: .relaxed)
                    }
                    try await upload.finish()
                }
                let answer = try await upload.answer()
                // Until nothing more goes: what the sockets hold, and a bounded piece.
                var (before, quiet) = (-1, 0)
                while quiet < 40 {
                    let now = sent.value.load(ordering: .relaxed)
                    (before, quiet) = (now, now == before ? quiet + 1 : 0)
                    try await Task.sleep(for: .milliseconds(10))
                }
                #expect(before < count / 2, "\(before) pieces were taken that nobody reads")
                echo.gate.open()
                var bytes = 0
                while let part = try await answer.next() { bytes += part.count }
                #expect(bytes == count * piece.count)
                try await group.waitForAll()
            }
        }
    }

    @Test func `a request that is answered before its body is whole gets its answer, and the connection ends`() async throws {
        try await Self.with { _, server, client in
            let upload = try await client.upload(Self.post("/refused"), timeLimit: .seconds(120))
            try? await upload.send(Array("a body that".utf8))
            let answer = try await upload.answer()
            var body: [UInt8] = []
            while let part = try await answer.next() { body += part }
            #expect(answer.status == 415 && body == Array("not this".utf8))
            upload.close()
            while server.connectionCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
        }
    }

    @Test func `a body that stands still is given up, and its responder told`() async throws {
        var limits = HTTPLimits()
        limits.arrivalTimeout = .milliseconds(200)
        try await Self.with(limits) { _, server, client in
            let upload = try await client.upload(Self.post("/fault"), timeLimit: .seconds(120))
            try await upload.send(Array("half".utf8))
            let answer = try await upload.answer()
            var body: [UInt8] = []
            while let part = try await answer.next() { body += part }
            #expect(answer.status == 408 && String(decoding: body, as: UTF8.self).contains("nothing of the body has arrived"))
            upload.close()
            while server.connectionCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
        }
    }

    @Test func `a client that goes away ends what answers it`() async throws {
        try await Self.with { _, server, client in
            let upload = try await client.upload(Self.post("/parts"), timeLimit: .seconds(120))
            try await upload.send(Array("one".utf8))
            let answer = try await upload.answer()
            _ = try await answer.next()
            upload.close()
            while server.connectionCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
        }
    }
}
