import Reconciliation
import Resources

/// Models that name nodes, the DaemonSets that serve them there, and what becomes of their workers' memory.
struct ModelServingReconciler: PlannedReconciler {
    let client: any ObjectClient
    let name = ModelServingPlan.component
    let kinds = ReconcilerKinds.these([.model, .daemonSet, .pod])
    let indexes: [any ViewIndex] = [MemoryEnds()]

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        if change.kind == .model { return [ReconcileItem(.model, change.key)] }
        if change.kind == .pod {
            guard let set = [change.old, change.new].lazy.compactMap({ MemoryEnds.set(of: $0) }).first, let owner = view[.daemonSet, set]
            else {
                return []
            }
            return owner.controller.flatMap { $0["name"]?.string }.map {
                [ReconcileItem(.model, ObjectKey(namespace: set.namespace, name: $0))]
            } ?? []
        }
        let owners = [change.old, change.new].compactMap { $0?.controller }.filter { $0["kind"]?.string == ResourceKind.model.kind }
        return Set(owners.compactMap { $0["name"]?.string }).sorted().map {
            ReconcileItem(.model, ObjectKey(namespace: change.key.namespace, name: $0))
        }
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        guard let model = view[.model, item.key] else { return ObjectPlan() }
        let key = ObjectKey(namespace: item.key.namespace, name: ModelServingPlan.name(item.key.name))
        let ends = view.index(MemoryEnds.self) ?? MemoryEnds().reading(view, [.pod])
        return ModelServingPlan(model: model, there: view[.daemonSet, key], shortNodes: ends.nodes(of: key), now: now).plan()
    }
}
