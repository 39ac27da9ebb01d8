import Inference
import Permits
import Resources

/// The permits of a worker's node (`INFERENCE_PERMITS`), which its runs share with those of all other workers there.
struct NodePermits: RunPermits {
    /// A run that waits longer is refused: somebody else computes for ever, or far too much is asked of the node.
    let secondsMax = 10
    private let permits: ComputePermits
    private let threadCount: Int

    /// - Parameters:
    ///   - threadCount: permits that each run takes.
    ///   - say: told why there are none, where they should be; a node without them serves still.
    init?(_ settings: WorkerSettings, threadCount: Int, say: (String) -> Void) {
        guard let path = settings["INFERENCE_PERMITS"] else { return nil }
        do throws(PermitsError) { permits = try ComputePermits(joining: path) } catch {
            say("runs of this model are not counted among the node's: \(error)")
            return nil
        }
        self.threadCount = threadCount
    }

    func begin() -> RunPermit? {
        permits.begin(threads: threadCount, within: UInt64(secondsMax) * 1_000_000_000).map {
            RunPermit($0.seat, $0.slot, $0.count)
        }
    }

    func end(_ permit: RunPermit) {
        permits.end(.init(seat: Int(permit.numbers.0), slot: Int(permit.numbers.1), count: Int(permit.numbers.2)))
    }

    /// What the worker's report says of them.
    var info: JSONObject { ["inferenceThreads": .integer(Int64(permits.limit))] }
}
