/// A kind as a client needs it: the words of a URL and of an object's first two fields.
package struct ResourceKind: Sendable, Hashable, CustomStringConvertible {
    /// Empty for the core group.
    package let group: String
    /// `v1`, `v1alpha1`.
    package let version: String
    /// As in an object's `kind`: `Pod`.
    package let kind: String
    /// As in a URL: `pods`.
    package let plural: String
    /// False for kinds whose objects belong to the whole cluster; their URLs name no namespace.
    package let isNamespaced: Bool

    /// Nothing is checked: a kind the server does not serve answers 404.
    package init(group: String, version: String, kind: String, plural: String, isNamespaced: Bool = true) {
        self.group = group
        self.version = version
        self.kind = kind
        self.plural = plural
        self.isNamespaced = isNamespaced
    }

    /// The kind as the embedded server serves it.
    package init(_ definition: KindDefinition) {
        self.init(
            group: definition.group, version: definition.version, kind: definition.kind, plural: definition.plural,
            isNamespaced: definition.isNamespaced)
    }

    /// By its plural alone, which tells nearly all kinds apart: kinds are looked up for every change of every object.
    package func hash(into hasher: inout Hasher) { hasher.combine(plural) }

    /// As in an object's `apiVersion`: `v1`, `apps/v1`.
    package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
    /// `pods`, `deployments.apps`.
    package var description: String { group.isEmpty ? plural : "\(plural).\(group)" }

    /// `v1`, of the whole cluster; what all namespaced objects live in.
    package static let namespace = ResourceKind(group: "", version: "v1", kind: "Namespace", plural: "namespaces", isNamespaced: false)
    /// `v1`, of the whole cluster; a machine that runs Pods.
    package static let node = ResourceKind(group: "", version: "v1", kind: "Node", plural: "nodes", isNamespaced: false)
    /// `v1`; containers that run together on one node.
    package static let pod = ResourceKind(group: "", version: "v1", kind: "Pod", plural: "pods")
    /// `v1`, the core group's and not that of `events.k8s.io`; what a controller tells people about an object.
    package static let event = ResourceKind(group: "", version: "v1", kind: "Event", plural: "events")
    /// `v1`; who a Pod is to the API.
    package static let serviceAccount = ResourceKind(group: "", version: "v1", kind: "ServiceAccount", plural: "serviceaccounts")
    /// `coordination.k8s.io/v1`; a node's heartbeat, or a leader's claim.
    package static let lease = ResourceKind(group: "coordination.k8s.io", version: "v1", kind: "Lease", plural: "leases")
    /// `rbac.authorization.k8s.io/v1`, of the whole cluster; what may be done, for bindings to grant.
    package static let clusterRole = ResourceKind(
        group: "rbac.authorization.k8s.io", version: "v1", kind: "ClusterRole", plural: "clusterroles", isNamespaced: false)
    /// `apps/v1`; keeps replicas of a Pod and rolls out their changes.
    package static let deployment = ResourceKind(group: "apps", version: "v1", kind: "Deployment", plural: "deployments")
    /// `apps/v1`; what a Deployment makes, one for each state of its template.
    package static let replicaSet = ResourceKind(group: "apps", version: "v1", kind: "ReplicaSet", plural: "replicasets")
    /// `apps/v1`; keeps one Pod on each node that fits.
    package static let daemonSet = ResourceKind(group: "apps", version: "v1", kind: "DaemonSet", plural: "daemonsets")
    /// `apps/v1`; an earlier state of a DaemonSet, kept to roll back to.
    package static let controllerRevision = ResourceKind(
        group: "apps", version: "v1", kind: "ControllerRevision", plural: "controllerrevisions")
}

/// Which object of a kind.
package struct ObjectKey: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Empty for kinds that have no namespaces.
    package let namespace: String
    /// Unique among the kind's objects of the namespace.
    package let name: String

    /// Nothing is checked; a name the kind does not allow finds no object.
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
