import Identity
import Resources

/// Says whether a user may make a request: nodes by what is theirs, everybody by roles.
struct Authorizer {
    let service: ObjectService
    /// What everybody may ask, without a name.
    private static let open: Set<String> = ["/livez", "/readyz", "/version"]

    func allows(_ user: User, _ request: AccessRequest, fieldSelector: FieldSelector) throws(APIStatus) -> Bool {
        if user.isMaster { return true }
        if !request.isResource, request.verb == "get", Self.open.contains(request.path) { return true }
        if let node = user.nodeName {
            if try NodeAccess(node: node, service: service).allows(request, fieldSelector: fieldSelector) { return true }
            // Discovery is for everybody with a name; roles say so.
            if request.isResource { return false }
        }
        return try service.accessBook().allows(user, request)
    }

    /// - Throws: `APIStatus` 403 in the real server's words.
    func check(_ user: User, _ request: AccessRequest, fieldSelector: FieldSelector = FieldSelector()) throws(APIStatus) {
        guard try !allows(user, request, fieldSelector: fieldSelector) else { return }
        guard request.isResource else {
            throw APIStatus(
                code: 403, reason: "Forbidden", message: "forbidden: User \"\(user.name)\" cannot \(request.verb) path \"\(request.path)\"")
        }
        let place = request.namespace.isEmpty ? "at the cluster scope" : "in the namespace \"\(request.namespace)\""
        let resource = request.group.isEmpty ? request.resource : "\(request.resource).\(request.group)"
        let object = request.name.isEmpty ? resource : "\(resource) \"\(request.name)\""
        var status = APIStatus(
            code: 403, reason: "Forbidden",
            message:
                "\(object) is forbidden: User \"\(user.name)\" cannot \(request.verb) resource \"\(request.qualifiedResource)\" in API group \"\(request.group)\" \(place)"
        )
        status.name = request.name
        status.group = request.group
        status.kind = request.resource
        throw status
    }
}
