import Resources

/// What is left in a namespace that ends, and the conditions that say so. Pure.
struct NamespaceContent {
    /// Objects left by kind, in order of the kinds.
    var left: [(kind: ResourceKind, objects: [JSON])] = []
    /// Kinds that could not be emptied, and why.
    var failures: [String] = []

    var isEmpty: Bool { left.isEmpty && failures.isEmpty }

    /// The namespace with its conditions; nil if it says so already.
    func stated(_ namespace: JSON, now: Timestamp) -> JSON? {
        var conditions = namespace["status"]?["conditions"]?.array ?? []
        func set(_ type: String, _ isTrue: Bool, _ reason: String, _ message: String) {
            let status = isTrue ? "True" : "False"
            let old = conditions.first { $0["type"]?.string == type }
            if Conditions.isSame(old, status, reason), old?["message"]?.string == message { return }
            Conditions.set(type, status, reason, message, in: &conditions, now: now)
        }
        set("NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered", "All resources successfully discovered")
        set("NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions", "All legacy kube types successfully parsed")
        if failures.isEmpty {
            set(
                "NamespaceDeletionContentFailure", false, "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization")
        } else {
            set(
                "NamespaceDeletionContentFailure", true, "ContentDeletionFailed",
                "Failed to delete all resource types, \(failures.count) remaining: \(failures.joined(separator: ", "))")
        }
        if left.isEmpty {
            set("NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed")
        } else {
            let parts = left.map { "\($0.kind.plural).\($0.kind.group) has \($0.objects.count) resource instances" }
            set("NamespaceContentRemaining", true, "SomeResourcesRemain", "Some resources are remaining: \(parts.joined(separator: ", "))")
        }
        var byFinalizer: [String: Int] = [:]
        for finalizer in left.flatMap(\.objects).flatMap(\.finalizers) { byFinalizer[finalizer, default: 0] += 1 }
        if byFinalizer.isEmpty {
            set("NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers", "All content-preserving finalizers finished")
        } else {
            let parts = byFinalizer.sorted { $0.key < $1.key }.map { "\($0.key) in \($0.value) resource instances" }
            set(
                "NamespaceFinalizersRemaining", true, "SomeFinalizersRemain",
                "Some content in the namespace has finalizers remaining: \(parts.joined(separator: ", "))")
        }
        guard conditions != namespace["status"]?["conditions"]?.array ?? [] else { return nil }
        var new = namespace
        new[path: ["status", "conditions"]] = .array(conditions)
        return new
    }

    /// The namespace without the finalizer that held it.
    static func released(_ namespace: JSON) -> JSON {
        var new = namespace
        new[path: ["spec", "finalizers"]] = .array(
            (namespace["spec"]?["finalizers"]?.array ?? []).filter { $0 != "kubernetes" })
        return new
    }
}
