package import Resources
import Synchronization

/// An API server in memory that behaves like a real one: one revision over all kinds, defaults and checks of the kinds, conflicts,
/// generations, finalizers, grace of Pods that run, watches from a revision, 410 after a compaction. It deletes nothing by itself: owners
/// and namespaces are the business of controllers.
package final class MemoryServer: Sendable {
    private struct State {
        var revision: Int64 = 0
        var compacted: Int64 = 0
        var objects: [ResourceKind: [ObjectKey: JSON]] = [:]
        var log: [ResourceKind: [(revision: Int64, event: WatchEvent)]] = [:]

        /// The first event of a kind after a revision.
        func event(of kind: ResourceKind, after revision: Int64) -> WatchEvent? {
            let events = log[kind] ?? []
            var low = 0
            var high = events.count
            while low < high {
                let middle = (low + high) / 2
                if events[middle].revision <= revision { low = middle + 1 } else { high = middle }
            }
            return low < events.count ? events[low].event : nil
        }

        var now = Timestamp(seconds: 1_800_000_000)
        var made: Int64 = 0
        var bells: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var nextBell: UInt64 = 0
        var writes = 0
    }

    private let state = Mutex(State())
    private let definitions: [ResourceKind: KindDefinition]
    private let sortedKinds: [ResourceKind]
    private let catalog = SchemaCatalog.kubernetes

    /// - Parameter further: kinds beyond the built-in ones, as custom kinds would be.
    package init(further: [KindDefinition] = []) {
        let served = BuiltInKinds.all.filter { $0.verbs.contains("list") && $0.storedForm == nil } + further
        definitions = Dictionary(uniqueKeysWithValues: served.map { (ResourceKind($0), $0) })
        sortedKinds = definitions.keys.sorted { ($0.description, $0.version) < ($1.description, $1.version) }
    }

    // MARK: What tests do to it

    package var now: Timestamp {
        get { state.withLock { $0.now } }
        set { state.withLock { $0.now = newValue } }
    }

    package var revision: Int64 { state.withLock { $0.revision } }
    /// Writes that changed something.
    package var writeCount: Int { state.withLock { $0.writes } }

    /// The changes since the last compaction, by kind.
    package var changeCounts: [ResourceKind: Int] { state.withLock { $0.log.mapValues(\.count) } }

    /// Forgets how the present state came to be: older watches get 410.
    package func compact() {
        state.withLock { state in
            state.compacted = state.revision
            state.log.removeAll()
        }
    }

    /// All objects of a kind in order.
    package func all(_ kind: ResourceKind) -> [JSON] {
        state.withLock { ($0.objects[kind] ?? [:]).sorted { $0.key < $1.key }.map(\.value) }
    }

    package func find(_ kind: ResourceKind, _ key: ObjectKey) -> JSON? { state.withLock { $0.objects[kind]?[key] } }

    /// The next event of a kind after a revision; nil if there is none yet.
    ///
    /// - Throws: 410 if the revision is compacted.
    package func event(of kind: ResourceKind, after revision: String) throws(APIStatus) -> WatchEvent? {
        let found = state.withLock { state -> Result<WatchEvent?, APIStatus> in
            guard let from = Int64(revision), from >= state.compacted else {
                return .failure(.expired("too old resource version: \(revision) (\(state.compacted))"))
            }
            return .success(state.event(of: kind, after: from))
        }
        return try found.get()
    }

    private func definition(_ kind: ResourceKind) throws(APIStatus) -> KindDefinition {
        guard let definition = definitions[kind] else { throw .noSuchPath }
        return definition
    }

    // MARK: Writing

    private func locked<Value>(_ body: (inout State) throws(APIStatus) -> Value) throws(APIStatus) -> Value {
        var bells: [CheckedContinuation<Void, Never>] = []
        let result = state.withLock { state -> Result<Value, APIStatus> in
            let before = state.revision
            let result: Result<Value, APIStatus>
            do throws(APIStatus) { result = .success(try body(&state)) } catch { result = .failure(error) }
            if state.revision != before {
                bells = Array(state.bells.values)
                state.bells = [:]
            }
            return result
        }
        for bell in bells { bell.resume() }
        return try result.get()
    }

    private func store(_ kind: ResourceKind, _ object: JSON, _ state: inout State) -> JSON {
        let key = ObjectKey(object)
        let old = state.objects[kind]?[key]
        if let old, Self.unversioned(old) == Self.unversioned(object) { return old }
        state.revision += 1
        state.writes += 1
        var object = object
        object[path: ["metadata", "resourceVersion"]] = .string(String(state.revision))
        if Self.isFinished(object) {
            state.objects[kind]?[key] = nil
            state.log[kind, default: []].append((state.revision, .deleted(object)))
        } else {
            state.objects[kind, default: [:]][key] = object
            state.log[kind, default: []].append((state.revision, old == nil ? .added(object) : .modified(object)))
        }
        return object
    }

    private static func unversioned(_ object: JSON) -> JSON {
        var object = object
        object[path: ["metadata", "resourceVersion"]] = nil
        return object
    }

    private static func isFinished(_ object: JSON) -> Bool {
        guard object["metadata"]?["deletionTimestamp"] != nil, object["metadata"]?["finalizers"]?.array?.isEmpty ?? true else {
            return false
        }
        if (object["metadata"]?["deletionGracePeriodSeconds"]?.integer ?? 0) > 0 { return false }
        return object["kind"] != "Namespace" || (object["spec"]?["finalizers"]?.array?.isEmpty ?? true)
    }

    private func check(_ definition: KindDefinition, _ new: JSON, _ old: JSON?) throws(APIStatus) {
        let errors =
            MetadataRules.errors(new, definition: definition)
            + definition.schema.errors(in: new, catalog: catalog, checksRequired: !definition.isTyped) + definition.validation(new, old)
        if !errors.isEmpty { throw .invalid(definition, name: new["metadata"]?["name"]?.string ?? "", errors) }
    }

    private func defaulted(_ definition: KindDefinition, _ object: JSON) -> JSON {
        var result = definition.schema.defaulted(definition.schema.pruned(object, catalog: catalog).value, catalog: catalog)
        result["apiVersion"] = .string(definition.groupVersion)
        result["kind"] = .string(definition.kind)
        definition.defaulting(&result)
        return result
    }

    private static let systemMetadata = [
        "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion", "name", "namespace",
    ]

    private func make(_ kind: ResourceKind, _ object: JSON, _ state: inout State) throws(APIStatus) -> JSON {
        let definition = try definition(kind)
        var object = object
        let namespace = ObjectKey(object).namespace
        if definition.isNamespaced {
            guard let found = state.objects[.namespace]?[ObjectKey(name: namespace)] else {
                throw .notFound(definitions[.namespace]!, name: namespace)
            }
            if found["metadata"]?["deletionTimestamp"] != nil {
                throw .forbidden(
                    definition, name: "", "unable to create new content in namespace \(namespace) because it is being terminated")
            }
        }
        state.made += 1
        var metadata = object["metadata"] ?? [:]
        if metadata["name"] == nil, let prefix = metadata["generateName"]?.string { metadata["name"] = .string(prefix + "g\(state.made)") }
        metadata["uid"] = .string("uid-\(state.made)")
        metadata["creationTimestamp"] = .string(state.now.text)
        for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"] { metadata[key] = nil }
        if definition.countsGenerations { metadata["generation"] = 1 }
        object["metadata"] = metadata
        if definition.hasStatus { object["status"] = nil }
        let new = defaulted(definition, object)
        try check(definition, new, nil)
        if state.objects[kind]?[ObjectKey(new)] != nil { throw .alreadyExists(definition, name: ObjectKey(new).name) }
        return store(kind, new, &state)
    }

    private func change(
        _ kind: ResourceKind, _ key: ObjectKey, _ part: ObjectPart, _ state: inout State, _ successor: (JSON) throws(APIStatus) -> JSON
    ) throws(APIStatus) -> JSON {
        let definition = try definition(kind)
        guard let old = state.objects[kind]?[key] else { throw .notFound(definition, name: key.name) }
        let wanted = try successor(old)
        if let uid = wanted["metadata"]?["uid"], uid != old["metadata"]?["uid"] {
            throw .conflict(definition, name: key.name, "Precondition failed: UID in precondition: \(uid.text)")
        }
        if let version = wanted["metadata"]?["resourceVersion"], version != old["metadata"]?["resourceVersion"] {
            throw .conflict(definition, name: key.name)
        }
        let new = try placed(definition, part, wanted, old)
        try check(definition, new, old)
        return store(kind, new, &state)
    }

    /// The successor of an object when only a part of it may be written.
    private func placed(_ definition: KindDefinition, _ part: ObjectPart, _ wanted: JSON, _ old: JSON) throws(APIStatus) -> JSON {
        var new = wanted
        switch part {
        case .status:
            new = old
            new["status"] = wanted["status"]
        case .finalize:
            new = old
            new[path: ["spec", "finalizers"]] = wanted["spec"]?["finalizers"] ?? []
        case .whole:
            if definition.hasStatus { new["status"] = old["status"] }
        case .binding, .scale: throw .methodNotAllowed
        }
        for name in Self.systemMetadata { new[path: ["metadata", name]] = old["metadata"]?[name] }
        new = defaulted(definition, new)
        if definition.countsGenerations, new["spec"] != old["spec"] {
            new[path: ["metadata", "generation"]] = .integer((old["metadata"]?["generation"]?.integer ?? 0) + 1)
        }
        return new
    }

    private func bind(_ binding: JSON, _ state: inout State) throws(APIStatus) -> JSON {
        let key = ObjectKey(binding)
        let definition = definitions[.pod]!
        guard var pod = state.objects[.pod]?[key] else { throw .notFound(definition, name: key.name) }
        if let uid = binding["metadata"]?["uid"], uid != pod["metadata"]?["uid"] { throw .conflict(definition, name: key.name) }
        if let node = pod["spec"]?["nodeName"]?.string {
            throw .conflict(definition, name: key.name, "pod \(key.name) is already assigned to node \"\(node)\"")
        }
        if pod["metadata"]?["deletionTimestamp"] != nil {
            throw .conflict(definition, name: key.name, "pod \(key.name) is being deleted, cannot be assigned to a host")
        }
        pod[path: ["spec", "nodeName"]] = binding["target"]?["name"]
        return store(.pod, pod, &state)
    }

    private func delete(_ kind: ResourceKind, _ key: ObjectKey, _ deletion: Deletion, _ state: inout State) throws(APIStatus) {
        let definition = try definition(kind)
        guard let old = state.objects[kind]?[key] else { throw .notFound(definition, name: key.name) }
        for (wanted, name) in [(deletion.uid, "uid"), (deletion.resourceVersion, "resourceVersion")] {
            if let wanted, old["metadata"]?[name]?.string != wanted {
                throw .conflict(definition, name: key.name, "Precondition failed: \(name) in precondition: \(wanted)")
            }
        }
        _ = store(kind, Self.marked(old, kind, deletion, state.now), &state)
    }

    private static func marked(_ old: JSON, _ kind: ResourceKind, _ deletion: Deletion, _ now: Timestamp) -> JSON {
        var new = old
        var finalizers = old["metadata"]?["finalizers"]?.array ?? []
        let isMarked = old["metadata"]?["deletionTimestamp"] != nil
        if deletion.propagation == .foreground, !isMarked, !finalizers.contains("foregroundDeletion") {
            finalizers.append("foregroundDeletion")
        }
        if deletion.propagation == .orphan, !isMarked, !finalizers.contains("orphan") { finalizers.append("orphan") }
        if !finalizers.isEmpty { new[path: ["metadata", "finalizers"]] = .array(finalizers) }
        let isRunning =
            kind == .pod && old["spec"]?["nodeName"] != nil && !["Succeeded", "Failed"].contains(old["status"]?["phase"]?.string)
        let grace = isRunning ? deletion.gracePeriodSeconds ?? old["spec"]?["terminationGracePeriodSeconds"]?.integer ?? 30 : 0
        if !isMarked {
            new[path: ["metadata", "deletionTimestamp"]] = .string(Timestamp(seconds: now.seconds + grace).text)
            new[path: ["metadata", "deletionGracePeriodSeconds"]] = .integer(grace)
        } else if grace < old["metadata"]?["deletionGracePeriodSeconds"]?.integer ?? 0 {
            new[path: ["metadata", "deletionGracePeriodSeconds"]] = .integer(grace)
        }
        if kind == .namespace { new[path: ["status", "phase"]] = "Terminating" }
        return new
    }
}

