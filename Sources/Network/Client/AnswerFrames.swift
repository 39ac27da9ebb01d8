/// Frames of HTTP/2 that a server sends (RFC 9113, section 4.1), cut where they lie: what bodies hold is handed on as it comes, everything else
/// frame by frame. Pure.
package struct AnswerFrames {
    /// What has come.
    package enum Piece {
        /// Of a body; none of it may be left, and the frame may go on.
        case body(stream: Int, UnsafeRawBufferPointer)
        /// Any other frame, and the last of a body, which has been handed on.
        case frame(Frame)
    }

    /// A frame whose payload, unless it is of a body, is whole.
    package struct Frame: Equatable {
        /// As section 6 numbers them: 0 for DATA, 1 for HEADERS.
        package var kind: UInt8
        package var flags: UInt8
        package var stream: Int
        /// Empty for DATA.
        package var payload: [UInt8]

        /// Behind it nothing more comes of its stream.
        package var endsStream: Bool { kind <= 1 && flags & 1 != 0 }
    }

    private static let headBytes = 9
    /// What a server may send that was not told otherwise (section 6.5.2).
    private static let payloadMax = 16 << 10
    private var head: [UInt8] = []
    /// The frame that is under way; nil while its head is.
    private var frame: Frame?
    private var leftBytes = 0

    /// Nothing has come yet.
    package init() { head.reserveCapacity(Self.headBytes) }

    /// Reads on; a frame may come in any pieces.
    ///
    /// - Throws: `.malformed` for a frame that is larger than it may be, or padded, which this does not read.
    package mutating func take(_ bytes: UnsafeRawBufferPointer, _ found: (Piece) throws(HTTPClientError) -> Void) throws(HTTPClientError) {
        var rest = bytes[...]
        while !rest.isEmpty || (frame != nil && leftBytes == 0) {
            if frame == nil {
                head.append(rest.removeFirst())
                if head.count == Self.headBytes { try begin() }
                continue
            }
            let part = rest.prefix(leftBytes)
            rest = rest.dropFirst(part.count)
            leftBytes -= part.count
            try take(part, found)
        }
    }

    private mutating func begin() throws(HTTPClientError) {
        leftBytes = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
        let stream = head[5...].reduce(0) { $0 << 8 | Int($1) } & 0x7fff_ffff
        let begun = Frame(kind: head[3], flags: head[4], stream: stream, payload: [])
        guard leftBytes <= Self.payloadMax else {
            throw HTTPClientError(.malformed, "a frame has \(leftBytes) bytes, at most \(Self.payloadMax) were allowed")
        }
        guard begun.kind > 1 || begun.flags & 0x28 == 0 else {
            throw HTTPClientError(.malformed, "a frame of stream \(stream) is padded or has a priority, which is not read here")
        }
        frame = begun
        head.removeAll(keepingCapacity: true)
    }

    private mutating func take(_ part: Slice<UnsafeRawBufferPointer>, _ found: (Piece) throws(HTTPClientError) -> Void)
        throws(HTTPClientError)
    {
        guard var open = frame else { return }
        if open.kind == 0 {
            if !part.isEmpty { try found(.body(stream: open.stream, UnsafeRawBufferPointer(rebasing: part))) }
        } else {
            open.payload += part
        }
        frame = leftBytes == 0 ? nil : open
        if leftBytes == 0 { try found(.frame(open)) }
    }
}
