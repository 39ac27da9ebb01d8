import Network
import TestKit
import Testing

@Suite(.offThePool) struct KeptPortTests {
    @Test(arguments: [
        ("", 10_000...32767), ("32768\t60999\n", 10_000...32767), ("16384 65535", 10_000...16383), ("1024 60999", 61_000...65535),
        ("10500 65000", 10_000...32767), ("1024 65535", 10_000...32767), ("9 8", 10_000...32767), ("1 99999", 10_000...32767),
    ])
    func `ports to come back at are of the range that connections are not given`(text: String, range: ClosedRange<Int>) {
        #expect(KeptPort.range(ephemeral: text) == range)
    }

    @Test func `a server takes the first port that is free, and comes back at it`() async throws {
        struct Nothing: HTTPResponder {
            func respond(to request: HTTPRequest) async -> HTTPResponse { HTTPResponse(status: 204, body: .bytes([])) }
        }
        let first = try await HTTPServer.start(host: "127.0.0.1", anyOf: KeptPort.choices(), tls: nil, responder: Nothing())
        let second = try await HTTPServer.start(
            host: "127.0.0.1", anyOf: [first.port] + KeptPort.choices(), tls: nil, responder: Nothing())
        #expect(second.port != first.port)
        await #expect(throws: NetworkError.self) {
            try await HTTPServer.start(host: "127.0.0.1", anyOf: [first.port], tls: nil, responder: Nothing())
        }
        let port = second.port
        await second.stop(grace: .zero)
        let third = try await HTTPServer.start(host: "127.0.0.1", anyOf: [port], tls: nil, responder: Nothing())
        #expect(third.port == port)
        await third.stop(grace: .zero)
        await first.stop(grace: .zero)
    }

    @Test func `a program that was started meanwhile does not keep the port of a server that has gone`() async throws {
        struct Nothing: HTTPResponder {
            func respond(to request: HTTPRequest) async -> HTTPResponse { HTTPResponse(status: 204, body: .bytes([])) }
        }
        let folder = try TemporaryFolder()
        let server = try await HTTPServer.start(host: "127.0.0.1", anyOf: KeptPort.choices(), tls: nil, responder: Nothing())
        let sleeper = try Program(["600"], executable: "sleep", in: folder)
        defer {
            sleeper.kill()
            _ = try? sleeper.wait()
        }
        await server.stop(grace: .zero)
        let again = try await HTTPServer.start(
            host: "127.0.0.1", anyOf: [server.port], tls: nil, patience: .seconds(60), responder: Nothing())
        #expect(again.port == server.port)
        await again.stop(grace: .zero)
    }
}
