import Learning
import Network
import Resources
import Synchronization

/// An edge worker's way to the large model of its service: over the node's agent, `POST $LC_SERVER/sedna/workers/$WORKER_NAME/ask`, within a
/// deadline. After a failure nobody waits again before a pause has gone by; after a refusal none of that form.
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
    private let states = Mutex<[JointForm.Kind: State]>([:])

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
    func isOpen(_ kind: JointForm.Kind, now: Double) -> Bool { states.withLock { now >= $0[kind, default: State()].pausedUntil } }

    /// - Returns: the answer as it came; nil where there was none in time.
    func ask(_ body: [UInt8], _ kind: JointForm.Kind, now: @Sendable () -> Double) async -> [UInt8]? {
        let request = HTTPRequest(method: "POST", path: path, headers: ["Content-Type": "application/json"], body: body)
        let answer = try? await client.send(request)
        if let answer, answer.status == 200 {
            states.withLock { $0[kind] = nil }
            return answer.body
        }
        // What the large model does not take says nothing of the way there.
        let others = answer?.status == 422 ? [kind] : JointForm.Kind.allCases
        let time = now()
        states.withLock { states in
            for kind in others {
                states[kind, default: State()].failures += 1
                states[kind]!.pausedUntil = time + min(Self.pauseMax, Double(1 << min(states[kind]!.failures - 1, 5)))
            }
        }
        return nil
    }

    func close() async { await client.close() }
}
