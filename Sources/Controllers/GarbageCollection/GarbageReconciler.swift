import Reconciliation
import Resources

/// Deletes what belongs to owners that are gone, and does what the deletion of an owner asks for: dependents first, or left without it.
///
/// The owner index of the view finds candidates; before anything is deleted the server is asked, because a view may lack an owner that
/// is there.
struct GarbageReconciler: Reconciler {
    let client: any ObjectClient
    let name = "garbage-collector"
    let kinds = ReconcilerKinds.every

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        var items: Set<ReconcileItem> = []
        if let new = change.new, !new.owners.isEmpty || new.isBeingDeleted { items.insert(ReconcileItem(change.kind, change.key)) }
        // Dependents of what is gone or going.
        if change.new?.isBeingDeleted ?? true { items.formUnion(view.dependents(of: change.object.uid)) }
        if let old = change.old, let new = change.new, old.uid != new.uid { items.formUnion(view.dependents(of: old.uid)) }
        // Owners that may have waited for this one.
        for reference in [change.old, change.new].compactMap({ $0 }).flatMap(\.owners) {
            guard change.new == nil || change.old?.owners != change.new?.owners || change.new?.isBeingDeleted ?? false,
                let (kind, key) = Self.target(of: reference, from: change.object, in: view), view[kind, key]?.isBeingDeleted ?? false
            else { continue }
            items.insert(ReconcileItem(kind, key))
        }
        return items.sorted()
    }

    /// Where the owner of a reference must be: in the namespace of its dependent, or in none.
    private static func target(of reference: JSON, from dependent: JSON, in view: ObjectView) -> (ResourceKind, ObjectKey)? {
        guard
            let kind = view.kind(apiVersion: reference["apiVersion"]?.string ?? "", kind: reference["kind"]?.string ?? "")
                ?? otherVersion(reference, in: view)
        else { return nil }
        return (kind, ObjectKey(namespace: kind.isNamespaced ? dependent.namespace : "", name: reference["name"]?.string ?? ""))
    }

    /// The same kind in the version the server prefers.
    private static func otherVersion(_ reference: JSON, in view: ObjectView) -> ResourceKind? {
        let parts = (reference["apiVersion"]?.string ?? "").split(separator: "/")
        let group = parts.count == 2 ? String(parts[0]) : ""
        return view.kinds.first { $0.group == group && $0.kind == reference["kind"]?.string }
    }

    func reconcile(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ReconcileWork {
        guard let object = view[item.kind, item.key] else { return { () async throws(APIStatus) in .done } }
        let dependents = view.dependents(of: object.uid).compactMap { entry in view[entry.kind, entry.key].map { (entry.kind, $0) } }
        if object.isBeingDeleted {
            let plan = Self.endingPlan(object, item.kind, dependents)
            return { [client] () async throws(APIStatus) in try await plan.perform(client, at: now) }
        }
        var targets: [(reference: JSON, kind: ResourceKind, key: ObjectKey)] = []
        var notes: [ObjectPlan.Step] = []
        for reference in object.owners {
            // An owner of a kind that is not served may exist all the same: nothing is deleted for the want of it.
            guard let (kind, key) = Self.target(of: reference, from: object, in: view) else {
                return { () async throws(APIStatus) in
                    throw APIStatus(
                        code: 404, reason: "NotFound",
                        message:
                            "owner \(reference["kind"]?.string ?? "") \(reference["apiVersion"]?.string ?? "") of \(item) is of no known kind"
                    )
                }
            }
            if kind.isNamespaced, object.namespace.isEmpty {
                let note = Self.invalidNote(object, reference, namespace: "")
                return { [client] () async throws(APIStatus) in
                    await note.write(client, at: now)
                    return .done
                }
            }
            // The usual mistake: an owner that lives in another namespace.
            if view[kind, key] == nil,
                view.keys(kind, named: key.name).contains(where: { view[kind, $0]?.uid == reference["uid"]?.string })
            {
                notes.append(.note(Self.invalidNote(object, reference, namespace: object.namespace)))
            }
            targets.append((reference, kind, key))
        }
        return { [client, targets, notes] () async throws(APIStatus) in
            try await Self.collect(object, item.kind, targets, notes, dependents.map(\.1), client, now)
        }
    }

    /// Asks the server for the owners, then does what follows.
    private static func collect(
        _ seen: JSON, _ kind: ResourceKind, _ targets: [(reference: JSON, kind: ResourceKind, key: ObjectKey)],
        _ notes: [ObjectPlan.Step], _ dependents: [JSON], _ client: any ObjectClient, _ now: Timestamp
    ) async throws(APIStatus) -> Requeue {
        guard !targets.isEmpty, let object = try await find(client, kind, ObjectKey(seen)), object.uid == seen.uid, !object.isBeingDeleted,
            object.owners == seen.owners
        else { return .done }
        var findings: [OwnerFindings.Owner] = []
        for (reference, ownerKind, key) in targets {
            findings.append(OwnerFindings.state(of: try await find(client, ownerKind, key), uid: reference["uid"]?.string ?? ""))
        }
        let steps = OwnerFindings(dependent: object, findings: findings).steps(kind, dependents: dependents)
        return try await ObjectPlan(steps.isEmpty ? [] : notes + steps).perform(client, at: now)
    }

    private static func invalidNote(_ object: JSON, _ reference: JSON, namespace: String) -> EventNote {
        let text =
            "[\(reference["apiVersion"]?.string ?? "")/\(reference["kind"]?.string ?? ""), namespace: \(namespace), name: \(reference["name"]?.string ?? ""), uid: \(reference["uid"]?.string ?? "")]"
        return EventNote(
            object, isWarning: true, "OwnerRefInvalidNamespace", "ownerRef \(text) does not exist in namespace \"\(namespace)\"",
            by: "garbage-collector-controller")
    }

    private static func find(_ client: any ObjectClient, _ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON? {
        do { return try await client.get(kind, key) } catch {
            if error.code == 404 { return nil }
            throw error
        }
    }

    /// What is to be done for an owner that is being deleted. Pure.
    static func endingPlan(_ owner: JSON, _ kind: ResourceKind, _ dependents: [(kind: ResourceKind, object: JSON)]) -> ObjectPlan {
        if owner.finalizers.contains("orphan") {
            // First they are let go; when none names it any more, so is the owner.
            guard dependents.isEmpty else {
                return ObjectPlan(
                    dependents.map { entry in
                        OwnerFindings.patch(entry.kind, entry.object, entry.object.owners.filter { $0["uid"]?.string != owner.uid })
                    })
            }
            return ObjectPlan([without("orphan", owner, kind)])
        }
        guard owner.finalizers.contains("foregroundDeletion") else { return ObjectPlan() }
        let isBlocked = dependents.contains { entry in
            entry.object.owners.contains { $0["uid"]?.string == owner.uid && $0["blockOwnerDeletion"]?.bool == true }
        }
        return isBlocked ? ObjectPlan() : ObjectPlan([without("foregroundDeletion", owner, kind)])
    }

    private static func without(_ finalizer: String, _ owner: JSON, _ kind: ResourceKind) -> ObjectPlan.Step {
        let rest = owner.finalizers.filter { $0 != finalizer }.map { JSON.string($0) }
        return .patch(
            kind, ObjectKey(owner),
            ObjectPatch(
                .merge,
                [
                    "metadata": [
                        "uid": .string(owner.uid), "resourceVersion": owner["metadata"]?["resourceVersion"] ?? "",
                        "finalizers": rest.isEmpty ? .null : .array(rest),
                    ]
                ]))
    }
}
