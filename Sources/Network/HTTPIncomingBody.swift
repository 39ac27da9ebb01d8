import NIOCore
import Synchronization

/// A request's body while it arrives, pulled by whoever answers: of one that is not pulled no more than a bounded piece is taken from its
/// connection. Read by one task.
package final class HTTPIncomingBody: Sendable {
    private struct State {
        var waiting: [UInt8] = []
        var isPaused = false
        var outcome: Result<Void, NetworkError>?
        var reader: CheckedContinuation<Void, Never>?
        /// Something came or was taken since somebody looked.
        var hasMoved = true
    }

    /// Bytes that wait for the reader; beyond, no more are read from the connection.
    private static let waitingBytesMax = 64 << 10
    private let channel: any Channel
    private let state = Mutex(State())

    init(_ channel: any Channel) { self.channel = channel }

    // MARK: The reader's side

    /// What has come since the last call, never empty; nil at the body's end.
    ///
    /// - Throws: the client has gone, or stands still; the task was cancelled.
    package func next() async throws(NetworkError) -> [UInt8]? {
        await wait()
        let (bytes, isResumed, outcome) = state.withLock { state -> ([UInt8], Bool, Result<Void, NetworkError>?) in
            guard !state.waiting.isEmpty else { return ([], false, state.outcome) }
            let bytes = state.waiting
            let isResumed = state.isPaused
            (state.waiting, state.isPaused, state.hasMoved) = ([], false, true)
            return (bytes, isResumed, nil)
        }
        if isResumed { channel.goOnReading() }
        if !bytes.isEmpty { return bytes }
        switch outcome {
        case .success: return nil
        case .failure(let error): throw error
        case nil: throw NetworkError("cancelled")
        }
    }

    /// Ends the connection: what was answered so far is all.
    package func close() { channel.close(promise: nil) }

    private func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state -> Bool in
                    if !state.waiting.isEmpty || state.outcome != nil || Task.isCancelled { return true }
                    state.reader = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            change { _ in }
        }
    }

    private func change(_ body: (inout sending State) -> Void) {
        state.withLock { state -> CheckedContinuation<Void, Never>? in
            body(&state)
            defer { state.reader = nil }
            return state.reader
        }?.resume()
    }

    // MARK: The connection's side

    /// - Returns: whether the connection is to stop reading until it is told to go on.
    func received(_ bytes: [UInt8]) -> Bool {
        var mustPause = false
        change { state in
            guard state.outcome == nil else { return }
            state.waiting += bytes
            state.hasMoved = true
            mustPause = state.waiting.count > Self.waitingBytesMax
            if mustPause { state.isPaused = true }
        }
        return mustPause
    }

    /// The first outcome stays; what waits is read before it.
    func finish(_ outcome: Result<Void, NetworkError>) { change { state in state.outcome = state.outcome ?? outcome } }

    /// Whether anything came or was taken since the last call.
    func hasMoved() -> Bool {
        state.withLock { state in
            defer { state.hasMoved = false }
            return state.hasMoved
        }
    }
}

extension Channel {
    /// Reads on where reading had been stopped by turning `autoRead` off: a stream of HTTP/2 does not by itself.
    func goOnReading() {
        setOption(.autoRead, value: true).whenFailure { _ in }
        read()
    }
}
