import NodeAgent
import Permits
import Resources

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How many threads compute for models at once on a node, over the workers of all its models: a file of permits that each run of a model takes one of.
struct InferenceThreads: Sendable {
    /// What the cloud's people set on a Node; the lower one of this and the owner's number holds.
    static let annotation = "skerry.io/inference-threads"
    private static let lookEvery: Duration = .seconds(5)

    /// For the runtime's settings: absolute, since workers run in folders of their own.
    static func path(_ folder: String) -> String { absolutePath(folder + "/inference.permits") }

    private let own: Int
    private let permits: ComputePermits

    /// - Parameters:
    ///   - folder: of the node's Pods.
    ///   - own: what the node's owner wants; nil: as many as the machine has cores.
    /// - Throws: naming the file.
    init(folder: String, own: Int?) throws(PermitsError) {
        self.own = own ?? min(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))), ComputePermits.limitMax)
        permits = try ComputePermits(file: Self.path(folder), limit: self.own)
    }

    /// Follows what the Node's object says, until its task is cancelled.
    func follow(_ client: any ObjectClient, node: String) async {
        while true {
            if let object = try? await client.get(.node, ObjectKey(name: node)) {
                let wanted = Self.limit(own: own, object)
                if wanted != permits.limit { permits.limit = wanted }
            }
            do { try await Task.sleep(for: Self.lookEvery) } catch { return }
        }
    }

    /// - Parameter node: the Node's object; an annotation that is no number from 1 on is passed over.
    static func limit(own: Int, _ node: JSON) -> Int {
        let wanted = node["metadata"]?["annotations"]?[annotation]?.string.flatMap { Int($0) }.flatMap { $0 >= 1 ? $0 : nil }
        return min(own, wanted ?? own)
    }

    /// For the Node's status.
    var condition: NodeCondition {
        NodeCondition(
            "InferenceThreads", true, reason: "Shared",
            message: "at most \(permits.limit) runs of models compute at once, over all models of the node")
    }

    /// Prometheus' text format.
    var metrics: String {
        let use = permits.use
        return """
            # TYPE skerry_inference_threads gauge
            skerry_inference_threads \(use.limit)
            # TYPE skerry_inference_threads_busy gauge
            skerry_inference_threads_busy \(use.busy)
            # TYPE skerry_inference_waiting gauge
            skerry_inference_waiting \(use.waiting)
            # TYPE skerry_inference_waits_total counter
            skerry_inference_waits_total \(use.waits)
            # TYPE skerry_inference_waited_seconds_total counter
            skerry_inference_waited_seconds_total \(Double(use.waitedNanoseconds) / 1e9)

            """
    }
}
