package import Resources
import Synchronization

/// Calls to the node that lives in this process.
package final class LocalCalls: NodeCalls {
    private let node: String
    private let handler: any NodeCallHandler

    /// - Parameter node: the name of the only node that can be reached.
    package init(node: String, handler: any NodeCallHandler) {
        self.node = node
        self.handler = handler
    }

    /// Begins a task that serves the call; it ends when the caller closes the stream or lets go of it.
    ///
    /// - Throws: 503 for every other node.
    package func open(_ call: NodeCall, on node: String) async throws(APIStatus) -> any CallStream {
        guard node == self.node else {
            throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "node \"\(node)\" is not connected")
        }
        let (here, there) = CallPipe.pair()
        let handler = handler
        let task = Task { await handler.serve(call, over: there) }
        here.onClose { task.cancel() }
        return here
    }
}

/// A stream between two tasks of this process: a few frames wait at each end, then the sender does.
package final class CallPipe: CallStream {
    /// Frames that wait to be received.
    private static let framesMax = 16

    private struct Lane {
        var frames: [CallFrame] = []
        var isClosed = false
        var failure: APIStatus?
        var reader: CheckedContinuation<Void, Never>?
        var writer: CheckedContinuation<Void, Never>?

        mutating func wake() -> [CheckedContinuation<Void, Never>] {
            defer { (reader, writer) = (nil, nil) }
            return [reader, writer].compactMap { $0 }
        }
    }

    private final class Way: Sendable {
        let lane = Mutex(Lane())

        func close(_ failure: APIStatus?) {
            let woken = lane.withLock { lane -> [CheckedContinuation<Void, Never>] in
                if !lane.isClosed { (lane.isClosed, lane.failure) = (true, failure) }
                return lane.wake()
            }
            for waiter in woken { waiter.resume() }
        }

        func wakeAll() {
            let woken = lane.withLock { $0.wake() }
            for waiter in woken { waiter.resume() }
        }
    }

    private let outgoing: Way
    private let incoming: Way
    private let closed: Mutex<(@Sendable () -> Void)?> = Mutex(nil)

    private init(outgoing: Way, incoming: Way) {
        self.outgoing = outgoing
        self.incoming = incoming
    }

    /// Both ends of a new stream.
    package static func pair() -> (CallPipe, CallPipe) {
        let (one, other) = (Way(), Way())
        return (CallPipe(outgoing: one, incoming: other), CallPipe(outgoing: other, incoming: one))
    }

    func onClose(_ body: @escaping @Sendable () -> Void) { closed.withLock { $0 = body } }

    deinit { finish(nil) }

    /// Waits while 16 frames have not been received.
    package func send(_ frame: CallFrame) async throws(APIStatus) {
        while true {
            let isSent = try outgoing.lane.withLock { (lane) throws(APIStatus) -> Bool in
                if lane.isClosed { throw lane.failure ?? .callIsOver }
                guard lane.frames.count < Self.framesMax else { return false }
                lane.frames.append(frame)
                return true
            }
            if isSent { return outgoing.wakeAll() }
            if Task.isCancelled { throw .callIsOver }
            await wait(outgoing, isReader: false) { $0.isClosed || $0.frames.count < Self.framesMax }
        }
    }

    /// The next frame; nil once the other end has closed, and when the task is cancelled.
    package func receive() async throws(APIStatus) -> CallFrame? {
        while true {
            let found = try incoming.lane.withLock { (lane) throws(APIStatus) -> CallFrame?? in
                if !lane.frames.isEmpty { return lane.frames.removeFirst() }
                guard lane.isClosed else { return .none }
                if let failure = lane.failure { throw failure }
                return .some(.none)
            }
            if let found {
                incoming.wakeAll()
                return found
            }
            if Task.isCancelled { return nil }
            await wait(incoming, isReader: true) { $0.isClosed || !$0.frames.isEmpty }
        }
    }

    private func wait(_ way: Way, isReader: Bool, until isReady: @escaping @Sendable (borrowing Lane) -> Bool) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = way.lane.withLock { lane -> Bool in
                    if isReady(lane) || Task.isCancelled { return true }
                    if isReader { lane.reader = continuation } else { lane.writer = continuation }
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            way.wakeAll()
        }
    }

    /// Frames sent before are still received by the other end; what it sends from now on is refused.
    package func close(_ failure: APIStatus?) { finish(failure) }

    private func finish(_ failure: APIStatus?) {
        outgoing.close(failure)
        incoming.close(nil)
        let body = closed.withLock { body -> (@Sendable () -> Void)? in
            defer { body = nil }
            return body
        }
        body?()
    }
}

extension APIStatus {
    /// The other end of a call has gone.
    fileprivate static let callIsOver = APIStatus(
        code: 503, reason: "ServiceUnavailable", message: "the call is over: its other end has closed it")
}
