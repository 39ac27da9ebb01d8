import Dispatch
import Network
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Whatever comes over a connection is answered by 2xx or 4xx or closed, and the next connection is served.
@Suite(.offThePool, .serialized, .timeLimit(.minutes(600))) struct HTTPFuzzTests {
    private static let words = [
        "GET ", "POST ", "HEAD ", "OPTIONS ", " HTTP/1.1", " HTTP/1.0", " HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\r\n", "\r\n\r\n",
        "Host: a\r\n", "Content-Length: ", "Transfer-Encoding: chunked\r\n", "Connection: keep-alive\r\n", "Connection: close\r\n",
        "Expect: 100-continue\r\n", "Upgrade: websocket\r\n", "Connection: Upgrade\r\n", "Sec-WebSocket-Key: ", "0\r\n\r\n", "ffffffff\r\n",
        "/livez", "/version", "/api/v1/namespaces", "?", "#", "//", "/../", "Authorization: Bearer ", "Accept-Encoding: gzip\r\n",
        "Impersonate-User: x\r\n", ": ", "\t",
    ]

    @Test func `whatever a connection brings, the server answers or closes it, and serves the next`() async throws {
        var fuzzer = try Fuzzer("http", corpus: "Tests/FuzzTests/Corpus/http", words: Self.words)
        let fuzzed = try await FuzzedServer()
        let server = try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: nil, responder: fuzzed.api)
        let result = try await fuzzer.run(count: 800) { input in
            var statuses = await Self.exchange(input, port: server.port)
            if statuses == nil { return .wrong("nothing came within 30 seconds, and the connection stayed open") }
            statuses = statuses?.filter { $0 != 100 }
            if let wrong = statuses?.first(where: { !(200..<300).contains($0) && !(400..<500).contains($0) && $0 != 101 }) {
                return .wrong("status \(wrong)")
            }
            return .right(signature: "\(statuses?.prefix(4) ?? [])")
        }
        #expect(result.failures.isEmpty, "\(result.failures.joined(separator: "\n"))")
        #expect(result.signatureCount > 5 || !result.failures.isEmpty)
        let last = await Self.exchange(Array("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".utf8), port: server.port)
        #expect(last == [200])
        await server.stop()
    }

    /// A thread of its own: those of the tasks are as few as cores, and the server under test needs them.
    private static let queue = DispatchQueue(label: "sends what is fuzzed")

    private static func exchange(_ input: [UInt8], port: Int) async -> [Int]? {
        await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: blockingExchange(input, port: port)) }
        }
    }

    /// Sends bytes, ends the sending side, and reads to the end: the status of every answer; nil if the end does not come.
    private static func blockingExchange(_ input: [UInt8], port: Int) -> [Int]? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard result == 0 else { return nil }
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var rest = input[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count <= 0 { break }
            rest = rest.dropFirst(count)
        }
        shutdown(descriptor, Int32(SHUT_WR))
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == EAGAIN { return nil }
            if count <= 0 { break }
            received += buffer.prefix(count)
        }
        return statuses(received)
    }

    private static func statuses(_ bytes: [UInt8]) -> [Int] {
        let mark = Array("HTTP/1.1 ".utf8)
        return bytes.indices.dropLast(mark.count + 2).filter { bytes[$0...].starts(with: mark) }.compactMap {
            Int(String(decoding: bytes[($0 + mark.count)..<($0 + mark.count + 3)], as: UTF8.self))
        }
    }
}
