package import Identity
package import Resources
package import Storage

/// Pods that somebody has deployed on a node itself, and the ConfigMaps they name: objects of their own, in a store of the node, in one
/// namespace that is no other's. The cloud neither sees nor changes them; they go on for as long as the node keeps them.
package struct LocalPods: Sendable {
    /// Of every object here.
    package static let namespace = "skerry-local"
    /// Objects of one deployment.
    private static let objectsMax = 64
    /// Kinds that are kept here. Not Secrets: nothing here is sealed.
    private static let kinds: [ResourceKind] = [
        .pod, ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps"),
    ]

    /// Of stores at a node, which has few programs that watch and little memory: each that falls behind lists again.
    static var storeOptions: RevisionStore.Options {
        var options = RevisionStore.Options()
        (options.windowCountMax, options.windowBytesMax) = (256, 128 << 10)
        return options
    }

    private let store: RevisionStore
    private let node: String
    private let environment: APIEnvironment
    /// The agent's API for these Pods.
    package let client: ServiceClient

    /// Opens what is kept.
    ///
    /// - Parameter node: that runs all of them.
    /// - Throws: what the store throws.
    package init(_ location: SQLiteLocation, node: String, environment: APIEnvironment) async throws {
        store = try RevisionStore(location, Self.storeOptions)
        self.node = node
        self.environment = environment
        let service = try ObjectService(store: store, environment: environment)
        client = ServiceClient(service, user: User(name: "system:node-owner", groups: ["system:masters"]), fieldManager: "skerry-edge")
        let namespace = ResourceKind(group: "", version: "v1", kind: "Namespace", plural: "namespaces", isNamespaced: false)
        do throws(APIStatus) { try await client.create(namespace, ["metadata": ["name": .string(Self.namespace)]]) } catch {
            guard error.code == 409 else { throw error }
        }
    }

    /// Between two looks at Events, and the time for which they are kept.
    private static let (eventPeriod, eventSeconds): (Duration, Int64) = (.seconds(600), 3600)

    /// Forgets what was and what was told long ago; runs until its task is cancelled.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await HistoryKeeper(store).run() }
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: Self.eventPeriod)
                    await forgetEvents()
                }
            }
        }
    }

    /// What cannot be forgotten now is by the next look.
    private func forgetEvents() async {
        let oldest = environment.now().seconds - Self.eventSeconds
        for event in (try? await client.listAll(.event))?.items ?? [] {
            let last = event["lastTimestamp"]?.string.flatMap { Timestamp($0) }
            if (last?.seconds ?? 0) < oldest { try? await client.delete(.event, ObjectKey(event), Deletion()) }
        }
    }

    /// To be called once, last.
    package func close() { store.close() }

    /// Keeps objects as they are given, for this node. All are looked at before any is kept; a ConfigMap that is there is replaced.
    ///
    /// - Returns: what was made or replaced, as `pod/web created`.
    /// - Throws: 400 for a kind or namespace that is not kept here, 409 for a Pod that is there, 422 with the field.
    package func deploy(_ objects: [JSON]) async throws(APIStatus) -> [String] {
        guard (1...Self.objectsMax).contains(objects.count) else {
            throw .badRequest("\(objects.count) objects; 1 to \(Self.objectsMax) are deployed at a time")
        }
        var placed: [(kind: ResourceKind, object: JSON)] = []
        for object in objects { placed.append(try await self.placed(object)) }
        // What Pods name comes before them.
        placed.sort { $0.kind.plural < $1.kind.plural }
        var told: [String] = []
        for (kind, object) in placed {
            let word = "\(kind.kind.lowercased())/\(ObjectKey(object).name)"
            do throws(APIStatus) {
                try await client.create(kind, object)
                told.append("\(word) created")
            } catch {
                guard error.code == 409, kind != .pod else { throw error }
                try await client.update(kind, object)
                told.append("\(word) replaced")
            }
        }
        return told
    }

    private func placed(_ object: JSON) async throws(APIStatus) -> (kind: ResourceKind, object: JSON) {
        let (version, word) = (object["apiVersion"]?.string ?? "", object["kind"]?.string ?? "")
        let name = object["metadata"]?["name"]?.string ?? ""
        guard let kind = Self.kinds.first(where: { $0.apiVersion == version && $0.kind == word }) else {
            throw .badRequest(
                "\(word.isEmpty ? "an object without kind" : "\(version) \(word)") \"\(name)\": a node keeps v1 Pods and ConfigMaps of its own; apply others at the cloud"
            )
        }
        let namespace = object["metadata"]?["namespace"]?.string ?? ""
        guard !name.isEmpty, namespace.isEmpty || namespace == Self.namespace else {
            throw .badRequest(
                "\(word) \"\(name)\": metadata.namespace: found \"\(namespace)\"; what is deployed on a node has a name and lies in \(Self.namespace): leave the namespace out"
            )
        }
        var object = object
        object[path: ["metadata", "namespace"]] = .string(Self.namespace)
        guard kind == .pod else { return (kind, object) }
        let wanted = object["spec"]?["nodeName"]?.string ?? node
        guard wanted == node else {
            throw .badRequest("pod \"\(name)\": spec.nodeName: found \"\(wanted)\"; this node is \"\(node)\": leave the field out")
        }
        object[path: ["spec", "nodeName"]] = .string(node)
        if (try? await client.get(.pod, ObjectKey(object))) != nil {
            throw APIStatus(
                code: 409, reason: "AlreadyExists",
                message: "pod \"\(name)\" is deployed on this node already; remove it first: skerry edge remove \(name)")
        }
        return (kind, object)
    }

    /// Ends a Pod that was deployed here.
    ///
    /// - Throws: 404, also for Pods of the cloud.
    package func remove(_ name: String) async throws(APIStatus) {
        do throws(APIStatus) { try await client.delete(.pod, ObjectKey(namespace: Self.namespace, name: name), Deletion()) } catch {
            guard error.code == 404 else { throw error }
            throw APIStatus(
                code: 404, reason: "NotFound",
                message: "no pod \"\(name)\" was deployed on this node; those of the cloud are removed there: kubectl delete pod \(name)")
        }
    }
}
