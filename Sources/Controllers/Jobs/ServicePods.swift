import Resources

/// Workers that serve, whatever else goes on: what is missing is made; what is not wanted any more, or of another template, goes. Pure.
struct ServicePods: Sendable {
    /// What a Pod was made of, so that one of an older template is known.
    private static let label = "jobs.skerry.io/service"

    let pods: WorkerPods

    /// - Parameters:
    ///   - orders: the workers that are wanted.
    ///   - there: the owner's Pods, by name.
    func steps(_ orders: [WorkerOrder], there: [String: JSON]) -> [ObjectPlan.Step] {
        var wanted: [String: JSON] = [:]
        for order in orders {
            var pod = pods.pod(order.role, template: order.template, order.fittings)
            pod[path: ["metadata", "labels", Self.label]] = .string(StableHash.hex((pod["spec"] ?? .null).text))
            wanted[pod.name] = pod
        }
        var steps: [ObjectPlan.Step] = []
        for pod in there.values.sorted(by: { $0.name < $1.name }) where pod.labels[Self.label] != nil && !pod.isBeingDeleted {
            if wanted[pod.name]?.labels[Self.label] == pod.labels[Self.label], !PodFacts.hasEnded(pod) { continue }
            steps.append(.delete(.pod, ObjectKey(pod), Deletion(uid: pod.uid)))
        }
        for (name, pod) in wanted.sorted(by: { $0.key < $1.key }) where there[name] == nil { steps.append(.create(.pod, pod)) }
        return steps
    }
}
