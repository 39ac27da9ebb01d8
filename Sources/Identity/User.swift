/// Who makes a request.
package struct User: Sendable, Hashable {
    package var name: String
    package var uid: String
    package var groups: [String]
    /// Further facts, as a token's id.
    package var extra: [String: [String]]

    package init(name: String, uid: String = "", groups: [String], extra: [String: [String]] = [:]) {
        self.name = name
        self.uid = uid
        self.groups = groups
        self.extra = extra
    }

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
