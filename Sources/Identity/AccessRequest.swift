/// What a user wants to do, in Kubernetes' words.
package struct AccessRequest: Sendable, Hashable {
    package var verb: String
    package var group = ""
    /// Plural; empty for a path that is no resource.
    package var resource = ""
    package var subresource = ""
    package var name = ""
    /// Empty for kinds of the cluster, and for all namespaces.
    package var namespace = ""
    /// Path of what is no resource: `/metrics`.
    package var path = ""

    package init(verb: String, group: String, resource: String, subresource: String = "", name: String = "", namespace: String = "") {
        self.verb = verb
        self.group = group
        self.resource = resource
        self.subresource = subresource
        self.name = name
        self.namespace = namespace
    }

    package init(verb: String, path: String) {
        self.verb = verb
        self.path = path
    }

    package var isResource: Bool { path.isEmpty }
    /// `pods/log`, or `pods`.
    package var qualifiedResource: String { subresource.isEmpty ? resource : "\(resource)/\(subresource)" }
}

/// One rule of a role.
package struct AccessRule: Sendable, Hashable {
    package var verbs: [String]
    package var groups: [String]
    package var resources: [String]
    package var names: [String]
    package var paths: [String]

    package init(verbs: [String], groups: [String] = [], resources: [String] = [], names: [String] = [], paths: [String] = []) {
        self.verbs = verbs
        self.groups = groups
        self.resources = resources
        self.names = names
        self.paths = paths
    }

    package func allows(_ request: AccessRequest) -> Bool {
        guard verbs.contains("*") || verbs.contains(request.verb) else { return false }
        guard request.isResource else {
            return paths.contains { $0 == "*" || $0 == request.path || ($0.hasSuffix("*") && request.path.hasPrefix($0.dropLast())) }
        }
        guard groups.contains("*") || groups.contains(request.group) else { return false }
        guard
            resources.contains(where: {
                $0 == "*" || $0 == request.qualifiedResource || (!request.subresource.isEmpty && $0 == "*/\(request.subresource)")
            })
        else { return false }
        return names.isEmpty || names.contains(request.name)
    }
}

/// Whom a binding means.
package enum AccessSubject: Sendable, Hashable {
    case user(String)
    case group(String)
    case serviceAccount(namespace: String, name: String)

    package func means(_ user: User) -> Bool {
        switch self {
        case .user(let name): user.name == name
        case .group(let name): user.groups.contains(name)
        case .serviceAccount(let namespace, let name): user.name == "system:serviceaccount:\(namespace):\(name)"
        }
    }
}
