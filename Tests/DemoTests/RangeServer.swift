import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A small HTTP server on the loopback that serves one folder's worth of bytes, knows ranges, and can misbehave.
final class RangeServer: Sendable {
    /// How a request is answered; the first that is left is used, the last one stays.
    enum Manner: Sendable {
        case whole
        /// Announces everything, sends only this many bytes of the answer, closes.
        case breakingOff(after: Int)
        /// Answers 200 with everything whatever range is asked for.
        case withoutRanges
        case missing
        /// Sends zeros without announcing how many.
        case endless
    }

    struct State {
        var files: [String: [UInt8]]
        var manners: [Manner]
        /// Value of the Range header of each request, empty without.
        var ranges: [String] = []
    }

    private let listener: Int32
    let address: String
    let state: Mutex<State>

    init(files: [String: [UInt8]], manners: [Manner] = [.whole]) throws {
        state = Mutex(State(files: files, manners: manners))
        #if os(Linux)
            let stream = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        #else
            let stream = SOCK_STREAM
        #endif
        let descriptor = socket(AF_INET, stream, 0)
        listener = descriptor
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 8) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        precondition(bound, "the loopback gives a port")
        address = "http://127.0.0.1:\(UInt16(bigEndian: name.sin_port))"
        #if os(Linux)
            var thread = pthread_t()
        #else
            var thread: pthread_t?
        #endif
        // The thread ends when the listener is shut down; it must not keep the server alive.
        let context = Unmanaged.passRetained(Unowned(self))
        pthread_create(&thread, nil, serverThread, context.toOpaque())
    }

    deinit { stop() }

    /// Takes no further connection.
    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    fileprivate final class Unowned {
        let listener: Int32
        weak var server: RangeServer?
        init(_ server: RangeServer) {
            self.server = server
            listener = server.listener
        }
    }

    fileprivate func answer(_ connection: Int32) {
        var request: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !String(decoding: request, as: UTF8.self).contains("\r\n\r\n") {
            let count = read(connection, &buffer, buffer.count)
            guard count > 0, request.count < 64 << 10 else { return }
            request += buffer[..<count]
        }
        let lines = String(decoding: request, as: UTF8.self).split(separator: "\r\n")
        let path = String(lines[0].split(separator: " ")[1].dropFirst())
        let range = lines.first { $0.lowercased().hasPrefix("range:") }.map { String($0.dropFirst(6)).filter { $0 != " " } } ?? ""
        let (file, manner) = state.withLock { state in
            state.ranges.append(range)
            return (state.files[path], state.manners.count > 1 ? state.manners.removeFirst() : state.manners[0])
        }
        guard let file else { return send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", to: connection) }
        let start = Int(range.dropFirst("bytes=".count).prefix { $0 != "-" }) ?? 0
        switch manner {
        case .missing: send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", to: connection)
        case .whole: send(file, from: start, atMost: .max, to: connection)
        case .breakingOff(let bytes): send(file, from: start, atMost: bytes, to: connection)
        case .withoutRanges: send(file, from: 0, atMost: .max, to: connection)
        case .endless:
            send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", to: connection)
            while write(connection, [UInt8](repeating: 0, count: 8192), 8192) > 0 {}
        }
    }

    private func send(_ file: [UInt8], from start: Int, atMost: Int, to connection: Int32) {
        if start > 0 && start >= file.count {
            return send(
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */\(file.count)\r\nContent-Length: 0\r\n\r\n", to: connection)
        }
        let status = start > 0 ? "206 Partial Content\r\nContent-Range: bytes \(start)-\(file.count - 1)/\(file.count)" : "200 OK"
        send("HTTP/1.1 \(status)\r\nContent-Length: \(file.count - start)\r\nConnection: close\r\n\r\n", to: connection)
        let body = Array(file[start...].prefix(atMost))
        _ = write(connection, body, body.count)
    }

    private func send(_ text: String, to connection: Int32) {
        let bytes = Array(text.utf8)
        _ = write(connection, bytes, bytes.count)
    }
}

#if os(Linux)
    private typealias ThreadArgument = UnsafeMutableRawPointer?
#else
    private typealias ThreadArgument = UnsafeMutableRawPointer
#endif

private func serverThread(_ argument: ThreadArgument) -> UnsafeMutableRawPointer? {
    #if os(Linux)
        let context = Unmanaged<RangeServer.Unowned>.fromOpaque(argument!).takeRetainedValue()
    #else
        let context = Unmanaged<RangeServer.Unowned>.fromOpaque(argument).takeRetainedValue()
    #endif
    // A client that hangs up must not end the tests.
    signal(SIGPIPE, SIG_IGN)
    while true {
        let connection = accept(context.listener, nil, nil)
        guard connection >= 0 else { break }
        _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
        context.server?.answer(connection)
        close(connection)
    }
    close(context.listener)
    return nil
}
