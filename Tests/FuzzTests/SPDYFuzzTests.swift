import Network
import TestKit
import Testing

/// Whatever comes through a tunnel of forwarded ports is read within its bounds or ends the tunnel.
@Suite(.offThePool, .serialized, .timeLimit(.minutes(600))) struct SPDYFuzzTests {
    private static let words = [
        "\u{0}\u{1}", "\u{0}\u{3}", "\u{0}\u{6}", "\u{0}\u{8}", "\u{0}\u{0}\u{0}\u{1}", "\u{0}\u{0}\u{0}\u{3}", "\u{7f}\u{7f}\u{7f}",
        "\u{0}\u{0}\u{0}\u{0}",
    ]

    @Test func `whatever a tunnel brings, in one piece or in many, is read the same or ends it`() async throws {
        var fuzzer = try Fuzzer("spdy", corpus: "Tests/FuzzTests/Corpus/spdy", words: Self.words)
        var limits = SPDYSession.Limits()
        limits.streamsMax = 4
        let bounds = limits
        let result = try await fuzzer.run(count: 3000) { input in
            let whole = Self.outcome(SPDYSession(bounds), [input])
            let pieces = Self.outcome(SPDYSession(bounds), input.map { [$0] })
            // What came before a failure is told only where it came apart from it.
            guard pieces.hasFailed == whole.hasFailed, whole.hasFailed || pieces.actions == whole.actions else {
                return .wrong("in one piece \(whole), in many \(pieces)")
            }
            for case .data(_, let bytes) in pieces.actions where bytes.count > bounds.frameBytesMax {
                return .wrong("\(bytes.count) bytes")
            }
            return .right(signature: "\(whole.hasFailed) \(pieces.actions.map(Self.word))")
        }
        #expect(result.failures.isEmpty, "\(result.failures.joined(separator: "\n"))")
        #expect(result.signatureCount > 10 || !result.failures.isEmpty)
    }

    private struct Outcome: Equatable {
        var actions: [SPDYSession.Action] = []
        var hasFailed = false
    }

    private static func outcome(_ session: SPDYSession, _ pieces: [[UInt8]]) -> Outcome {
        var outcome = Outcome()
        do throws(SPDYError) { for piece in pieces { outcome.actions += try session.receive(piece) } } catch { outcome.hasFailed = true }
        return outcome
    }

    private static func word(_ action: SPDYSession.Action) -> String {
        switch action {
        case .send: "send"
        case .opened: "opened"
        case .data: "data"
        case .ended: "ended"
        case .reset: "reset"
        case .goodbye: "goodbye"
        }
    }
}
