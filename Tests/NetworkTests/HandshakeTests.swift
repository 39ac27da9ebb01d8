import Network
import TestKit
import Testing

/// What clients say before TLS, and who of many gets on first.
@Suite(.offThePool) struct HandshakeTests {
    /// As OpenSSL says it: TLS 1.3, for "localhost", `h2` and `http/1.1` offered.
    static func hello(_ protocols: [String], before: [UInt8] = []) -> [UInt8] {
        func vector(_ width: Int, _ bytes: [UInt8]) -> [UInt8] {
            (0..<width).map { UInt8(truncatingIfNeeded: bytes.count >> (8 * (width - 1 - $0))) } + bytes
        }
        let names = protocols.flatMap { vector(1, Array($0.utf8)) }
        let offered = protocols.isEmpty ? [] : [0, 16] + vector(2, vector(2, names))
        let server = [0, 0] + vector(2, vector(2, [0] + vector(2, Array("localhost".utf8))))
        let body: [UInt8] =
            [3, 3] + [UInt8](repeating: 7, count: 32) + vector(1, [UInt8](repeating: 9, count: 32)) + vector(2, [0x13, 0x01])
            + vector(1, [0]) + vector(2, before + server + offered)
        return [22, 3, 1] + vector(2, [1] + vector(3, body))
    }

    @Test func `the protocols that a client offers are read in their order, wherever among its extensions they stand`() {
        #expect(ClientHello(Self.hello(["h2", "http/1.1"])) == .offers(["h2", "http/1.1"]))
        #expect(
            ClientHello(Self.hello(["skerry-patient", "http/1.1"], before: [0, 43, 0, 3, 2, 3, 4]))
                == .offers(["skerry-patient", "http/1.1"]))
        #expect(ClientHello(Self.hello([])) == .offers([]))
    }

    @Test func `a hello that comes in pieces is waited for, and what follows it is not looked at`() {
        let hello = Self.hello(["http/1.1"])
        for count in 0..<hello.count { #expect(ClientHello(hello.prefix(count)) == .incomplete, "\(count) bytes") }
        #expect(ClientHello(hello + [1, 2, 3]) == .offers(["http/1.1"]))
    }

    @Test func `what is no hello is left to TLS, and lengths that lie are no trap`() {
        #expect(ClientHello(Array("GET / HTTP/1.1\r\n\r\n".utf8)) == .unknown)
        #expect(ClientHello([22, 3, 1, 0xff, 0xff]) == .unknown)
        #expect(ClientHello([22, 3, 1, 0, 4, 2, 0, 0, 0]) == .unknown)
        let hello = Self.hello(["http/1.1"])
        for index in 5..<hello.count {
            for value in [0, 1, 0x7f, 0xff] as [UInt8] {
                var broken = hello
                broken[index] = value
                #expect(ClientHello(broken) != .incomplete, "byte \(index) is \(value)")
            }
        }
    }

    /// The order, with what it says about each step.
    private struct Asked {
        var order: HandshakeOrder<Int>

        init(stepsMax: Int, answersMax: Int) { order = HandshakeOrder(stepsMax: stepsMax, answersMax: answersMax) }

        /// Those of them that get on at once.
        mutating func arrive(_ turns: [Int], isPatient: Bool) -> [Int] { turns.filter { order.arrived($0, isPatient: isPatient) } }

        /// Who gets on, look by look, until it is nobody.
        mutating func rest(isThere: (Int) -> Bool = { _ in true }) -> [[Int]] {
            var looks: [[Int]] = []
            while case let turns = order.next(isThere: isThere), !turns.isEmpty { looks.append(turns) }
            return looks
        }
    }

    @Test func `who comes when few are there gets on at once`() {
        var asked = Asked(stepsMax: 2, answersMax: 8)
        let first = asked.arrive([1], isPatient: true) + asked.arrive([2, 3], isPatient: false)
        #expect(first == [1, 2])
        let looks = asked.rest()
        #expect(looks == [[3]])
        let later = asked.arrive([4], isPatient: true)
        #expect(later == [4])
    }

    @Test func `those who can wait come behind the others, one at a time, and nobody is left out`() {
        var asked = Asked(stepsMax: 3, answersMax: 8)
        let first = asked.arrive([0, 1, 2, 10, 11, 12, 13, 14], isPatient: true) + asked.arrive([20, 21, 22, 23], isPatient: false)
        #expect(first == [0, 1, 2])
        let looks = asked.rest()
        #expect(looks == [[10, 20, 21], [11, 22, 23], [12, 13, 14]])
    }

    @Test func `connections that have gone meanwhile take nobody's turn`() {
        var asked = Asked(stepsMax: 2, answersMax: 8)
        _ = asked.arrive([0, 2, 4, 6, 8], isPatient: true)
        _ = asked.arrive([1, 3, 5, 7], isPatient: false)
        let looks = asked.rest { $0 > 5 }
        #expect(looks == [[6, 7], [8]])
    }

    @Test func `of those who can wait some requests are answered at a time, and those in a hurry do not notice`() {
        var asked = Asked(stepsMax: 4, answersMax: 2)
        asked.order.asked()
        asked.order.asked()
        let first = asked.arrive([1], isPatient: true) + asked.arrive([2], isPatient: false)
        #expect(first == [2])
        let before = asked.rest()
        asked.order.answered()
        let after = asked.rest()
        #expect(before == [])
        #expect(after == [[1]])
    }
}
