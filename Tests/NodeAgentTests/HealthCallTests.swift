import TestKit
import Testing

@testable import NodeAgent

/// What a probe says to a gRPC server, byte by byte, and what it makes of answers.
@Suite(.offThePool) struct HealthCallTests {
    private func frame(_ type: UInt8, _ flags: UInt8, stream: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [0, UInt8(payload.count >> 8), UInt8(payload.count & 0xff), type, flags, 0, 0, 0, stream] + payload
    }

    /// A server's settings, header fields, the message and what ends the stream.
    private func answer(_ message: [UInt8]) -> [UInt8] {
        frame(4, 0, stream: 0, []) + frame(1, 4, stream: 1, [0x88])
            + frame(0, 0, stream: 1, [0, 0, 0, 0, UInt8(message.count)] + message) + frame(1, 5, stream: 1, [0])
    }

    private func outcome(_ bytes: [UInt8], ends: Bool = true) -> HealthCall.Outcome? {
        var call = HealthCall()
        _ = call.take(bytes)
        if ends { call.end() }
        return call.outcome
    }

    @Test func `the request is the preface, settings, one head and one message`() {
        let request = HealthCall.request(authority: "127.0.0.1:9000", service: "shop")
        let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        #expect(request.starts(with: preface))
        let frames = request.dropFirst(preface.count)
        #expect(frames.starts(with: [0, 0, 0, 4, 0, 0, 0, 0, 0]), "empty settings")
        let head = Array(frames.dropFirst(9))
        #expect(head[3] == 1 && head[4] == 4 && head[8] == 1, "a whole head of the first stream")
        #expect(head[9...].starts(with: [0, 7] + Array(":method".utf8) + [4] + Array("POST".utf8)))
        let message: [UInt8] = [0, 0, 0, 0, 6, 0x0a, 4] + Array("shop".utf8)
        #expect(Array(request.suffix(9 + message.count)) == frame(0, 1, stream: 1, message))
        let whole = HealthCall.request(authority: String(repeating: "a", count: 300), service: "")
        #expect(Array(whole.suffix(14)) == frame(0, 1, stream: 1, [0, 0, 0, 0, 0]))
        // 300 is 127 and 173, in groups of 7 bits 0xad 0x01.
        #expect(whole.indices.contains { whole[$0...].starts(with: Array(":authority".utf8) + [127, 0xad, 0x01, 0x61]) })
    }

    @Test(arguments: [
        ([8, 1], HealthCall.Outcome.serving), ([8, 2], .answered("NOT_SERVING")), ([], .answered("UNKNOWN")),
        ([8, 3], .answered("SERVICE_UNKNOWN")), ([8, 9], .answered("9")), ([0x12, 2, 8, 1, 8, 1], .serving),
        ([8], .failed("the answer is no HealthCheckResponse")), ([0x12, 9, 0], .failed("the answer is no HealthCheckResponse")),
        ([8, 255, 255, 255, 255, 255, 255], .failed("the answer is no HealthCheckResponse")),
    ])
    func `only a service that serves is healthy`(message: [UInt8], expected: HealthCall.Outcome) {
        #expect(outcome(answer(message)) == expected)
        // However it is cut on its way.
        var call = HealthCall()
        for byte in answer(message) where call.outcome == nil { _ = call.take([byte]) }
        #expect(call.outcome == expected)
    }

    @Test func `settings and pings are answered, once each`() {
        var call = HealthCall()
        #expect(call.take(frame(4, 0, stream: 0, [0, 3, 0, 0, 0, 100])) == frame(4, 1, stream: 0, []))
        #expect(call.take(frame(4, 1, stream: 0, [])) == [])
        #expect(call.take(frame(6, 0, stream: 0, [1, 2, 3, 4, 5, 6, 7, 8])) == frame(6, 1, stream: 0, [1, 2, 3, 4, 5, 6, 7, 8]))
        #expect(call.outcome == nil)
        _ = call.take(frame(0, 9, stream: 1, [2, 0, 0, 0, 0, 2, 8, 1, 0, 0]))
        #expect(call.outcome == .serving, "padding is left away")
    }

    @Test func `servers that answer otherwise fail the probe with a sentence, in bounded memory`() {
        func fails(_ bytes: [UInt8], _ words: String, ends: Bool = false) {
            guard case .failed(let sentence) = outcome(bytes, ends: ends) else {
                Issue.record("no failure: \(words)")
                return
            }
            #expect(sentence.contains(words), "\(sentence)")
        }
        fails(frame(1, 5, stream: 1, [0x88, 0]), "has no grpc.health.v1.Health")
        fails(frame(3, 0, stream: 1, [0, 0, 0, 7]), "reset the call")
        fails(frame(7, 0, stream: 0, [0, 0, 0, 0, 0, 0, 0, 2]), "does not take calls")
        fails(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), "no HTTP/2")
        fails(frame(0, 8, stream: 1, [9, 1]), "padded")
        fails(frame(0, 0, stream: 1, [UInt8](repeating: 0xff, count: 2000)), "more than 1024 bytes")
        fails(frame(0, 0, stream: 1, [0, 0, 0, 0, 9, 8]), "closed the connection", ends: true)
        fails((0..<100).flatMap { _ in frame(8, 0, stream: 0, [0, 0, 0, 1]) }, "within 100 frames")
        fails(frame(0, 1, stream: 1, [1, 0, 0, 0, 2, 8, 1]), "no HealthCheckResponse")
    }
}