extension MemoryServer: ObjectClient {
    package func kinds() async throws(APIStatus) -> [ResourceKind] {
        sortedKinds
    }

    package func get(_ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON {
        let definition = try definition(kind)
        guard let object = find(kind, key) else { throw .notFound(definition, name: key.name) }
        return object
    }

    package func list(_ kind: ResourceKind, _ query: ListQuery) async throws(APIStatus) -> ObjectList {
        let definition = try definition(kind)
        let labels: LabelSelector
        let fields: FieldSelector
        do {
            labels = try LabelSelector(query.labelSelector)
            fields = try FieldSelector(query.fieldSelector)
        } catch { throw .badRequest("\(error)") }
        let (objects, revision) = state.withLock { (($0.objects[kind] ?? [:]).sorted { $0.key < $1.key }.map(\.value), $0.revision) }
        var items = objects.filter { object in
            (query.namespace.isEmpty || ObjectKey(object).namespace == query.namespace)
                && labels.matches(object["metadata"]?["labels"]?.object)
                && fields.requirements.allSatisfy { (definition.selectedValue($0.field, of: object) == $0.value) == $0.isEqual }
        }
        // Pages at the present revision, from the key that the token names: enough for readers that no writer disturbs.
        if !query.continueToken.isEmpty { items.removeAll { ObjectKey($0).description <= query.continueToken } }
        var token = ""
        if query.limit > 0, items.count > query.limit {
            items.removeLast(items.count - query.limit)
            token = items.last.map { ObjectKey($0).description } ?? ""
        }
        return ObjectList(items: items, resourceVersion: String(revision), continueToken: token)
    }

    package func watch(_ kind: ResourceKind, _ query: WatchQuery) async throws(APIStatus) -> ObjectWatch {
        _ = try definition(kind)
        let position = Mutex(query.resourceVersion)
        return ObjectWatch { () async throws(APIStatus) -> WatchEvent? in
            while !Task.isCancelled {
                let from = position.withLock { $0 }
                if let event = try self.event(of: kind, after: from) {
                    position.withLock { $0 = event.resourceVersion }
                    return event
                }
                await self.nextWrite(after: kind, from)
            }
            return nil
        }
    }

    /// Returns once something has been written after a revision, or the task is cancelled.
    private func nextWrite(after kind: ResourceKind, _ revision: String) async {
        let id = state.withLock { state -> UInt64 in
            state.nextBell += 1
            return state.nextBell
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state -> Bool in
                    let isNew = state.event(of: kind, after: Int64(revision) ?? 0) != nil
                    if Task.isCancelled || isNew || state.compacted > Int64(revision) ?? 0 { return true }
                    state.bells[id] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.bells.removeValue(forKey: id) }?.resume()
        }
    }

