import Learning
import Network
import Resources
import Synchronization

/// An edge worker's way to the large model of its service: over the node's agent, `POST $LC_SERVER/sedna/workers/$WORKER_NAME/ask`, within a
/// deadline. After a failure nobody waits again before a pause has gone by; after a refusal none of that form.
final class JointLink: Sendable {
    private let client: PooledHTTPClient
    private let path: String
    private let pauses: Mutex<[JointForm.Kind: JointPauses]>

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
        let usual = JointPauses(patience: deadline / .seconds(1))
        pauses = Mutex(Dictionary(uniqueKeysWithValues: JointForm.Kind.allCases.map { ($0, usual) }))
    }

    /// Whether asking is worth a try now.
    func isOpen(_ kind: JointForm.Kind, now: Double) -> Bool { pauses.withLock { $0[kind]!.isOpen(now: now) } }

    /// Whether a question may be asked now; it must follow.
    func begins(_ kind: JointForm.Kind, now: Double) -> Bool { pauses.withLock { $0[kind]!.begins(now: now) } }

    /// - Returns: the answer as it came; nil where there was none in time.
    func ask(_ body: [UInt8], _ kind: JointForm.Kind, now: @Sendable () -> Double) async -> [UInt8]? {
        let request = HTTPRequest(method: "POST", path: path, headers: ["Content-Type": "application/json"], body: body)
        let begun = now(), answer = try? await client.send(request)
        if let answer, answer.status == 200 {
            pauses.withLock { $0[kind]!.answered() }
            return answer.body
        }
        // What the large model does not take says nothing of the way there.
        let others = answer?.status == 422 ? [kind] : JointForm.Kind.allCases
        let time = now()
        pauses.withLock { pauses in for kind in others { pauses[kind]!.failed(begun: begun, now: time) } }
        return nil
    }

    func close() async { await client.close() }
}
