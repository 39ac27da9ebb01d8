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
    private static let model = ResourceKind(group: "sedna.io", version: "v1alpha1", kind: "Model", plural: "models")
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
        let own = try await all(Self.dataset).filter { $0["spec"]?["nodeName"]?.string == node }
        if own.contains(where: { names($0["spec"], digest) }) { return true }
        // Nodes write nothing of a Model, its status neither.
        let models = try await all(Self.model).filter { names($0["spec"], digest) || names($0["status"], digest) }.map { ObjectKey($0) }
        return pods.contains { pod in
            let (namespace, references) = (pod["metadata"]?["namespace"]?.string, PodReferences(pod))
            return models.contains { $0.namespace == namespace && references.contains(resource: "models", name: $0.name) }
        }
    }

    /// Nothing where the server does not have the kind.
    private func all(_ kind: ResourceKind) async throws(APIStatus) -> [JSON] {
        do throws(APIStatus) { return try await client.listAll(kind).items } catch {
            guard error.code == 404 else { throw error }
            return []
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
