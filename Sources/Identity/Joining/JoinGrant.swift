/// What the cloud keeps of a join token: its hash, its bounds, and who used it up.
///
///     made ─use→ used (answers its user again, nobody else) ─expiresAt→ void
package struct JoinGrant: Sendable, Equatable {
    /// Who used a token up, and what was issued for it.
    package struct Use: Sendable, Equatable {
        /// Name of the node.
        package var node: String
        /// SHA-256 of the public key that joined, as `SigningRequest.keyFingerprint`.
        package var keyFingerprint: String
        /// The certificate that was issued, PEM: the same is given again to the same key, whose answer was lost.
        package var certificatePEM: String
        /// Seconds since 1970.
        package var at: Int64

        /// Nothing is checked.
        package init(node: String, keyFingerprint: String, certificatePEM: String, at: Int64) {
            self.node = node
            self.keyFingerprint = keyFingerprint
            self.certificatePEM = certificatePEM
            self.at = at
        }
    }

    /// Why a token does not admit a machine. Only a bearer of the secret is told more than `unknown`.
    package enum Refusal: Error, Sendable, Equatable, CustomStringConvertible {
        case unknown
        case expired(id: String)
        case used(id: String, node: String)
        case otherNode(id: String, node: String, found: String)
        case noName(id: String)

        /// One sentence with the remedy; no secret stands in it.
        package var description: String {
            switch self {
            case .unknown: "this cloud knows no such join token; make one with 'skerry token create'"
            case .expired(let id): "join token \(id) has expired; make another with 'skerry token create'"
            case .used(let id, let node):
                "join token \(id) has been used by node \"\(node)\"; a token admits one machine, make another with 'skerry token create'"
            case .otherNode(let id, let node, let found):
                "join token \(id) is for node \"\(node)\", found \"\(found)\"; join with --name \(node) or make another token"
            case .noName(let id): "join token \(id) names no node, and neither does the request; join with --name"
            }
        }
    }

    /// As `JoinSecret.hash`.
    package var hash: String
    /// The only node that may join; nil for any that is not there yet.
    package var node: String?
    /// Seconds since 1970; from then on the token admits nobody.
    package var expiresAt: Int64
    /// Nil until it is used.
    package var use: Use?

    /// A token that nobody has used.
    package init(hash: String, node: String?, expiresAt: Int64) {
        self.hash = hash
        self.node = node
        self.expiresAt = expiresAt
    }

    /// As `JoinSecret.id`.
    package var id: String { String(hash.prefix(10)) }

    /// Whether the secret is the one this grant was made for; takes the same time for every answer.
    package func isMeant(by secret: JoinSecret) -> Bool { Hexadecimal.isSame(hash, secret.hash) }

    /// The node that a machine would become.
    ///
    /// - Parameters:
    ///   - node: the name it asks for; empty to leave it to the token.
    ///   - hostName: its name where neither says one; may be empty.
    ///   - now: seconds since 1970.
    /// - Throws: `Refusal`.
    package func admittedNode(
        _ secret: JoinSecret, node: String, hostName: String, keyFingerprint: String, now: Int64
    ) throws(Refusal) -> String {
        guard isMeant(by: secret) else { throw .unknown }
        let wanted = node.isEmpty ? self.node ?? hostName : node
        if let use, use.keyFingerprint != keyFingerprint || (!node.isEmpty && use.node != node) { throw .used(id: id, node: use.node) }
        guard now < expiresAt else { throw .expired(id: id) }
        if let use { return use.node }
        guard !wanted.isEmpty else { throw .noName(id: id) }
        if let own = self.node, own != wanted { throw .otherNode(id: id, node: own, found: wanted) }
        return wanted
    }
}
