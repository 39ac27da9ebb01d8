import Reconciliation
import Resources

/// DaemonSets, their Pods and their history.
struct DaemonSetReconciler: PlannedReconciler {
    let client: any ObjectClient
    let name = DaemonSetPlan.component
    let kinds = ReconcilerKinds.these([.daemonSet, .node, .pod, .controllerRevision])
    let indexes: [any ViewIndex] = [LooseObjects()]

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        switch change.kind {
        case .daemonSet: return [ReconcileItem(change.kind, change.key)]
        case .node:
            guard view.count(.daemonSet) > 0 else { return [] }
            // A node's heartbeat concerns nobody here; where it may take Pods does.
            guard Self.shape(change.old) != Self.shape(change.new) || change.old == change.new else { return [] }
            return view.all(.daemonSet).map { ReconcileItem(.daemonSet, ObjectKey($0)) }
        default: return WorkloadItems.owners(of: change, .daemonSet, in: view)
        }
    }

    private static func shape(_ node: JSON?) -> JSON? {
        node.map { ["labels": .object($0.labels), "taints": .array(NodeFit.taints($0))] }
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        guard let set = view[.daemonSet, item.key] else { return ObjectPlan() }
        return DaemonSetPlan.plan(
            set, nodes: view.all(.node), pods: view.claimable(.pod, in: item.key.namespace, by: set.uid),
            revisions: view.claimable(.controllerRevision, in: item.key.namespace, by: set.uid),
            podNames: TakenNames(view, .pod, in: item.key.namespace),
            revisionNames: TakenNames(view, .controllerRevision, in: item.key.namespace), now: now)
    }
}
