/// Who makes a request.
package struct User: Sendable, Hashable {
    /// `system:node:edge-1`, `system:serviceaccount:default:web`, or a certificate's common name.
    package var name: String
    /// Of a service account; empty for all others.
    package var uid: String
    /// All of them, `system:authenticated` or `system:unauthenticated` included.
    package var groups: [String]
    /// Further facts, as a token's id.
    package var extra: [String: [String]]

    /// Nothing is added: whoever makes one names every group.
    package init(name: String, uid: String = "", groups: [String], extra: [String: [String]] = [:]) {
        self.name = name
        self.uid = uid
        self.groups = groups
        self.extra = extra
    }

    /// Who makes a request that shows neither a certificate nor a token.
    package static let anonymous = User(name: "system:anonymous", groups: ["system:unauthenticated"])

    /// Member of the group that may do everything.
    package var isMaster: Bool { groups.contains("system:masters") }

    /// The node's name, where the user is a node's agent.
    package var nodeName: String? {
        let prefix = "system:node:"
        return groups.contains("system:nodes") && name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : nil
    }

    /// The user behind a service account.
    package static func serviceAccount(namespace: String, name: String, uid: String) -> User {
        User(
            name: "system:serviceaccount:\(namespace):\(name)", uid: uid,
            groups: ["system:serviceaccounts", "system:serviceaccounts:\(namespace)", "system:authenticated"])
    }
}
