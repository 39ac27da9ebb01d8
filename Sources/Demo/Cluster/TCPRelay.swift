import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Hands TCP connections on to a port of this machine, and can be cut: the way between an edge and its cloud that the demo breaks.
///
/// Two threads a connection; an agent has a handful of them.
final class TCPRelay: Sendable {
    private struct State {
        var isCut = false
        var isClosed = false
        /// Connections that are not handed on so far.
        var waiting = 0
        /// Both ends of each connection that stands.
        var ends: [Int: (Int32, Int32)] = [:]
        var next = 0
    }

    /// Connections at once; more are turned away.
    private static let connectionsMax = 64
    private static let chunkBytes = 64 << 10

    /// Of 127.0.0.1, where connections are taken.
    let port: UInt16
    private let target: UInt16
    private let listener: Int32
    private let state = Mutex(State())

    /// Listens on a free port of 127.0.0.1.
    ///
    /// - Parameter target: port of 127.0.0.1 that connections are handed on to.
    /// - Throws: `ClusterError`.
    init(to target: UInt16) throws(ClusterError) {
        self.target = target
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = Self.address(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound =
            listener >= 0
            && withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(listener, $0, length) == 0 && listen(listener, 64) == 0 && getsockname(listener, $0, &length) == 0
                }
            }
        guard isBound else {
            let reason = String(cString: strerror(errno))
            if listener >= 0 { closeDescriptor(listener) }
            throw ClusterError("cannot listen on 127.0.0.1 for the edges' way to the cloud: \(reason)")
        }
        self.listener = listener
        port = UInt16(bigEndian: address.sin_port)
        DispatchQueue(label: "skerry.demo.relay").async { [self] in takeConnections() }
    }

    /// Breaks all connections and holds new ones, until `mend()`.
    func cut() {
        state.withLock { state in
            state.isCut = true
            for (one, other) in state.ends.values { Self.shut(one, other) }
        }
    }

    /// Hands on again.
    func mend() { state.withLock { $0.isCut = false } }

    /// Ends for good.
    func close() {
        state.withLock { state in
            guard !state.isClosed else { return }
            state.isClosed = true
            for (one, other) in state.ends.values { Self.shut(one, other) }
            // Wakes the thread that waits for connections, which closes it.
            shutdown(listener, Int32(SHUT_RDWR))
        }
    }

    private static func shut(_ one: Int32, _ other: Int32) {
        shutdown(one, Int32(SHUT_RDWR))
        shutdown(other, Int32(SHUT_RDWR))
    }

    private static func address(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }

    private func takeConnections() {
        while true {
            let client = accept(listener, nil, nil)
            if client < 0 && (errno == EINTR || errno == ECONNABORTED) { continue }
            guard client >= 0, !state.withLock({ $0.isClosed }) else {
                if client >= 0 { closeDescriptor(client) }
                return closeDescriptor(listener)
            }
            let isTaken = state.withLock { state in
                guard state.waiting + state.ends.count < Self.connectionsMax else { return false }
                state.waiting += 1
                return true
            }
            guard isTaken else {
                closeDescriptor(client)
                continue
            }
            DispatchQueue(label: "skerry.demo.relay").async { [self] in
                awaitWay(client)
                handOn(client)
            }
        }
    }

    /// While the way is cut, what comes is held: nothing is said to it, as where packets are lost.
    private func awaitWay(_ client: Int32) {
        var byte: UInt8 = 0
        while state.withLock({ $0.isCut && !$0.isClosed }) {
            // One that has been given up is not handed on.
            if recv(client, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) == 0 { return }
            usleep(20_000)
        }
    }

    private func handOn(_ client: Int32) {
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = Self.address(target)
        let isConnected =
            server >= 0
            && withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
        let number = state.withLock { state -> Int? in
            state.waiting -= 1
            guard isConnected, !state.isCut, !state.isClosed else { return nil }
            state.next += 1
            state.ends[state.next] = (client, server)
            return state.next
        }
        guard let number else {
            closeDescriptor(client)
            if server >= 0 { closeDescriptor(server) }
            return
        }
        // Whichever direction ends last closes both: until then their numbers are nobody else's.
        let left = Counter()
        for (from, to) in [(client, server), (server, client)] {
            DispatchQueue(label: "skerry.demo.relay").async { [self] in
                Self.pump(from, to)
                left.add(1) { if $0 == 2 { forget(number) } }
            }
        }
    }

    private func forget(_ number: Int) {
        state.withLock { state in
            guard let (one, other) = state.ends.removeValue(forKey: number) else { return }
            closeDescriptor(one)
            closeDescriptor(other)
        }
    }

    /// Until either side ends; a side that has said its last word still hears the other.
    private static func pump(_ from: Int32, _ to: Int32) {
        var buffer = [UInt8](repeating: 0, count: chunkBytes)
        while true {
            let count = recv(from, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            var start = 0
            while start < count {
                let sent = buffer.withUnsafeBytes { send(to, $0.baseAddress! + start, count - start, Int32(MSG_NOSIGNAL)) }
                if sent < 0 && errno == EINTR { continue }
                guard sent > 0 else {
                    shutdown(from, Int32(SHUT_RDWR))
                    break
                }
                start += sent
            }
            if start < count { break }
        }
        shutdown(to, Int32(SHUT_WR))
    }
}

private func closeDescriptor(_ descriptor: Int32) { close(descriptor) }
