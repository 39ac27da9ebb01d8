import Identity
import Resources
import Storage

/// Who may read and write files.
protocol ArtifactRights: Sendable {
    /// The clock by which nodes' budgets are counted.
    var now: Timestamp { get }
    /// Whether a node may read a file: objects of its own name it, where the node itself cannot write.
    func isNamed(_ digest: ArtifactDigest, for node: String) async throws(APIStatus) -> Bool
    /// - Throws: 403 for a user, who is no node, without the right.
    func check(_ user: User, _ request: AccessRequest) throws(APIStatus)
}

/// By the embedded API's objects and roles.
struct ServiceArtifactRights: ArtifactRights {
    let service: ObjectService
    var now: Timestamp { service.environment.now() }

    func isNamed(_ digest: ArtifactDigest, for node: String) async throws(APIStatus) -> Bool {
        try ArtifactReferences.isNamed(digest, for: node, in: service)
    }

    func check(_ user: User, _ request: AccessRequest) throws(APIStatus) { try Authorizer(service: service).check(user, request) }
}

/// By the objects of a Kubernetes that somebody else runs. Its users do not come here: of people the authority's masters only.
struct ClientArtifactRights: ArtifactRights {
    private static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")
    private static let dataset = ResourceKind(group: "sedna.io", version: "v1alpha1", kind: "Dataset", plural: "datasets")
    let client: any ObjectClient
    let clock: @Sendable () -> Timestamp
    var now: Timestamp { clock() }

    func isNamed(_ digest: ArtifactDigest, for node: String) async throws(APIStatus) -> Bool {
        let pods = try await client.listAll(.pod, Resources.ListQuery(fieldSelector: "spec.nodeName=\(node)", limit: 250)).items
        if pods.contains(where: { names($0["spec"], digest) }) { return true }
        for pod in pods {
            let namespace = pod["metadata"]?["namespace"]?.string ?? ""
            for name in PodReferences(pod).configMaps.sorted() {
                let map = try await found(Self.configMap, ObjectKey(namespace: namespace, name: name))
                if names(map?["data"], digest) { return true }
            }
        }
        do throws(APIStatus) {
            let own = try await client.listAll(Self.dataset).items.filter { $0["spec"]?["nodeName"]?.string == node }
            return own.contains { names($0["spec"], digest) }
        } catch {
            // The server does not have the kind.
            guard error.code == 404 else { throw error }
            return false
        }
    }

    private func found(_ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON? {
        do throws(APIStatus) { return try await client.get(kind, key) } catch {
            guard error.code == 404 else { throw error }
            return nil
        }
    }

    private func names(_ value: JSON?, _ digest: ArtifactDigest) -> Bool {
        value.map { ArtifactDigest.named(in: $0.bytes()).contains(digest) } ?? false
    }

    func check(_ user: User, _ request: AccessRequest) throws(APIStatus) {
        guard !user.isMaster else { return }
        throw APIStatus(code: 403, reason: "Forbidden", message: "user \"\(user.name)\" may not \(request.verb) files of this cloud")
    }
}
