/// Roles and bindings at a moment, and what they allow; a value, made anew when one of them changes.
package struct AccessBook: Sendable {
    /// A role's place: the namespace is empty for roles of the cluster.
    package struct RoleName: Sendable, Hashable {
        /// Of a Role; empty for a ClusterRole.
        package var namespace: String
        /// Of the Role or ClusterRole.
        package var name: String
        /// Whether there is such a role is not asked: a binding may name one that comes later.
        package init(namespace: String, name: String) {
            self.namespace = namespace
            self.name = name
        }
    }

    /// A RoleBinding or ClusterRoleBinding: gives subjects the rules of a role.
    package struct Binding: Sendable, Hashable {
        /// Where it holds; empty for everywhere.
        package var namespace: String
        /// Of the binding itself; nothing is decided by it.
        package var name: String
        /// The role it gives; while there is none, it gives nothing.
        package var role: RoleName
        /// Whom it means; a user may be meant more than once.
        package var subjects: [AccessSubject]
        /// Made from objects of `rbac.authorization.k8s.io/v1`.
        package init(namespace: String, name: String, role: RoleName, subjects: [AccessSubject]) {
            self.namespace = namespace
            self.name = name
            self.role = role
            self.subjects = subjects
        }
    }

    /// The rules of every Role and ClusterRole.
    package var roles: [RoleName: [AccessRule]] = [:]
    /// Every RoleBinding and ClusterRoleBinding.
    package var bindings: [Binding] = []

    /// A book by which only `system:masters` may do anything.
    package init() {}

    /// Every rule that holds for a user in a namespace; an empty namespace asks for those that hold everywhere.
    package func rules(of user: User, in namespace: String) -> [AccessRule] {
        bindings.filter { ($0.namespace.isEmpty || $0.namespace == namespace) && $0.subjects.contains { $0.means(user) } }
            .flatMap { roles[$0.role] ?? [] }
    }

    /// Whether any rule that holds for the user in the request's namespace allows it. Rules only allow, so their order is no matter (RBAC).
    package func allows(_ user: User, _ request: AccessRequest) -> Bool {
        user.isMaster || rules(of: user, in: request.namespace).contains { $0.allows(request) }
    }

    /// Most verbs, groups and resources of one rule multiplied; a wider rule counts as not covered.
    private static let partsMax = 10_000

    /// Whether a user may already do everything that rules allow: what must hold before the user may grant them.
    package func covers(_ rules: [AccessRule], _ user: User, in namespace: String) -> Bool {
        if user.isMaster { return true }
        let own = self.rules(of: user, in: namespace)
        var partCount = 0
        for rule in rules {
            for counts in [[rule.verbs.count, rule.paths.count], [rule.verbs.count, rule.groups.count, rule.resources.count]] {
                let (product, isHuge) = counts.reduce((1, false)) { product, count in
                    let next = product.0.multipliedReportingOverflow(by: count)
                    return (next.partialValue, product.1 || next.overflow)
                }
                partCount += isHuge ? Self.partsMax + 1 : min(product, Self.partsMax + 1)
            }
            if partCount > Self.partsMax { return false }
        }
        return rules.allSatisfy { rule in Self.parts(rule).allSatisfy { part in own.contains { Self.covers($0, part) } } }
    }

    /// A rule as rules of one verb, group and resource or path.
    private static func parts(_ rule: AccessRule) -> [AccessRule] {
        rule.verbs.flatMap { verb -> [AccessRule] in
            rule.paths.map { AccessRule(verbs: [verb], paths: [$0]) }
                + rule.groups.flatMap { group in
                    rule.resources.map { AccessRule(verbs: [verb], groups: [group], resources: [$0], names: rule.names) }
                }
        }
    }

    private static func covers(_ own: AccessRule, _ part: AccessRule) -> Bool {
        func has(_ list: [String], _ wanted: [String]) -> Bool { list.contains("*") || wanted.allSatisfy(list.contains) }
        guard has(own.verbs, part.verbs) else { return false }
        if let path = part.paths.first {
            return own.paths.contains { $0 == "*" || $0 == path || ($0.hasSuffix("*") && path.hasPrefix($0.dropLast())) }
        }
        guard has(own.groups, part.groups) else { return false }
        let resource = part.resources.first ?? ""
        let subresource = resource.split(separator: "/").dropFirst().first
        guard own.resources.contains(where: { $0 == "*" || $0 == resource || (subresource != nil && $0 == "*/\(subresource!)") }) else {
            return false
        }
        return own.names.isEmpty || (!part.names.isEmpty && part.names.allSatisfy(own.names.contains))
    }
}
