import Network
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Loads over real connections, on any server that speaks HTTP.
enum BenchConnections {
    /// As many connections as a load asks for, however slowly they are answered.
    static var limits: HTTPClientLimits {
        var limits = HTTPClientLimits()
        limits.connectionsMax = 4000
        return limits
    }

    /// Makes so many connections, or fewer that are shared, whose handshakes are then not part of what is measured.
    static func connect(_ client: PooledHTTPClient, _ count: Int) async {
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<count { group.addTask { _ = try? await client.send(HTTPRequest(method: "GET", path: "/readyz")) } }
        }
    }

    struct Rate {
        /// Requests answered by 2xx, a second.
        var perSecond = 0.0
        var errors = 0
        /// Processor time of the server, in seconds.
        var cpuSeconds = 0.0
        var perCPUSecond = 0.0
    }

    /// Requests of several writers, each waiting for its own answer, over a connection each.
    static func rate(
        _ client: PooledHTTPClient, writers: Int, _ server: BenchProcess, seconds: Double,
        _ request: @escaping @Sendable () -> HTTPRequest
    ) async -> Rate {
        let cpu = server.cpuSeconds
        let start = ContinuousClock.now
        let end = start + .seconds(seconds)
        let (done, errors) = await withTaskGroup(of: (Int, Int).self) { group in
            for _ in 0..<writers {
                group.addTask {
                    var counts = (done: 0, errors: 0)
                    while ContinuousClock.now < end {
                        let answer = try? await client.send(request())
                        if (200..<300).contains(answer?.status ?? 0) { counts.done += 1 } else { counts.errors += 1 }
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

    /// Latencies of requests that begin at a steady rate whether the last has ended or not; sorted, in seconds.
    static func latencies(
        _ client: PooledHTTPClient, rate: Double, seconds: Double, _ request: @escaping @Sendable () -> HTTPRequest
    ) async -> [Double] {
        await withTaskGroup(of: Double?.self) { group in
            let start = ContinuousClock.now
            for index in 0..<Int(rate * seconds) {
                try? await Task.sleep(until: start + .seconds(Double(index) / rate))
                group.addTask {
                    let begin = ContinuousClock.now
                    guard let answer = try? await client.send(request()), answer.status == 201 else { return nil }
                    return (ContinuousClock.now - begin) / .seconds(1)
                }
            }
            return await group.reduce(into: []) { if let latency = $1 { $0.append(latency) } }.sorted()
        }
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
        var hasEnded = false
        /// Where the last line had them.
        var revisionPlace = 0
        var sentPlace = 0
    }

    private static let revisionMark = Array("\"resourceVersion\":\"".utf8)
    private static let sentMark = Array("\"sent\":\"".utf8)
    private let state = Mutex(State())

    /// Returns once the watch is open. It ends with the client.
    func begin(_ client: PooledHTTPClient, _ request: HTTPRequest) async throws {
        let (status, _) = try await client.follow(request, timeLimit: .seconds(3600)) { [self] chunk in
            guard let chunk else { return take(nil) }
            chunk.withUnsafeBytes { take($0) }
        }
        guard status == 200 else { throw CloudError("a watch was answered \(status)") }
    }

    /// More of the answer; nil is its end.
    func take(_ bytes: UnsafeRawBufferPointer?) {
        let now = Self.nanoseconds()
        state.withLock { state in if let bytes { Self.take(bytes, now, &state) } else { state.hasEnded = true } }
    }

    /// A thousand of these share the machine with the server that they measure: lines are looked at where they lie.
    private static func take(_ bytes: UnsafeRawBufferPointer, _ now: UInt64, _ state: inout State) {
        var rest = bytes
        if !state.rest.isEmpty {
            guard let first = bytes.baseAddress, let end = memchr(first, 0x0a, bytes.count) else { return state.rest += bytes }
            let length = UnsafeRawPointer(end) - first
            state.rest += bytes[..<length]
            let line = state.rest
            line.withUnsafeBytes { note($0, now, &state) }
            state.rest.removeAll(keepingCapacity: true)
            rest = UnsafeRawBufferPointer(rebasing: bytes[(length + 1)...])
        }
        while let first = rest.baseAddress, let end = memchr(first, 0x0a, rest.count) {
            let length = UnsafeRawPointer(end) - first
            note(UnsafeRawBufferPointer(start: first, count: length), now, &state)
            rest = UnsafeRawBufferPointer(rebasing: rest[(length + 1)...])
        }
        state.rest += rest
    }

    private static func note(_ line: UnsafeRawBufferPointer, _ now: UInt64, _ state: inout State) {
        let revision = number(behind: revisionMark, in: line, near: &state.revisionPlace).map { Int($0) } ?? 0
        if revision <= state.lastRevision { state.outOfOrder += 1 }
        state.lastRevision = revision
        if let sent = number(behind: sentMark, in: line, near: &state.sentPlace) { state.lagsSeconds.append(Double(now &- sent) / 1e9) }
    }

    /// The digits behind the first place of a mark.
    ///
    /// - Precondition: the mark has at least eight bytes.
    static func number(behind mark: [UInt8], in line: UnsafeRawBufferPointer) -> UInt64? {
        var place = 0
        return number(behind: mark, in: line, near: &place)
    }

    /// The digits behind a mark.
    ///
    /// - Parameter place: where the last line had it, which is looked at first: lines of a measurement are alike.
    /// - Precondition: the mark has at least eight bytes.
    static func number(behind mark: [UInt8], in line: UnsafeRawBufferPointer, near place: inout Int) -> UInt64? {
        guard let start = line.baseAddress, line.count >= mark.count else { return nil }
        let begin = mark.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        func isMark(_ place: Int) -> Bool {
            line.loadUnaligned(fromByteOffset: place, as: UInt64.self) == begin && memcmp(start + place, mark, mark.count) == 0
        }
        let last = line.count - mark.count
        // A number that has grown moves what is behind it.
        let near = min(place, last)...min(place + 3, last)
        guard let found = near.first(where: isMark) ?? (0...last).first(where: isMark) else { return nil }
        place = found
        let digits = line[(found + mark.count)...].prefix(19).prefix { $0 >= 0x30 && $0 <= 0x39 }
        return digits.isEmpty ? nil : digits.reduce(0) { $0 * 10 + UInt64($1 - 0x30) }
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
}
