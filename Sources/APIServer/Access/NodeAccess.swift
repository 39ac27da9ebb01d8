import Identity
import Resources
import Storage

/// What the agent of a node may do: its own Node, Lease and Pods, and what those Pods name; never another node's.
///
/// Follows Kubernetes' Node authorizer and NodeRestriction.
struct NodeAccess {
    let node: String
    let service: ObjectService

    /// Whether a request is one of a node's; the content of writes is checked by `refusal`.
    ///
    /// - Parameter fieldSelector: of the request, for lists and watches.
    func allows(_ request: AccessRequest, fieldSelector: FieldSelector) throws(APIStatus) -> Bool {
        let isReading = ["get", "list", "watch"].contains(request.verb)
        if (request.group, request.resource, request.subresource) == ("", "serviceaccounts", "token") {
            guard request.verb == "create" else { return false }
            return try isUsed(request.namespace, request.name)
        }
        // Nothing else that belongs to an object is a node's business.
        guard ["", "status"].contains(request.subresource) else { return false }
        if request.subresource == "status", ![":nodes", ":pods", "sedna.io:datasets"].contains("\(request.group):\(request.resource)") {
            return false
        }
        switch (request.group, request.resource) {
        case ("", "nodes"):
            if request.verb == "create" { return request.name.isEmpty && request.subresource.isEmpty }
            let isOwn = request.name == node || fieldSelector.required("metadata.name") == node
            return isOwn && (isReading || ["patch", "update"].contains(request.verb)) && ["", "status"].contains(request.subresource)
        case ("coordination.k8s.io", "leases"):
            guard request.namespace == "kube-node-lease" else { return false }
            if request.verb == "create" { return request.name.isEmpty || request.name == node }
            return request.name == node && ["get", "patch", "update", "delete"].contains(request.verb)
        case ("", "pods"): return try allowsPods(request, fieldSelector, isReading)
        case ("", "events"), ("events.k8s.io", "events"): return try allowsEvents(request)
        case ("", "services"): return isReading && request.subresource.isEmpty
        case ("", "configmaps"), ("", "secrets"), ("sedna.io", "models"):
            let name = request.name.isEmpty ? fieldSelector.required("metadata.name") ?? "" : request.name
            guard isReading, !name.isEmpty else { return false }
            return try isNamed(request.resource, request.namespace, name)
        case ("sedna.io", "datasets"):
            if request.verb == "list" || request.verb == "watch" { return false }
            let dataset = try existing(request)
            guard dataset?["spec"]?["nodeName"]?.string == node else { return false }
            return request.verb == "get" || (request.subresource == "status" && ["patch", "update"].contains(request.verb))
        case ("authentication.k8s.io", "selfsubjectreviews"), ("authorization.k8s.io", "selfsubjectaccessreviews"):
            return request.verb == "create"
        default: return false
        }
    }

    /// New ones, and those that the node has told itself.
    private func allowsEvents(_ request: AccessRequest) throws(APIStatus) -> Bool {
        if request.verb == "create" { return request.name.isEmpty && request.subresource.isEmpty }
        guard ["patch", "update"].contains(request.verb), request.subresource.isEmpty, let event = try existing(request) else {
            return false
        }
        return [event["source"]?["host"], event["deprecatedSource"]?["host"], event["reportingInstance"]].contains { $0?.string == node }
    }

    private func allowsPods(_ request: AccessRequest, _ fieldSelector: FieldSelector, _ isReading: Bool) throws(APIStatus) -> Bool {
        guard ["", "status"].contains(request.subresource) else { return false }
        if request.name.isEmpty {
            return (request.verb == "list" || request.verb == "watch") && fieldSelector.required("spec.nodeName") == node
        }
        guard try existing(request)?["spec"]?["nodeName"]?.string == node else { return false }
        if request.subresource == "status" { return isReading || ["patch", "update"].contains(request.verb) }
        return isReading || request.verb == "delete"
    }

    private func existing(_ request: AccessRequest) throws(APIStatus) -> JSON? {
        guard !request.name.isEmpty,
            let definition = BuiltInKinds.all.first(where: { $0.group == request.group && $0.plural == request.resource }),
            let value = service.store.get(definition.collection, definition.key(namespace: request.namespace, name: request.name))
        else { return nil }
        return try ObjectBytes.decode(value)
    }

    private static let pods = BuiltInKinds.all.first { $0.kind == "Pod" }!

    /// Whether a Pod of this node names a ConfigMap, a Secret or a Model.
    private func isNamed(_ resource: String, _ namespace: String, _ name: String) throws(APIStatus) -> Bool {
        guard !namespace.isEmpty else { return false }
        for pod in try service.all(Self.pods, namespace: namespace) where pod["spec"]?["nodeName"]?.string == node {
            if PodReferences(pod).contains(resource: resource, name: name) { return true }
        }
        return false
    }

