/// What a user wants to do, in Kubernetes' words.
package struct AccessRequest: Sendable, Hashable {
    /// `get`, `list`, `create`, `impersonate`; for a path the HTTP method in lower case.
    package var verb: String
    /// The resource's API group; empty for the core group and for paths.
    package var group = ""
    /// Plural; empty for a path that is no resource.
    package var resource = ""
    /// The part of the object asked for: `status`, `log`; empty for the object itself.
    package var subresource = ""
    /// The object's; empty for whole collections and for objects that get their name by the write.
    package var name = ""
    /// Empty for kinds of the cluster, and for all namespaces.
    package var namespace = ""
    /// Path of what is no resource: `/metrics`.
    package var path = ""

    /// A request for objects of a kind.
    package init(verb: String, group: String, resource: String, subresource: String = "", name: String = "", namespace: String = "") {
        self.verb = verb
        self.group = group
        self.resource = resource
        self.subresource = subresource
        self.name = name
        self.namespace = namespace
    }

    /// A request for what is no object: health, metrics, discovery.
    package init(verb: String, path: String) {
        self.verb = verb
        self.path = path
    }

    /// It is about objects of a kind and not about a bare path.
    package var isResource: Bool { path.isEmpty }
    /// `pods/log`, or `pods`.
    package var qualifiedResource: String { subresource.isEmpty ? resource : "\(resource)/\(subresource)" }
}

/// One rule of a role.
package struct AccessRule: Sendable, Hashable {
    /// `get`, `list`, …; `*` for all.
    package var verbs: [String]
    /// API groups; `""` is the core group, `*` all.
    package var groups: [String]
    /// Plurals, with the part behind a slash: `pods`, `pods/log`, `*/scale`; `*` for all with all their parts.
    package var resources: [String]
    /// The objects meant, RBAC's `resourceNames`; empty for all. With names the rule allows nothing that names no object, as lists.
    package var names: [String]
    /// RBAC's `nonResourceURLs`: `/metrics`, `/api/*`; `*` for all.
    package var paths: [String]

    /// A rule for objects, or for paths; what is left empty allows nothing of its sort.
    package init(verbs: [String], groups: [String] = [], resources: [String] = [], names: [String] = [], paths: [String] = []) {
        self.verbs = verbs
        self.groups = groups
        self.resources = resources
        self.names = names
        self.paths = paths
    }

    /// Whether this rule alone allows the request. Namespaces are the binding's matter and not looked at.
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

    /// Whether a user is the one meant, or a member of the group meant. A service account is meant by the user name Kubernetes gives it.
    package func means(_ user: User) -> Bool {
        switch self {
        case .user(let name): user.name == name
        case .group(let name): user.groups.contains(name)
        case .serviceAccount(let namespace, let name): user.name == "system:serviceaccount:\(namespace):\(name)"
        }
    }
}
