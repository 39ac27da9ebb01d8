import Dispatch

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A connection to a server on loopback that says what it is told and hears until it is answered; blocking, so on a thread of its own.
final class PlainClient: @unchecked Sendable {
    private let descriptor: Int32
    /// Of its own, so with a thread of its own: those of the global queue are as few as cores, and a client that waits would keep others out.
    private let queue = DispatchQueue(label: "plain client")

    init(port: Int) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        precondition(result == 0, "cannot connect to port \(port): \(String(cString: strerror(errno)))")
        // A test that waits for what never comes fails instead of hanging; other suites may keep both cores busy meanwhile.
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ all: [UInt8]) {
        var bytes = all[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { systemSend(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count <= 0 { return }
            bytes = bytes.dropFirst(count)
        }
    }

    /// Ends the sending side; answers still come.
    func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    private func run<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
        await withCheckedContinuation { continuation in queue.async { continuation.resume(returning: body()) } }
    }

    private func chunk() -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count > 0 ? Array(buffer.prefix(count)) : []
    }

    /// Everything until the text `end` has come, or the server closes.
    func receive(until end: String) async -> String {
        await run { [self] in
            var bytes: [UInt8] = []
            while true {
                let next = chunk()
                bytes += next
                let text = String(decoding: bytes, as: UTF8.self)
                if next.isEmpty || text.contains(end) { return text }
            }
        }
    }

    /// At least so many bytes; fewer only when the server closes.
    func receive(atLeast count: Int) async -> [UInt8] {
        await run { [self] in
            var bytes: [UInt8] = []
            while bytes.count < count {
                let next = chunk()
                bytes += next
                if next.isEmpty { break }
            }
            return bytes
        }
    }

    /// Everything until the server closes.
    func receiveAll() async -> [UInt8] {
        await run { [self] in
            var bytes: [UInt8] = []
            while true {
                let next = chunk()
                bytes += next
                if next.isEmpty { return bytes }
            }
        }
    }
}

/// The system's `send`, which the method of the same name hides.
private func systemSend(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int, _ flags: Int32) -> Int {
    send(descriptor, bytes, count, flags)
}
