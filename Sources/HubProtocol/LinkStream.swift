package import Resources
import Synchronization

/// One end of a call over a link, for the cloud and the edge alike: what is sent waits for credit, what is received gives it back.
package final class LinkStream: CallStream {
    private struct State {
        var received: [CallFrame] = []
        var receivedBytes = 0
        var credit = HubLimits.streamCreditBytes
        var end: Result<Void, APIStatus>?
        var isFinished = false
        var reader: CheckedContinuation<Void, Never>?
        var writer: CheckedContinuation<Void, Never>?
        var watcher: CheckedContinuation<Void, Never>?
        var hasEnded: Bool { end != nil || isFinished }
    }

    /// Number on the link.
    package let number: UInt32
    private let state = Mutex(State())
    private let send: @Sendable (StreamFrame) -> Bool

    /// - Parameter send: hands a frame to the link; false when there is none any more.
    package init(_ number: UInt32, send: @escaping @Sendable (StreamFrame) -> Bool) {
        self.number = number
        self.send = send
    }

    private static let broken: APIStatus = {
        var status = APIStatus(code: 503, reason: "ServiceUnavailable", message: "the link between the cloud and the node broke")
        status.retryAfterSeconds = 1
        return status
    }()

    // MARK: From the link

    /// A frame of this stream came.
    ///
    /// - Returns: false when the other end sent more than it may: the stream has ended.
    package func took(_ frame: StreamFrame) -> Bool {
        switch frame {
        case .open: return true
        case .data(_, let frame):
            let isAllowed = state.withLock { state -> Bool in
                guard state.end == nil, !state.isFinished else { return true }
                state.receivedBytes += frame.cost
                guard state.receivedBytes <= 2 * HubLimits.streamCreditBytes else { return false }
                state.received.append(frame)
                return true
            }
            if !isAllowed { broke() }
            wake()
            return isAllowed
        case .credit(_, let bytes):
            state.withLock { $0.credit = min($0.credit + max(0, bytes), HubLimits.streamCreditBytes) }
            wake()
            return true
        case .close(_, let body):
            var result: Result<Void, APIStatus> = .success(())
            if !body.isEmpty { result = .failure(APIStatus(reading: (try? JSONParser.parse(body)) ?? .null)) }
            let end = result
            state.withLock { if $0.end == nil { $0.end = end } }
            wake()
            return true
        }
    }

    /// The link is gone.
    package func broke() {
        state.withLock { if $0.end == nil { $0.end = .failure(Self.broken) } }
        wake()
    }

    private func wake() {
        let waiting = state.withLock { state in
            defer {
                (state.reader, state.writer) = (nil, nil)
                if state.hasEnded { state.watcher = nil }
            }
            return [state.reader, state.writer, state.hasEnded ? state.watcher : nil]
        }
        for continuation in waiting { continuation?.resume() }
    }

    // MARK: CallStream

    package func receive() async throws(APIStatus) -> CallFrame? {
        while !Task.isCancelled {
            let found = state.withLock { state -> (CallFrame?, Result<Void, APIStatus>?) in
                guard !state.received.isEmpty else { return (nil, state.end ?? (state.isFinished ? .success(()) : nil)) }
                let frame = state.received.removeFirst()
                state.receivedBytes -= frame.cost
                return (frame, nil)
            }
            if let frame = found.0 {
                _ = send(.credit(number, frame.cost))
                return frame
            }
            if let end = found.1 {
                try end.get()
                return nil
            }
            await wait(forCredit: nil)
        }
        return nil
    }

    package func send(_ frame: CallFrame) async throws(APIStatus) {
        guard case .data(let channel, let bytes) = frame, bytes.count > CallFrame.bytesMax else { return try await sendOne(frame) }
        var rest = bytes[...]
        while !rest.isEmpty {
            try await sendOne(.data(channel, Array(rest.prefix(CallFrame.bytesMax))))
            rest = rest.dropFirst(CallFrame.bytesMax)
        }
    }

    private func sendOne(_ frame: CallFrame) async throws(APIStatus) {
        while true {
            if Task.isCancelled { throw APIStatus(code: 499, reason: "Cancelled", message: "the call was cancelled") }
            if try taken(frame.cost) {
                guard send(.data(number, frame)) else { throw Self.broken }
                return
            }
            await wait(forCredit: frame.cost)
        }
    }

    private func taken(_ cost: Int) throws(APIStatus) -> Bool {
        let result = state.withLock { state -> Result<Bool, APIStatus> in
            switch state.end {
            case .failure(let status): return .failure(status)
            case .success: return .failure(APIStatus(code: 410, reason: "Gone", message: "the other end of the call has finished"))
            case nil: break
            }
            if state.isFinished { return .failure(APIStatus(code: 410, reason: "Gone", message: "the call has been finished here")) }
            guard state.credit >= cost else { return .success(false) }
            state.credit -= cost
            return .success(true)
        }
        return try result.get()
    }

    /// Returns once either end has finished, the link broke, or the task is cancelled.
    package func ended() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isWaiting = state.withLock { state -> Bool in
                    guard !Task.isCancelled, !state.hasEnded else { return false }
                    state.watcher = continuation
                    return true
                }
                if !isWaiting { continuation.resume() }
            }
        } onCancel: {
            state.withLock { state in
                defer { state.watcher = nil }
                return state.watcher
            }?.resume()
        }
    }

    private func wait(forCredit cost: Int?) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isWaiting = state.withLock { state -> Bool in
                    guard !Task.isCancelled, state.end == nil, !state.isFinished else { return false }
                    if let cost {
                        guard state.credit < cost else { return false }
                        state.writer = continuation
                    } else {
                        guard state.received.isEmpty else { return false }
                        state.reader = continuation
                    }
                    return true
                }
                if !isWaiting { continuation.resume() }
            }
        } onCancel: {
            wake()
        }
    }

    package func close(_ failure: APIStatus?) {
        let isFirst = state.withLock { state -> Bool in
            defer { state.isFinished = true }
            return !state.isFinished
        }
        guard isFirst else { return }
        _ = send(.close(number, failure.map { $0.json.bytes() } ?? []))
        wake()
    }
}

extension CallFrame {
    /// What it takes of a stream's credit.
    fileprivate var cost: Int {
        switch self {
        case .data(_, let bytes): bytes.count + 1
        case .end: 1
        }
    }
}
