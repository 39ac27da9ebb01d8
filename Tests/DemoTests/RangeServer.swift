import Synchronization
import TestKit

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

    private struct State {
        var files: [String: [UInt8]]
        var manners: [Manner]
        var ranges: [String] = []
    }

    /// Outlives the server while a connection is being answered.
    private final class Shared: Sendable {
        let state: Mutex<State>
        init(_ state: State) { self.state = Mutex(state) }
    }

    private let server: LoopbackServer
    private let shared: Shared

    init(files: [String: [UInt8]], manners: [Manner] = [.whole]) {
        let shared = Shared(State(files: files, manners: manners))
        self.shared = shared
        server = LoopbackServer { Self.answer($0, shared) }
    }

    deinit { server.stop() }

    var address: String { "http://127.0.0.1:\(server.port)" }
    /// Value of the Range header of each request, empty without.
    var ranges: [String] { shared.state.withLock { $0.ranges } }

    private static func answer(_ connection: LoopbackConnection, _ shared: Shared) {
        guard let head = head(connection) else { return }
        let lines = head.split(separator: "\r\n")
        let path = String(lines[0].split(separator: " ")[1].dropFirst())
        let range = lines.first { $0.lowercased().hasPrefix("range:") }.map { String($0.dropFirst(6)).filter { $0 != " " } } ?? ""
        let (file, manner) = shared.state.withLock { state in
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
            while connection.write([UInt8](repeating: 0, count: 8192)) {}
        }
    }

    /// A request up to its empty line; nil if the peer is gone before, or has sent 64 KiB without one.
    private static func head(_ connection: LoopbackConnection) -> String? {
        var request: [UInt8] = []
        while request.count < 64 << 10 {
            let more = connection.read()
            if more.isEmpty { return nil }
            request += more
            let text = String(decoding: request, as: UTF8.self)
            if text.contains("\r\n\r\n") { return text }
        }
        return nil
    }

    private static func send(_ file: [UInt8], from start: Int, atMost: Int, to connection: LoopbackConnection) {
        if start > 0 && start >= file.count {
            return send(
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */\(file.count)\r\nContent-Length: 0\r\n\r\n", to: connection)
        }
        let status = start > 0 ? "206 Partial Content\r\nContent-Range: bytes \(start)-\(file.count - 1)/\(file.count)" : "200 OK"
        send("HTTP/1.1 \(status)\r\nContent-Length: \(file.count - start)\r\nConnection: close\r\n\r\n", to: connection)
        _ = connection.write(Array(file[start...].prefix(atMost)))
    }

    private static func send(_ text: String, to connection: LoopbackConnection) { _ = connection.write(Array(text.utf8)) }
}
