package import HubProtocol
package import Resources

/// The node's API for its own programs: reads and watches answer from the copy, with or without a link; a write changes what is seen here
/// at once and is told to the cloud as soon as it can be. What the cloud then refuses is seen to go back, and stands in the log.
///
/// Resource versions are this node's own. Leases are taken and not told: the cloud renews them while the link stands. Events are told and
/// not kept.
extension EdgeHub: ObjectClient {
    /// Kinds of which the node holds something, and those it writes.
    package func kinds() async throws(APIStatus) -> [ResourceKind] {
        view.kinds.union([.node, .pod, .event, .lease]).sorted { ($0.plural, $0.group) < ($1.plural, $1.group) }
    }

    private static func notFound(_ kind: ResourceKind, _ key: ObjectKey) -> APIStatus {
        var status = APIStatus(code: 404, reason: "NotFound", message: "\(kind) \"\(key.name)\" not found on this node")
        status.name = key.name
        status.kind = kind.plural
        status.group = kind.group
        return status
    }

    package func get(_ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON {
        if kind == .lease, let lease = leases[key] { return lease }
        guard let object = view[ObjectRef(kind, key)] else { throw Self.notFound(kind, key) }
        return object
    }

    /// Everything in one page, in its newest state.
    package func list(_ kind: ResourceKind, _ query: ListQuery) async throws(APIStatus) -> ObjectList {
        let selection = try Selection(query.labelSelector, query.fieldSelector)
        let items = view.list(kind, namespace: query.namespace).filter(selection.matches)
        return ObjectList(items: items, resourceVersion: String(view.revision))
    }

    package func watch(_ kind: ResourceKind, _ query: WatchQuery) async throws(APIStatus) -> ObjectWatch {
        guard let from = Int64(query.resourceVersion) else {
            throw .badRequest("resourceVersion: Invalid value: \"\(query.resourceVersion)\": must be a number of this node")
        }
        let watch = LocalWatch(self, kind, query.namespace, try Selection(query.labelSelector, query.fieldSelector), from: from)
        let end = query.timeoutSeconds > 0 ? environment.elapsed() + .seconds(query.timeoutSeconds) : nil
        return ObjectWatch { () async throws(APIStatus) in try await watch.next(until: end) }
    }

    package func create(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        guard part == .whole else { throw .methodNotAllowed }
        var object = object
        if kind == .event, (object["metadata"]?["name"]?.string ?? "").isEmpty {
            let prefix = object["metadata"]?["generateName"]?.string ?? object["involvedObject"]?["name"]?.string ?? "event"
            object[path: ["metadata", "name"]] = .string(eventName(prefix.hasSuffix(".") ? String(prefix.dropLast()) : prefix))
            object[path: ["metadata", "generateName"]] = nil
        }
        let ref = ObjectRef(kind, ObjectKey(object))
        guard !ref.key.name.isEmpty else { throw .badRequest("metadata.name: an object made on a node needs a name") }
        if object["apiVersion"] == nil { object["apiVersion"] = .string(kind.apiVersion) }
        if object["kind"] == nil { object["kind"] = .string(kind.kind) }
        if kind == .lease { return keep(lease: object) }
        let made = object
        try write { (replica, now) throws(APIStatus) in
            try replica.create(ref, made, topic: kind == .event ? .event : .status, nowSeconds: now)
        }
        return view[ref] ?? made
    }

    private func keep(lease: JSON) -> JSON {
        leases[ObjectKey(lease)] = lease
        return lease
    }

    package func update(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        if kind == .lease { return keep(lease: object) }
        let ref = ObjectRef(kind, ObjectKey(object))
        let revision = object["metadata"]?["resourceVersion"]?.string ?? ""
        return try change(ref, part, revision: revision, uid: object["metadata"]?["uid"]?.string ?? "") { _ in object }
    }

    /// By JSON, merge or strategic patch; the cloud is told the difference it makes.
    ///
    /// - Throws: 415 for server-side apply.
    package func patch(_ kind: ResourceKind, _ key: ObjectKey, _ patch: ObjectPatch, part: ObjectPart) async throws(APIStatus) -> JSON {
        if kind == .lease {
            return keep(
                lease: MergePatch.apply(
                    patch.body, to: leases[key] ?? ["metadata": ["namespace": .string(key.namespace), "name": .string(key.name)]]))
        }
        let isMerge = patch.form != .json
        let revision = isMerge ? patch.body["metadata"]?["resourceVersion"]?.string ?? "" : ""
        let uid = isMerge ? patch.body["metadata"]?["uid"]?.string ?? "" : ""
        return try change(ObjectRef(kind, key), part, revision: revision, uid: uid) { (old: JSON) throws(APIStatus) in
            try Self.patched(old, patch, kind)
        }
    }

    private static func patched(_ old: JSON, _ patch: ObjectPatch, _ kind: ResourceKind) throws(APIStatus) -> JSON {
        do throws(PatchError) {
            switch patch.form {
            case .json: return try JSONPatch.apply(patch.body, to: old)
            case .merge: return MergePatch.apply(patch.body, to: old)
            case .strategic:
                let definition = BuiltInKinds.all.first { $0.group == kind.group && $0.plural == kind.plural }
                return try StrategicMergePatch(catalog: .kubernetes).apply(patch.body, to: old, schema: definition?.schema)
            case .apply: break
            }
        } catch { throw .badRequest("the patch does not fit: \(error)") }
        throw .unsupportedMediaType([
            "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
        ])
    }

    private func change(
        _ ref: ObjectRef, _ part: ObjectPart, revision: String, uid: String, _ successor: (JSON) throws(APIStatus) -> JSON
    ) throws(APIStatus) -> JSON {
        guard part == .whole || part == .status else { throw .methodNotAllowed }
        guard let shown = view[ref], let old = seen(ref) else { throw Self.notFound(ref.kind, ref.key) }
        let known = shown["metadata"]?["uid"]?.string ?? ""
        guard revision.isEmpty || revision == shown["metadata"]?["resourceVersion"]?.string, uid.isEmpty || known.isEmpty || uid == known
        else {
            throw APIStatus(
                code: 409, reason: "Conflict",
                message:
                    "Operation cannot be fulfilled on \(ref.kind) \"\(ref.key.name)\": the object has been modified; please apply your changes to the latest version and try again"
            )
        }
        var new = try successor(old)
        new[path: ["metadata", "resourceVersion"]] = old["metadata"]?["resourceVersion"]
        guard ObjectKey(new) == ref.key else { throw .badRequest("the name or the namespace of the object does not match") }
        let wanted = new
        try write { (replica, now) throws(APIStatus) in try replica.change(ref, to: wanted, part: part, nowSeconds: now) }
        return view[ref] ?? wanted
    }

    /// For good and at once, whatever grace is asked for: only what has ended is deleted by its node.
    package func delete(_ kind: ResourceKind, _ key: ObjectKey, _ deletion: Deletion) async throws(APIStatus) {
        if kind == .lease {
            leases[key] = nil
            return
        }
        try write { (replica, now) throws(APIStatus) in
            try replica.delete(ObjectRef(kind, key), uid: deletion.uid ?? "", nowSeconds: now)
        }
    }
}

/// What of a kind is asked for.
struct Selection: Sendable {
    private let labels: LabelSelector
    private let fields: FieldSelector

