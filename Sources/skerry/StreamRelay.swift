import Network
import Synchronization

/// Brings a body to whoever answers it, piece by piece as it arrives.
final class StreamFeed: Sendable {
    private let upload: HTTPUpload
    private let task: Task<Void, Never>
    private let failure: Failure

    private final class Failure: Sendable { let error = Mutex<NetworkError?>(nil) }

    init(_ incoming: HTTPIncomingBody, _ upload: HTTPUpload) {
        let failure = Failure()
        (self.upload, self.failure) = (upload, failure)
        task = Task { await Self.feed(incoming, upload, failure) }
    }

    /// Why the body did not come whole; nil unless that is its sender's fault.
    var fault: NetworkError? { failure.error.withLock { $0 } }

    /// Ends body and answer.
    func stop() {
        task.cancel()
        upload.close()
    }

    private static func feed(_ incoming: HTTPIncomingBody, _ upload: HTTPUpload, _ failure: Failure) async {
        while true {
            let piece: [UInt8]?
            do throws(NetworkError) { piece = try await incoming.next() } catch {
                failure.error.withLock { $0 = error }
                return upload.close()
            }
            do throws(HTTPClientError) {
                guard let piece else { return try await upload.finish() }
                try await upload.send(piece)
            } catch {
                // The answer says why no more is taken.
                return
            }
        }
    }
}

/// The answer to a body that is fed while it is read: one piece is held, the next is asked for when the client has taken it.
final class StreamRelay: HTTPBodyStream {
    private struct State {
        var ready: [UInt8]?
        var isOver = false
        var isBroken = false
        var wake: (@Sendable () -> Void)?
        var reader: CheckedContinuation<Void, Never>?
        var task: Task<Void, Never>?
    }

    private let answer: HTTPAnswerStream
    private let feed: StreamFeed
    private let state = Mutex(State())

    init(_ answer: HTTPAnswerStream, _ feed: StreamFeed) { (self.answer, self.feed) = (answer, feed) }

    var isBroken: Bool { state.withLock { $0.isBroken } }

    func start(wake: @escaping @Sendable () -> Void) {
        state.withLock { state in
            state.wake = wake
            state.task = Task { await self.pull() }
        }
    }

    func next() -> HTTPBodyStep {
        let (step, reader) = state.withLock { state -> (HTTPBodyStep, CheckedContinuation<Void, Never>?) in
            guard let ready = state.ready else { return (state.isBroken ? .failed : state.isOver ? .end : .wait, nil) }
            defer { (state.ready, state.reader) = (nil, nil) }
            return (.chunk(ready), state.reader)
        }
        reader?.resume()
        return step
    }

    func stop() {
        let task = state.withLock { $0.task }
        task?.cancel()
        feed.stop()
        answer.close()
    }

    private func pull() async {
        var isBroken = false
        do throws(HTTPClientError) {
            while !Task.isCancelled, let piece = try await answer.next() {
                await offer(piece)
            }
        } catch { isBroken = true }
        let wake = state.withLock { state in
            (state.isOver, state.isBroken) = (true, isBroken || Task.isCancelled)
            return state.wake
        }
        wake?()
    }

    /// Returns when the connection has taken the piece, or the task was cancelled.
    private func offer(_ piece: [UInt8]) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let (wake, isOver) = state.withLock { state -> ((@Sendable () -> Void)?, Bool) in
                    if Task.isCancelled { return (nil, true) }
                    (state.ready, state.reader) = (piece, continuation)
                    return (state.wake, false)
                }
                if isOver { continuation.resume() }
                wake?()
            }
        } onCancel: {
            state.withLock { state in
                defer { state.reader = nil }
                return state.reader
            }?.resume()
        }
    }
}
