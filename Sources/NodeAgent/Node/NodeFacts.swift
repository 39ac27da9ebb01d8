package import Resources

/// What a node says of itself.
package protocol NodeFacts: Sendable {
    /// `cpu`, `memory`, `ephemeral-storage`, `pods`.
    var capacity: JSON { get }
    /// What of that Pods may have.
    var allocatable: JSON { get }
    /// `nodeInfo` of the node's status.
    var nodeInfo: JSON { get }
    /// How it is now. May read files.
    func conditions() -> [NodeCondition]
}

/// One claim about a node.
package struct NodeCondition: Sendable, Hashable {
    /// `Ready`, `DiskPressure`.
    package var type: String
    /// Whether the claim holds.
    package var isTrue: Bool
    /// One word.
    package var reason: String
    /// One sentence.
    package var message: String

    /// Since when it holds is found out by comparing with what the node's object says.
    package init(_ type: String, _ isTrue: Bool, reason: String, message: String) {
        self.type = type
        self.isTrue = isTrue
        self.reason = reason
        self.message = message
    }
}
