import NIOCore
import Synchronization

/// Streams of a server that have something to send: gathered by whoever wakes them, served by the connections' thread some at a time.
///
/// A change that a thousand streams wait for wakes the thread once. While it serves them further changes gather, and each stream then
/// sends what has gathered in one piece: the more there is to do, the less each change costs.
final class StreamWakes: Sendable {
    /// One stream on its connection.
    final class Line: Sendable {
        fileprivate let isWaiting = Atomic(false)
        fileprivate let serve: @Sendable () -> Void

        /// - Parameter serve: called on the connection's thread.
        init(_ serve: @escaping @Sendable () -> Void) { self.serve = serve }
    }

    /// Streams that are served before the thread looks after requests.
    private static let turnMax = 64
    private let waiting = Mutex<[Line]>([])

    /// From any thread; a stream that waits already waits once.
    ///
    /// - Parameter loop: of the stream's connection, the same for all streams.
    func wake(_ line: Line, on loop: any EventLoop) {
        guard !line.isWaiting.exchange(true, ordering: .acquiringAndReleasing) else { return }
        let isFirst = waiting.withLock { waiting in
            waiting.append(line)
            return waiting.count == 1
        }
        if isFirst { loop.execute { self.serve(on: loop) } }
    }

    private func serve(on loop: any EventLoop) {
        let lines = waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        serve(lines[...], on: loop)
    }

    private func serve(_ lines: ArraySlice<Line>, on loop: any EventLoop) {
        for line in lines.prefix(Self.turnMax) {
            // Lowered first: what comes while it is served is another wake.
            line.isWaiting.store(false, ordering: .releasing)
            line.serve()
        }
        let rest = lines.dropFirst(Self.turnMax)
        if !rest.isEmpty { loop.execute { self.serve(rest, on: loop) } }
    }
}
