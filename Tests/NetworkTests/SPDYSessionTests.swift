import Network
import TestKit
import Testing

/// SPDY/3.1 as Kubernetes' clients speak it: what comes from the client, in pieces of any size, and what it is answered.
@Suite(.offThePool) struct SPDYSessionTests {
    /// SYN_STREAM 1 and 3 with the headers of an error and a data stream for port 8080, packed one after the other with the dictionary of
    /// the draft by zlib; both frames of one connection.
    private static let openings = bytes(
        "800300010000003d0000000100000000000078f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45e01c6061606100a4398b20d198094ade8c0600000000"
            + "ffff800300010000001800000003000000000000c2aa19540e2512d60b000000ffff")
    /// SYN_STREAM 5 of the same connection, whose 69 bytes hold a header of 20,000.
    private static let bomb = bytes(
        "800300010000003d00000005000000000000ecc4310d000008c030a4a0080fb8403ec105479b6cb76b222a1b0000000000000000000000000000000000008017160000ffff"
    )

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.utf8.map { $0 < 58 ? $0 - 48 : $0 - 87 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private static let opened: [SPDYSession.Action] = [
        .opened(1, headers: ["streamtype": "error", "port": "8080", "requestid": "0"]),
        .opened(3, headers: ["streamtype": "data", "port": "8080", "requestid": "0"]),
    ]

    @Test func `streams are opened whatever pieces their frames come in`() throws {
        #expect(try SPDYSession().receive(Self.openings) == Self.opened)
        let session = SPDYSession()
        let actions = try Self.openings.flatMap { try session.receive([$0]) }
        #expect(actions == Self.opened)
    }

    @Test func `a stream that is taken is answered by empty headers that zlib reads`() throws {
        let session = SPDYSession()
        _ = try session.receive(Self.openings)
        // The first block of a connection has zlib's head, with the checksum of the dictionary.
        #expect(session.accept(1) == Self.bytes("80030002000000180000000178bbe3c6a7c2000400fbff00000000000000ffff"))
        #expect(session.accept(3) == Self.bytes("800300020000001200000003000400fbff00000000000000ffff"))
        #expect(session.accept(5) == [])
    }

    @Test func `data goes both ways until each side has ended its half, and a stream that is given up gets none`() throws {
        let session = SPDYSession()
        _ = try session.receive(Self.openings)
        #expect(try session.receive(Self.bytes("00000003000000026869")) == [.data(3, Array("hi".utf8))])
        #expect(try session.receive(Self.bytes("0000000301000000")) == [.ended(3)])
        // Behind its end nothing is taken.
        #expect(try session.receive(Self.bytes("00000003000000026869")) == [])
        #expect(session.data([0x79, 0x6f], on: 3) == Self.bytes("0000000300000002796f"))
        #expect(session.data([], on: 3, isLast: true) == Self.bytes("0000000301000000"))
        #expect(session.data([1], on: 3) == [])
        #expect(try session.receive(Self.bytes("80030003000000080000000100000005")) == [.reset(1)])
        #expect(session.data([1], on: 1) == [])
        #expect(session.refuse(1) == [])
    }

    @Test func `a ping is answered by itself`() throws {
        let ping = Self.bytes("800300060000000400000001")
        #expect(try SPDYSession().receive(ping) == [.send(ping)])
        #expect(try SPDYSession().receive(Self.bytes("800300060000000400000002")) == [])
    }

    @Test func `streams beyond the limit are refused, and later ones are read all the same`() throws {
        var limits = SPDYSession.Limits()
        limits.streamsMax = 1
        let actions = try SPDYSession(limits).receive(Self.openings)
        #expect(actions == [Self.opened[0], .send(Self.bytes("80030003000000080000000300000003"))])
    }

    @Test func `headers and frames that would be larger than their bounds end the connection before memory is taken for them`() throws {
        let session = SPDYSession()
        _ = try session.receive(Self.openings)
        #expect(throws: SPDYError.self) { try session.receive(Self.bomb) }
        #expect(throws: SPDYError.self) { try SPDYSession().receive(Self.bytes("0000000300ffffff")) }
        var limits = SPDYSession.Limits()
        limits.headerBytesMax = 32 << 10
        let generous = SPDYSession(limits)
        _ = try generous.receive(Self.openings)
        #expect(try generous.receive(Self.bomb) == [.opened(5, headers: ["x": String(repeating: "a", count: 20_000)])])
    }

    @Test(arguments: [
        ("another version", "80020006000000040000000100"), ("a ping without its number", "800300060000000100"),
        ("an even number of a stream", "800300010000000b0000000200000000000000"),
        ("an answer that nobody asked for", "800300020000000400000001"),
        ("headers that are not packed", "800300010000000d00000001000000000000abcdef"),
        ("a reset without its reason", "800300030000000400000001"),
    ])
    func `what breaks the rules ends the connection`(rule: (name: String, frame: String)) {
        #expect(throws: SPDYError.self, "\(rule.name)") { try SPDYSession().receive(Self.bytes(rule.frame)) }
    }

    @Test func `a number that comes again ends the connection`() throws {
        let session = SPDYSession()
        _ = try session.receive(Self.openings)
        #expect(throws: SPDYError.self) {
            try session.receive(Self.bytes("800300010000001800000003000000000000c2aa19540e2512d60b000000ffff"))
        }
    }
}
