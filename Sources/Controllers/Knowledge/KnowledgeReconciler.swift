import Reconciliation
import Resources

/// Has the knowledge base take in the rounds that jobs have ended, and keeps the objects that show what it knows.
struct KnowledgeReconciler: Reconciler {
    let client: any ObjectClient
    let recorder: any KnowledgeRecorder
    let name = "knowledge-controller"
    private static let shown: [ResourceKind] = [.knowledgeTask, .knowledgeModel, .knowledgeRelation, .knowledgeRound]
    private static let jobs: [ResourceKind] = [.lifelongLearningJob, .incrementalLearningJob]
    let kinds = ReconcilerKinds.these(jobs + shown)

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        if Self.jobs.contains(change.kind) { return [ReconcileItem(change.kind, change.key)] }
        // An object whose job has gone meanwhile goes too.
        guard let object = change.new, let job = object["job"]?.string, let kind = Self.jobs.first(where: { Self.isOf($0, object) })
        else { return [] }
        return [ReconcileItem(kind, ObjectKey(namespace: change.key.namespace, name: job))]
    }

    func reconcile(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ReconcileWork {
        let job = view[item.kind, item.key]
        var known: [ResourceKind: [String: JSON]] = [:]
        for kind in Self.shown {
            let objects = view.all(kind, in: item.key.namespace).filter { $0["job"]?.string == item.key.name && Self.isOf(item.kind, $0) }
            known[kind] = Dictionary(objects.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
        }
        guard let job else { return forget(known) }
        let entries = (job["status"]?["unrecorded"]?.array ?? []).compactMap { KnowledgeEntry($0, job: item.key) }
        // Those of an earlier job of the name.
        let strangers = known.mapValues { $0.filter { $0.value.controller?["uid"]?.string != job.uid } }
        guard !entries.isEmpty else { return forget(strangers) }
        return { [known] () async throws(APIStatus) in
            _ = try await forget(strangers)()
            try await record(entries, of: job, item.kind, known, now)
            return .done
        }
    }

    /// Whether what a job of the kind has learned is shown by an object: one of each kind may have the same name.
    private static func isOf(_ kind: ResourceKind, _ object: JSON) -> Bool { object.controller?["kind"]?.string == kind.kind }

    /// Deletes objects.
    private func forget(_ objects: [ResourceKind: [String: JSON]]) -> ReconcileWork {
        let steps = Self.shown.flatMap { kind in
            (objects[kind] ?? [:]).values.sorted { $0.name < $1.name }.map {
                ObjectPlan.Step.delete(kind, ObjectKey($0), Deletion(uid: $0.uid))
            }
        }
        return { [client] () async throws(APIStatus) in try await ObjectPlan(steps).perform(client, at: Timestamp(seconds: 0)) }
    }

    private func record(
        _ entries: [KnowledgeEntry], of job: JSON, _ kind: ResourceKind, _ known: [ResourceKind: [String: JSON]], _ now: Timestamp
    ) async throws(APIStatus) {
        var job = job
        var summary: KnowledgeSummary?
        var notes: [EventNote] = []
        for entry in entries {
            do throws(APIStatus) {
                summary = try await recorder.record(entry)
                notes.append(EventNote(job, "KnowledgeRecorded", "the knowledge base took in round \(entry.round)", by: name))
            } catch {
                guard error.code == 422 else { throw error }
                notes.append(
                    EventNote(
                        job, isWarning: true, "KnowledgeRefused", "the knowledge base refused round \(entry.round): \(error.message)",
                        by: name))
            }
        }
        if let summary {
            let objects = KnowledgeObjects(job: job)
            try await show(objects.wanted(summary), instead: known, now)
            // A field of Sedna's.
            if kind == .lifelongLearningJob { job[path: ["status", "knowledgeBase"]] = objects.status(summary) }
        }
        job[path: ["status", "unrecorded"]] = nil
        try await ObjectPlan([.updateStatus(kind, job)] + notes.map { .note($0) }).perform(client, at: now)
    }

    private func show(
        _ wanted: [(ResourceKind, [JSON])], instead known: [ResourceKind: [String: JSON]], _ now: Timestamp
    ) async throws(APIStatus) {
        for (kind, objects) in wanted {
            var old = known[kind] ?? [:]
            for object in objects {
                guard var held = old.removeValue(forKey: object.name) else {
                    _ = try await ObjectPlan([.create(kind, object)]).perform(client, at: now)
                    continue
                }
                let before = held
                for (key, value) in object.object ?? [:] where key != "metadata" { held[key] = value }
                if held != before { try await client.update(kind, held) }
            }
            for gone in old.values {
                _ = try await ObjectPlan([.delete(kind, ObjectKey(gone), Deletion(uid: gone.uid))]).perform(client, at: now)
            }
        }
    }
}