    package func create(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        try locked { (state: inout State) throws(APIStatus) in
            switch part {
            case .whole: try make(kind, object, &state)
            case .binding where kind == .pod: try bind(object, &state)
            default: throw .methodNotAllowed
            }
        }
    }

    package func update(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        try locked { (state: inout State) throws(APIStatus) in
            try change(kind, ObjectKey(object), part, &state) { (_: JSON) throws(APIStatus) in object }
        }
    }

    package func patch(_ kind: ResourceKind, _ key: ObjectKey, _ patch: ObjectPatch, part: ObjectPart) async throws(APIStatus) -> JSON {
        let definition = try definition(kind)
        return try locked { (state: inout State) throws(APIStatus) in
            try change(kind, key, part, &state) { (old: JSON) throws(APIStatus) in
                var new: JSON
                do {
                    switch patch.form {
                    case .json: new = try JSONPatch.apply(patch.body, to: old)
                    case .merge: new = MergePatch.apply(patch.body, to: old)
                    case .strategic: new = try StrategicMergePatch(catalog: catalog).apply(patch.body, to: old, schema: definition.schema)
                    case .apply: throw APIStatus.unsupportedMediaType([ObjectPatch.Form.merge.rawValue])
                    }
                } catch let status as APIStatus {
                    throw status
                } catch { throw .badRequest("\(error)") }
                // Only a revision that the patch names itself is a precondition.
                if patch.body["metadata"]?["resourceVersion"] == nil { new[path: ["metadata", "resourceVersion"]] = nil }
                return new
            }
        }
    }

    package func delete(_ kind: ResourceKind, _ key: ObjectKey, _ deletion: Deletion) async throws(APIStatus) {
        try locked { (state: inout State) throws(APIStatus) in try delete(kind, key, deletion, &state) }
    }
}
