import Synchronization

/// Two ends of a link within one process, for the cloud's own node and for tests.
///
/// A message is handed over on the sender's thread, by one sender at a time; a peer may answer from within.
package final class MemoryLink: Link {
    private enum Item {
        case message([UInt8])
        case end
    }

    private struct State {
        /// What is to be handed to each side; the first is that of `this`.
        var queues: ([Item], [Item]) = ([], [])
        var isHanding = (false, false)
        var peers: ((any LinkPeer)?, (any LinkPeer)?) = (nil, nil)
        var isClosed = false
    }

    private final class Wire: Sendable { let state = Mutex(State()) }
    private let wire: Wire
    private let isFirst: Bool

    private init(_ wire: Wire, isFirst: Bool) {
        self.wire = wire
        self.isFirst = isFirst
    }

    /// Two ends; each end's messages go to the other end's peer, from `connect` on.
    package static func pair() -> (MemoryLink, MemoryLink) {
        let wire = Wire()
        return (MemoryLink(wire, isFirst: true), MemoryLink(wire, isFirst: false))
    }

    /// Hands what came to this end, and what comes, to a peer. To be called once an end.
    package func connect(_ peer: any LinkPeer) {
        wire.state.withLock { if isFirst { $0.peers.0 = peer } else { $0.peers.1 = peer } }
        hand(toFirst: isFirst)
    }

    @discardableResult
    package func send(_ message: [UInt8]) -> Bool {
        guard put(.message(message)) else { return false }
        hand(toFirst: !isFirst)
        return true
    }

    private func put(_ item: Item) -> Bool {
        wire.state.withLock { state in
            guard !state.isClosed else { return false }
            if isFirst { state.queues.1.append(item) } else { state.queues.0.append(item) }
            return true
        }
    }

    package func close() {
        let isNew = wire.state.withLock { state -> Bool in
            if state.isClosed { return false }
            state.isClosed = true
            state.queues.0.append(.end)
            state.queues.1.append(.end)
            return true
        }
        guard isNew else { return }
        hand(toFirst: true)
        hand(toFirst: false)
    }

    private func hand(toFirst: Bool) {
        while let (item, peer) = take(toFirst) {
            switch item {
            case .message(let bytes): peer.received(bytes)
            case .end: peer.closed()
            }
            wire.state.withLock { if toFirst { $0.isHanding.0 = false } else { $0.isHanding.1 = false } }
        }
    }

    private func take(_ toFirst: Bool) -> (Item, any LinkPeer)? {
        wire.state.withLock { state in
            guard !(toFirst ? state.isHanding.0 : state.isHanding.1), let peer = toFirst ? state.peers.0 : state.peers.1,
                !(toFirst ? state.queues.0 : state.queues.1).isEmpty
            else { return nil }
            let item = toFirst ? state.queues.0.removeFirst() : state.queues.1.removeFirst()
            if toFirst { state.isHanding.0 = true } else { state.isHanding.1 = true }
            if case .end = item { if toFirst { state.peers.0 = nil } else { state.peers.1 = nil } }
            return (item, peer)
        }
    }
}