    /// The service account of a Pod.
    static func account(of pod: JSON) -> String {
        let name = pod["spec"]?["serviceAccountName"]?.string ?? ""
        return name.isEmpty ? "default" : name
    }

    /// Whether a Pod of this node uses a service account.
    private func isUsed(_ namespace: String, _ account: String) throws(APIStatus) -> Bool {
        guard !namespace.isEmpty, !account.isEmpty else { return false }
        for pod in try service.all(Self.pods, namespace: namespace) where pod["spec"]?["nodeName"]?.string == node {
            if Self.account(of: pod) == account { return true }
        }
        return false
    }

    /// Why a token that a node asks for is refused: it must be bound to one of its own Pods. Nil if it is within its rights.
    func refusal(ofToken request: JSON, namespace: String) throws(APIStatus) -> String? {
        let bound = request["spec"]?["boundObjectRef"]
        let (name, uid) = (bound?["name"]?.string ?? "", bound?["uid"]?.string ?? "")
        guard bound?["kind"]?.string == "Pod", !name.isEmpty, !uid.isEmpty else {
            return "node \"\(node)\" asks for a token that is bound to no Pod; name kind, name and uid in spec.boundObjectRef"
        }
        let pod = try existing(AccessRequest(verb: "get", group: "", resource: "pods", name: name, namespace: namespace))
        guard pod?["spec"]?["nodeName"]?.string == node, pod?["metadata"]?["uid"]?.string == uid else {
            return "node \"\(node)\" asks for a token of pod \(namespace)/\(name) with uid \(uid), which is not one of its own"
        }
        return nil
    }

    /// Why the change a node makes to an object it may write is refused; nil if it is within its rights.
    func refusal(_ definition: KindDefinition, from old: JSON, to new: JSON) -> String? {
        if definition.kind == "Pod", old["metadata"]?["labels"] != new["metadata"]?["labels"] {
            return "node \"\(node)\" may not change the labels of a Pod"
        }
        if old["metadata"]?["ownerReferences"] != new["metadata"]?["ownerReferences"] { return "node \"\(node)\" may not change owners" }
        guard definition.kind == "Node" else { return nil }
        if old["spec"]?["taints"] != new["spec"]?["taints"] { return "node \"\(node)\" is not allowed to modify taints" }
        if identity(old) != identity(new) { return "node \"\(node)\" may not change the annotations \(NodeIdentityRecord.prefix)*" }
        let before = old["metadata"]?["labels"]?.object ?? [:]
        let after = new["metadata"]?["labels"]?.object ?? [:]
        let changed = Set(before.keys + after.keys).filter { $0.hasPrefix(Self.restricted) && before[$0] != after[$0] }
        return changed.isEmpty ? nil : "is not allowed to modify labels: \(changed.sorted().joined(separator: ", "))"
    }

    /// What a Node says of its certificates.
    private func identity(_ node: JSON) -> [String: JSON] {
        let annotations = node["metadata"]?["annotations"]?.object ?? [:]
        return Dictionary(uniqueKeysWithValues: annotations.filter { $0.0.hasPrefix(NodeIdentityRecord.prefix) }.map { ($0.0, $0.1) })
    }

    /// Why an object that a node wants to make is refused; nil if it is within its rights.
    func refusalOfNew(_ definition: KindDefinition, _ object: JSON) -> String? {
        guard definition.kind == "Node", !identity(object).isEmpty else { return nil }
        return "node \"\(node)\" may not set the annotations \(NodeIdentityRecord.prefix)*"
    }

    /// Labels that say where a node may be used, which the node itself does not decide.
    private static let restricted = "node-restriction.kubernetes.io/"

    /// Why the content of a node's write is refused; nil if it is within its rights.
    func refusal(_ definition: KindDefinition, _ object: JSON) -> String? {
        guard definition.group.isEmpty, definition.kind == "Node" else {
            if definition.plural == "leases", object["metadata"]?["name"]?.string != node {
                return "node \"\(node)\" may only write its own lease"
            }
            return nil
        }
        guard object["metadata"]?["name"]?.string == node else {
            return "node \"\(node)\" is not allowed to modify node \"\(object["metadata"]?["name"]?.string ?? "")\""
        }
        let forbidden = (object["metadata"]?["labels"]?.object?.keys ?? []).filter { $0.hasPrefix(Self.restricted) }
        return forbidden.isEmpty ? nil : "is not allowed to set the following labels: \(forbidden.sorted().joined(separator: ", "))"
    }
}
