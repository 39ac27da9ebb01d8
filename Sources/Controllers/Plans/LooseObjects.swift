import Reconciliation
import Resources

/// What a workload's controller could take: Pods, ReplicaSets and revisions that nobody controls, by namespace.
struct LooseObjects: ViewIndex {
    private static let kinds: Set<ResourceKind> = [.pod, .replicaSet, .controllerRevision]
    private var keys: [ResourceKind: [String: Set<ObjectKey>]] = [:]

    mutating func replace(_ kind: ResourceKind, _ key: ObjectKey, _ old: JSON?, by new: JSON?) {
        guard Self.kinds.contains(kind) else { return }
        let wasLoose = old.map { $0.controller == nil } ?? false
        let isLoose = new.map { $0.controller == nil } ?? false
        guard wasLoose != isLoose else { return }
        if isLoose {
            keys[kind, default: [:]][key.namespace, default: []].insert(key)
        } else {
            keys[kind]?[key.namespace]?.remove(key)
            if keys[kind]?[key.namespace]?.isEmpty ?? false { keys[kind]?[key.namespace] = nil }
        }
    }

    func keys(_ kind: ResourceKind, in namespace: String) -> Set<ObjectKey> { keys[kind]?[namespace] ?? [] }
}

extension ObjectView {
    /// What the controller of a uid owns of a kind, and what it could take in its namespace, in the order of their names.
    func claimable(_ kind: ResourceKind, in namespace: String, by uid: String) -> [JSON] {
        guard let loose = index(LooseObjects.self) else { return all(kind, in: namespace) }
        var keys = loose.keys(kind, in: namespace)
        for item in dependents(of: uid) where item.kind == kind && item.key.namespace == namespace { keys.insert(item.key) }
        return keys.sorted().compactMap { self[kind, $0] }
    }
}
