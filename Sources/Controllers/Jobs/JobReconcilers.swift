import Reconciliation
import Resources

/// Jobs that learn in rounds, of one kind.
struct JobReconciler: PlannedReconciler {
    let client: any ObjectClient
    let name: String
    private let kind: ResourceKind
    private let style: @Sendable (JSON) -> any RoundJob

    private init(_ client: any ObjectClient, _ name: String, _ kind: ResourceKind, _ style: @escaping @Sendable (JSON) -> any RoundJob) {
        (self.client, self.name, self.kind, self.style) = (client, name, kind, style)
    }

    static func incremental(_ client: any ObjectClient) -> JobReconciler {
        JobReconciler(client, "incremental-learning-controller", .incrementalLearningJob) { IncrementalJob($0) }
    }

    static func lifelong(_ client: any ObjectClient) -> JobReconciler {
        JobReconciler(client, "lifelong-learning-controller", .lifelongLearningJob) { LifelongJob($0) }
    }

    var kinds: ReconcilerKinds { .these([kind, .dataset, .model, .pod, .node]) }

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        switch change.kind {
        case kind: return ([change.key] + takers(of: change.key, in: view)).map { ReconcileItem(kind, $0) }
        case .pod:
            let owners = [change.old, change.new].compactMap { $0?.controller }.filter { $0["kind"]?.string == kind.kind }
            return Set(owners.compactMap { $0["name"]?.string }).sorted().map {
                ReconcileItem(kind, ObjectKey(namespace: change.key.namespace, name: $0))
            }
        // A node that comes or goes may be what a job waits for; how it feels is not.
        case .node: return (change.old == nil) == (change.new == nil) ? [] : view.all(kind).map { ReconcileItem(kind, ObjectKey($0)) }
        // Also the job that a Dataset's label wish is of, which may be gone.
        case .dataset:
            let wishing = change.new?.annotation(LabelWish.annotation).flatMap { LabelWish($0) }?.job
            let names = Set(view.all(kind, in: change.key.namespace).map(\.name) + [wishing].compactMap { $0 })
            return names.sorted().map { ReconcileItem(kind, ObjectKey(namespace: change.key.namespace, name: $0)) }
        default: return view.all(kind, in: change.key.namespace).map { ReconcileItem(kind, ObjectKey($0)) }
        }
    }

    /// Jobs that wait for what another one knows.
    private func takers(of giver: ObjectKey, in view: ObjectView) -> [ObjectKey] {
        guard kind == .lifelongLearningJob else { return [] }
        return view.all(kind, in: giver.namespace).filter { job in
            job["spec"]?["knowledge"]?["from"]?.string == giver.name && (job["status"]?["state"]?.array ?? []).isEmpty
        }.map { ObjectKey($0) }
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        guard let job = view[kind, item.key], !job.isBeingDeleted else { return takingBackWishes(of: item.key, in: view) }
        return RoundPlan.plan(style(job), JobWorld(job, in: view, now: now))
    }

    /// A job that is gone asks for no labels: what it has written on Datasets goes with it.
    private func takingBackWishes(of job: ObjectKey, in view: ObjectView) -> ObjectPlan {
        let namesakes = [ResourceKind.lifelongLearningJob, .incrementalLearningJob].compactMap { view[$0, job] }
        guard namesakes.allSatisfy(\.isBeingDeleted) else { return ObjectPlan() }
        let asked = view.all(.dataset, in: job.namespace).filter { dataset in
            !dataset.isBeingDeleted && dataset.annotation(LabelWish.annotation).flatMap { LabelWish($0) }?.job == job.name
        }
        return ObjectPlan(
            asked.map { dataset in
                let body: JSON = ["metadata": ["uid": .string(dataset.uid), "annotations": .object([LabelWish.annotation: .null])]]
                return .patch(.dataset, ObjectKey(dataset), ObjectPatch(.merge, body))
            })
    }
}
