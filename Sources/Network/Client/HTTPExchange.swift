import NIOCore
import Synchronization

/// One request's answer on its way from the connection's thread to the task that reads it: bounded, and ended once.
final class HTTPExchange: Sendable {
    struct Head: Sendable {
        let status: Int
        let headers: HTTPHeaders
    }

    private struct State {
        var head: Head?
        var chunks: ArraySlice<[UInt8]> = []
        var bufferedBytes = 0
        var isPaused = false
        var channel: (any Channel)?
        var outcome: Result<Void, HTTPClientError>?
        var waiter: CheckedContinuation<Void, Never>?
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

    private func change(_ body: (inout sending State) -> Void) {
        state.withLock { state -> CheckedContinuation<Void, Never>? in
            body(&state)
            defer { state.waiter = nil }
            return state.waiter
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

    func received(_ head: Head) { change { $0.head = head } }

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

    /// Waits until the state satisfies a condition. One task at a time.
    private func wait(until isReady: @Sendable (borrowing State) -> Bool) async {
        await withTaskCancellationHandler {
            while true {
                await withCheckedContinuation { continuation in
                    let isOver = state.withLock { state -> Bool in
                        if isReady(state) { return true }
                        state.waiter = continuation
                        return false
                    }
                    if isOver { continuation.resume() }
                }
                if state.withLock({ isReady($0) }) { return }
            }
        } onCancel: {
            stop()
        }
    }

    /// The head, once it is there.
    func head() async throws(HTTPClientError) -> Head {
        await wait { $0.head != nil || $0.outcome != nil }
        let (head, outcome) = state.withLock { ($0.head, $0.outcome) }
        if let head { return head }
        if case .failure(let error) = outcome { throw error }
        throw HTTPClientError(.closedEarly, "the answer ended before its head")
    }

    /// What comes next of the body; nil at its end.
    func next() async throws(HTTPClientError) -> [UInt8]? {
        await wait { !$0.chunks.isEmpty || $0.outcome != nil }
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
