import HubProtocol
import TestKit
import Testing

/// Whatever comes over a node's link is refused, or read and written the same; a session that gets it lives or ends with a word.
@Suite(.offThePool, .serialized, .timeLimit(.minutes(600))) struct HubFrameFuzzTests {
    private static let words = [
        "\u{1}", "\u{4}", "\u{8}", "\u{10}", "\0\0\0\0", "pods", "Pod", "default", "v1", "{\"metadata\":{}}", "{", "u-1",
        "\u{7f}\u{7f}\u{7f}\u{7f}",
    ]

    @Test func `whatever a link brings, the decoder reads or refuses it, and both sessions live or part`() async throws {
        var fuzzer = try Fuzzer("hub", corpus: "Tests/FuzzTests/Corpus/hub", words: Self.words)
        let result = try await fuzzer.run(count: 3000) { input in
            var hub = HubSession(seed: 1, now: .zero)
            var replica = EdgeReplica()
            var edge = EdgeSession(now: .zero)
            let hello = Frame.hello(Hello(store: 1, digest: replica.digest, program: "fuzz"))
            _ = hub.receive(NumberedFrame(1, hello).message, now: .zero) { [] }
            _ = hub.admit([], now: .zero, timeSeconds: 0)
            let welcome = Welcome(version: 1, seed: 1, wantsInventory: false, heartbeatSeconds: 30, timeSeconds: 0)
            _ = edge.receive(NumberedFrame(1, .welcome(welcome)).message, &replica, now: .zero)
            guard hub.isLive, edge.isLive else { return .wrong("the sessions do not begin") }
            var numbered = input
            // The next in order, so that what is fuzzed is what is said.
            if numbered.count > 4 { numbered.replaceSubrange(1..<5, with: [2, 0, 0, 0]) }
            let toHub = hub.receive(numbered, now: .zero) { [] }
            _ = hub.pump(now: .zero) { _ in .absent }
            let toEdge = edge.receive(numbered, &replica, now: .zero)
            _ = edge.stored(&replica, now: .zero)
            guard let frame = try? NumberedFrame(input) else { return .right(signature: "refused \(hub.isLive) \(edge.isLive)") }
            guard (try? NumberedFrame(frame.message)) == frame else { return .wrong("read as \(frame), written otherwise") }
            return .right(signature: "\(input.first ?? 0) \(toHub.count) \(toEdge.count) \(hub.isLive) \(edge.isLive)")
        }
        #expect(result.failures.isEmpty, "\(result.failures.joined(separator: "\n"))")
        #expect(result.signatureCount > 10 || !result.failures.isEmpty)
    }
}
