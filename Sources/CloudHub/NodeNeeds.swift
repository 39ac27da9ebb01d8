package import HubProtocol
package import Resources

/// What an object makes necessary on which node.
package struct NodeNeeds: Sendable, Equatable {
    /// The node; empty for an object that concerns none.
    package let node: String
    /// The object itself, and what it names.
    package let refs: [ObjectRef]

    /// `v1`; plain settings that Pods name.
    package static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")
    /// `v1`; what Pods name and nobody else should read.
    package static let secret = ResourceKind(group: "", version: "v1", kind: "Secret", plural: "secrets")
    /// `sedna.io/v1alpha1`; data that lies on a node.
    package static let dataset = ResourceKind(group: "sedna.io", version: "v1alpha1", kind: "Dataset", plural: "datasets")

    /// `sedna.io/v1alpha1`; versions of a model that Pods show in volumes.
    package static let model = ResourceKind(group: "sedna.io", version: "v1alpha1", kind: "Model", plural: "models")

    /// Kinds whose objects say what a node needs, and those they name: all that is to be watched.
    package static let kinds: [ResourceKind] = [.node, .pod, dataset, configMap, secret, model]

    /// Reads an object; of a kind that claims nothing, nothing.
    package init(_ ref: ObjectRef, _ object: JSON) {
        switch ref.kind {
        case .node:
            node = ref.key.name
            // Whose models it may load.
            refs = [ref, ObjectRef(Self.configMap, ModelKeys.key)]
        case Self.dataset:
            node = object["spec"]?["nodeName"]?.string ?? ""
            refs = [ref]
        case .pod:
            node = object["spec"]?["nodeName"]?.string ?? ""
            let named = PodReferences(object)
            refs =
                [ref]
                + named.configMaps.sorted().map { ObjectRef(Self.configMap, ObjectKey(namespace: ref.key.namespace, name: $0)) }
                + named.secrets.sorted().map { ObjectRef(Self.secret, ObjectKey(namespace: ref.key.namespace, name: $0)) }
                + named.models.sorted().map { ObjectRef(Self.model, ObjectKey(namespace: ref.key.namespace, name: $0)) }
        default:
            node = ""
            refs = []
        }
    }
}
