package import HubProtocol
import Synchronization

/// A WebSocket as a link: one binary message each.
package final class WebSocketLink: Link {
    private let socket: WebSocket

    init(_ socket: WebSocket) { self.socket = socket }

    /// Bounds of such sockets: frames as the protocol bounds them; that the other side lives is asked by the protocol's own heartbeats.
    package static var limits: WebSocketLimits {
        var limits = WebSocketLimits()
        limits.messageBytesMax = HubLimits.frameBytesMax
        limits.framesMax = 64
        limits.pendingBytesMax = 8 << 20
        limits.pingInterval = nil
        // A node whose link broke unseen is not kept waiting until the cloud has found out about that one.
        limits.unconfirmedTimeout = WebSocketClient.unansweredMax
        return limits
    }

    /// A cloud that is not reached within this is dialled anew. The system asks it again after one second, three and seven: this is behind the second
    /// time, so that whenever a path is there again the next try is near.
    package static let reachTimeout: Duration = .milliseconds(3500)

    /// Dials such sockets for a node, which can wait for others when a whole fleet comes back.
    package static func client(host: String, port: Int, trust: @escaping @Sendable () -> TLSTrust?) -> WebSocketClient {
        WebSocketClient(
            host: host, port: port, limits: limits, connectTimeout: reachTimeout, handshakeTimeout: .seconds(30), isPatient: true,
            trust: trust)
    }

    @discardableResult
    package func send(_ message: [UInt8]) -> Bool { socket.send(.binary(message)) }

    package func close() { socket.close() }
}

/// The server's end: what a request for a link is answered with, as `HTTPResponse.upgrade` with `WebSocketLink.limits`.
package final class LinkUpgrade: WebSocketPeer {
    private struct State {
        var socket: WebSocket?
        var peer: (any LinkPeer)?
        var isClosed = false
    }

    private let accept: @Sendable (any Link) -> any LinkPeer
    private let state = Mutex(State())

    /// - Parameter accept: called once the socket is open; what comes over the link goes to its result.
    package init(accept: @escaping @Sendable (any Link) -> any LinkPeer) { self.accept = accept }

    package func opened(_ socket: WebSocket) {
        let peer = accept(WebSocketLink(socket))
        state.withLock {
            $0.socket = socket
            $0.peer = peer
        }
    }

    package func received(_ message: WebSocketMessage) {
        let (socket, peer) = state.withLock { ($0.socket, $0.peer) }
        switch message {
        case .binary(let bytes): peer?.received(bytes)
        // Nothing of ours is text.
        case .text: socket?.close(code: 1003)
        }
    }

    package func closed(code: Int) {
        let (socket, peer) = state.withLock { state -> (WebSocket?, (any LinkPeer)?) in
            defer {
                state.peer = nil
                state.socket = nil
            }
            return (state.socket, state.peer)
        }
        // Not from within a `send` that failed: whoever sends may hold a lock that `closed` needs.
        socket?.later { peer?.closed() }
    }
}

/// Dials a cloud's hub.
package struct WebSocketDialer: LinkDialer {
    private let client: WebSocketClient
    private let path: String

    /// - Parameter path: `/hub/v1`.
    package init(_ client: WebSocketClient, path: String) {
        self.client = client
        self.path = path
    }

    package func dial(_ peer: any LinkPeer) async throws(LinkError) -> any Link {
        let end = DialledEnd(peer)
        do throws(HTTPClientError) { try await client.connect(path: path, end) } catch {
            throw LinkError(
                error.description, retryAfterSeconds: error.retryAfterSeconds, isReached: ![.unreachable, .timedOut].contains(error.code))
        }
        guard let link = end.link else { throw LinkError("the WebSocket was closed before it was open") }
        return link
    }
}

/// The client's end of a link.
private final class DialledEnd: WebSocketPeer {
    private let peer: any LinkPeer
    private let socket = Mutex<WebSocket?>(nil)

    init(_ peer: any LinkPeer) { self.peer = peer }

    var link: WebSocketLink? { socket.withLock { $0 }.map { WebSocketLink($0) } }

    func opened(_ socket: WebSocket) { self.socket.withLock { $0 = socket } }

    func received(_ message: WebSocketMessage) {
        switch message {
        case .binary(let bytes): peer.received(bytes)
        case .text: socket.withLock { $0 }?.close(code: 1003)
        }
    }

    func closed(code: Int) { socket.withLock { $0 }?.later { [peer] in peer.closed() } }
}
