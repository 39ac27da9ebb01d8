import Identity
import Network
import Synchronization
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Answers that are followed with as little work as the protocol allows, and the frames in which they come.
@Suite(.offThePool) struct AnswerFollowerTests {
    /// Answers by path: `/endless` a stream that goes on when it is woken, `/whole` some text; everything else 404.
    private final class Responder: HTTPResponder {
        let endless = Mutex<[Endless]>([])

        func respond(to request: HTTPRequest) async -> HTTPResponse {
            switch request.path {
            case "/endless":
                let stream = Endless(request.query)
                endless.withLock { $0.append(stream) }
                return HTTPResponse(status: 200, headers: ["Content-Type": "text/plain"], body: .stream(stream))
            case "/whole": return HTTPResponse(status: 200, body: .bytes([UInt8](repeating: 0x61, count: 100_000)))
            default: return HTTPResponse(status: 404)
            }
        }

        func say(_ text: String) { for stream in endless.withLock({ $0 }) { stream.say(text) } }
    }

    /// Says what it is told to, each time behind its name.
    private final class Endless: HTTPBodyStream {
        private struct State {
            var wake: (@Sendable () -> Void)?
            var said: [String] = []
            var isStopped = false
        }
        private let name: String
        private let state = Mutex(State())
        init(_ name: String) { self.name = name }

        var isStopped: Bool { state.withLock { $0.isStopped } }
        func start(wake: @escaping @Sendable () -> Void) { state.withLock { $0.wake = wake } }
        func stop() { state.withLock { $0.isStopped = true } }

        func next() -> HTTPBodyStep {
            state.withLock { state in
                state.said.isEmpty ? .wait : .chunk(Array("\(name) \(state.said.removeFirst())\n".utf8))
            }
        }

        func say(_ text: String) {
            let wake = state.withLock { state in
                state.said.append(text)
                return state.wake
            }
            wake?()
        }
    }

    /// What has come, by request.
    private final class Seen: Sendable {
        private let answers = Mutex<[Int: (text: String, hasEnded: Bool)]>([:])

        func take(_ number: Int, _ bytes: UnsafeRawBufferPointer?) {
            answers.withLock { answers in
                var answer = answers[number] ?? ("", false)
                if let bytes { answer.text += String(decoding: bytes, as: UTF8.self) } else { answer.hasEnded = true }
                answers[number] = answer
            }
        }

        func text(_ number: Int) -> String { answers.withLock { $0[number]?.text ?? "" } }
        func hasEnded(_ number: Int) -> Bool { answers.withLock { $0[number]?.hasEnded ?? false } }
    }

    /// A server, and one that follows its answers.
    private final class World: Sendable {
        let server: HTTPServer
        let responder = Responder()
        let follower: AnswerFollower
        let seen = Seen()
        private let isServing = Mutex(true)
        private let isFollowing = Mutex(true)

        init() async throws {
            let authority = try Authority.make(name: "test", now: Date())
            let issued = try authority.issueServer(names: [], addresses: [[127, 0, 0, 1]], now: Date(), validFor: 3600)
            let identity = TLSIdentity(chainPEM: issued.certificatePEM, keyPEM: issued.keyPEM, trustedPEM: authority.certificatePEM)
            server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: identity, responder: responder)
            var trust = TLSTrust()
            trust.trustedPEM = authority.certificatePEM
            follower = try AnswerFollower(host: "127.0.0.1", port: server.port, trust: trust)
        }

        func follow(_ requests: [HTTPRequest]) async throws { try await follower.follow(requests) { [seen] in seen.take($0, $1) } }

        func stopServer() async { if isServing.withLock({ exchange(&$0) }) { await server.stop(grace: .seconds(5)) } }

        func closeFollower() async { if isFollowing.withLock({ exchange(&$0) }) { await follower.close() } }

