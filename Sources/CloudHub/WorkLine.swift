import Synchronization

/// Sessions with something to be done against the API, each once, in their order; workers wait for them here.
final class WorkLine: Sendable {
    private struct State {
        var ready: [NodeSession] = []
        var head = 0
        var waiters: [UInt64: CheckedContinuation<NodeSession?, Never>] = [:]
        var next: UInt64 = 0
    }

    private let state = Mutex(State())

    /// The session must not be in line already.
    func put(_ session: NodeSession) {
        state.withLock { state -> CheckedContinuation<NodeSession?, Never>? in
            if let (number, waiter) = state.waiters.first {
                state.waiters[number] = nil
                return waiter
            }
            state.ready.append(session)
            return nil
        }?.resume(returning: session)
    }

    /// The next; nil when the task is cancelled.
    func take() async -> NodeSession? {
        let number = state.withLock { state in
            state.next += 1
            return state.next
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let found = state.withLock { state -> NodeSession?? in
                    if Task.isCancelled { return .some(nil) }
                    guard state.head < state.ready.count else {
                        state.waiters[number] = continuation
                        return nil
                    }
                    defer {
                        state.head += 1
                        if state.head == state.ready.count || state.head > 1024 {
                            state.ready.removeFirst(state.head)
                            state.head = 0
                        }
                    }
                    return state.ready[state.head]
                }
                if let found { continuation.resume(returning: found) }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume(returning: nil)
        }
    }
}
