import Network
import Synchronization

/// The lines of a streamed answer, each of bounded length. Read by one task.
final class WatchLines: Sendable {
    /// An object has at most 3 MiB where it is stored, and may be written with blanks.
    static let lineBytesMax = 8 << 20
    private struct State {
        var bytes: [UInt8] = []
        /// Where the next line begins.
        var start = 0
        /// Before here is no end of a line.
        var searched = 0
    }

    private let stream: HTTPAnswerStream
    private let state = Mutex(State())

    init(_ stream: HTTPAnswerStream) { self.stream = stream }

    /// The next line that is not empty; nil at the end. What stands behind the last end of a line is no line.
    func next() async throws(HTTPClientError) -> [UInt8]? {
        while true {
            if let line = state.withLock({ Self.cut(&$0) }) {
                if line.isEmpty { continue }
                return line
            }
            guard state.withLock({ $0.bytes.count - $0.start }) <= Self.lineBytesMax else {
                stream.close()
                throw HTTPClientError(.tooLarge, "a line of a watch has more than \(Self.lineBytesMax) bytes")
            }
            guard let chunk = try await stream.next() else { return nil }
            state.withLock { state in
                state.bytes.removeFirst(state.start)
                state.searched -= state.start
                state.start = 0
                state.bytes += chunk
            }
        }
    }

    private static func cut(_ state: inout State) -> [UInt8]? {
        guard let end = state.bytes[state.searched...].firstIndex(of: 0x0a) else {
            state.searched = state.bytes.count
            return nil
        }
        let line = Array(state.bytes[state.start..<end])
        state.start = end + 1
        state.searched = end + 1
        return line
    }
}
