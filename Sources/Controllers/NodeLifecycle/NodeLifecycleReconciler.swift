import Reconciliation
import Resources

/// Nodes, their leases, and the Pods on those that are not well or gone.
struct NodeLifecycleReconciler: PlannedReconciler {
    let client: any ObjectClient
    var rules = NodeLifecyclePlan()
    let name = NodeLifecyclePlan.component
    let kinds = ReconcilerKinds.these([.node, .lease, .pod])
    let indexes: [any ViewIndex] = [NodeRoom()]

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        switch change.kind {
        case .node:
            guard let old = change.old, let new = change.new, old != new, NodeLifecyclePlan.judges(old, like: new) else {
                return [ReconcileItem(.node, change.key)]
            }
            return []
        case .lease:
            guard change.key.namespace == NodeLifecyclePlan.leases, !rules.isExpected(change.old, then: change.new) else { return [] }
            return [ReconcileItem(.node, ObjectKey(name: change.key.name))]
        default:
            guard let node = change.new.flatMap(PodFacts.nodeName),
                change.old.flatMap(PodFacts.nodeName) != node || change.old == change.new
            else { return [] }
            return [ReconcileItem(.node, ObjectKey(name: node))]
        }
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        func pods() -> [JSON] {
            let room = view.index(NodeRoom.self) ?? NodeRoom().reading(view, [.pod])
            return (room.loads[item.key.name]?.pods ?? []).sorted().compactMap { view[.pod, $0] }
        }
        guard let node = view[.node, item.key] else { return NodeLifecyclePlan.orphanPlan(item.key.name, pods: pods()) }
        let lease = view[.lease, ObjectKey(namespace: NodeLifecyclePlan.leases, name: item.key.name)]
        return rules.plan(node, lease: lease, pods: pods, now: now)
    }
}
