package import Network
package import Resources
import Identity
import Storage

/// A node's own copy of its objects, to be looked at on the node: `kubectl --server=http://127.0.0.1:7480 get pods` works while the cloud is
/// out of reach.
///
/// Whoever can reach the node's loopback may get, list and watch every kind the node holds but Secrets, without a name; changes are refused
/// and sent to the cloud's door. The objects are mirrored into a store in memory, whose revisions are the node's own. The node's owner is
/// served apart (`owner`).
package final class LocalAPI: HTTPResponder {
    /// How long a mirror waits after its client failed before it lists again.
    private static let pause = Duration.seconds(1)
    /// How far back a watch on the node may go on from.
    private static let historyKept = Duration.seconds(10)

    /// Pods deployed on the node itself, and who answers for their node.
    package struct Own: Sendable {
        let pods: LocalPods
        let verbs: any NodeVerbs
        let calls: any NodeCalls

        /// - Parameters:
        ///   - verbs: what the owner may ask of the agent.
        ///   - calls: the way into the node's containers, for logs and commands.
        package init(pods: LocalPods, verbs: any NodeVerbs, calls: any NodeCalls) {
            (self.pods, self.verbs, self.calls) = (pods, verbs, calls)
        }
    }

    private let client: any ObjectClient
    private let kinds: [ResourceKind]
    private let service: ObjectService
    private let server: APIServer
    private let ownPods: LocalPods?
    /// Answers the owner of the node, whoever asks: to be served on a socket that nobody else can open. Reads, logs and commands as the cloud
    /// has them, Secrets left out, and the verbs of `/edge/v1`. Nil without `Own`.
    package let owner: (any HTTPResponder)?

    /// Shows nothing until `run`.
    ///
    /// - Parameters:
    ///   - client: the node's copy; only read.
    ///   - kinds: what is shown of it; Secrets are left out.
    ///   - own: Pods of the node itself, which are shown beside the others; nil for none.
    ///   - programVersion: behind that of Kubernetes in `/version`.
    /// - Throws: what the store in memory throws, which is a mistake of ours.
    package init(
        client: any ObjectClient, kinds: [ResourceKind], own: Own? = nil, environment: APIEnvironment, programVersion: String
    ) async throws {
        self.client = client
        ownPods = own?.pods
        self.kinds = kinds.filter { !($0.group.isEmpty && $0.plural == "secrets") }
        var options = LocalPods.storeOptions
        options.isLogged = false
        service = try ObjectService(store: RevisionStore(.memory, options), environment: environment)
        let tokens = try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM())
        server = APIServer(service: service, tokens: tokens, programVersion: programVersion)
        owner = own.map { [service] own in
            LocalReader(
                server: APIServer(
                    service: service, tokens: tokens, programVersion: programVersion, doors: [OwnerDoor(verbs: own.verbs, pods: own.pods)],
                    calls: own.calls, everybody: Self.owner))
        }
        for (plural, object) in Self.permissions(self.kinds) {
            let definition = try definition(
                ResourceKind(
                    group: "rbac.authorization.k8s.io", version: "v1", kind: "", plural: plural, isNamespaced: false))
            _ = try await service.create(definition, namespace: "", object, WriteOptions(user: Self.owner))
        }
    }

    /// Keeps the mirror equal to the client's objects until its task is cancelled.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            for kind in kinds {
                group.addTask { await self.mirror(kind, self.client, isOwn: false) }
                if kind.isNamespaced, let client = self.ownPods?.client { group.addTask { await self.mirror(kind, client, isOwn: true) } }
            }
            if let ownPods = self.ownPods { group.addTask { await ownPods.run() } }
        }
    }

    /// Answers reads as the cloud does, and refuses everything else with 405.
    package func respond(to request: HTTPRequest) async -> HTTPResponse { await LocalReader(server: server).respond(to: request) }

    // MARK: Permissions

    /// Who makes the roles below, and nobody else.
    private static let owner = User(name: "system:node-local", groups: ["system:masters"])

    /// Everybody may read the kinds and look around.
    private static func permissions(_ kinds: [ResourceKind]) -> [(plural: String, object: JSON)] {
        let rules = kinds.map { kind -> JSON in
            ["verbs": ["get", "list", "watch"], "apiGroups": [.string(kind.group)], "resources": [.string(kind.plural)]]
        }
        let paths: JSON = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version"]
        let role: JSON = [
            "metadata": ["name": "local-reader"], "rules": .array(rules + [["verbs": ["get"], "nonResourceURLs": paths]]),
        ]
        let binding: JSON = [
            "metadata": ["name": "local-reader"],
            "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "local-reader"],
            "subjects": [["apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"]],
        ]
        return [("clusterroles", role), ("clusterrolebindings", binding)]
    }

    // MARK: Mirror

    private func definition(_ kind: ResourceKind) throws(APIStatus) -> KindDefinition {
        guard let found = service.registry.definition(groupVersion: kind.apiVersion, plural: kind.plural) else { throw .noSuchPath }
        return found
    }

    /// - Parameter isOwn: whether the client is that of the node's own Pods, which have a namespace that the cloud's are not shown in.
    private func mirror(_ kind: ResourceKind, _ client: any ObjectClient, isOwn: Bool) async {
        @Sendable func isShown(_ object: JSON) -> Bool { (ObjectKey(object).namespace == LocalPods.namespace) == isOwn }
        while !Task.isCancelled {
            do {
                let definition = try definition(kind)
                let list = try await client.listAll(kind)
                try await replace(definition, by: list.items.filter(isShown), isOwn: isOwn)
                for try await event in try await client.watch(kind, WatchQuery(from: list.resourceVersion)) {
                    switch event {
                    case .added(let object), .modified(let object): if isShown(object) { try await put(definition, object) }
                    case .deleted(let object): if isShown(object) { try await remove(definition, key(definition, object)) }
                    case .bookmark: break
                    }
                }
            } catch {
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    private func key(_ definition: KindDefinition, _ object: JSON) -> String {
        let key = ObjectKey(object)
        return definition.key(namespace: key.namespace, name: key.name)
    }

    private func replace(_ definition: KindDefinition, by objects: [JSON], isOwn: Bool) async throws {
        let wanted = Set(objects.map { key(definition, $0) })
        for held in try service.store.list(definition.collection).values
        where !wanted.contains(held.name) && held.name.hasPrefix(LocalPods.namespace + "/") == isOwn {
            try await remove(definition, held.name)
        }
        for object in objects { try await put(definition, object) }
    }

    private func put(_ definition: KindDefinition, _ object: JSON) async throws {
        let name = key(definition, object), bytes = ObjectBytes.encode(object)
        guard let held = service.store.get(definition.collection, name) else {
            try await service.store.write(.create(definition.collection, name, bytes))
            return
        }
        if held.bytes != bytes { try await service.store.write(.update(definition.collection, name, bytes, from: held.revision)) }
    }

    private func remove(_ definition: KindDefinition, _ name: String) async throws {
        guard let held = service.store.get(definition.collection, name) else { return }
        try await service.store.write(.delete(definition.collection, name, from: held.revision))
    }
}

/// A server that only reads, but for the doors it has.
private struct LocalReader: HTTPResponder {
    let server: APIServer

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        guard request.method == "GET" || request.method == "HEAD" || request.path.hasPrefix(OwnerDoor.root + "/") else {
            return APIServer.answer(
                APIStatus(
                    code: 405, reason: "MethodNotAllowed",
                    message: "\(request.method) \(request.path): this is the node's own copy, for reading only; send changes to the cloud"))
        }
        return await server.respond(to: request)
    }
}
