import NIOCore
import Synchronization

/// Streams of a server that have something to send: gathered by whoever wakes them, served by the connections' thread some at a time.
///
/// A change that a thousand streams wait for wakes the thread once. While it serves them further changes gather, and each stream then
/// sends what has gathered in one piece: the more there is to do, the less each change costs. Streams of one connection are served together, and
/// what they send leaves in one piece.
final class StreamWakes: Sendable {
    /// One stream on its connection. All that a stream which waits has to have here: there are thousands of them.
    final class Line: Sendable {
        fileprivate let isWaiting = Atomic(false)
        private let stream: NIOLoopBound<HTTPConnection>
        private let wakes: StreamWakes
        /// Those of one place are served one after the other.
        fileprivate let place: Int

        /// - Parameter place: of a connection that has many streams (`newPlace`); 0 for one that has one.
        init(_ stream: NIOLoopBound<HTTPConnection>, _ wakes: StreamWakes, place: Int) {
            (self.stream, self.wakes, self.place) = (stream, wakes, place)
        }

        /// From any thread; a stream that waits already waits once.
        func wake() { wakes.wake(self, on: stream.eventLoop) }

        fileprivate func serve() { stream.value.serve() }
    }

    private struct State {
        var waiting: [Line] = []
        /// No round begins before.
        var rest = NIODeadline.uptimeNanoseconds(0)
    }

    /// Streams that are served before the thread looks after requests, and how long it then rests: tasks that are ready at once would keep
    /// it from looking.
    private static let turnMax = 64
    private static let turnRest: TimeAmount = .microseconds(10)
    /// Longest time between two rounds, so that no change waits for longer than this and a round.
    private static let restMax: TimeAmount = .milliseconds(8)
    private let state = Mutex(State())
    private let places = Atomic(0)
    /// Connections whose streams are being served together, each flushed once when they have been; nil while none are.
    private let flushes = Mutex<[@Sendable () -> Void]?>(nil)
    /// Chunks of these streams on their way: as HTTP/1.1 frames them, and bare.
    let frames = ChunkFrames()
    let bareFrames = ChunkFrames(isBare: true)

    /// For a connection that has many streams.
    func newPlace() -> Int { places.add(1, ordering: .relaxed).newValue }

    /// Has a connection flushed once the streams have sent that are being served together. On the connections' thread.
    ///
    /// - Returns: false when none are; then it is to be flushed at once.
    func flushesLater(_ flush: @escaping @Sendable () -> Void) -> Bool {
        flushes.withLock { flushes in
            flushes?.append(flush)
            return flushes != nil
        }
    }

    private func flushTogether(_ send: () -> Void) {
        flushes.withLock { $0 = [] }
        send()
        let due = flushes.withLock { flushes in
            defer { flushes = nil }
            return flushes ?? []
        }
        for flush in due { flush() }
    }

    /// - Parameter loop: of the stream's connection, the same for all streams.
    private func wake(_ line: Line, on loop: any EventLoop) {
        guard !line.isWaiting.exchange(true, ordering: .acquiringAndReleasing) else { return }
        let isFirst = state.withLock { state in
            state.waiting.append(line)
            return state.waiting.count == 1
        }
        if isFirst { loop.execute { self.serve(on: loop) } }
    }

    private func serve(on loop: any EventLoop) {
        let now = NIODeadline.now()
        let (lines, rest) = state.withLock { state -> ([Line]?, NIODeadline) in
            guard state.rest <= now else { return (nil, state.rest) }
            defer { state.waiting = [] }
            return (state.waiting, state.rest)
        }
        if let lines {
            let isShared = lines.contains { $0.place != 0 }
            serve((isShared ? lines.sorted { $0.place < $1.place } : lines)[...], since: now, on: loop)
        } else {
            loop.scheduleTask(deadline: rest) { self.serve(on: loop) }
        }
    }

    private func serve(_ lines: ArraySlice<Line>, since start: NIODeadline, on loop: any EventLoop) {
        flushTogether {
            for line in lines.prefix(Self.turnMax) {
                // Lowered first: what comes while it is served is another wake.
                line.isWaiting.store(false, ordering: .releasing)
                line.serve()
            }
        }
        let left = lines.dropFirst(Self.turnMax)
        guard left.isEmpty else {
            loop.scheduleTask(in: Self.turnRest) { self.serve(left, since: start, on: loop) }
            return
        }
        // Twice as long as a round took changes gather before the next, unless that is too long: the thread's time is not all theirs.
        let end = NIODeadline.now()
        state.withLock { $0.rest = end + min((end - start) * 2, Self.restMax) }
    }
}
