import Reconciliation
import Resources

/// What is known of the owners that a dependent names, and what follows. Pure.
struct OwnerFindings {
    enum Owner: Equatable {
        /// There, and the dependent may lean on it.
        case solid
        /// Gone, or of another uid.
        case absent
        /// Being deleted, and waits for its dependents to go first.
        case waiting
    }

    let dependent: JSON
    /// One finding for each of the dependent's `ownerReferences`.
    var findings: [Owner]

    /// What an owner's own state means for those who lean on it.
    static func state(of owner: JSON?, uid: String) -> Owner {
        guard let owner, owner.uid == uid else { return .absent }
        return owner.isBeingDeleted && owner.finalizers.contains("foregroundDeletion") ? .waiting : .solid
    }

    private func references(_ wanted: Owner) -> [JSON] {
        zip(dependent.owners, findings).filter { $0.1 == wanted }.map(\.0)
    }

    /// The writes for a dependent that is not itself being deleted.
    ///
    /// - Parameter dependents: what names the dependent as its own owner.
    func steps(_ kind: ResourceKind, dependents: [JSON]) -> [ObjectPlan.Step] {
        guard !findings.isEmpty else { return [] }
        let solid = references(.solid)
        if !solid.isEmpty {
            // One good owner is enough to live; references to the others are dead weight.
            return solid.count == findings.count ? [] : [patch(kind, dependent.owners.filter { solid.contains($0) })]
        }
        if !references(.waiting).isEmpty, !dependents.isEmpty {
            var steps: [ObjectPlan.Step] = []
            // Two that wait for each other would wait for ever: this one no longer holds its owner up.
            if dependents.contains(where: { $0.isBeingDeleted && $0.finalizers.contains("foregroundDeletion") }),
                dependent.owners.contains(where: { $0["blockOwnerDeletion"]?.bool == true })
            {
                steps.append(
                    patch(
                        kind,
                        dependent.owners.map { owner in
                            var owner = owner
                            owner["blockOwnerDeletion"] = false
                            return owner
                        }))
                // The patch gives it a new revision; its uid is the same.
            }
            return steps + [.delete(kind, ObjectKey(dependent), Deletion(propagation: .foreground, uid: dependent.uid))]
        }
        let propagation: Deletion.Propagation =
            dependent.finalizers.contains("orphan")
            ? .orphan : dependent.finalizers.contains("foregroundDeletion") ? .foreground : .background
        return [.delete(kind, ObjectKey(dependent), Deletion(propagation: propagation, uid: dependent.uid))]
    }

    private func patch(_ kind: ResourceKind, _ owners: [JSON]) -> ObjectPlan.Step { Self.patch(kind, dependent, owners) }

    static func patch(_ kind: ResourceKind, _ object: JSON, _ owners: [JSON]) -> ObjectPlan.Step {
        .patch(
            kind, ObjectKey(object),
            ObjectPatch(
                .merge,
                [
                    "metadata": [
                        "uid": .string(object.uid), "resourceVersion": object["metadata"]?["resourceVersion"] ?? "",
                        "ownerReferences": owners.isEmpty ? .null : .array(owners),
                    ]
                ]))
    }
}
