#if canImport(Glibc)
    import Glibc
    import Serving
    import Synchronization
    import Testing

    /// The server behind which requests are answered on one thread, over sockets. One test at a time: each waits for its sockets on a thread that tasks of
    /// the server need too.
    @Suite(.serialized) struct LoopServerTests {
        /// Answers with what it was sent.
        final class Echo: LoopHandler {
            final class Upper: LoopStream {
                let contentType = "text/plain"
                func consume(_ bytes: UnsafeRawBufferPointer, output: inout [UInt8]) throws(ServingRefusal) {
                    if bytes.contains(0x21) { throw ServingRefusal(400, "no exclamation") }
                    output += bytes.map { 0x61...0x7a ~= $0 ? $0 - 32 : $0 }
                }
                func finish(output: inout [UInt8]) throws(ServingRefusal) { output += Array("end".utf8) }
            }

            func answers(to requests: [LoopRequest]) -> [LoopAnswer] {
                requests.map { request in
                    let body = Array("\(request.head.method) \(request.head.path) ".utf8) + Array(request.body)
                    if request.head.path == "/later" {
                        return .later {
                            await Task.yield()
                            return LoopResponse(200, body, contentType: "text/plain")
                        }
                    }
                    return .now(LoopResponse(200, body, contentType: "text/plain"))
                }
            }

            /// As `Upper`, by a task; a question mark ends the stream behind what came before it.
            final class Deferred: LoopStream {
                let contentType = "text/plain"
                private var waiting: [UInt8] = []

                func consume(_ bytes: UnsafeRawBufferPointer, output: inout [UInt8]) throws(ServingRefusal) { waiting += bytes }
                func finish(output: inout [UInt8]) throws(ServingRefusal) { waiting.append(0x2e) }

                func takeDeferred() -> (@Sendable () async -> LoopPart)? {
                    guard !waiting.isEmpty else { return nil }
                    let bytes = waiting
                    waiting = []
                    return {
                        for _ in 0..<10 { await Task.yield() }
                        let upper = bytes.map { 0x61...0x7a ~= $0 ? $0 - 32 : $0 }
                        guard let end = upper.firstIndex(of: 0x3f) else { return LoopPart(upper) }
                        return LoopPart(Array(upper[..<end]), failure: ServingRefusal(400, "no questions"))
                    }
                }
            }

            func stream(for head: LoopHead) throws(ServingRefusal) -> (any LoopStream)? {
                switch head.path {
                case "/stream": Upper()
                case "/deferred": Deferred()
                default: nil
                }
            }
        }

        /// A connection as a client has it.
        final class Client {
            let socket: Int32

            init(_ port: Int) throws {
                socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                var address = sockaddr_in()
                address.sin_family = sa_family_t(AF_INET)
                address.sin_port = in_port_t(UInt16(port).bigEndian)
                address.sin_addr.s_addr = inet_addr("127.0.0.1")
                let isConnected = withUnsafePointer(to: &address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                    }
                }
                try #require(isConnected)
                var limit = timeval(tv_sec: 120, tv_usec: 0)
                setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            }

            deinit { close(socket) }

            func write(_ text: String) { write(Array(text.utf8)) }

            func write(_ bytes: [UInt8]) {
                var sent = 0
                while sent < bytes.count {
                    let count = bytes.withUnsafeBytes { send(socket, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL)) }
                    guard count > 0 else { return }
                    sent += count
                }
            }

            func endWriting() { shutdown(socket, Int32(SHUT_WR)) }

            /// Reads until the text holds something, or the peer closes.
            func read(until done: (String) -> Bool) -> String {
                var bytes: [UInt8] = []
                var piece = [UInt8](repeating: 0, count: 1 << 16)
                while !done(String(decoding: bytes, as: UTF8.self)) {
                    let count = recv(socket, &piece, piece.count, 0)
                    guard count > 0 else { break }
                    bytes += piece.prefix(count)
                }
                return String(decoding: bytes, as: UTF8.self)
            }

            func read(_ words: String) -> String { read { $0.contains(words) } }
            /// Everything until the peer closes.
            func readAll() -> String { read { _ in false } }
        }

        static func with(_ limits: LoopLimits = LoopLimits(), _ body: (LoopServer) async throws -> Void) async throws {
            let server = try LoopServer(host: "127.0.0.1", port: 0, limits: limits, handler: Echo())
            server.start()
            try await body(server)
            server.end()
        }

        /// Counts what it is given together, and would wait for others for minutes.
        final class Waiting: LoopHandler, @unchecked Sendable {
            private let sizes = Mutex<[Int]>([])
            private let asked = Mutex<[Int]>([])
            let nanoseconds: UInt64

            init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

            var together: [Int] { sizes.withLock { $0 } }
            var missing: [Int] { asked.withLock { $0 } }

            func answers(to requests: [LoopRequest]) -> [LoopAnswer] {
                sizes.withLock { $0.append(requests.count) }
                return requests.map { .now(LoopResponse(200, Array("answer \($0.head.path)".utf8))) }
            }
            func patience(missing: Int) -> UInt64 {
                asked.withLock { $0.append(missing) }
                return nanoseconds
            }
            func stream(for head: LoopHead) throws(ServingRefusal) -> (any LoopStream)? { nil }
        }

        @Test func `a request waits for clients that asked a moment ago, and for no others`() throws {
            let handler = Waiting(nanoseconds: 300_000_000_000)
            let server = try LoopServer(host: "127.0.0.1", port: 0, handler: handler)
            server.start()
            defer { server.end() }
            let clients = try (0..<2).map { _ in try Client(server.port) }
            // Nobody is expected at first: each is answered when it comes, and expected from then on.
            clients[0].write("GET /0 HTTP/1.1\r\n\r\n")
            _ = clients[0].read("answer /0")
            clients[1].write("GET /1 HTTP/1.1\r\n\r\n")
            clients[0].write("GET /2 HTTP/1.1\r\n\r\n")
            _ = clients[1].read("answer /1")
            _ = clients[0].read("answer /2")
            clients[0].write("GET /3 HTTP/1.1\r\n\r\n")
            clients[1].write("GET /4 HTTP/1.1\r\n\r\n")
            _ = clients[0].read("answer /3")
            _ = clients[1].read("answer /4")
            let together = handler.together
            #expect(together == [1, 2, 2], "\(together)")
            // Whoever is gone is not waited for.
            clients[1].endWriting()
            _ = clients[1].readAll()
            clients[0].write("GET /5 HTTP/1.1\r\n\r\n")
            _ = clients[0].read("answer /5")
        }

        @Test func `waits for which nobody comes become rare`() throws {
            let handler = Waiting(nanoseconds: 1000)
            let server = try LoopServer(host: "127.0.0.1", port: 0, handler: handler)
            server.start()
            defer { server.end() }
            let clients = try (0..<2).map { _ in try Client(server.port) }
            // One after the other: the other one is expected each time, and never comes.
            for turn in 0..<200 {
                clients[turn % 2].write("GET /\(turn) HTTP/1.1\r\n\r\n")
                _ = clients[turn % 2].read("answer /\(turn)")
            }
            let (together, waits) = (handler.together.count, handler.missing.count)
            #expect(together == 200 && waits < 40, "\(waits) waits")
        }

        @Test func `requests on one connection are answered in order, also those sent at once`() async throws {
            try await Self.with { server in
                let client = try Client(server.port)
                client.write(
                    "GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /later HTTP/1.1\r\n\r\nGET /c?q HTTP/1.1\r\n\r\n"
                )
                let text = client.read("GET /c ")
                let bodies = ["GET /a ", "POST /b abc", "GET /later ", "GET /c "].map { text.ranges(of: $0).count }
                #expect(bodies == [1, 1, 1, 1] && text.ranges(of: "HTTP/1.1 200 OK").count == 4)
                let order = ["GET /a ", "POST /b abc", "GET /later ", "GET /c "].compactMap { text.firstRange(of: $0)?.lowerBound }
                #expect(order == order.sorted())
            }
        }

        @Test func `a request that arrives byte by byte is answered`() async throws {
            try await Self.with { server in
                let client = try Client(server.port)
                for byte in Array("POST /slow HTTP/1.1\r\nContent-Length: 2\r\n\r\nok".utf8) { client.write([byte]) }
                #expect(client.read("POST /slow ok").hasPrefix("HTTP/1.1 200 OK\r\n"))
            }
        }

        @Test func `bodies in chunks, and those that wait to be asked for, are taken`() async throws {
            try await Self.with { server in
                let client = try Client(server.port)
                client.write("POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
                #expect(client.read("POST /c abcde").contains("Content-Length: 13"))
                client.write("POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
                #expect(client.read("100 Continue").hasPrefix("HTTP/1.1 100 Continue\r\n\r\n"))
                client.write("z")
                #expect(client.read("POST /e z").contains("200 OK"))
                // A connection that ends with its answer does not end before.
                let last = try Client(server.port)
                last.write("POST /f HTTP/1.1\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
                #expect(last.read("100 Continue").hasPrefix("HTTP/1.1 100 Continue\r\n\r\n"))
                last.write("z")
                #expect(last.read("POST /f z").contains("200 OK"))
            }
        }

        @Test func `a large body grows the buffer and gives it back`() async throws {
            try await Self.with { server in
                let client = try Client(server.port)
                for _ in 0..<2 {
                    client.write(
                        Array("POST /big HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n".utf8) + [UInt8](repeating: 0x7a, count: 3_000_000))
                    let text = client.read { $0.utf8.count > 3_000_000 }
                    #expect(text.hasSuffix("zzz") && text.contains("Content-Length: 3000010"))
                }
            }
        }

        @Test func `parts of a stream that are answered elsewhere come in order, and its end behind them`() async throws {
            try await Self.with { server in
                let client = try Client(server.port)
                for _ in 0..<2 {
                    client.write("POST /deferred HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
                    #expect(client.read("ABC\r\n").hasPrefix("HTTP/1.1 200 OK"))
                    client.write("4\r\ndefg\r\n0\r\n\r\n")
                    #expect(client.read("0\r\n\r\n").replacing("\r\n4\r\n", with: "").contains("DEFG"))
                }
                // Whole at once, and the next request behind it on the same connection.
                client.write("POST /deferred HTTP/1.1\r\nContent-Length: 2\r\n\r\nabGET /next HTTP/1.1\r\n\r\n")
                let both = client.read("GET /next ")
                #expect(both.contains("AB.") && both.ranges(of: "HTTP/1.1 200 OK").count == 2, "\(both)")
                client.write("POST /deferred HTTP/1.1\r\nContent-Length: 9\r\n\r\nxy?")
                let refused = client.readAll()
                #expect(refused.contains("XY{\"error\":\"no questions\"}"), "\(refused)")
                let other = try Client(server.port)
                other.write("POST /deferred HTTP/1.1\r\nContent-Length: 9\r\n\r\n?")
                #expect(other.readAll().hasPrefix("HTTP/1.1 400 "))
            }
        }

        @Test func `a stream is answered while it arrives`() async throws {
            try await Self.with { server in
                let client = try Client(server.port)
                client.write("POST /stream HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
                #expect(client.read("ABC").contains("Transfer-Encoding: chunked"))
                client.write("2\r\nde\r\n0\r\n\r\nGET /after HTTP/1.1\r\n\r\n")
                let text = client.read("GET /after ")
                #expect(text.contains("DE") && text.contains("end\r\n0\r\n\r\nHTTP/1.1 200 OK"))
                client.write("POST /stream HTTP/1.1\r\nContent-Length: 4\r\n\r\nab")
                _ = client.read("AB")
                client.write("cd")
                #expect(client.read("0\r\n\r\n").contains("CD"))
                client.write("POST /stream HTTP/1.1\r\nContent-Length: 2\r\n\r\n!!")
                #expect(client.readAll().hasPrefix("HTTP/1.1 400 Bad Request"))
            }
        }

        @Test(arguments: [
            ("NONSENSE\r\n\r\n", "400"), ("GET / HTTP/2.0\r\n\r\n", "505"), ("GET / HTTP/1.1\nHost: x\n\r\n\r\n", "400"),
            ("get / HTTP/1.1\r\n\r\n", "400"), ("GET / HTTP/1.1\r\nA : b\r\n\r\n", "400"), ("GET / HTTP/1.1\r\n folded\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501"),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", "413"), ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "400"),
            ("POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\na", "415"),
            ("GET /" + String(repeating: "a", count: 20_000) + " HTTP/1.1\r\n\r\n", "431"),
            ("GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: 200) + "\r\n", "431"),
        ])
        func `what is no request is refused, and its connection closed`(text: String, status: String) async throws {
            try await Self.with { server in
                let client = try Client(server.port)
                client.write(text)
                let answer = client.readAll()
                #expect(answer.hasPrefix("HTTP/1.1 \(status) ") && answer.contains("\"error\":"), "\(answer.prefix(200))")
                // Others are served as before.
                let other = try Client(server.port)
                other.write("GET /ok HTTP/1.1\r\n\r\n")
                #expect(other.read("GET /ok ").contains("200 OK"))
            }
        }

        @Test func `a peer that sends what is too large is told so, and can read it while it still sends`() async throws {
            var limits = LoopLimits()
            limits.bodyBytesMax = 1000
            try await Self.with(limits) { server in
                let client = try Client(server.port)
                client.write("POST /large HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n")
                client.write([UInt8](repeating: 0x7a, count: 3_000_000))
                client.endWriting()
                let answer = client.readAll()
                #expect(answer.hasPrefix("HTTP/1.1 413 ") && answer.contains("at most 1000 are taken"), "\(answer.prefix(100))")
            }
        }

        @Test func `peers that send nothing, or half, or read nothing, are closed after their time`() async throws {
            var limits = LoopLimits()
            (limits.arrivalSeconds, limits.idleSeconds) = (1, 1)
            try await Self.with(limits) { server in
                let (idle, half, deaf) = (try Client(server.port), try Client(server.port), try Client(server.port))
                half.write("POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")
                deaf.write("GET /x HTTP/1.1\r\n")
                #expect(idle.readAll().isEmpty && half.readAll().isEmpty && deaf.readAll().isEmpty)
            }
        }

        @Test func `connections beyond the bound are closed at once, and there is room again when others go`() async throws {
            var limits = LoopLimits()
            limits.connectionsMax = 2
            try await Self.with(limits) { server in
                var clients = [try Client(server.port), try Client(server.port)]
                for client in clients {
                    client.write("GET /a HTTP/1.1\r\n\r\n")
                    _ = client.read("GET /a ")
                }
                #expect(try Client(server.port).readAll().isEmpty)
                clients = []
                var text = ""
                for _ in 0..<10_000 where text.isEmpty {
                    let client = try Client(server.port)
                    client.write("GET /b HTTP/1.1\r\n\r\n")
                    text = client.read("GET /b ")
                }
                #expect(text.contains("200 OK"))
            }
        }

        @Test func `a server that stops answers what has begun`() async throws {
            let server = try LoopServer(host: "127.0.0.1", port: 0, handler: Echo())
            server.start()
            let client = try Client(server.port)
            client.write("POST /last HTTP/1.1\r\nContent-Length: 2\r\n\r\na")
            // The server has seen it when it has answered another that came later.
            let other = try Client(server.port)
            other.write("GET /o HTTP/1.1\r\n\r\n")
            _ = other.read("GET /o ")
            server.stop()
            #expect(other.readAll().isEmpty)
            client.write("b")
            let text = client.readAll()
            #expect(text.contains("POST /last ab") && text.contains("Connection: close"))
            for _ in 0..<60_000 where !server.hasEnded { usleep(1000) }
            #expect(server.hasEnded)
        }

        @Test func `a head request gets no body, and a peer that ends its side is answered`() async throws {
            try await Self.with { server in
                let client = try Client(server.port)
                client.write("HEAD /h HTTP/1.1\r\n\r\nGET /g HTTP/1.1\r\n\r\n")
                client.endWriting()
                let text = client.readAll()
                #expect(text.contains("Content-Length: 8\r\n\r\nHTTP/1.1 200 OK") && text.hasSuffix("GET /g "), "\(text)")
            }
        }
    }
#endif
