import Resources

/// How a worker's Pod stands, read from its status.
enum WorkerOutcome: Sendable, Equatable {
    /// There is no such Pod.
    case absent
    /// It does not run yet, and why.
    case starting(reason: String, message: String)
    /// It runs; the last progress it told.
    case running(WorkerReport.Progress?)
    /// It is done, and its files are in the cloud.
    case completed([WorkerReport.Result])
    /// It failed, was refused, or ended without a word.
    ///
    /// - Parameter isFinal: what it was given cannot be learned from; another try would end the same.
    case failed(reason: String, message: String, isFinal: Bool = false)

    /// The exit code by which a worker says that its input, not the machine, is at fault.
    static let inputFault: Int64 = 3

    /// - Parameters:
    ///   - pod: nil if there is none.
    ///   - nodes: names of all nodes.
    init(_ pod: JSON?, nodes: Set<String>) {
        guard let pod, !pod.isBeingDeleted else {
            self = .absent
            return
        }
        let state = WorkerState(pod)
        let phase = pod["status"]?["phase"]?.string ?? "Pending"
        // What it said when it was ended is not why it was.
        if phase == "Failed", pod["status"]?["reason"]?.string == Self.deadline, state?.reason != .completed {
            self = .failed(reason: Self.deadline, message: Self.late(pod))
            return
        }
        switch state?.reason {
        case .completed: self = .completed(state?.report.results ?? [])
        case .failed:
            self = .failed(
                reason: "WorkerFailed", message: Self.sentence(state) ?? "the worker reported that it failed",
                isFinal: Self.isInputFault(pod))
        case .refused: self = .failed(reason: "ReportRefused", message: Self.sentence(state) ?? "the worker's report was refused")
        case .publishing: self = .running(state?.report.progress)
        case .running, nil:
            switch phase {
            case "Succeeded":
                self = .failed(
                    reason: "NoReport",
                    message:
                        "pod \(pod.name) ended without a report of what it did; a worker posts \"completed\" with its results before it ends"
                )
            case "Failed": self = Self.ended(pod)
            case "Running": self = .running(state?.report.progress)
            default: self = Self.waiting(pod, nodes)
            }
        }
    }

    private static let deadline = "DeadlineExceeded"

    private static func late(_ pod: JSON) -> String {
        let seconds = pod["spec"]?["activeDeadlineSeconds"]?.integer.map { " of \($0) s" } ?? ""
        return
            "pod \(pod.name) was not done within its deadline\(seconds) and was ended; see kubectl logs \(pod.name), or raise activeDeadlineSeconds of its template"
    }

    private static func sentence(_ state: WorkerState?) -> String? { state.flatMap { $0.report.message.isEmpty ? nil : $0.report.message } }

    private static func isInputFault(_ pod: JSON) -> Bool {
        (pod["status"]?["containerStatuses"]?.array ?? []).contains { $0["state"]?["terminated"]?["exitCode"]?.integer == inputFault }
    }

    private static func ended(_ pod: JSON) -> WorkerOutcome {
        let ends = (pod["status"]?["containerStatuses"]?.array ?? []).compactMap { $0["state"]?["terminated"] }
        guard let end = ends.first(where: { $0["exitCode"]?.integer != 0 }) else {
            let reason = pod["status"]?["reason"]?.string ?? "WorkerFailed"
            return .failed(reason: reason, message: pod["status"]?["message"]?.string ?? "pod \(pod.name) failed")
        }
        let reason = end["reason"]?.string ?? "Error"
        let said = end["message"]?.string.map { ": \($0)" } ?? ""
        return .failed(
            reason: reason == "Error" ? "WorkerFailed" : reason,
            message:
                "pod \(pod.name) ended with exit code \(end["exitCode"]?.integer ?? -1) (\(reason))\(said); see kubectl logs \(pod.name)",
            isFinal: isInputFault(pod))
    }

    private static func waiting(_ pod: JSON, _ nodes: Set<String>) -> WorkerOutcome {
        if let node = PodFacts.nodeName(pod), !nodes.contains(node) {
            return .starting(
                reason: "NodeNotFound", message: "pod \(pod.name) is bound to node \(node), which this cloud does not know; join it")
        }
        let all = (pod["status"]?["initContainerStatuses"]?.array ?? []) + (pod["status"]?["containerStatuses"]?.array ?? [])
        if let waiting = all.compactMap({ $0["state"]?["waiting"] }).first(where: { $0["reason"]?.string != "PodInitializing" }),
            let reason = waiting["reason"]?.string, reason != "ContainerCreating" || waiting["message"] != nil
        {
            let message = waiting["message"]?.string ?? reason
            return .starting(reason: reason, message: missingModel(pod, message) ?? "pod \(pod.name): \(message)")
        }
        if let scheduled = pod.condition("PodScheduled"), scheduled["status"]?.string == "False" {
            return .starting(
                reason: scheduled["reason"]?.string ?? "Unschedulable", message: "pod \(pod.name): \(scheduled["message"]?.string ?? "")")
        }
        return .starting(reason: "PodPending", message: "pod \(pod.name) waits for its node")
    }

    /// What to do where a Pod waits for the folder of a Model that its node does not have; nil where it waits for something else.
    private static func missingModel(_ pod: JSON, _ message: String) -> String? {
        let volumes = (pod["spec"]?["volumes"]?.array ?? []).filter { $0["name"]?.string?.hasPrefix("jobs-model") == true }
        guard message.contains("does not exist on this node"),
            let path = volumes.first(where: { message.contains("\"\($0["name"]?.string ?? "")\"") })?["hostPath"]?["path"]?.string
        else { return nil }
        let node = PodFacts.nodeName(pod).map { "node \($0)" } ?? "its node"
        return
            "pod \(pod.name): \(node) has no folder \(path), which spec.url of the Model names; put the file there, or have the registry bring it to every node: skerry model push FILE --name MODEL"
    }
}
