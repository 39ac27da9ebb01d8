package import Resources

/// Gives tokens of service accounts to the Pods of a node, and says where they are good.
package protocol PodTokens: Sendable {
    /// The certificate, in PEM, by which Pods know the server.
    var authorityPEM: String { get }
    /// The server, as Pods reach it.
    var server: (host: String, port: Int) { get }
    /// Asks the server.
    ///
    /// - Parameter request: a `TokenRequest` bound to a Pod of this node.
    /// - Returns: the request with its `status`: `token`, `expirationTimestamp`.
    /// - Throws: 503 when the server is out of reach, 403, 404.
    func token(of account: ObjectKey, _ request: JSON) async throws(APIStatus) -> JSON
}

/// A token that a volume of a Pod is made of.
struct TokenNeed: Sendable, Hashable, Comparable {
    /// Whom the token is for; empty for the server itself.
    let audience: String
    /// From 600.
    let seconds: Int64

    /// - Parameter source: `serviceAccountToken` of a projected volume.
    init(_ source: JSON) {
        audience = source["audience"]?.string ?? ""
        seconds = max(600, source["expirationSeconds"]?.integer ?? 3600)
    }

    static func < (left: TokenNeed, right: TokenNeed) -> Bool { (left.audience, left.seconds) < (right.audience, right.seconds) }

    /// What the server is asked.
    func request(for pod: PodSpec) -> JSON {
        [
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": [
                "audiences": audience.isEmpty ? [] : [.string(audience)], "expirationSeconds": .integer(seconds),
                "boundObjectRef": ["apiVersion": "v1", "kind": "Pod", "name": .string(pod.key.name), "uid": .string(pod.uid)],
            ],
        ]
    }
}

/// The tokens that a Pod has, and when they are to be replaced. Pure.
struct TokenShelf: Sendable, Hashable {
    private struct Kept: Hashable {
        var text: String
        /// By uptime: after four fifths of its life another is asked for.
        var freshUntil: Duration
        var validUntil: Duration
    }

    private var kept: [TokenNeed: Kept] = [:]

    /// A token that need not be replaced.
    func fresh(_ need: TokenNeed, at now: Duration) -> String? { kept[need].flatMap { now < $0.freshUntil ? $0.text : nil } }

    /// A token that is good still, where no other is to be had.
    func valid(_ need: TokenNeed, at now: Duration) -> String? { kept[need].flatMap { now < $0.validUntil ? $0.text : nil } }

    /// When the first of them is to be replaced; nil without any.
    var freshUntil: Duration? { kept.values.map(\.freshUntil).min() }

    /// - Parameter seconds: for which it is good from now on.
    mutating func put(_ text: String, for need: TokenNeed, seconds: Int64, at now: Duration) {
        kept[need] = Kept(text: text, freshUntil: now + .seconds(seconds * 4 / 5), validUntil: now + .seconds(seconds))
    }
}

/// What a Pod is given that asks for nothing: a token of its account, the server's certificate and its namespace, where Kubernetes' clients
/// look for them.
enum DefaultAccount {
    static let folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    static let volume = "skerry-api-access"
    /// Says where the files lie on this machine, for containers that cannot have mounts.
    static let variable = "SKERRY_SERVICE_ACCOUNT"
    private static let seconds: Int64 = 3607

    /// The Pod with the volume, and with mounts of it in containers that have nothing there; as it is if it wants no token.
    static func added(to pod: JSON) -> JSON {
        guard pod["spec"]?["automountServiceAccountToken"]?.bool != false else { return pod }
        var pod = pod
        var isUsed = false
        for list in ["containers", "initContainers"] {
            guard let containers = pod["spec"]?[list]?.array else { continue }
            pod[path: ["spec", list]] = .array(
                containers.map { container in
                    var mounts = container["volumeMounts"]?.array ?? []
                    guard !mounts.contains(where: { $0["mountPath"]?.string == folder }) else { return container }
                    isUsed = true
                    mounts.append(["name": .string(volume), "mountPath": .string(folder), "readOnly": true, "isOptional": true])
                    var container = container
                    container["volumeMounts"] = .array(mounts)
                    return container
                })
        }
        let volumes = pod["spec"]?["volumes"]?.array ?? []
        guard isUsed, !volumes.contains(where: { $0["name"]?.string == volume }) else { return pod }
        let sources: JSON = [
            ["serviceAccountToken": ["path": "token", "expirationSeconds": .integer(seconds)]], ["serverAuthority": ["path": "ca.crt"]],
            ["downwardAPI": ["items": [["path": "namespace", "fieldRef": ["fieldPath": "metadata.namespace"]]]]],
        ]
        pod[path: ["spec", "volumes"]] = .array(
            volumes + [["name": .string(volume), "projected": ["isOptional": true, "sources": sources]]])
        return pod
    }
}
