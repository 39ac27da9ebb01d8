/// The public keys whose signatures of models are trusted in a cluster: a ConfigMap, a key in PEM each. Nodes get it like what their Pods name.
package enum ModelKeys {
    /// Of the ConfigMap.
    package static let key = ObjectKey(namespace: "kube-system", name: "model-signing-keys")
    /// Names the entry of the key that the cloud signs with.
    package static let currentAnnotation = "models.skerry.io/signing-key"
    /// Set by a person: the cloud makes itself a new key and takes the annotation away.
    package static let rotateAnnotation = "models.skerry.io/rotate-key"
    /// Set to `required` by a person: whatever a Model says, no node loads anything unsigned, files of the node itself included.
    package static let demandAnnotation = "models.skerry.io/signatures"
    /// Of a Pod whose Model asks for a signature of a file on the node: `required`.
    package static let podAnnotation = "models.skerry.io/signature"

    /// Whether the cluster asks for signatures of everything.
    package static func isDemanded(_ map: JSON?) -> Bool { map?["metadata"]?["annotations"]?[demandAnnotation]?.string == "required" }

    /// How entries of the cloud's own keys begin, whose versions it signs anew with the next one.
    package static let ownPrefix = "cloud-"

    /// Name of a key's entry.
    ///
    /// - Parameter id: SHA-256 of the key.
    package static func entry(id: String, isOwn: Bool) -> String { "\(isOwn ? ownPrefix : "")\(id.prefix(16)).pem" }

    /// Keys in PEM by their entries' names.
    package static func all(_ map: JSON?) -> [String: String] {
        let data = (map?["data"]?.object ?? [:]).compactMap { name, value in value.string.map { (name, $0) } }
        return Dictionary(data, uniquingKeysWith: { $1 })
    }
}
