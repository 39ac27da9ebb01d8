import HubProtocol
import Synchronization

/// What comes over a link, and what calls want to send, until the hub takes it; and the bell that wakes the hub.
final class LinkBox: LinkPeer {
    /// Bytes that wait for the hub; a cloud that sends more loses its link.
    static let bytesMax = 16 << 20

    struct Content {
        var messages: [[UInt8]] = []
        var frames: [StreamFrame] = []
        var isClosed = false
    }

    private struct State {
        var content = Content()
        var bytes = 0
        var isRung = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func received(_ message: [UInt8]) {
        state.withLock { state in
            state.bytes += message.count
            if state.bytes > Self.bytesMax { state.content.isClosed = true } else { state.content.messages.append(message) }
        }
        ring()
    }

    func closed() {
        state.withLock { $0.content.isClosed = true }
        ring()
    }

    func put(_ frame: StreamFrame) -> Bool {
        let isOpen = state.withLock { state -> Bool in
            guard !state.content.isClosed else { return false }
            state.content.frames.append(frame)
            return true
        }
        ring()
        return isOpen
    }

    func take() -> Content {
        state.withLock { state in
            defer {
                state.content.messages = []
                state.content.frames = []
                state.bytes = 0
                state.isRung = false
            }
            return state.content
        }
    }

    /// There is something to do.
    func ring() {
        state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.isRung = true
            defer { state.waiter = nil }
            return state.waiter
        }?.resume()
    }

    /// Returns when the bell rings, or has rung since something was last taken; at once when the task is cancelled.
    func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isWaiting = state.withLock { state -> Bool in
                    guard !state.isRung, !Task.isCancelled else { return false }
                    state.waiter = continuation
                    return true
                }
                if !isWaiting { continuation.resume() }
            }
        } onCancel: {
            state.withLock { state in
                defer { state.waiter = nil }
                return state.waiter
            }?.resume()
        }
    }
}
