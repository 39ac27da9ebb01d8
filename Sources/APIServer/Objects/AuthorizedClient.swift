package import Identity
package import Resources

/// The embedded server as a user of it sees it: every verb is allowed or refused as it would be over the network.
package struct AuthorizedClient: ObjectClient {
    private let service: ObjectService
    private let user: User
    private let inner: ServiceClient

    /// - Parameter fieldManager: who the fields belong to that it sets.
    package init(_ service: ObjectService, user: User, fieldManager: String) {
        self.service = service
        self.user = user
        inner = ServiceClient(service, user: user, fieldManager: fieldManager)
    }

    /// Who the fields belong to that agents of nodes set.
    package static let nodeManager = "skerry-edge"

    /// The agent of a node, with no more rights than that has.
    package static func node(_ name: String, _ service: ObjectService) -> AuthorizedClient {
        let user = User(name: "system:node:\(name)", groups: ["system:nodes", "system:authenticated"])
        return AuthorizedClient(service, user: user, fieldManager: nodeManager)
    }

    private func check(
        _ verb: String, _ kind: ResourceKind, _ key: ObjectKey, part: ObjectPart = .whole, fields: String = ""
    ) throws(APIStatus) {
        let request = AccessRequest(
            verb: verb, group: kind.group, resource: kind.plural, subresource: part.rawValue, name: key.name,
            namespace: kind.isNamespaced ? key.namespace : "")
        var selector = FieldSelector()
        do throws(SelectorError) { selector = try FieldSelector(fields) } catch { throw .badRequest("\(error)") }
        try Authorizer(service: service).check(user, request, fieldSelector: selector)
    }

    /// What a node writes must be its own.
    private func checkContent(_ kind: ResourceKind, _ object: JSON) throws(APIStatus) {
        guard let node = user.nodeName, !user.isMaster,
            let definition = service.registry.definition(groupVersion: kind.apiVersion, plural: kind.plural)
        else { return }
        if let reason = NodeAccess(node: node, service: service).refusal(definition, object) {
            throw .forbidden(definition, name: object["metadata"]?["name"]?.string ?? "", reason)
        }
    }

    package func kinds() async throws(APIStatus) -> [ResourceKind] { try await inner.kinds() }

    package func get(_ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON {
        try check("get", kind, key)
        return try await inner.get(kind, key)
    }

    package func list(_ kind: ResourceKind, _ query: Resources.ListQuery) async throws(APIStatus) -> ObjectList {
        try check("list", kind, ObjectKey(namespace: query.namespace, name: ""), fields: query.fieldSelector)
        return try await inner.list(kind, query)
    }

    package func watch(_ kind: ResourceKind, _ query: WatchQuery) async throws(APIStatus) -> ObjectWatch {
        try check("watch", kind, ObjectKey(namespace: query.namespace, name: ""), fields: query.fieldSelector)
        return try await inner.watch(kind, query)
    }

    package func create(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        let key = ObjectKey(object)
        // As over the network, where a new object's name stands in its body alone.
        try check("create", kind, ObjectKey(namespace: key.namespace, name: part == .whole ? "" : key.name), part: part)
        try checkContent(kind, object)
        return try await inner.create(kind, object, part: part)
    }

    package func update(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        try check("update", kind, ObjectKey(object), part: part)
        try checkContent(kind, object)
        return try await inner.update(kind, object, part: part)
    }

    package func patch(
        _ kind: ResourceKind, _ key: ObjectKey, _ patch: Resources.ObjectPatch, part: ObjectPart
    ) async throws(APIStatus) -> JSON {
        try check("patch", kind, key, part: part)
        return try await inner.patch(kind, key, patch, part: part)
    }

    package func delete(_ kind: ResourceKind, _ key: ObjectKey, _ deletion: Deletion) async throws(APIStatus) {
        try check("delete", kind, key)
        try await inner.delete(kind, key, deletion)
    }
}
