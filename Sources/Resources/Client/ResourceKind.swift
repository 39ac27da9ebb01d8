/// A kind as a client needs it: the words of a URL and of an object's first two fields.
package struct ResourceKind: Sendable, Hashable, CustomStringConvertible {
    /// Empty for the core group.
    package let group: String
    package let version: String
    /// As in an object's `kind`: `Pod`.
    package let kind: String
    /// As in a URL: `pods`.
    package let plural: String
    package let isNamespaced: Bool

    package init(group: String, version: String, kind: String, plural: String, isNamespaced: Bool = true) {
        self.group = group
        self.version = version
        self.kind = kind
        self.plural = plural
        self.isNamespaced = isNamespaced
    }

    package init(_ definition: KindDefinition) {
        self.init(
            group: definition.group, version: definition.version, kind: definition.kind, plural: definition.plural,
            isNamespaced: definition.isNamespaced)
    }

    /// As in an object's `apiVersion`: `v1`, `apps/v1`.
    package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
    /// `pods`, `deployments.apps`.
    package var description: String { group.isEmpty ? plural : "\(plural).\(group)" }

    package static let namespace = ResourceKind(group: "", version: "v1", kind: "Namespace", plural: "namespaces", isNamespaced: false)
    package static let node = ResourceKind(group: "", version: "v1", kind: "Node", plural: "nodes", isNamespaced: false)
    package static let pod = ResourceKind(group: "", version: "v1", kind: "Pod", plural: "pods")
    package static let event = ResourceKind(group: "", version: "v1", kind: "Event", plural: "events")
    package static let serviceAccount = ResourceKind(group: "", version: "v1", kind: "ServiceAccount", plural: "serviceaccounts")
    package static let lease = ResourceKind(group: "coordination.k8s.io", version: "v1", kind: "Lease", plural: "leases")
    package static let deployment = ResourceKind(group: "apps", version: "v1", kind: "Deployment", plural: "deployments")
    package static let replicaSet = ResourceKind(group: "apps", version: "v1", kind: "ReplicaSet", plural: "replicasets")
    package static let daemonSet = ResourceKind(group: "apps", version: "v1", kind: "DaemonSet", plural: "daemonsets")
    package static let controllerRevision = ResourceKind(
        group: "apps", version: "v1", kind: "ControllerRevision", plural: "controllerrevisions")
}

/// Which object of a kind.
package struct ObjectKey: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Empty for kinds that have no namespaces.
    package let namespace: String
    package let name: String

    package init(namespace: String = "", name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// The key of an object by its metadata; empty words where it says nothing.
    package init(_ object: JSON) {
        self.init(namespace: object["metadata"]?["namespace"]?.string ?? "", name: object["metadata"]?["name"]?.string ?? "")
    }

    /// `namespace/name`, or the name alone.
    package var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }

    /// By namespace, then by name.
    package static func < (left: ObjectKey, right: ObjectKey) -> Bool {
        (left.namespace, left.name) < (right.namespace, right.name)
    }
}
