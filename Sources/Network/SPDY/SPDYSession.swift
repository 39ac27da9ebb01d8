/// Why a connection of SPDY cannot go on; it is to be closed.
package struct SPDYError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One sentence: what came and why it cannot be taken.
    package let description: String

    init(_ description: String) { self.description = description }
}

/// The server's side of one connection of SPDY/3.1, as far as Kubernetes' streams use it: the client opens streams, data goes both ways, each
/// side ends its half. Without flow control, as the clients have it: who reads slowly is held back by the connection.
///
///     client: SYN_STREAM ─► opened ─► data … ─► ended        either side: RST_STREAM ─► gone
///     server: accept ─► SYN_REPLY     data … ─► end
///
/// Bytes go in, actions come out; no sockets, no clock. Used by one thread at a time.
package final class SPDYSession {
    /// What is to be done about bytes that have come, in order.
    package enum Action: Sendable, Equatable {
        /// Bytes for the client.
        case send([UInt8])
        /// The client has begun a stream and waits for `accept` or `refuse`.
        case opened(UInt32, headers: [String: String])
        case data(UInt32, [UInt8])
        /// The client sends nothing more on the stream.
        case ended(UInt32)
        /// The client has given the stream up; it is forgotten.
        case reset(UInt32)
        /// The client opens no more streams.
        case goodbye
    }

    /// Bounds of a connection; beyond the first two it ends, beyond the third a stream is refused.
    package struct Limits: Sendable {
        /// Bytes of one frame without its head.
        package var frameBytesMax = 256 << 10
        /// Bytes of the headers of a stream, unpacked.
        package var headerBytesMax = 8 << 10
        /// Streams at a time.
        package var streamsMax = 512

        /// Enough for 256 connections forwarded at a time.
        package init() {}
    }

    private enum Kind: UInt16 {
        case open = 1
        case reply = 2
        case reset = 3
        case ping = 6
        case goodbye = 7
        case headers = 8
    }

    private struct Halves {
        var isOpenHere = true
        var isOpenThere = true
    }

    private static let headBytes = 8
    private static let (isLast, isOneWay): (UInt8, UInt8) = (1, 2)
    /// Status words of RST_STREAM.
    private static let (refusedStream, cancel): (UInt32, UInt32) = (3, 5)
    private static let numbers: UInt32 = 0x7fff_ffff

    private let limits: Limits
    private let inflater = SPDYInflater()
    private var rest: [UInt8] = []
    private var streams: [UInt32: Halves] = [:]
    private var lastNumber: UInt32 = 0
    private var hasReplied = false

    /// A connection on which nothing has been said.
    package init(_ limits: Limits = Limits()) { self.limits = limits }

    // MARK: From the client

    /// Takes bytes as they come, in pieces of any size.
    ///
    /// - Throws: what breaks the rules or a limit; nothing more may be taken then.
    package func receive(_ bytes: [UInt8]) throws(SPDYError) -> [Action] {
        rest += bytes
        var actions: [Action] = []
        var start = 0
        while rest.count - start >= Self.headBytes {
            let count = Int(rest[start + 5]) << 16 | Int(rest[start + 6]) << 8 | Int(rest[start + 7])
            // Checked before more is kept for it.
            guard count <= limits.frameBytesMax else {
                throw SPDYError("a frame of \(count) bytes; at most \(limits.frameBytesMax) are taken")
            }
            guard rest.count - start >= Self.headBytes + count else { break }
            let body = Array(rest[(start + Self.headBytes)..<(start + Self.headBytes + count)])
            try take(word: Self.number(rest[start..<(start + 4)]), flags: rest[start + 4], body, &actions)
            start += Self.headBytes + count
        }
        rest.removeFirst(start)
        return actions
    }

    private static func number(_ bytes: some Collection<UInt8>) -> UInt32 { bytes.reduce(0) { $0 << 8 | UInt32($1) } }

    private func take(word: UInt32, flags: UInt8, _ body: [UInt8], _ actions: inout [Action]) throws(SPDYError) {
        guard word >> 31 == 1 else { return take(data: body, of: word, isLast: flags & Self.isLast != 0, &actions) }
        let version = word >> 16 & 0x7fff
        guard version == 3 else { throw SPDYError("a frame of SPDY/\(version); SPDY/3.1 is spoken here") }
        switch Kind(rawValue: UInt16(truncatingIfNeeded: word)) {
        case .open: try open(body, flags, &actions)
        case .reset:
            guard body.count == 8 else { throw SPDYError("RST_STREAM has \(body.count) bytes; 8 are right") }
            let stream = Self.number(body[..<4]) & Self.numbers
            if streams.removeValue(forKey: stream) != nil { actions.append(.reset(stream)) }
        case .ping:
            guard body.count == 4 else { throw SPDYError("PING has \(body.count) bytes; 4 are right") }
            // The client's are odd; an even one would be the answer to ours, and we ask nothing.
            if body[3] & 1 == 1 { actions.append(.send(Self.frame(.ping, body))) }
        case .goodbye: actions.append(.goodbye)
        case .headers:
            // Nothing is done with them, but what follows is packed on from them.
            guard body.count > 4 else { throw SPDYError("HEADERS has \(body.count) bytes; more than 4 are right") }
            _ = try inflater.unpack(Array(body[4...]), bytesMax: limits.headerBytesMax)
        case .reply: throw SPDYError("SYN_REPLY to a stream that was never opened from here")
        // Settings, windows and what the draft may add change nothing here.
        case nil: break
        }
    }

    private func open(_ body: [UInt8], _ flags: UInt8, _ actions: inout [Action]) throws(SPDYError) {
        guard body.count > 10 else { throw SPDYError("SYN_STREAM has \(body.count) bytes; more than 10 are right") }
        let stream = Self.number(body[..<4]) & Self.numbers
        guard stream & 1 == 1, stream > lastNumber else {
            throw SPDYError("SYN_STREAM has number \(stream) behind \(lastNumber); a client's are odd and grow")
        }
        let headers = try SPDYHeaders.read(try inflater.unpack(Array(body[10...]), bytesMax: limits.headerBytesMax))
        lastNumber = stream
        guard streams.count < limits.streamsMax else { return actions.append(.send(Self.reset(stream, Self.refusedStream))) }
        streams[stream] = Halves(isOpenHere: flags & Self.isOneWay == 0, isOpenThere: flags & Self.isLast == 0)
        actions.append(.opened(stream, headers: headers))
        if flags & Self.isLast != 0 { actions.append(.ended(stream)) }
    }

    private func take(data: [UInt8], of stream: UInt32, isLast: Bool, _ actions: inout [Action]) {
        // Of a stream that was given up here something may still be on its way.
        guard var halves = streams[stream], halves.isOpenThere else { return }
        if !data.isEmpty { actions.append(.data(stream, data)) }
        guard isLast else { return }
        halves.isOpenThere = false
        keep(stream, halves)
        actions.append(.ended(stream))
    }

    private func keep(_ stream: UInt32, _ halves: Halves) { streams[stream] = halves.isOpenHere || halves.isOpenThere ? halves : nil }

    // MARK: To the client

    /// Takes a stream that was opened.
    ///
    /// - Returns: the answer; empty for a stream that is gone.
    package func accept(_ stream: UInt32) -> [UInt8] {
        guard streams[stream] != nil else { return [] }
        defer { hasReplied = true }
        return Self.frame(.reply, SPDYHeaders.bytes(stream) + SPDYHeaders.empty(isFirst: !hasReplied))
    }

    /// Gives a stream up at once, in both directions.
    ///
    /// - Returns: what tells the client; empty for a stream that is gone.
    package func refuse(_ stream: UInt32) -> [UInt8] {
        streams.removeValue(forKey: stream) == nil ? [] : Self.reset(stream, Self.cancel)
    }

    /// Data of a stream.
    ///
    /// - Parameter isLast: nothing more comes.
    /// - Returns: the frame; empty for a stream that is gone or was ended here.
    package func data(_ bytes: [UInt8], on stream: UInt32, isLast: Bool = false) -> [UInt8] {
        guard var halves = streams[stream], halves.isOpenHere else { return [] }
        precondition(bytes.count < 1 << 24, "a frame of SPDY has less than 16 MiB")
        if isLast {
            halves.isOpenHere = false
            keep(stream, halves)
        }
        return SPDYHeaders.bytes(stream) + Self.length(isLast ? Self.isLast : 0, bytes.count) + bytes
    }

    private static func reset(_ stream: UInt32, _ status: UInt32) -> [UInt8] {
        frame(.reset, SPDYHeaders.bytes(stream) + SPDYHeaders.bytes(status))
    }

    private static func frame(_ kind: Kind, _ body: [UInt8]) -> [UInt8] {
        SPDYHeaders.bytes(0x8003_0000 | UInt32(kind.rawValue)) + length(0, body.count) + body
    }

    private static func length(_ flags: UInt8, _ count: Int) -> [UInt8] { SPDYHeaders.bytes(UInt32(flags) << 24 | UInt32(count)) }
}
