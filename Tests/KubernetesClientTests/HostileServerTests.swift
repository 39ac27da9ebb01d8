import KubernetesClient
import Network
import Resources
import TestKit
import Testing

/// Servers that answer what no Kubernetes would: each is refused with a sentence, in bounded memory and time.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct HostileServerTests {
    private static let pods = ResourceKind.pod

    private func with(
        _ steps: [RawServer.Step], isKept: Bool = false, limits: HTTPClientLimits = HTTPClientLimits(),
        _ body: (RESTClient, RawServer) async throws -> Void
    ) async throws {
        let server = RawServer(steps, isKept: isKept)
        let access = ClusterAccess(host: "127.0.0.1", port: server.port, trust: nil, origin: "test")
        let client = try RESTClient(access, userAgent: "skerry-tests/1", limits: limits) { _ in [] }
        let result: Result<Void, any Error>
        do {
            try await body(client, server)
            result = .success(())
        } catch { result = .failure(error) }
        await client.close()
        server.stop()
        try result.get()
    }

    private func expectRefusal(
        of steps: [RawServer.Step], code: Int, naming text: String, limits: HTTPClientLimits = HTTPClientLimits(),
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await with(steps, limits: limits) { client, server in
            let refused = try await refusal { () async throws(APIStatus) in try await client.list(Self.pods, ListQuery()) }
            #expect(refused.code == code && refused.message.contains(text), "\(refused.code) \(refused)", sourceLocation: sourceLocation)
            #expect(refused.message.contains("127.0.0.1:\(server.port)"), "\(refused)", sourceLocation: sourceLocation)
        }
    }

    @Test func `bytes that are no HTTP are refused`() async throws {
        try await expectRefusal(of: [.text("SSH-2.0-OpenSSH_9.2\r\n\r\n")], code: 503, naming: "no HTTP/1.1")
        try await expectRefusal(of: [.send((0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ 7) })], code: 503, naming: "HTTP")
        try await expectRefusal(of: [], code: 503, naming: "closed the connection")
    }

    @Test func `a head without end is refused`() async throws {
        let line = [UInt8]("X-Filler: \(String(repeating: "x", count: 1000))\r\n".utf8)
        try await expectRefusal(of: [.text("HTTP/1.1 200 OK\r\n"), .flood(line, times: 1_000_000)], code: 503, naming: "HTTP")
    }

    @Test func `answers that are no JSON, or no list, are refused`() async throws {
        try await expectRefusal(of: [.json("<html>hello</html>")], code: 502, naming: "no JSON")
        try await expectRefusal(of: [.json("[1,2]")], code: 502, naming: "expected an object")
        try await expectRefusal(of: [.json("{}")], code: 502, naming: "without items")
        try await expectRefusal(of: [.json(#"{"metadata":{"resourceVersion":"1"},"items":[7]}"#)], code: 502, naming: "metadata.name")
        let deep = String(repeating: "[", count: 100_000)
        try await expectRefusal(of: [.json(deep)], code: 502, naming: "no JSON")
        try await expectRefusal(of: [.json("{\"a\":\"\u{1}\"}")], code: 502, naming: "no JSON")
    }

    @Test func `an answer that is cut off is refused`() async throws {
        try await expectRefusal(
            of: [.text("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"metadata\"")], code: 503, naming: "closed the connection")
    }

    @Test func `an answer that is too large is refused before it is taken`() async throws {
        var limits = HTTPClientLimits()
        limits.answerBytesMax = 1 << 20
        try await expectRefusal(
            of: [.text("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), .hang], code: 503, naming: "at most 1048576",
            limits: limits)
        let chunk = [UInt8]("10000\r\n".utf8) + [UInt8](repeating: 0x20, count: 0x10000) + [13, 10]
        try await expectRefusal(
            of: [.text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), .flood(chunk, times: 100_000)], code: 503,
            naming: "at most 1048576", limits: limits)
    }

    @Test func `a server that says nothing, or never ends, is given up`() async throws {
        var limits = HTTPClientLimits()
        limits.headTimeout = .milliseconds(300)
        limits.answerTimeout = .milliseconds(600)
        try await expectRefusal(of: [.hang], code: 503, naming: "no answer within", limits: limits)
        try await expectRefusal(
            of: [.text("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"), .hang], code: 503, naming: "did not end in time", limits: limits)
    }

    @Test func `a redirect is not followed`() async throws {
        try await expectRefusal(
            of: [.text("HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n")], code: 502,
            naming: "https://elsewhere.example/")
    }

    @Test func `an error without a Status keeps its code, its advice and a piece of its text`() async throws {
        let page = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\nslow\ndown"
        try await with([.text(page)]) { client, _ in
            let refused = try await refusal { () async throws(APIStatus) in try await client.list(Self.pods, ListQuery()) }
            #expect(refused.code == 429 && refused.reason == "TooManyRequests" && refused.retryAfterSeconds == 7)
            #expect(refused.message.hasSuffix("slow down"))
        }
        // A Status may say of itself what it likes; a failure stays one.
        try await with([.json(#"{"kind":"Status","code":200,"reason":"Odd"}"#, status: "500 Internal Server Error")]) { client, _ in
            let refused = try await refusal { () async throws(APIStatus) in try await client.list(Self.pods, ListQuery()) }
            #expect(refused.code == 500 && refused.reason == "Odd")
        }
    }

    private static let streamHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    private static func chunk(_ text: String) -> RawServer.Step {
        .text("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n")
    }

    private func firstEvents(_ steps: [RawServer.Step]) async throws -> (events: [WatchEvent], failure: APIStatus?) {
        var events: [WatchEvent] = []
        var failure: APIStatus?
        try await with([.text(Self.streamHead)] + steps) { client, _ in
            do throws(APIStatus) {
                var iterator = try await client.watch(Self.pods, WatchQuery(from: "1")).makeAsyncIterator()
                while let event = try await iterator.next() { events.append(event) }
            } catch { failure = error }
        }
        return (events, failure)
    }

    private static let added = #"{"type":"ADDED","object":{"metadata":{"name":"p","resourceVersion":"5"}}}"# + "\n"

    @Test func `events come whole however they are cut, and what is cut off is none`() async throws {
        let bytes = Array((Self.added + Self.added).utf8)
        let single = bytes.map { RawServer.Step.send(Array("1\r\n".utf8) + [$0, 13, 10]) }
        let split = try await firstEvents(single + [.text("0\r\n\r\n")])
        #expect(split.failure == nil && split.events.map(\.resourceVersion) == ["5", "5"])
        let cut = try await firstEvents([Self.chunk(Self.added + Self.added.dropLast(10))])
        #expect(cut.events.count == 1)
        #expect(cut.failure?.code == 503)
    }

    @Test func `an error within a watch is thrown with its code`() async throws {
        let error = #"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"# + "\n"
        let found = try await firstEvents([Self.chunk(Self.added + error), .hang])
        #expect(found.events.count == 1 && found.failure?.code == 410 && found.failure?.message == "too old")
    }

    @Test func `events that are none are refused`() async throws {
        for line in ["7", "{}", #"{"type":"PATCHED","object":{}}"#, #"{"type":"ADDED"}"#, #"{"type":"BOOKMARK","object":{}}"#, "\u{7}"] {
            let found = try await firstEvents([Self.chunk(line + "\n"), .hang])
            #expect(found.events.isEmpty && found.failure?.code == 502, "\(line)")
        }
    }

    @Test func `a line without end is refused`() async throws {
        let part = [UInt8]("10000\r\n".utf8) + [UInt8](repeating: UInt8(ascii: "x"), count: 0x10000) + [13, 10]
        let found = try await firstEvents([.flood(part, times: 100_000)])
        #expect(found.failure?.message.contains("a line of a watch") == true, "\(String(describing: found.failure))")
    }

    @Test func `a server is held back by a watch that nobody reads`() async throws {
        let block =
            [UInt8]("\(String(Self.added.utf8.count * 1000, radix: 16))\r\n".utf8)
            + [UInt8](String(repeating: Self.added, count: 1000).utf8) + [13, 10]
        try await with([.text(Self.streamHead), .flood(block, times: 100_000)]) { client, server in
            var events = try await client.watch(Self.pods, WatchQuery(from: "1")).makeAsyncIterator()
            #expect(try await events.next() != nil)
            // The flood stops growing once the buffers of the system and of the client are full.
            var before = -1
            while server.sentCount != before {
                before = server.sentCount
                try await Task.sleep(for: .milliseconds(300))
            }
            #expect(server.sentCount < 64 << 20)
            // What has been held back comes once it is read.
            for _ in 0..<50_000 { #expect(try await events.next()?.resourceVersion == "5") }
        }
    }

    @Test func `a connection is used again, and a read is sent anew where it had died`() async throws {
        let list = RawServer.Step.json(#"{"metadata":{"resourceVersion":"1"},"items":[]}"#)
        try await with([list], isKept: true) { client, server in
            for _ in 0..<5 {
                let list = try await client.list(Self.pods, ListQuery())
                #expect(list.resourceVersion == "1")
            }
            #expect(client.connectionCount == 1 && server.requestCount == 5)
        }
        // This one promises to keep its connections and closes each.
        try await with([list]) { client, _ in
            for _ in 0..<20 {
                let list = try await client.list(Self.pods, ListQuery())
                #expect(list.resourceVersion == "1")
            }
        }
    }
}
