package import Identity
package import Resources

/// Join tokens as objects: Secrets of `kube-system` that hold hashes, so that any process of the cloud, and none but it, knows them.
package struct JoinTokens: Sendable {
    /// Longest life of a token.
    package static let lifeSecondsMax: Int64 = 30 * 86400
    /// Tokens that may lie about; more are refused until some are revoked or have expired.
    package static let countMax = 10_000
    private static let namespace = "kube-system"
    private static let type = "skerry.io/join-token"
    private static let label = "skerry.io/join-token"
    private static let prefix = "join-token-"
    /// A use is tried so often against others who write the same object.
    private static let attemptsMax = 8
    private static let kind = ResourceKind(group: "", version: "v1", kind: "Secret", plural: "secrets")
    private let client: any ObjectClient

    /// Whatever the client's user may do with Secrets of `kube-system` is what may be done here.
    package init(_ client: any ObjectClient) { self.client = client }

    private static func key(_ id: String) -> ObjectKey { ObjectKey(namespace: namespace, name: prefix + id) }

    // MARK: For people

    /// Keeps a new token.
    ///
    /// - Throws: as the one for several.
    package func create(_ grant: JoinGrant, now: Int64) async throws(APIStatus) { try await create([grant], now: now) }

    /// Keeps new tokens, one after the other: where it fails, those before are kept.
    ///
    /// - Throws: `APIStatus`; 422 for a node name that is none, a life out of bounds, or more tokens than may lie about: then none is kept.
    package func create(_ grants: [JoinGrant], now: Int64) async throws(APIStatus) {
        for grant in grants { try Self.check(grant, now) }
        guard try await list().count + grants.count <= Self.countMax else {
            throw APIStatus(
                code: 422, reason: "Invalid",
                message:
                    "there would be more than \(Self.countMax) join tokens; revoke some with 'skerry token revoke' or wait until they expire"
            )
        }
        for grant in grants { try await client.create(Self.kind, Self.object(grant)) }
    }

    private static func check(_ grant: JoinGrant, _ now: Int64) throws(APIStatus) {
        if let node = grant.node, !NameRules.isSubdomain(node) { throw badName(node) }
        guard grant.expiresAt > now, grant.expiresAt - now <= lifeSecondsMax else {
            throw APIStatus(
                code: 422, reason: "Invalid",
                message: "a join token lives \(grant.expiresAt - now) s, expected 1 to \(lifeSecondsMax) (30 days)")
        }
    }

    static func badName(_ node: String) -> APIStatus {
        APIStatus(
            code: 422, reason: "Invalid",
            message:
                "node name \"\(node.prefix(300))\": expected lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit, at most 253"
        )
    }

    /// Every token, used and expired ones among them, in the order of their names.
    package func list() async throws(APIStatus) -> [JoinGrant] {
        try await client.listAll(Self.kind, Resources.ListQuery(namespace: Self.namespace, labelSelector: "\(Self.label)=true", limit: 500))
            .items
            .compactMap(Self.grant)
    }

    /// Ends a token. What has joined by it stays: delete the Node to end that.
    ///
    /// - Throws: 404 for an id that is none's.
    package func revoke(_ id: String) async throws(APIStatus) {
        guard NameRules.isSubdomain(id) else { throw Self.missing(id) }
        do throws(APIStatus) { try await client.delete(Self.kind, Self.key(id), Deletion()) } catch {
            throw error.code == 404 ? Self.missing(id) : error
        }
    }

    private static func missing(_ id: String) -> APIStatus {
        APIStatus(
            code: 404, reason: "NotFound", message: "there is no join token \"\(id.prefix(64))\"; see 'skerry token list' for their ids")
    }

    /// Removes tokens that have expired.
    ///
    /// - Returns: how many.
    package func removeExpired(now: Int64) async throws(APIStatus) -> Int {
        var count = 0
        for grant in try await list() where grant.expiresAt <= now {
            do throws(APIStatus) { try await client.delete(Self.kind, Self.key(grant.id), Deletion()) } catch {
                guard error.code == 404 else { throw error }
            }
            count += 1
        }
        return count
    }

    // MARK: For the door

    /// The grant of a secret as it is now.
    ///
    /// - Throws: `APIStatus` of the store; a secret that is none's is answered with nil.
    func grant(_ secret: JoinSecret) async throws(APIStatus) -> JoinGrant? { try await read(secret)?.grant }

    private func read(_ secret: JoinSecret) async throws(APIStatus) -> (grant: JoinGrant, object: JSON)? {
        let object: JSON
        do throws(APIStatus) { object = try await client.get(Self.kind, Self.key(secret.id)) } catch {
            if error.code == 404 { return nil }
            throw error
        }
        guard let grant = Self.grant(object), grant.isMeant(by: secret) else { return nil }
        return (grant, object)
    }

    /// Uses a token up: of several that try at the same time one is let through.
    ///
    /// - Parameter use: who, and what was issued; called again with what the token says after somebody else has written it.
    /// - Returns: the use that holds: the given one, or that of the same key from before.
    /// - Throws: `APIStatus` of the store, or what `use` throws.
    func use(
        _ secret: JoinSecret, _ use: (JoinGrant) throws(APIStatus) -> JoinGrant.Use
    ) async throws(APIStatus) -> JoinGrant.Use? {
        for _ in 0..<Self.attemptsMax {
            guard let (grant, object) = try await read(secret) else { return nil }
            var used = grant
            let wanted = try use(grant)
            if grant.use == wanted { return wanted }
            used.use = wanted
            var successor = object
            successor["data"] = Self.data(used)
            do throws(APIStatus) {
                // The object carries the revision it was read at: whoever was faster makes this a conflict.
                try await client.update(Self.kind, successor)
                return wanted
            } catch {
                if error.code == 404 { return nil }
                guard error.code == 409 else { throw error }
            }
        }
        throw .tooManyRequests(retryAfterSeconds: 1)
    }

    // MARK: Objects

    private static func object(_ grant: JoinGrant) -> JSON {
        [
            "apiVersion": "v1", "kind": "Secret", "type": .string(type),
            "metadata": [
                "name": .string(key(grant.id).name), "namespace": .string(namespace), "labels": .object([label: "true"]),
            ],
            "data": data(grant),
        ]
    }

    private static func data(_ grant: JoinGrant) -> JSON {
        var texts: [(String, String)] = [("hash", grant.hash), ("expiration", Timestamp(seconds: grant.expiresAt).text)]
        if let node = grant.node { texts.append(("node", node)) }
        if let use = grant.use {
            texts += [
                ("used-by", use.node), ("used-key", use.keyFingerprint), ("used-certificate", use.certificatePEM),
                ("used-at", Timestamp(seconds: use.at).text),
            ]
        }
        return .object(JSONObject(texts.map { ($0.0, JSON.string(Base64.encode(Array($0.1.utf8)))) }))
    }

    /// Nil for an object that is no token of ours, whatever its label says.
    private static func grant(_ object: JSON) -> JoinGrant? {
        func text(_ name: String) -> String? {
            object["data"]?[name]?.string.flatMap { Base64.decode($0) }.flatMap { String(validating: $0, as: UTF8.self) }
        }
        guard object["type"]?.string == type, let hash = text("hash"), let expiration = text("expiration").flatMap(Timestamp.init),
            object["metadata"]?["name"]?.string == prefix + hash.prefix(10)
        else { return nil }
        var grant = JoinGrant(hash: hash, node: text("node"), expiresAt: expiration.seconds)
        if let node = text("used-by") {
            // A use that cannot be read is one all the same: nobody matches it.
            grant.use = JoinGrant.Use(
                node: node, keyFingerprint: text("used-key") ?? "", certificatePEM: text("used-certificate") ?? "",
                at: text("used-at").flatMap(Timestamp.init)?.seconds ?? 0)
        }
        return grant
    }
}
