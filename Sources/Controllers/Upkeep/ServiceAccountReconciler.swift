import Reconciliation
import Resources

/// Gives every namespace its ServiceAccount `default`, which Pods use that name none.
struct ServiceAccountReconciler: PlannedReconciler {
    let client: any ObjectClient
    let name = "serviceaccount-controller"
    let kinds = ReconcilerKinds.these([.namespace, .serviceAccount])

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        if change.kind == .namespace { return [ReconcileItem(.namespace, change.key)] }
        return change.key.name == "default" && change.new == nil
            ? [ReconcileItem(.namespace, ObjectKey(name: change.key.namespace))] : []
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        guard let namespace = view[.namespace, item.key], !namespace.isBeingDeleted,
            view[.serviceAccount, ObjectKey(namespace: item.key.name, name: "default")] == nil
        else { return ObjectPlan() }
        return ObjectPlan([
            .create(
                .serviceAccount,
                ["apiVersion": "v1", "kind": "ServiceAccount", "metadata": ["name": "default", "namespace": .string(item.key.name)]])
        ])
    }
}
