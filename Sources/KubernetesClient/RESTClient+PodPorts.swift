package import Network
package import Resources
import Synchronization

/// HTTP to a port of a Pod, by the server's port-forward: the Pod need not be reached in any other way.
extension RESTClient {
    /// Bytes of an answer's head.
    private static let headBytesMax = 64 << 10

    /// Sends one request over a connection of its own.
    ///
    /// - Parameters:
    ///   - port: where the Pod's process listens, on its own loopback.
    ///   - bytesMax: of the answer's body.
    /// - Throws: the server's refusal, with what the node says of the port; 502 for an answer that is no HTTP; 504 after `timeLimit`.
    package func ask(
        _ pod: ObjectKey, port: Int, _ ask: HTTPRequest, bytesMax: Int = 64 << 20, timeLimit: Duration = .seconds(60)
    ) async throws(APIStatus) -> HTTPAnswer {
        let path = try path(.pod, pod) + "/portforward"
        var headers = try request("GET", path).headers
        for name in ["Host", "Accept"] { headers[name] = nil }
        headers["Sec-WebSocket-Protocol"] = "v4.channel.k8s.io"
        let trust = try currentTrust()
        let client = WebSocketClient(host: access.host, port: access.port) { trust }
        let peer = PodPortPeer(port: port, bytesMax: bytesMax + Self.headBytesMax, bytes: Self.bytes(ask))
        let answer: Result<HTTPAnswer, APIStatus>
        do throws(HTTPClientError) {
            try await client.connect(path: access.basePath + path + "?ports=\(port)", headers: headers, peer)
            peer.ask()
            let said = await withTaskGroup(of: PodPortPeer.Ending.self) { group in
                group.addTask { await peer.ending() }
                group.addTask {
                    try? await Task.sleep(for: timeLimit)
                    peer.end(.late)
                    return .late
                }
                defer { group.cancelAll() }
                return await group.next() ?? .late
            }
            answer = read(said, pod, port)
        } catch { answer = .failure(unreachable(error)) }
        await client.close()
        return try answer.get()
    }

    private static func bytes(_ ask: HTTPRequest) -> [UInt8] {
        var head =
            "\(ask.method) \(ask.path)\(ask.query.isEmpty ? "" : "?\(ask.query)") HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        for (name, value) in ask.headers.fields { head += "\(name): \(value)\r\n" }
        if ask.method != "GET" { head += "Content-Length: \(ask.body.count)\r\n" }
        return Array((head + "\r\n").utf8) + ask.body
    }

    private func read(_ ending: PodPortPeer.Ending, _ pod: ObjectKey, _ port: Int) -> Result<HTTPAnswer, APIStatus> {
        switch ending {
        case .late:
            return .failure(APIStatus(code: 504, reason: "Timeout", message: "pod \(pod), port \(port), has not answered in time"))
        case .refused(let text):
            let status = (try? JSON(parsing: text)).map { AnsweredStatus.read($0, httpCode: 502) }
            return .failure(status ?? APIStatus(code: 502, reason: "BadGateway", message: "pod \(pod), port \(port): \(text.prefix(500))"))
        case .bytes(let bytes):
            guard let answer = PodAnswer.read(bytes) else {
                return .failure(
                    APIStatus(
                        code: 502, reason: "BadGateway",
                        message:
                            "pod \(pod), port \(port): \(bytes.isEmpty ? "it closed the connection without a word" : "it answers what is no HTTP")"
                    ))
            }
            return .success(answer)
        }
    }
}

/// One connection through a WebSocket of channels: sends what it has at once, and takes bytes until the answer is whole.
final class PodPortPeer: WebSocketPeer {
    enum Ending: Sendable {
        case bytes([UInt8])
        case refused(String)
        case late
    }

    private struct State {
        var bytes: [UInt8] = []
        var ending: Ending?
        var waiter: CheckedContinuation<Ending, Never>?
        var socket: WebSocket?
    }

    private let port: Int
    private let bytesMax: Int
    private let words: [UInt8]
    private let state = Mutex(State())

