import Reconciliation
import Resources

/// Joint inference services, their workers at the edges and the one in the cloud.
struct JointInferenceReconciler: PlannedReconciler {
    let client: any ObjectClient
    let name = JointInferencePlan.component
    let kinds = ReconcilerKinds.these([.jointInferenceService, .model, .pod, .node])

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        let kind = ResourceKind.jointInferenceService
        switch change.kind {
        case kind: return [ReconcileItem(kind, change.key)]
        case .pod:
            let owners = [change.old, change.new].compactMap { $0?.controller }.filter { $0["kind"]?.string == kind.kind }
            return Set(owners.compactMap { $0["name"]?.string }).sorted().map {
                ReconcileItem(kind, ObjectKey(namespace: change.key.namespace, name: $0))
            }
        case .node:
            // Where a node is reached is what all edges are told; what it uses is not looked at.
            if (change.old == nil) == (change.new == nil), Self.place(change.old) == Self.place(change.new) { return [] }
            return view.all(kind).map { ReconcileItem(kind, ObjectKey($0)) }
        default: return view.all(kind, in: change.key.namespace).map { ReconcileItem(kind, ObjectKey($0)) }
        }
    }

    /// Where a node is, and what decides whether it has a worker.
    private static func place(_ node: JSON?) -> JSON {
        [
            "address": JointInferencePlan.address(node).map { .string($0) } ?? .null,
            "labels": node?["metadata"]?["labels"] ?? .null, "taints": node?["spec"]?["taints"] ?? .null,
            "isClosed": node?["spec"]?["unschedulable"] ?? .null, "isEnding": .bool(node?.isBeingDeleted ?? false),
            "ready": node?.condition("Ready")?["status"] ?? .null, "reason": node?.condition("Ready")?["reason"] ?? .null,
        ]
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        guard let service = view[.jointInferenceService, item.key] else { return ObjectPlan() }
        return JointInferencePlan(service: service, world: JobWorld(service, in: view, now: now), nodes: view.all(.node)).plan()
    }
}