        private func exchange(_ flag: inout Bool) -> Bool {
            defer { flag = false }
            return flag
        }
    }

    private static func withWorld(_ body: (World) async throws -> Void) async throws {
        let world = try await World()
        let result: Result<Void, any Error>
        do { result = .success(try await body(world)) } catch { result = .failure(error) }
        await world.closeFollower()
        await world.stopServer()
        try result.get()
    }

    private static func failure(of body: () async throws -> Void) async -> HTTPClientError? {
        do {
            try await body()
            return nil
        } catch { return error as? HTTPClientError }
    }

    private static func request(_ path: String, _ query: String = "") -> HTTPRequest {
        HTTPRequest(method: "GET", path: path, query: query, headers: ["Accept": "text/plain"])
    }

    private static func wait(_ isSo: () -> Bool) async throws { while !isSo() { try await Task.sleep(for: .milliseconds(5)) } }

    @Test func `each answer of a connection is told as it goes on, by the number of its request`() async throws {
        try await Self.withWorld { world in
            let long = String(repeating: "x", count: 200)
            try await world.follow([Self.request("/endless", "a"), Self.request("/endless", long)])
            #expect(world.server.connectionCount == 1)
            for text in ["one", "two"] { world.responder.say(text) }
            try await Self.wait { world.seen.text(0) == "a one\na two\n" && world.seen.text(1) == "\(long) one\n\(long) two\n" }
            let haveEnded = world.seen.hasEnded(0) || world.seen.hasEnded(1)
            #expect(!haveEnded)
        }
    }

    @Test func `an answer that ends is told to have ended, however many frames it took, and others go on`() async throws {
        try await Self.withWorld { world in
            try await world.follow([Self.request("/whole"), Self.request("/endless", "b")])
            try await Self.wait { world.seen.hasEnded(0) }
            let text = world.seen.text(0)
            #expect(text == String(repeating: "a", count: 100_000))
            world.responder.say("more")
            try await Self.wait { world.seen.text(1) == "b more\n" }
        }
    }

    @Test func `a server that stops ends every answer`() async throws {
        try await Self.withWorld { world in
            try await world.follow((0..<3).map { _ in Self.request("/endless") })
            await world.stopServer()
            try await Self.wait { (0..<3).allSatisfy { world.seen.hasEnded($0) } }
        }
    }

    @Test func `a follower that is closed has the server stop what it sent`() async throws {
        try await Self.withWorld { world in
            try await world.follow([Self.request("/endless")])
            await world.closeFollower()
            try await Self.wait { world.responder.endless.withLock { $0.allSatisfy { $0.isStopped } } }
        }
    }

    @Test func `an answer of anything but two hundred is refused, with the path that was asked for`() async throws {
        try await Self.withWorld { world in
            let error = await Self.failure { try await world.follow([Self.request("/nothing")]) }
            #expect(error?.code == .malformed)
            #expect(error?.description.contains("/nothing") == true)
        }
    }

    @Test func `a server that is not trusted, and one that is not there, are told apart`() async throws {
        try await Self.withWorld { world in
            var trust = TLSTrust()
            trust.trustedPEM = try Authority.make(name: "another", now: Date()).certificatePEM
            let stranger = try AnswerFollower(host: "127.0.0.1", port: world.server.port, trust: trust)
            let untrusted = await Self.failure { try await stranger.follow([Self.request("/whole")]) { _, _ in } }
            await stranger.close()
            #expect(untrusted?.code == .untrusted)
            let lost = try AnswerFollower(host: "127.0.0.1", port: 1, trust: trust)
            let unreachable = await Self.failure { try await lost.follow([Self.request("/whole")]) { _, _ in } }
            await lost.close()
            #expect(unreachable?.code == .unreachable)
        }
    }
}

/// Frames of a server, cut where they lie.
@Suite(.offThePool) struct AnswerFramesTests {
    /// Frames that are whole, and of bodies what came by stream.
    private static func read(_ pieces: [[UInt8]]) throws -> (frames: [AnswerFrames.Frame], bodies: [Int: [UInt8]]) {
        var reader = AnswerFrames()
        var found: (frames: [AnswerFrames.Frame], bodies: [Int: [UInt8]]) = ([], [:])
        for piece in pieces {
            try piece.withUnsafeBytes { bytes in
                try reader.take(bytes) { (piece) throws(HTTPClientError) in
                    switch piece {
                    case .body(let stream, let bytes): found.bodies[stream, default: []] += bytes
                    case .frame(let frame): found.frames.append(frame)
                    }
                }
            }
        }
        return found
    }

    private static let sent =
        FrameClient.frame(.settings, 0, 0) + FrameClient.frame(.headers, 4, 1, [0x88, 1])
        + FrameClient.frame(.data, 0, 1, Array("abc".utf8)) + FrameClient.frame(.data, 0, 3, [])
        + FrameClient.frame(.data, 1, 1, Array("de".utf8))

    @Test(arguments: [1, 2, 9, 10, 1000]) func `frames are the same in pieces of any size`(size: Int) throws {
        let pieces = stride(from: 0, to: Self.sent.count, by: size).map { Array(Self.sent[$0..<min($0 + size, Self.sent.count)]) }
        let found = try Self.read(pieces)
        #expect(found.frames.map(\.kind) == [4, 1, 0, 0, 0])
        #expect(found.frames.map(\.stream) == [0, 1, 1, 3, 1])
        #expect(found.frames.map(\.endsStream) == [false, false, false, false, true])
        #expect(found.frames[1].payload == [0x88, 1])
        #expect(found.bodies == [1: Array("abcde".utf8)])
    }

    @Test func `a frame that is too large or padded is refused before its payload is held`() throws {
        let large: [UInt8] = [0, 0x40, 1, 4, 0, 0, 0, 0, 0]
        let padded = FrameClient.frame(.data, 8, 1, [0, 1])
        for bytes in [large, padded] {
            let error = #expect(throws: HTTPClientError.self) { try Self.read([bytes]) }
            #expect(error?.code == .malformed)
        }
    }
}