    init(port: Int, bytesMax: Int, bytes: [UInt8]) { (self.port, self.bytesMax, words) = (port, bytesMax, bytes) }

    func opened(_ socket: WebSocket) { state.withLock { $0.socket = socket } }

    /// To be called once the WebSocket is open: from within `opened`, messages would pass a pipeline that is still being made.
    func ask() {
        let socket = state.withLock { $0.socket }
        // Parts that every server takes.
        for start in stride(from: 0, to: words.count, by: 16 << 10) {
            _ = socket?.send(.binary([0] + words[start..<min(start + (16 << 10), words.count)]))
        }
    }

    func received(_ message: WebSocketMessage) {
        let bytes: [UInt8] =
            switch message {
            case .binary(let bytes): bytes
            case .text(let text): Array(text.utf8)
            }
        guard let channel = bytes.first else { return }
        // Kubernetes begins each channel with the number of the port.
        if bytes.count == 3, bytes[1] == UInt8(port & 0xff), bytes[2] == UInt8(port >> 8), state.withLock({ $0.bytes.isEmpty }) { return }
        guard channel == 0 else {
            return end(.refused(String(decoding: bytes.dropFirst(), as: UTF8.self)))
        }
        let isTooMuch = state.withLock { state in
            state.bytes += bytes.dropFirst()
            return state.bytes.count > bytesMax
        }
        if isTooMuch { return end(.refused("the answer has more than \(bytesMax) bytes")) }
        let whole = state.withLock { state in PodAnswer.isWhole(state.bytes) ? state.bytes : nil }
        if let whole { end(.bytes(whole)) }
    }

    func closed(code: Int) {
        let bytes = state.withLock { $0.bytes }
        end(bytes.isEmpty ? .refused("the connection ended without a word (WebSocket code \(code))") : .bytes(bytes))
    }

    /// The first ending counts.
    func end(_ ending: Ending) {
        let (waiter, socket) = state.withLock { state -> (CheckedContinuation<Ending, Never>?, WebSocket?) in
            if state.ending == nil { state.ending = ending }
            defer { (state.waiter, state.socket) = (nil, nil) }
            return (state.waiter, state.socket)
        }
        socket?.close()
        waiter?.resume(returning: state.withLock { $0.ending! })
    }

    func ending() async -> Ending {
        await withCheckedContinuation { continuation in
            let known = state.withLock { state -> Ending? in
                if state.ending == nil { state.waiter = continuation }
                return state.ending
            }
            if let known { continuation.resume(returning: known) }
        }
    }
}

/// An HTTP/1.1 answer out of a connection's bytes. Pure.
enum PodAnswer {
    /// Where the head ends, and how long the body is said to be.
    private static func head(_ bytes: [UInt8]) -> (status: Int, headers: HTTPHeaders, length: Int?, body: Int)? {
        guard let end = end(of: bytes) else { return nil }
        let lines = String(decoding: bytes[..<end], as: UTF8.self).split { $0 == "\r\n" || $0 == "\n" }
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else { return nil }
        var headers = HTTPHeaders()
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers.add(String(line[..<colon]), String(line[line.index(after: colon)...].drop { $0 == " " }))
        }
        return (status, headers, headers["content-length"].flatMap { Int($0) }, end + 4)
    }

    private static func end(of bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        return (0...bytes.count - 4).first {
            bytes[$0] == 13 && bytes[$0 + 1] == 10 && bytes[$0 + 2] == 13 && bytes[$0 + 3] == 10
        }
    }

    static func isWhole(_ bytes: [UInt8]) -> Bool {
        guard let head = head(bytes), let length = head.length else { return false }
        return bytes.count - head.body >= length
    }

    /// Nil for bytes that are no answer, or not all of one.
    static func read(_ bytes: [UInt8]) -> HTTPAnswer? {
        guard let head = head(bytes) else { return nil }
        let rest = bytes[head.body...]
        guard rest.count >= head.length ?? 0 else { return nil }
        return HTTPAnswer(status: head.status, headers: head.headers, body: Array(rest.prefix(head.length ?? rest.count)))
    }
}
