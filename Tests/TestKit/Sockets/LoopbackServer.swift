import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Takes connections on a port of the loopback and serves each on a thread of its own: it answers, too, while tests hold every thread of
/// the pool that async code runs on.
package final class LoopbackServer: Sendable {
    /// Of the system's choice.
    package let port: Int
    private let listener: Int32
    /// What is being served; nil once stopped.
    private let open = Mutex<Set<Int32>?>([])

    /// - Parameter serve: blocks until it is done with a connection, which is then closed.
    package init(_ serve: @escaping @Sendable (LoopbackConnection) -> Void) {
        #if os(Linux)
            let stream = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        #else
            let stream = SOCK_STREAM
        #endif
        let descriptor = socket(AF_INET, stream, 0)
        listener = descriptor
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 16) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        precondition(bound, "the loopback gives a port")
        port = Int(UInt16(bigEndian: address.sin_port))
        DispatchQueue(label: "loopback server").async { [self] in
            while case let connection = accept(descriptor, nil, nil), connection >= 0 {
                _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
                DispatchQueue(label: "loopback connection").async { self.take(connection, serve) }
            }
            close(descriptor)
        }
    }

    private func take(_ connection: Int32, _ serve: (LoopbackConnection) -> Void) {
        if open.withLock({ $0?.insert(connection).inserted == true }) { serve(LoopbackConnection(descriptor: connection)) }
        // Within the lock: a number that is closed may be another connection's at once.
        open.withLock { kept in
            kept?.remove(connection)
            close(connection)
        }
    }

    /// Takes no further connection and cuts those that are open; to be called once.
    package func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        open.withLock { kept in
            for connection in kept ?? [] { shutdown(connection, Int32(SHUT_RDWR)) }
            kept = nil
        }
    }
}

/// One peer of a `LoopbackServer`; its calls block.
package struct LoopbackConnection: Sendable {
    let descriptor: Int32

    /// At most 64 KiB of what has come; empty once the peer is gone.
    package func read() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        return Array(bytes.prefix(max(0, count)))
    }

    /// Returns once nothing more can come.
    package func readToEnd() { while !read().isEmpty {} }

    /// - Parameter taken: is told how many the system has taken, each time it takes some.
    /// - Returns: whether the system took them all; false once the peer is gone.
    package func write(_ bytes: [UInt8], taken: (Int) -> Void = { _ in }) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count <= 0 { return false }
            taken(count)
            rest = rest.dropFirst(count)
        }
        return true
    }
}
