import NIOCore
import NIOHTTP1

/// Answers of HTTP/1.1 as they stand on the wire: one piece for most, which goes the way through a connection's handlers once.
enum HTTP1Answer {
    /// Bodies below this size follow their head in one piece; larger ones are not copied behind it.
    private static let gatheredBytesMax = 16 << 10

    static let proceed = ByteBuffer(staticString: "HTTP/1.1 100 Continue\r\n\r\n")
    /// What ends a body that is sent in chunks.
    static let chunksEnd = ByteBuffer(staticString: "0\r\n\r\n")
    /// For what is no request at all.
    static let malformed = ByteBuffer(staticString: "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    /// What is said of the body that follows a head.
    enum Length {
        case bytes(Int)
        case chunks
        /// As the fields say already, or no body follows.
        case asGiven
    }

    /// A whole answer: its first piece, and for a large body a second one.
    ///
    /// - Parameter isHead: of a request for the head alone.
    static func whole(_ response: HTTPResponse, _ body: [UInt8], isKept: Bool, isHead: Bool) -> (first: ByteBuffer, rest: ByteBuffer?) {
        let isSent = !isHead && !body.isEmpty && mayHaveBody(response.status)
        let isGathered = body.count < gatheredBytesMax
        var first = head(response, isKept: isKept, .bytes(body.count), roomBytes: isSent && isGathered ? body.count : 0)
        guard isSent else { return (first, nil) }
        if !isGathered { return (first, ByteBuffer(bytes: body)) }
        first.writeBytes(body)
        return (first, nil)
    }

    /// Whether no field's name or value would end it early, and so be taken for more than it is.
    static func isSendable(_ headers: HTTPHeaders) -> Bool { headers.fields.allSatisfy { isName($0.name) && isValue($0.value) } }

    /// An answer up to its body.
    ///
    /// - Parameter roomBytes: of what will be written behind it.
    static func head(_ response: HTTPResponse, isKept: Bool, _ length: Length, roomBytes: Int = 0) -> ByteBuffer {
        var bytes = ByteBufferAllocator().buffer(capacity: 256 + roomBytes)
        write(HTTPResponseStatus(statusCode: response.status), to: &bytes)
        let sets = setFields(response.status, length, isKept: isKept)
        for (name, value) in response.headers.fields where !sets.contains(name) { write(name, value, to: &bytes) }
        if !isKept { bytes.writeStaticString("Connection: close\r\n") }
        if mayHaveBody(response.status) {
            switch length {
            case .bytes(let count): write("Content-Length", String(count), to: &bytes)
            case .chunks: bytes.writeStaticString("transfer-encoding: chunked\r\n")
            case .asGiven: break
            }
        }
        bytes.writeStaticString("\r\n")
        return bytes
    }

    /// Says that the connection speaks another protocol from now on.
    static func switching(_ fields: [(name: String, value: String)]) -> ByteBuffer {
        var bytes = ByteBufferAllocator().buffer(capacity: 256)
        write(.switchingProtocols, to: &bytes)
        for (name, value) in fields where isName(name) && isValue(value) { write(name, value, to: &bytes) }
        bytes.writeStaticString("\r\n")
        return bytes
    }

    private static func write(_ status: HTTPResponseStatus, to bytes: inout ByteBuffer) {
        if status == .ok { return _ = bytes.writeStaticString("HTTP/1.1 200 OK\r\n") }
        if status == .created { return _ = bytes.writeStaticString("HTTP/1.1 201 Created\r\n") }
        bytes.writeString("HTTP/1.1 \(status.code) \(status.reasonPhrase)\r\n")
    }

    private static func write(_ name: String, _ value: String, to bytes: inout ByteBuffer) {
        bytes.writeString(name)
        bytes.writeStaticString(": ")
        bytes.writeString(value)
        bytes.writeStaticString("\r\n")
    }

    /// RFC 9110, section 6.4.1.
    private static func mayHaveBody(_ status: Int) -> Bool { status >= 200 && status != 204 && status != 304 }

    /// The fields that an answer's own are left out for.
    private struct SetFields {
        let hasLength: Bool
        let hasConnection: Bool

        func contains(_ name: String) -> Bool {
            switch name.utf8.count {
            case 10: hasConnection && name.lowercased() == "connection"
            case 14: hasLength && name.lowercased() == "content-length"
            case 17: hasLength && name.lowercased() == "transfer-encoding"
            default: false
            }
        }
    }

    private static func setFields(_ status: Int, _ length: Length, isKept: Bool) -> SetFields {
        if !mayHaveBody(status) { return SetFields(hasLength: true, hasConnection: !isKept) }
        if case .asGiven = length { return SetFields(hasLength: false, hasConnection: !isKept) }
        return SetFields(hasLength: true, hasConnection: !isKept)
    }

    /// A token (RFC 9110, section 5.6.2).
    private static func isName(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"), UInt8(ascii: "'"),
                    UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^"), UInt8(ascii: "_"),
                    UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
                    true
                default: false
                }
            }
    }

    /// Nothing that a reader could take for the end of the line (RFC 9110, section 5.5).
    private static func isValue(_ value: String) -> Bool { value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 } }
}
