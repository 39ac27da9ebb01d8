import Resources
import Reconciliation

/// Which objects a controller owns, and which it should take or let go: by owner reference and selector, as Kubernetes does it.
struct PodClaims {
    /// Owned already, and still selected.
    var owned: [JSON] = []
    /// Selected, and controlled by nobody: to be taken.
    var toAdopt: [JSON] = []
    /// Owned, but not selected any more: to be let go.
    var toRelease: [JSON] = []

    /// - Parameter objects: of the owner's namespace.
    init(_ objects: [JSON], of owner: JSON, selector: LabelSelector) {
        for object in objects {
            if let controller = object.controller {
                guard controller["uid"]?.string == owner.uid else { continue }
                if selector.matches(object.labels) {
                    owned.append(object)
                } else if !owner.isBeingDeleted {
                    toRelease.append(object)
                }
            } else if !owner.isBeingDeleted, !object.isBeingDeleted, !selector.isEmpty, selector.matches(object.labels) {
                toAdopt.append(object)
            }
        }
    }

    /// The patches that take and let go; a taken object is the owner's in the next plan.
    func steps(_ kind: ResourceKind, owner: JSON, ownerKind: ResourceKind) -> [ObjectPlan.Step] {
        var steps = toRelease.map { object in
            Self.patch(kind, object, object.owners.filter { $0["uid"]?.string != owner.uid })
        }
        if !toAdopt.isEmpty {
            // An owner that was just deleted and made anew must not take what belonged to the old one.
            steps.append(.confirm(ownerKind, ObjectKey(owner), uid: owner.uid))
            steps += toAdopt.map { Self.patch(kind, $0, $0.owners + [owner.controllerReference]) }
        }
        return steps
    }

    private static func patch(_ kind: ResourceKind, _ object: JSON, _ owners: [JSON]) -> ObjectPlan.Step {
        // The list is written whole, so only the revision it was made from will do.
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
