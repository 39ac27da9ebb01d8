import Network
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Loads over real connections, on any server that speaks HTTP.
enum BenchConnections {
    struct Rate {
        /// Requests answered by 2xx, a second.
        var perSecond = 0.0
        var errors = 0
        /// Processor time of the server, in seconds.
        var cpuSeconds = 0.0
        var perCPUSecond = 0.0
    }

    /// Requests of several clients, each waiting for its own answer.
    static func rate(
        _ clients: [HTTPClient], _ server: BenchProcess, seconds: Double, _ request: @escaping @Sendable () -> HTTPRequest
    ) async -> Rate {
        let cpu = server.cpuSeconds
        let start = ContinuousClock.now
        let end = start + .seconds(seconds)
        let (done, errors) = await withTaskGroup(of: (Int, Int).self) { group in
            for client in clients {
                group.addTask {
                    var counts = (done: 0, errors: 0)
                    while ContinuousClock.now < end {
                        let response = try? await client.send(request())
                        if (200..<300).contains(response?.status ?? 0) { counts.done += 1 } else { counts.errors += 1 }
                        // A connection that is gone stays gone.
                        if response == nil { break }
                    }
                    return counts
                }
            }
            return await group.reduce((0, 0)) { ($0.0 + $1.0, $0.1 + $1.1) }
        }
        let time = (ContinuousClock.now - start) / .seconds(1)
        let used = server.cpuSeconds - cpu
        return Rate(perSecond: Double(done) / time, errors: errors, cpuSeconds: used, perCPUSecond: Double(done) / max(used, 0.01))
    }
}

/// One watch over a connection: notes when each change came, and whether the revisions went up.
final class BenchWatcher: Sendable {
    private struct State {
        /// Bytes of a line that has not ended yet.
        var rest: [UInt8] = []
        var lagsSeconds: [Double] = []
        var lastRevision = 0
        var outOfOrder = 0
        var isOpen = false
        var hasEnded = false
    }

    private static let revisionMark = Array("\"resourceVersion\":\"".utf8)
    private static let sentMark = Array("\"sent\":\"".utf8)
    private let client: HTTPClient
    private let state = Mutex(State())

    init(_ client: HTTPClient) { self.client = client }

    var isOpen: Bool { state.withLock { $0.isOpen } }

    func begin(_ request: HTTPRequest) {
        client.exchange(request) { [self] event in
            let now = Self.nanoseconds()
            state.withLock { state in
                switch event {
                case .head(let status, _): state.isOpen = status == 200
                case .chunk(let bytes): Self.take(bytes, now, &state)
                case .end, .failed: state.hasEnded = true
                }
            }
        }
    }

    private static func take(_ bytes: [UInt8], _ now: UInt64, _ state: inout State) {
        state.rest += bytes
        var start = 0
        while let end = state.rest[start...].firstIndex(of: 0x0a) {
            let line = state.rest[start..<end]
            let revision = number(behind: revisionMark, in: line).map { Int($0) } ?? 0
            if revision <= state.lastRevision { state.outOfOrder += 1 }
            state.lastRevision = revision
            if let sent = number(behind: sentMark, in: line) { state.lagsSeconds.append(Double(now &- sent) / 1e9) }
            start = end + 1
        }
        state.rest.removeFirst(start)
    }

    private static func number(behind mark: [UInt8], in line: ArraySlice<UInt8>) -> UInt64? {
        var place = line.startIndex
        while place + mark.count < line.endIndex {
            if line[place] == mark[0], line[place..<(place + mark.count)].elementsEqual(mark) {
                var value: UInt64 = 0
                for byte in line[(place + mark.count)...].prefix(19) {
                    guard byte >= 0x30, byte <= 0x39 else { return value }
                    value = value * 10 + UInt64(byte - 0x30)
                }
                return value
            }
            place += 1
        }
        return nil
    }

    /// Time since the machine's start.
    static func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Lags so far, and changes that came out of order.
    func result() -> (lagsSeconds: [Double], outOfOrder: Int, hasEnded: Bool) {
        state.withLock { ($0.lagsSeconds, $0.outOfOrder, $0.hasEnded) }
    }

    func end() { client.close() }
}
