import Reconciliation
import Resources

/// Joint inference services and their two workers.
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
            // Where a node is reached is what edges are told; how it feels is not.
            if Self.address(change.old) == Self.address(change.new), (change.old == nil) == (change.new == nil) { return [] }
            return view.all(kind).map { ReconcileItem(kind, ObjectKey($0)) }
        default: return view.all(kind, in: change.key.namespace).map { ReconcileItem(kind, ObjectKey($0)) }
        }
    }

    private static func address(_ node: JSON?) -> String? {
        let addresses = node?["status"]?["addresses"]?.array ?? []
        return (addresses.first { $0["type"]?.string == "InternalIP" } ?? addresses.first)?["address"]?.string
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        guard let service = view[.jointInferenceService, item.key] else { return ObjectPlan() }
        let addresses = view.all(.node).compactMap { node in Self.address(node).map { (node.name, $0) } }
        return JointInferencePlan(
            service: service, world: JobWorld(service, in: view, now: now), addresses: Dictionary(addresses, uniquingKeysWith: { $1 })
        ).plan()
    }
}
