import Reconciliation
import Resources

/// ReplicaSets and their Pods.
struct ReplicaSetReconciler: Reconciler {
    let client: any ObjectClient
    let name = ReplicaSetPlan.component
    let kinds = ReconcilerKinds.these([.replicaSet, .pod])
    let indexes: [any ViewIndex] = [LooseObjects()]

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        change.kind == .replicaSet ? [ReconcileItem(change.kind, change.key)] : WorkloadItems.owners(of: change, .replicaSet, in: view)
    }

    func reconcile(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ReconcileWork {
        guard let set = view[.replicaSet, item.key] else { return { () async throws(APIStatus) in .done } }
        let pods = view.claimable(.pod, in: item.key.namespace, by: set.uid)
        let (manage, status) = ReplicaSetPlan.plan(
            set, pods: pods, names: TakenNames(view, .pod, in: item.key.namespace), now: now)
        let active = view.controlled(.pod, by: set.uid).filter(PodFacts.isActive)
        return { [client] () async throws(APIStatus) in
            do throws(APIStatus) { _ = try await manage.perform(client, at: now) } catch {
                // Whoever only was too slow tries again; what the server refuses is told.
                if error.code == 409 || error.code == 503 { throw error }
                await EventNote(set, isWarning: true, "FailedCreate", "Error creating: \(error.message)", by: name).write(client, at: now)
                _ = try await ReplicaSetPlan.statusPlan(set, active, failure: error, now: now).perform(client, at: now)
                throw error
            }
            return try await status.perform(client, at: now)
        }
    }
}

/// The owners that a changed Pod, or other dependent, concerns.
enum WorkloadItems {
    /// The controllers it has and had; of one that nobody controls, every owner of the namespace whose selector finds it.
    static func owners(of change: ObjectChange, _ kind: ResourceKind, in view: ObjectView) -> [ReconcileItem] {
        var names: Set<String> = []
        for object in [change.old, change.new].compactMap({ $0 }) {
            if let controller = object.controller, controller["kind"]?.string == kind.kind, let name = controller["name"]?.string {
                names.insert(name)
            }
        }
        if let new = change.new, new.controller == nil, !new.isBeingDeleted {
            for owner in view.all(kind, in: change.key.namespace) {
                guard let selector = LabelSelector(owner["spec"]?["selector"]), !selector.isEmpty else { continue }
                if selector.matches(new.labels) { names.insert(owner.name) }
            }
        }
        return names.sorted().map { ReconcileItem(kind, ObjectKey(namespace: change.key.namespace, name: $0)) }
    }
}
