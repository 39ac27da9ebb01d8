import Learning
import Network
import Resources
import Synchronization

/// An edge worker's way to the large model of its service: over the node's agent, `POST $LC_SERVER/sedna/workers/$WORKER_NAME/ask`, within a
/// deadline. After a failure nobody waits again before a pause has gone by.
final class JointLink: Sendable {
    private struct State {
        var failures = 0
        /// Seconds of the clock before which nothing is asked.
        var pausedUntil = 0.0
    }

    /// Longest pause after failures, seconds.
    private static let pauseMax = 30.0
    private let client: PooledHTTPClient
    private let path: String
    private let state = Mutex(State())

    /// - Parameter deadline: of one question.
    /// - Throws: `WorkerInputError` for an address that is none.
    init?(_ settings: WorkerSettings, deadline: Duration) throws {
        guard let address = settings[WorkerContract.serverVariable], let name = settings[WorkerContract.nameVariable] else { return nil }
        let (host, port) = try WorkerReporter.address(address)
        var limits = HTTPClientLimits()
        (limits.connectTimeout, limits.headTimeout, limits.answerTimeout) = (deadline, deadline, deadline)
        (limits.answerBytesMax, limits.connectionsMax) = (4 << 20, 16)
        client = try PooledHTTPClient(host: host, port: port, trust: nil, limits: limits)
        path = "/sedna/workers/\(name)/ask"
    }

    /// Whether asking is worth a try now.
    func isOpen(now: Double) -> Bool { state.withLock { now >= $0.pausedUntil } }

    /// - Returns: the answer as it came; nil where there was none in time.
    func ask(_ body: [UInt8], now: @Sendable () -> Double) async -> [UInt8]? {
        let request = HTTPRequest(method: "POST", path: path, headers: ["Content-Type": "application/json"], body: body)
        if let answer = try? await client.send(request), answer.status == 200 {
            state.withLock { $0 = State() }
            return answer.body
        }
        let time = now()
        state.withLock { state in
            state.failures += 1
            state.pausedUntil = time + min(Self.pauseMax, Double(1 << min(state.failures - 1, 5)))
        }
        return nil
    }

    func close() async { await client.close() }
}
