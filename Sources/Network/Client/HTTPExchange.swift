import NIOCore
import Synchronization

/// One request's answer on its way from the connection's thread to the task that reads it: bounded, and ended once.
final class HTTPExchange: Sendable {
    struct Head: Sendable {
        let status: Int
        let headers: HTTPHeaders
        /// Bytes of the body, where the server says so beforehand.
        let length: Int?

        init(status: Int, headers: HTTPHeaders) {
            self.status = status
            self.headers = headers
            length = headers["content-length"].flatMap { Int($0) }
        }
    }

    /// What a reader waits for.
    private enum Wanted {
        case head
        case chunk
        /// The end of the answer; as much of it as may wait, or the head alone, where more is to come than that.
        case whole
    }

    private struct State {
        var head: Head?
        var chunks: ArraySlice<[UInt8]> = []
        var bufferedBytes = 0
        var isPaused = false
        /// More has been announced than may wait.
        var isLong = false
        var channel: (any Channel)?
        var outcome: Result<Void, HTTPClientError>?
        var waiter: (wanted: Wanted, continuation: CheckedContinuation<Void, Never>)?

        func has(_ wanted: Wanted) -> Bool {
            if outcome != nil { return true }
            return switch wanted {
            case .head: head != nil
            case .chunk: !chunks.isEmpty
            case .whole: isPaused || isLong
            }
        }
    }

    private let bufferedBytesMax: Int
    /// Takes the body as it comes, on the connection's thread, and nil at its end; without it the body waits for a reader.
    private let sink: (@Sendable ([UInt8]?) -> Void)?
    private let state = Mutex(State())

    /// - Parameter bufferedBytesMax: bytes that may wait; more are not read from the connection.
    init(bufferedBytesMax: Int, sink: (@Sendable ([UInt8]?) -> Void)? = nil) {
        self.bufferedBytesMax = bufferedBytesMax
        self.sink = sink
    }

    // MARK: The connection's side

    /// Wakes the reader only for what it waits for: to wake a task costs more than to take up a piece of an answer.
    private func change(_ body: (inout sending State) -> Void) {
        state.withLock { state -> CheckedContinuation<Void, Never>? in
            body(&state)
            guard let waiter = state.waiter, state.has(waiter.wanted) else { return nil }
            state.waiter = nil
            return waiter.continuation
        }?.resume()
    }

    /// The request is about to be sent; false if nobody waits for it any more.
    func begin(on channel: any Channel) -> Bool {
        state.withLock { state in
            guard state.outcome == nil else { return false }
            state.channel = channel
            return true
        }
    }

    func received(_ head: Head) {
        change { state in
            state.head = head
            state.isLong = head.length.map { $0 > self.bufferedBytesMax } ?? false
        }
    }

    /// - Returns: whether the connection is to stop reading until it is told to go on.
    func received(_ chunk: [UInt8]) -> Bool {
        if let sink {
            sink(chunk)
            return false
        }
        var mustPause = false
        change { state in
            state.chunks.append(chunk)
            state.bufferedBytes += chunk.count
            if state.bufferedBytes > self.bufferedBytesMax, !state.isPaused {
                state.isPaused = true
                mustPause = true
            }
        }
        return mustPause
    }

    /// The first outcome stays.
    func finish(_ outcome: Result<Void, HTTPClientError>) {
        var isFirst = false
        change { state in
            isFirst = state.outcome == nil
            if isFirst { state.outcome = outcome }
            state.channel = nil
        }
        if isFirst { sink?(nil) }
    }

    // MARK: The reader's side

    /// Ends the exchange; its connection is closed unless the answer has come whole.
    func stop() {
        let channel = state.withLock { state -> (any Channel)? in
            defer { state.channel = nil }
            return state.channel
        }
        finish(.failure(.cancelled))
        channel?.close(promise: nil)
    }

    /// Waits until something is there. One task at a time.
    private func wait(for wanted: Wanted) async {
        if !Task.isCancelled, state.withLock({ $0.has(wanted) }) { return }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state -> Bool in
                    if state.has(wanted) { return true }
                    state.waiter = (wanted, continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            stop()
        }
    }

    /// The head, once it is there.
    ///
    /// - Parameter isWhole: waits for the end as well, unless more is to come than may wait: the reader is then woken once.
    func head(isWhole: Bool = false) async throws(HTTPClientError) -> Head {
        await wait(for: isWhole ? .whole : .head)
        let (head, outcome) = state.withLock { ($0.head, $0.outcome) }
        if let head { return head }
        if case .failure(let error) = outcome { throw error }
        throw HTTPClientError(.closedEarly, "the answer ended before its head")
    }

    /// What comes next of the body; nil at its end.
    func next() async throws(HTTPClientError) -> [UInt8]? {
        await wait(for: .chunk)
        let (chunk, resumed, outcome) = state.withLock { state -> ([UInt8]?, (any Channel)?, Result<Void, HTTPClientError>?) in
            if case .failure(let error) = state.outcome, error.code == .cancelled { return (nil, nil, state.outcome) }
            guard let chunk = state.chunks.popFirst() else { return (nil, nil, state.outcome) }
            state.bufferedBytes -= chunk.count
            guard state.isPaused, state.bufferedBytes <= self.bufferedBytesMax / 2 else { return (chunk, nil, nil) }
            state.isPaused = false
            return (chunk, state.channel, nil)
        }
        resumed?.goOnReading()
        if let chunk { return chunk }
        if case .failure(let error) = outcome { throw error }
        return nil
    }
}

/// An answer whose body is read as it comes. Read by one task; closed when it is dropped.
package final class HTTPAnswerStream: Sendable {
    /// HTTP status code; a refusal's body is streamed as well.
    package let status: Int
    /// As they came, in their order.
    package let headers: HTTPHeaders
    private let exchange: HTTPExchange

    init(_ head: HTTPExchange.Head, _ exchange: HTTPExchange) {
        status = head.status
        headers = head.headers
        self.exchange = exchange
    }

    deinit { exchange.stop() }

    /// What comes next of the body, never empty; nil at its end. A reader that is slow holds the server back.
    package func next() async throws(HTTPClientError) -> [UInt8]? { try await exchange.next() }

    /// Ends the answer and its connection; the next read throws `.cancelled`.
    package func close() { exchange.stop() }
}
