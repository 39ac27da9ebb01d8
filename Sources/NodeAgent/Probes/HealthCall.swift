/// One call of `grpc.health.v1.Health/Check` over HTTP/2 with prior knowledge, as gRPC servers without TLS take it. Pure: what the server sends
/// goes in, what it is to be sent comes out.
///
/// The answer's message alone decides, so header fields are never decoded: a server that answers without a message (it does not have the
/// service, or does not know the call) is told so. Frames: RFC 9113; header fields are written as literals of RFC 7541.
struct HealthCall {
    /// Most bytes of a frame's payload, which is HTTP/2's own for servers that were told nothing else.
    static let frameBytesMax = 16_384
    /// Most bytes of the answer; an answer of this service has two.
    static let answerBytesMax = 1024
    /// Most frames before the answer; a server that has not answered by then never will.
    static let framesMax = 100

    enum Outcome: Equatable {
        case serving
        /// In the service's own words, as `NOT_SERVING`.
        case answered(String)
        /// A sentence.
        case failed(String)
    }

    private enum FrameType: UInt8 { case data = 0, headers = 1, reset = 3, settings = 4, ping = 6, goAway = 7 }
    private enum Flag { static let (endsStream, isAnswer, endsHeaders, isPadded): (UInt8, UInt8, UInt8, UInt8) = (1, 1, 4, 8) }

    private var received: [UInt8] = []
    private var answer: [UInt8] = []
    private var frames = 0
    /// Nil while it is not known.
    private(set) var outcome: Outcome?

    /// What opens the connection and asks.
    ///
    /// - Parameters:
    ///   - authority: host and port.
    ///   - service: whose health; empty for that of the whole server.
    static func request(authority: String, service: String) -> [UInt8] {
        let fields: [(String, String)] = [
            (":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"), (":authority", authority),
            ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", "kube-probe/1.32"),
        ]
        let name = Array(service.utf8)
        let message: [UInt8] = name.isEmpty ? [] : [0x0a] + groups(name.count) + name
        return Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(.settings, 0, stream: 0, [])
            + frame(.headers, Flag.endsHeaders, stream: 1, fields.flatMap { [0] + text($0) + text($1) })
            + frame(.data, Flag.endsStream, stream: 1, [0] + bigEndian(message.count) + message)
    }

    /// The server has sent bytes.
    ///
    /// - Returns: what it is to be sent.
    mutating func take(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        received += bytes
        var replies: [UInt8] = []
        while outcome == nil, received.count >= 9 {
            let length = received[..<3].reduce(0) { $0 << 8 | Int($1) }
            guard length <= Self.frameBytesMax else {
                outcome = .failed("the server sent what is no HTTP/2, or a frame of more than \(Self.frameBytesMax) bytes")
                break
            }
            guard received.count >= 9 + length else { break }
            frames += 1
            replies += take(type: received[3], flags: received[4], Array(received[9..<9 + length]))
            received.removeFirst(9 + length)
            if outcome == nil, frames >= Self.framesMax { outcome = .failed("no answer within \(frames) frames") }
        }
        return replies
    }

    /// The connection has ended.
    mutating func end() { outcome = outcome ?? .failed("the server closed the connection before its answer had ended") }

    private mutating func take(type: UInt8, flags: UInt8, _ payload: [UInt8]) -> [UInt8] {
        switch FrameType(rawValue: type) {
        case .settings where flags & Flag.isAnswer == 0: return Self.frame(.settings, Flag.isAnswer, stream: 0, [])
        case .ping where flags & Flag.isAnswer == 0: return Self.frame(.ping, Flag.isAnswer, stream: 0, payload)
        case .data:
            takeAnswer(payload, flags)
        case .headers:
            if flags & Flag.endsStream != 0 { finish() }
        case .reset: outcome = .failed("the server reset the call")
        case .goAway: outcome = .failed("the server does not take calls")
        default: break
        }
        return []
    }

    private mutating func takeAnswer(_ payload: [UInt8], _ flags: UInt8) {
        var bytes = payload[...]
        if flags & Flag.isPadded != 0 {
            guard let count = bytes.popFirst(), bytes.count >= count else { return outcome = .failed("a frame is padded beyond its end") }
            bytes.removeLast(Int(count))
        }
        guard answer.count + bytes.count <= Self.answerBytesMax else {
            return outcome = .failed("the answer has more than \(Self.answerBytesMax) bytes")
        }
        answer += bytes
        if answer.count >= 5, answer.count >= 5 + Self.length(answer[1..<5]) || flags & Flag.endsStream != 0 { finish() }
    }

    private mutating func finish() {
        guard outcome == nil else { return }
        guard answer.count >= 5 else {
            return outcome = .failed("the server has no grpc.health.v1.Health, or does not know the service that is asked for")
        }
        let length = Self.length(answer[1..<5])
        guard answer[0] == 0, answer.count >= 5 + length, let status = Self.status(answer[5..<5 + length]) else {
            return outcome = .failed("the answer is no HealthCheckResponse")
        }
        let words = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]
        outcome = status == 1 ? .serving : .answered(words.indices.contains(status) ? words[status] : String(status))
    }

    /// Field 1 of a message, 0 where it is left out; nil for what is no message.
    private static func status(_ message: ArraySlice<UInt8>) -> Int? {
        var (rest, status) = (message, 0)
        func integer() -> Int? {
            var (value, shift) = (0, 0)
            while let byte = rest.popFirst(), shift < 35 {
                value |= Int(byte & 0x7f) << shift
                if byte < 0x80 { return value }
                shift += 7
            }
            return nil
        }
        while !rest.isEmpty {
            guard let tag = integer() else { return nil }
            switch tag & 7 {
            case 0:
                guard let value = integer() else { return nil }
                if tag >> 3 == 1 { status = value }
            case 2:
                guard let count = integer(), count <= rest.count else { return nil }
                rest.removeFirst(count)
            default: return nil
            }
        }
        return status
    }

    // MARK: Bytes

    private static func frame(_ type: FrameType, _ flags: UInt8, stream: UInt8, _ payload: [UInt8]) -> [UInt8] {
        bigEndian(payload.count).dropFirst() + [type.rawValue, flags, 0, 0, 0, stream] + payload
    }

    private static func bigEndian(_ value: Int) -> [UInt8] { (0..<4).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }

    private static func length(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }

    /// A text of a header field, not compressed.
    private static func text(_ text: String) -> [UInt8] {
        let count = text.utf8.count
        return (count < 127 ? [UInt8(count)] : [127] + groups(count - 127)) + Array(text.utf8)
    }

    /// An integer in groups of 7 bits, the lowest first, as Protocol Buffers and HPACK have it.
    private static func groups(_ value: Int) -> [UInt8] {
        value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7f) | 0x80] + groups(value >> 7)
    }
}
