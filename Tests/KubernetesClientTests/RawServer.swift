import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

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

    private let listener: Int32
    let port: Int
    private let steps: [Step]
    private let isKept: Bool
    private let sent = Atomic<Int>(0)
    private let requests = Atomic<Int>(0)

    /// - Parameter isKept: whether more requests are read from a connection.
    init(_ steps: [Step], isKept: Bool = false) {
        self.steps = steps
        self.isKept = isKept
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        listener = descriptor
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) + listen(descriptor, 16) + getsockname(descriptor, $0, &length)
            }
        }
        precondition(bound == 0, "cannot listen on loopback")
        port = Int(UInt16(bigEndian: address.sin_port))
        DispatchQueue(label: "raw server").async { [self] in
            while case let connection = accept(descriptor, nil, nil), connection >= 0 {
                DispatchQueue(label: "raw connection").async { self.serve(connection) }
            }
        }
    }

    /// To be called once; connections that are open end with their peers.
    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    /// Bytes that the system has taken for sending.
    var sentCount: Int { sent.load(ordering: .relaxed) }
    /// Heads that have come.
    var requestCount: Int { requests.load(ordering: .relaxed) }

    private func serve(_ connection: Int32) {
        defer { close(connection) }
        repeat {
            guard readHead(connection) else { return }
            requests.add(1, ordering: .relaxed)
            for step in steps {
                switch step {
                case .send(let bytes): guard write(connection, bytes) else { return }
                case .hang: while readSome(connection) > 0 {}
                case .flood(let bytes, let times): for _ in 0..<times { guard write(connection, bytes) else { return } }
                }
            }
        } while isKept
    }

    private func readSome(_ connection: Int32) -> Int {
        var buffer = [UInt8](repeating: 0, count: 4096)
        return recv(connection, &buffer, buffer.count, 0)
    }

    private func readHead(_ connection: Int32) -> Bool {
        var head: [UInt8] = []
        var byte: UInt8 = 0
        while recv(connection, &byte, 1, 0) == 1 {
            head.append(byte)
            if head.suffix(4) == [13, 10, 13, 10] { return true }
        }
        return false
    }

    private func write(_ connection: Int32, _ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count <= 0 { return false }
            sent.add(count, ordering: .relaxed)
            rest = rest.dropFirst(count)
        }
        return true
    }
}
