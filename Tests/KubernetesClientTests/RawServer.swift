import Synchronization
import TestKit

/// A server on loopback that answers each request with bytes as they are given, of no protocol in particular.
final class RawServer: Sendable {
    /// What to do with a connection once a request's head has come.
    enum Step: Sendable {
        case send([UInt8])
        /// Says nothing until the peer is gone.
        case hang
        /// Sends the same bytes until the peer is gone, or so many times.
        case flood([UInt8], times: Int)

        static func text(_ text: String) -> Step { .send(Array(text.utf8)) }
        static func json(_ text: String, status: String = "200 OK") -> Step {
            .text("HTTP/1.1 \(status)\r\nContent-Type: application/json\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)")
        }
    }

    private struct Counts {
        var sent = 0
        var requests = 0
    }

    private let server: LoopbackServer
    private let counts: Shared

    private final class Shared: Sendable {
        let counts = Mutex(Counts())
    }

    /// - Parameter isKept: whether more requests are read from a connection.
    init(_ steps: [Step], isKept: Bool = false) {
        let counts = Shared()
        self.counts = counts
        server = LoopbackServer { connection in
            var come: [UInt8] = []
            repeat {
                guard Self.readHead(connection, &come) else { return }
                counts.counts.withLock { $0.requests += 1 }
                for step in steps { guard Self.perform(step, connection, counts) else { return } }
            } while isKept
        }
    }

    var port: Int { server.port }

    /// To be called once; connections that are open are cut.
    func stop() { server.stop() }

    /// Bytes that the system has taken for sending.
    var sentCount: Int { counts.counts.withLock { $0.sent } }
    /// Heads that have come.
    var requestCount: Int { counts.counts.withLock { $0.requests } }

    /// - Returns: false once the peer is gone.
    private static func perform(_ step: Step, _ connection: LoopbackConnection, _ counts: Shared) -> Bool {
        func write(_ bytes: [UInt8]) -> Bool { connection.write(bytes) { count in counts.counts.withLock { $0.sent += count } } }
        switch step {
        case .send(let bytes): return write(bytes)
        case .hang:
            connection.readToEnd()
            return true
        case .flood(let bytes, let times):
            for _ in 0..<times { guard write(bytes) else { return false } }
            return true
        }
    }

    /// Takes a head out of what has come, and reads until there is one.
    private static func readHead(_ connection: LoopbackConnection, _ come: inout [UInt8]) -> Bool {
        let end: [UInt8] = [13, 10, 13, 10]
        var looked = 0
        while true {
            while looked + 4 <= come.count {
                if come[looked..<looked + 4].elementsEqual(end) {
                    come.removeFirst(looked + 4)
                    return true
                }
                looked += 1
            }
            let more = connection.read()
            if more.isEmpty { return false }
            come += more
        }
    }
}
