import CProcess

#if canImport(Glibc)
    import Glibc
#endif

/// Plain TCP connections made from here, blocking, with an end to every wait. For probes, hooks and forwarded ports.
enum Sockets {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Milliseconds of a clock that never goes back.
    static func milliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    /// Connects to an address or name.
    ///
    /// - Parameter deadline: by `milliseconds()`.
    /// - Returns: a descriptor that the caller closes.
    static func connect(host: String, port: Int, deadline: Int64) throws(Failure) -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &found) == 0, let first = found else {
            throw Failure(description: "dial tcp: lookup \(host): no such host")
        }
        defer { freeaddrinfo(found) }
        var reason = "no address"
        var next: UnsafeMutablePointer<addrinfo>? = first
        while let address = next?.pointee {
            next = address.ai_next
            let descriptor = socket(address.ai_family, address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), address.ai_protocol)
            guard descriptor >= 0 else { continue }
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            if Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 { return descriptor }
            if errno == EINPROGRESS, wait(descriptor, POLLOUT, deadline) {
                var code: Int32 = 0
                var size = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
                if code == 0 { return descriptor }
                reason = words(code)
            } else {
                reason = errno == EINPROGRESS ? "i/o timeout" : words(errno)
            }
            close(descriptor)
        }
        throw Failure(description: "dial tcp \(host):\(port): connect: \(reason)")
    }

    /// As Go says it, so that people find what they know.
    private static func words(_ code: Int32) -> String { String(cString: strerror(code)).lowercased() }

    /// Waits until a descriptor can be read or written. False once the time is over.
    static func wait(_ descriptor: Int32, _ events: Int32, _ deadline: Int64) -> Bool {
        while true {
            let left = deadline - milliseconds()
            guard left > 0 else {
                errno = EINPROGRESS
                return false
            }
            var set = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let count = poll(&set, 1, Int32(min(left, 60_000)))
            if count > 0 { return true }
            if count < 0, errno != EINTR { return false }
        }
    }

    /// Status of the answer to a GET; the body is not read.
    static func get(host: String, port: Int, _ request: HTTPGet, deadline: Int64) throws(Failure) -> Int {
        let descriptor = try connect(host: host, port: port, deadline: deadline)
        defer { close(descriptor) }
        var head = "GET \(request.path) HTTP/1.1\r\n"
        let isNamed = request.headers.contains { $0[0].lowercased() == "host" }
        if !isNamed { head += "Host: \(host.contains(":") ? "[\(host)]" : host):\(port)\r\n" }
        head += "User-Agent: kube-probe/1.32\r\nAccept: */*\r\nConnection: close\r\n"
        for header in request.headers { head += "\(clean(header[0])): \(clean(header[1]))\r\n" }
        guard SystemFiles.write(Array((head + "\r\n").utf8), to: descriptor) else {
            throw Failure(description: "the connection was closed")
        }
        var answer: [UInt8] = []
        while !answer.contains(0x0a), answer.count < 1024 {
            guard wait(descriptor, POLLIN, deadline) else {
                throw Failure(description: "context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
            }
            var buffer = [UInt8](repeating: 0, count: 1024)
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            answer += buffer[..<count]
        }
        let words = String(decoding: answer.prefix { $0 != 0x0a }, as: UTF8.self).split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/"), let status = Int(words[1].prefix(3)) else {
            throw Failure(description: "malformed HTTP response")
        }
        return status
    }

    /// What a gRPC server says of a service's health.
    static func health(host: String, port: Int, service: String, deadline: Int64) throws(Failure) -> HealthCall.Outcome {
        let descriptor = try connect(host: host, port: port, deadline: deadline)
        defer { close(descriptor) }
        let authority = "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        var call = HealthCall()
        var replies = HealthCall.request(authority: authority, service: service)
        while true {
            if let outcome = call.outcome { return outcome }
            guard replies.isEmpty || SystemFiles.write(replies, to: descriptor) else { return .failed("the connection was closed") }
            guard wait(descriptor, POLLIN, deadline) else { return .failed("the call did not end in time") }
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR || errno == EAGAIN { continue }
            guard count > 0 else {
                call.end()
                continue
            }
            replies = call.take(buffer[..<count])
        }
    }

    private static func clean(_ text: String) -> String { text.filter { !$0.isNewline } }
}