    init(_ labels: String, _ fields: String) throws(APIStatus) {
        do throws(SelectorError) {
            self.labels = try LabelSelector(labels)
            self.fields = try FieldSelector(fields)
        } catch { throw .badRequest("\(error)") }
    }

    func matches(_ object: JSON) -> Bool {
        guard labels.isEmpty || labels.matches(object["metadata"]?["labels"]?.object) else { return false }
        return fields.requirements.allSatisfy { requirement in
            let value = object[path: requirement.field.split(separator: ".").map(String.init)]?.string ?? ""
            return (value == requirement.value) == requirement.isEqual
        }
    }
}

/// One watch: pulls from the hub's memory of changes as its reader asks.
private actor LocalWatch {
    private static let batchMax = 64
    private let hub: EdgeHub
    private let kind: ResourceKind
    private let namespace: String
    private let selection: Selection
    private var cursor: Int64
    private var ready: ArraySlice<WatchEvent> = []

    init(_ hub: EdgeHub, _ kind: ResourceKind, _ namespace: String, _ selection: Selection, from: Int64) {
        self.hub = hub
        self.kind = kind
        self.namespace = namespace
        self.selection = selection
        cursor = from
    }

    func next(until end: Duration?) async throws(APIStatus) -> WatchEvent? {
        while !Task.isCancelled {
            if let event = ready.popFirst() { return event }
            let rings = hub.changed.count
            let (events, upTo) = try await hub.changes(kind, after: cursor, countMax: Self.batchMax)
            cursor = upTo
            ready = events.filter(isAsked)[...]
            if !ready.isEmpty || events.count == Self.batchMax { continue }
            if let end, hub.environment.elapsed() >= end { return nil }
            await hub.changed.wait(after: rings)
        }
        return nil
    }

    private func isAsked(_ event: WatchEvent) -> Bool {
        switch event {
        case .added(let object), .modified(let object):
            (namespace.isEmpty || ObjectKey(object).namespace == namespace) && selection.matches(object)
        // Whatever it said last: who never saw it loses nothing.
        case .deleted(let object): namespace.isEmpty || ObjectKey(object).namespace == namespace
        case .bookmark: true
        }
    }
}

extension EdgeHub {
    /// For watches.
    func changes(_ kind: ResourceKind, after revision: Int64, countMax: Int) throws(APIStatus) -> (events: [WatchEvent], upTo: Int64) {
        try view.changes(kind, after: revision, countMax: countMax)
    }
}
