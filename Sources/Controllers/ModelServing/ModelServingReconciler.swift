import Reconciliation
import Resources

/// Models that name nodes, and the DaemonSets that serve them there.
struct ModelServingReconciler: PlannedReconciler {
    let client: any ObjectClient
    let name = ModelServingPlan.component
    let kinds = ReconcilerKinds.these([.model, .daemonSet])

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        if change.kind == .model { return [ReconcileItem(.model, change.key)] }
        let owners = [change.old, change.new].compactMap { $0?.controller }.filter { $0["kind"]?.string == ResourceKind.model.kind }
        return Set(owners.compactMap { $0["name"]?.string }).sorted().map {
            ReconcileItem(.model, ObjectKey(namespace: change.key.namespace, name: $0))
        }
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        guard let model = view[.model, item.key] else { return ObjectPlan() }
        let key = ObjectKey(namespace: item.key.namespace, name: ModelServingPlan.name(item.key.name))
        return ModelServingPlan(model: model, there: view[.daemonSet, key]).plan()
    }
}
