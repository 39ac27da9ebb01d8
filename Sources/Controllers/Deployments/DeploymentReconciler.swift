import Reconciliation
import Resources

/// Deployments and their ReplicaSets.
struct DeploymentReconciler: PlannedReconciler {
    let client: any ObjectClient
    let name = DeploymentSets.component
    let kinds = ReconcilerKinds.these([.deployment, .replicaSet, .pod])
    let indexes: [any ViewIndex] = [LooseObjects()]

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        switch change.kind {
        case .deployment: return [ReconcileItem(change.kind, change.key)]
        case .replicaSet: return WorkloadItems.owners(of: change, .deployment, in: view)
        default:
            // Only a Pod that is gone or has ended matters by itself: Recreate waits for it.
            guard change.new.map(PodFacts.hasEnded) ?? true, let set = change.object.controller, set["kind"] == "ReplicaSet",
                let owner = view[.replicaSet, ObjectKey(namespace: change.key.namespace, name: set["name"]?.string ?? "")]?.controller
            else { return [] }
            return [ReconcileItem(.deployment, ObjectKey(namespace: change.key.namespace, name: owner["name"]?.string ?? ""))]
        }
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        guard let deployment = view[.deployment, item.key] else { return ObjectPlan() }
        let isRecreated = deployment["spec"]?["strategy"]?["type"] == "Recreate"
        let sets = view.claimable(.replicaSet, in: item.key.namespace, by: deployment.uid)
        return DeploymentPlan.plan(
            deployment, sets: sets, names: TakenNames(view, .replicaSet, in: item.key.namespace),
            pods: isRecreated ? sets.flatMap { view.controlled(.pod, by: $0.uid) } : [], now: now)
    }
}
