import Network
import Resources
import Synchronization

/// `kubectl port-forward`: SPDY/3.1 in the binary messages of a WebSocket, or on the connection itself. For each connection the client opens two streams that bear the
/// same `requestid` and the `port`: `error`, on which it is told why the connection failed, and `data`. Each such pair is one call to the
/// node.
final class PortForwardTunnel: WebSocketPeer {
    /// The WebSocket's subprotocol.
    static let protocolName = "SPDY/3.1+portforward.k8s.io"
    /// The same without a WebSocket, where the connection itself speaks SPDY.
    static let bareProtocolName = "portforward.k8s.io"

    /// One connection on its way through the tunnel.
    private struct Pair {
        let port: Int
        var error: UInt32?
        var data: UInt32?
        var inbox: CallInbox?
        var task: Task<Void, Never>?
    }

    private struct State {
        let session = SPDYSession()
        var socket: WebSocket?
        /// By request.
        var pairs: [String: Pair] = [:]
        /// The request of a data stream.
        var requests: [UInt32: String] = [:]
        /// Connections whose node does not take what the client sends.
        var heldCount = 0
        var isOver = false
    }

    private let open: @Sendable (Int) async throws(APIStatus) -> any CallStream
    private let state = Mutex(State())

    /// - Parameter open: begins a connection to a port of the Pod.
    init(open: @escaping @Sendable (Int) async throws(APIStatus) -> any CallStream) { self.open = open }

    func opened(_ socket: WebSocket) { state.withLock { $0.socket = socket } }

    func received(_ message: WebSocketMessage) {
        guard case .binary(let bytes) = message else { return end(code: 1003) }
        let (actions, isBroken) = state.withLock { state -> ([SPDYSession.Action], Bool) in
            do throws(SPDYError) { return (try state.session.receive(bytes), false) } catch { return ([], true) }
        }
        if isBroken { return end(code: 1002) }
        for action in actions { perform(action) }
    }

    private func end(code: Int) { state.withLock { $0.socket }?.close(code: code) }

    private func perform(_ action: SPDYSession.Action) {
        switch action {
        case .send(let bytes): send(bytes)
        case .opened(let stream, let headers): send(take(stream, headers))
        case .data(let stream, let bytes): inbox(of: stream)?.put(bytes, on: .stdin)
        case .ended(let stream): inbox(of: stream)?.end(.stdin)
        case .reset(let stream): abandon(stream)
        // Streams that are open go on; the client closes the connection when it has no more of them.
        case .goodbye: break
        }
    }

    private func send(_ bytes: [UInt8]) { if !bytes.isEmpty { _ = state.withLock { $0.socket }?.send(.binary(bytes)) } }

    // MARK: Streams

    /// Pairs a stream with the other of its request; once both are there the connection begins.
    ///
    /// - Returns: the answer for the client.
    private func take(_ stream: UInt32, _ headers: [String: String]) -> [UInt8] {
        let kind = headers["streamtype"]
        guard let request = headers["requestid"], let port = headers["port"].flatMap({ Int($0) }), (1...65535).contains(port),
            kind == "error" || kind == "data"
        else { return state.withLock { $0.session.refuse(stream) } }
        return state.withLock { state in
            var pair = state.pairs[request] ?? Pair(port: port)
            guard pair.port == port, !state.isOver, (kind == "error" ? pair.error : pair.data) == nil else {
                return state.session.refuse(stream)
            }
            if kind == "error" { pair.error = stream } else { pair.data = stream }
            if pair.inbox == nil { pair.inbox = CallInbox { [weak self] in self?.hold($0) } }
            if let data = pair.data {
                state.requests[data] = request
                if let error = pair.error, let inbox = pair.inbox {
                    pair.task = Task { await self.run(port, request, errors: error, data: data, inbox) }
                }
            }
            state.pairs[request] = pair
            return state.session.accept(stream)
        }
    }

    private func inbox(of data: UInt32) -> CallInbox? {
        state.withLock { state in state.requests[data].flatMap { state.pairs[$0]?.inbox } }
    }

    /// The client has no more use for a stream; without its data a connection is over, and without either stream none begins.
    private func abandon(_ stream: UInt32) {
        let pair = state.withLock { state -> Pair? in
            if let request = state.requests[stream] { return state.pairs[request] }
            guard let unpaired = state.pairs.first(where: { $0.value.error == stream && $0.value.data == nil }) else { return nil }
            return state.pairs.removeValue(forKey: unpaired.key)
        }
        pair?.inbox?.close()
        pair?.task?.cancel()
    }

    /// While the node of one connection does not take its bytes, nothing is read for any: SPDY here has no windows of its own.
    private func hold(_ isHeld: Bool) {
        state.withLock { state in
            state.heldCount += isHeld ? 1 : -1
            state.socket?.setReading(state.heldCount == 0)
        }
    }

    func closed(code: Int) {
        let pairs = state.withLock { state in
            state.isOver = true
            defer { (state.pairs, state.requests) = ([:], [:]) }
            return Array(state.pairs.values)
        }
        for pair in pairs {
            pair.inbox?.close()
            pair.task?.cancel()
        }
    }

    // MARK: One connection

    private func run(_ port: Int, _ request: String, errors: UInt32, data: UInt32, _ inbox: CallInbox) async {
        do throws(APIStatus) { try await carry(port, data, inbox) } catch {
            let words = Array(error.message.utf8)
            await deliver { $0.session.data(words, on: errors) }
        }
        inbox.close()
        // Nothing on the error stream when it ends is the word for success.
        await deliver { $0.session.data([], on: errors, isLast: true) }
        await deliver { $0.session.data([], on: data, isLast: true) }
        state.withLock { state in
            state.pairs[request] = nil
            state.requests[data] = nil
        }
    }

    private func carry(_ port: Int, _ data: UInt32, _ inbox: CallInbox) async throws(APIStatus) {
        let stream = try await open(port)
        defer { stream.close(nil) }
        // The node's word that the port has answered.
        _ = try await stream.receive()
        let failure = await withTaskGroup(of: APIStatus??.self) { group -> APIStatus? in
            group.addTask {
                do throws(APIStatus) {
                    while let frame = try await stream.receive() {
                        guard case .data(_, let bytes) = frame, !bytes.isEmpty else { continue }
                        guard await self.deliver({ $0.session.data(bytes, on: data) }) else { break }
                    }
                    return .some(.none)
                } catch { return .some(error) }
            }
            group.addTask {
                while let frame = await inbox.next() {
                    do throws(APIStatus) { try await stream.send(frame) } catch { break }
                }
                return .none
            }
            // A connection is over when the port says nothing more, not when nobody says anything to it.
            while let next = await group.next() {
                guard let ended = next else { continue }
                inbox.close()
                group.cancelAll()
                return ended
            }
            return nil
        }
        if let failure { throw failure }
    }

    /// Sends what the session makes of it, and waits until it is with the system.
    @discardableResult
    private func deliver(_ frame: (inout State) -> [UInt8]) async -> Bool {
        let (socket, bytes) = state.withLock { ($0.socket, frame(&$0)) }
        guard let socket, !bytes.isEmpty else { return false }
        return await socket.deliver(.binary(bytes))
    }
}
