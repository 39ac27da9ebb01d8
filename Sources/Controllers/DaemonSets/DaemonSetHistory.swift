import Resources

/// The templates a DaemonSet has had, each in a ControllerRevision: what `kubectl rollout history` and `undo` read. Pure.
struct DaemonSetHistory {
    private let set: JSON
    /// Lowest number first.
    private let own: [JSON]
    private let toAdopt: [JSON]
    private let current: JSON?
    private let live: Set<String>

    init(_ set: JSON, _ revisions: [JSON], pods: [JSON]) {
        self.set = set
        let selector = LabelSelector(set["spec"]?["selector"]) ?? LabelSelector()
        let claims = PodClaims(revisions, of: set, selector: selector)
        toAdopt = claims.toAdopt
        own = claims.owned.sorted { (Self.number($0), $0.name) < (Self.number($1), $1.name) }
        let data = Self.data(set)
        current = own.last { $0["data"] == data }
        live = Set(pods.compactMap { $0.labels[DaemonSetPlan.hashLabel]?.string })
    }

    private static func number(_ revision: JSON) -> Int64 { revision["revision"]?.integer ?? 0 }

    /// A patch that puts the template back.
    private static func data(_ set: JSON) -> JSON {
        var template = set["spec"]?["template"] ?? [:]
        template["$patch"] = "replace"
        return ["spec": ["template": template]]
    }

    /// The label value of Pods of the present template.
    var hash: String { current?.labels[DaemonSetPlan.hashLabel]?.string ?? freshHash }

    private var freshHash: String {
        let collisions = set["status"]?["collisionCount"]?.integer ?? 0
        return StableHash.word("\(Self.data(set).text)\u{1f}\(collisions)", letters: 10)
    }

    /// The write that makes the present template the newest revision; nil once it is.
    ///
    /// - Parameter names: of all ControllerRevisions of the namespace.
    func settle(names: TakenNames) -> ObjectPlan.Step? {
        if let orphan = toAdopt.first {
            var taken = orphan
            taken[path: ["metadata", "ownerReferences"]] = .array(orphan.owners + [set.controllerReference])
            return .update(.controllerRevision, taken)
        }
        let highest = own.last.map(Self.number) ?? 0
        if let current {
            guard Self.number(current) < highest else { return nil }
            // Taken up again: the newest once more.
            var raised = current
            raised["revision"] = .integer(highest + 1)
            return .update(.controllerRevision, raised)
        }
        let name = String(set.name.prefix(223)) + "-" + freshHash
        if names.contains(name) {
            var new = set
            new[path: ["status", "collisionCount"]] = .integer((set["status"]?["collisionCount"]?.integer ?? 0) + 1)
            return .updateStatus(.daemonSet, new)
        }
        var labels = set["spec"]?["template"]?["metadata"]?["labels"] ?? [:]
        labels[DaemonSetPlan.hashLabel] = .string(freshHash)
        var metadata: JSON = [
            "name": .string(name), "namespace": .string(set.namespace), "labels": labels, "ownerReferences": [set.controllerReference],
        ]
        if let annotations = set["metadata"]?["annotations"] { metadata["annotations"] = annotations }
        return .create(
            .controllerRevision,
            [
                "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": Self.data(set),
                "revision": .integer(highest + 1),
            ])
    }

    /// Deletes revisions beyond the history that is to be kept; those that Pods still have stay.
    func cleanup() -> [ObjectPlan.Step] {
        let limit = Int(set["spec"]?["revisionHistoryLimit"]?.integer ?? 10)
        let unused = own.filter { $0.uid != current?.uid && !live.contains($0.labels[DaemonSetPlan.hashLabel]?.string ?? "") }
        return unused.prefix(max(0, unused.count - limit)).map {
            .delete(.controllerRevision, ObjectKey($0), Deletion(uid: $0.uid))
        }
    }
}
