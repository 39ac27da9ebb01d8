import Reconciliation
import Resources

/// Nodes, their leases, and the Pods on those that are not well or gone.
struct NodeLifecycleReconciler: PlannedReconciler {
    let client: any ObjectClient
    var rules = NodeLifecyclePlan()
    let name = NodeLifecyclePlan.component
    let kinds = ReconcilerKinds.these([.node, .lease, .pod])
    let indexes: [any ViewIndex] = [NodeRoom(), EvictingNodes()]

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
            // Most Pods come to nodes that keep what they are given.
            let key = ObjectKey(name: node)
            if let evicting = view.index(EvictingNodes.self), view.contains(.node, key), !evicting.names.contains(node) { return [] }
            return [ReconcileItem(.node, key)]
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

/// The nodes with a taint that Pods may have to leave for: a Pod that comes to any other node that is there changes nothing for it. A node that
/// gets such a taint, or goes, is looked at for its own sake.
struct EvictingNodes: ViewIndex {
    private(set) var names: Set<String> = []

    mutating func replace(_ kind: ResourceKind, _ key: ObjectKey, _ old: JSON?, by new: JSON?) {
        guard kind == .node else { return }
        if new?["spec"]?["taints"]?.array?.contains(where: { $0["effect"] == "NoExecute" }) ?? false {
            names.insert(key.name)
        } else {
            names.remove(key.name)
        }
    }
}
