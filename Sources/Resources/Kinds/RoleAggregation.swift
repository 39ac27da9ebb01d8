/// Roles of the cluster whose rules are gathered from others by their labels, as `aggregationRule` says.
///
/// What a role gathers is all that it grants: rules of its own are replaced by what was gathered. Roles that gather one another are each
/// read once, so a circle does no harm and leaves nothing behind when it is broken.
package struct RoleAggregation: Sendable {
    private let roles: [String: JSON]

    /// - Parameter clusterRoles: all of them, as `ClusterRole` objects.
    package init(_ clusterRoles: [JSON]) {
        roles = Dictionary(clusterRoles.map { ($0["metadata"]?["name"]?.string ?? "", $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Of all roles, in no order.
    package var names: [String] { Array(roles.keys) }

    /// Whether a role gathers its rules.
    package static func gathers(_ role: JSON) -> Bool { role["aggregationRule"]?.object != nil }

    /// What a role grants, as objects of `rules`: its own, or those it gathers, by the names of their roles, each once. None for a name
    /// that no role has.
    package func rules(of name: String) -> [JSON] {
        var seen: Set<String> = [name]
        var pending = [name]
        var sources: [String] = []
        while let next = pending.popLast() {
            guard let role = roles[next] else { continue }
            guard Self.gathers(role) else {
                sources.append(next)
                continue
            }
            for found in gathered(by: role) where seen.insert(found).inserted { pending.append(found) }
        }
        if sources == [name] { return roles[name]?["rules"]?.array ?? [] }
        var known: Set<JSON> = []
        return sources.sorted().flatMap { roles[$0]?["rules"]?.array ?? [] }.filter { known.insert($0).inserted }
    }

    /// Names of the roles that a role gathers, in no order.
    private func gathered(by role: JSON) -> [String] {
        let selectors = (role["aggregationRule"]?["clusterRoleSelectors"]?.array ?? []).compactMap { LabelSelector($0) }
        guard !selectors.isEmpty else { return [] }
        return roles.filter { _, other in selectors.contains { $0.matches(other["metadata"]?["labels"]?.object) } }.map(\.key)
    }
}
