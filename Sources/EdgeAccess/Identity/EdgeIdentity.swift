package import Identity
import Network
import Resources

/// Who an edge is to its cloud: what it must keep to be let in again.
package struct EdgeIdentity: Sendable, Equatable {
    /// Of the cloud: a name or an address, without brackets.
    package var host: String
    /// Of the cloud.
    package var port: Int
    /// Name of the node; until it has joined, the name that is asked for, empty to leave it to the token.
    package var node: String
    /// PEM of the one authority that is trusted.
    package var authorityPEM: String
    /// PEM, PKCS #8.
    package var keyPEM: String
    /// PEM; nil until the cloud has issued one. The key is kept before it is asked for, so that a lost answer can be asked for again.
    package var certificatePEM: String?
    /// The cloud knows that this certificate is kept, and lets in none before it.
    package var isConfirmed = false

    /// An edge that is about to join.
    package init(host: String, port: Int, node: String, authorityPEM: String, keyPEM: String) {
        self.host = host
        self.port = port
        self.node = node
        self.authorityPEM = authorityPEM
        self.keyPEM = keyPEM
    }

    /// `HOST:PORT`, with brackets where the host needs them.
    package var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Longest text that is read.
    static let bytesMax = 64 << 10
    private static let version: Int64 = 1

    /// The identity as its file holds it.
    var json: JSON {
        var result: JSON = [
            "version": .integer(Self.version), "cloud": .string(address), "node": .string(node), "authority": .string(authorityPEM),
            "key": .string(keyPEM), "confirmed": .bool(isConfirmed),
        ]
        if let certificatePEM { result["certificate"] = .string(certificatePEM) }
        return result
    }

    /// Nil for what no edge of this release has written.
    init?(_ json: JSON) {
        guard json["version"]?.integer == Self.version, let cloud = json["cloud"]?.string, let (host, port) = JoinToken.split(cloud),
            let node = json["node"]?.string, let authority = json["authority"]?.string, let key = json["key"]?.string
        else { return nil }
        self.init(host: host, port: port, node: node, authorityPEM: authority, keyPEM: key)
        certificatePEM = json["certificate"]?.string
        isConfirmed = json["confirmed"]?.bool ?? false
    }
}
