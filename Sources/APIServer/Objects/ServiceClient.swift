package import Identity
package import Resources
import Storage
import Synchronization

/// The embedded server as controllers in this process see it: the same checks and answers as over the network, without the network.
package struct ServiceClient: ObjectClient {
    private let service: ObjectService
    private let options: WriteOptions

    /// - Parameters:
    ///   - user: who its writes are made by; nothing is asked of its rights.
    ///   - fieldManager: who the fields belong to that it sets.
    package init(_ service: ObjectService, user: User, fieldManager: String = "skerry") {
        self.service = service
        var options = WriteOptions(user: user)
        options.fieldManager = fieldManager
        options.fieldValidation = .ignore
        self.options = options
    }

    private func definition(_ kind: ResourceKind) throws(APIStatus) -> KindDefinition {
        guard let found = service.registry.definition(groupVersion: kind.apiVersion, plural: kind.plural) else { throw .noSuchPath }
        return found
    }

    /// Never fails: the registry is at hand.
    package func kinds() async throws(APIStatus) -> [ResourceKind] { service.registry.stored.map { ResourceKind($0) } }

    /// Reads the newest state.
    package func get(_ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON {
        try service.get(try definition(kind), namespace: key.namespace, name: key.name)
    }

    private func view(_ kind: ResourceKind, _ labels: String, _ fields: String) throws(APIStatus) -> ObjectView {
        var view = ObjectView(definition: try definition(kind), service: service)
        do throws(SelectorError) {
            view.labels = try LabelSelector(labels)
            view.fields = try FieldSelector(fields)
        } catch { throw .badRequest("\(error)") }
        return view
    }

    /// One page, or everything if no limit is asked for. Others go on between a page and what is made of it: at a start ten thousand objects are listed by
    /// several at once, and requests are answered by the same threads.
    package func list(_ kind: ResourceKind, _ query: Resources.ListQuery) async throws(APIStatus) -> ObjectList {
        let view = try view(kind, query.labelSelector, query.fieldSelector)
        let prefix = query.namespace.isEmpty ? "" : query.namespace + "/"
        let place = try Self.place(query.continueToken)
        let found: (values: [RevisionedValue], revision: Int64, hasMore: Bool)
        do {
            found = try service.store.list(
                view.definition.collection, prefix: prefix, at: place?.revision, after: place?.after,
                limit: query.limit > 0 ? query.limit : nil)
        } catch .compacted {
            throw .expired("the list's revision is no longer known; list again")
        } catch { throw ObjectService.status(error) }
        var items: [JSON] = []
        for value in found.values {
            let object = try service.decode(value, view.definition)
            if !view.isFiltered || view.matches(object) { items.append(object) }
        }
        if items.count >= Self.longPage { await Task.yield() }
        let rest = found.hasMore ? found.values.last.map { "\(found.revision) \($0.name)" } : nil
        return ObjectList(items: items, resourceVersion: String(found.revision), continueToken: rest ?? "")
    }

    /// Objects from which a page takes milliseconds.
    private static let longPage = 50

    /// Where a page begins: the list's revision, and the last name of the page before; nil for the first page.
    private static func place(_ token: String) throws(APIStatus) -> (revision: Int64, after: String)? {
        if token.isEmpty { return nil }
        let parts = token.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, let revision = Int64(parts[0]) else {
            throw .badRequest("continue: found \"\(token)\", which is of no list")
        }
        return (revision, String(parts[1]))
    }

    /// Pulls changes from the store's history as the reader asks, so 410 comes with an event and never here.
    ///
    /// - Throws: 400 for a revision that is no number, or a selector that is none; 404.
    package func watch(_ kind: ResourceKind, _ query: WatchQuery) async throws(APIStatus) -> ObjectWatch {
        guard let revision = Int64(query.resourceVersion) else {
            throw .badRequest("resourceVersion: Invalid value: \"\(query.resourceVersion)\": must be a number")
        }
        let watch = ServiceWatch(try view(kind, query.labelSelector, query.fieldSelector), query, from: revision)
        return ObjectWatch(batches: { () async throws(APIStatus) in try await watch.next() })
    }

    /// The whole object, or the binding of a Pod.
    ///
    /// - Throws: 405 for every other part.
    package func create(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        let key = ObjectKey(object)
        switch part {
        case .whole: return try await service.create(try definition(kind), namespace: key.namespace, object, options).object
        case .binding where kind == .pod: return try await service.bind(try definition(kind), object, key, options)
        default: throw .methodNotAllowed
        }
    }

    private static func part(_ part: ObjectPart) throws(APIStatus) -> ObjectService.Part {
        guard let found = ObjectService.Part(subresource: part.rawValue) else { throw .methodNotAllowed }
        return found
    }

    /// The whole object, its status, or a namespace's finalizers.
    ///
    /// - Throws: 405 for every other part.
    package func update(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
        let key = ObjectKey(object)
        return try await service.update(
            try definition(kind), namespace: key.namespace, name: key.name, part: try Self.part(part), object, options
        ).object
    }

    /// By the patch's manager, or by this client's if it names none.
    ///
    /// - Throws: 405 for the parts `scale` and `binding`.
    package func patch(
        _ kind: ResourceKind, _ key: ObjectKey, _ patch: Resources.ObjectPatch, part: ObjectPart
    ) async throws(APIStatus) -> JSON {
        var options = options
        if !patch.fieldManager.isEmpty { options.fieldManager = patch.fieldManager }
        options.isForced = patch.isForced
        let wanted: ObjectPatch =
            switch patch.form {
            case .json: .json(patch.body)
            case .merge: .merge(patch.body)
            case .strategic: .strategic(patch.body)
            case .apply: .apply(patch.body)
            }
        return try await service.patch(
            try definition(kind), namespace: key.namespace, name: key.name, part: try Self.part(part), wanted, options
        ).object
    }

    /// Like the DELETE of a client; whether the object is gone at once or only marked is not told.
    package func delete(_ kind: ResourceKind, _ key: ObjectKey, _ deletion: Deletion) async throws(APIStatus) {
        _ = try await service.delete(
            try definition(kind), namespace: key.namespace, name: key.name, try DeleteOptions(deletion.json))
    }
}

/// One watch within the process: pulls changes from the store's window as its reader asks for them.
private final class ServiceWatch: Sendable {
    private static let batchMax = 64

    private struct State {
        var cursor: Int64
        var isRung = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let view: ObjectView
    private let prefix: String
    private let end: ContinuousClock.Instant?
    private let state: Mutex<State>
    private let listener = Mutex<Int?>(nil)
    private let timer = Mutex<Task<Void, Never>?>(nil)

    init(_ view: ObjectView, _ query: WatchQuery, from revision: Int64) {
        self.view = view
        prefix = query.namespace.isEmpty ? "" : query.namespace + "/"
        end = query.timeoutSeconds > 0 ? .now + .seconds(query.timeoutSeconds) : nil
        state = Mutex(State(cursor: revision))
        let number = view.service.store.addListener(view.definition.collection) { [weak self] in self?.ring() }
        listener.withLock { $0 = number }
        // One for the whole watch: a sleep that is cancelled keeps its place among the system's timers until its time has come.
        guard let end else { return }
        let task = Task { [weak self] in if (try? await Task.sleep(until: end)) != nil { self?.ring() } }
        timer.withLock { $0 = task }
    }

    deinit {
        if let number = listener.withLock({ $0 }) { view.service.store.removeListener(number, of: view.definition.collection) }
        timer.withLock { $0 }?.cancel()
    }

    private func ring() {
        state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard let waiter = state.waiter else {
                state.isRung = true
                return nil
            }
            state.waiter = nil
            return waiter
        }?.resume()
    }

    /// The next events; nil once the time asked for is over, or the reader's task is cancelled.
    func next() async throws(APIStatus) -> [WatchEvent]? {
        while !Task.isCancelled {
            let (events, hasMore) = try read()
            if !events.isEmpty { return events }
            if hasMore { continue }
            if let end, end <= .now { return nil }
            await wait()
        }
        return nil
    }

    /// Reads what has happened since the cursor.
    ///
    /// - Returns: what of it is shown, and whether there may be more.
    private func read() throws(APIStatus) -> (events: [WatchEvent], hasMore: Bool) {
        view.service.watchLooks.add(1, ordering: .relaxed)
        let cursor = state.withLock { $0.cursor }
        let found: (events: ArraySlice<RevisionEvent>, revision: Int64)
        do {
            found = try view.service.store.events(view.definition.collection, after: cursor, countMax: Self.batchMax)
        } catch .compacted(let oldest) {
            throw .expired("too old resource version: \(cursor) (\(oldest))")
        } catch { throw .internalError("\(error)") }
        var shown: [WatchEvent] = []
        for event in found.events { if let event = try self.shown(event) { shown.append(event) } }
        let isFull = found.events.count == Self.batchMax
        let revision = isFull ? found.events.last!.revision : found.revision
        state.withLock { $0.cursor = max(cursor, revision) }
        return (shown, isFull)
    }

    /// A change as the reader sees it: an object that begins or ceases to be selected is added or deleted.
    private func shown(_ event: RevisionEvent) throws(APIStatus) -> WatchEvent? {
        guard event.name.hasPrefix(prefix) else { return nil }
        let before = try event.previous.map { (value) throws(APIStatus) in try view.matches(value) } ?? false
        let after = try event.value.map { (value) throws(APIStatus) in try view.matches(value) } ?? false
        guard before || after else { return nil }
        var object = try view.service.decode(event.value ?? event.previous!, view.definition)
        // What is there bears its revision already; what is gone is told at the revision of its end.
        if event.value == nil { object[path: ["metadata", "resourceVersion"]] = .string(String(event.revision)) }
        return after ? (before ? .modified(object) : .added(object)) : .deleted(object)
    }

    private func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state -> Bool in
                    if state.isRung || Task.isCancelled {
                        state.isRung = false
                        return true
                    }
                    state.waiter = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            ring()
        }
    }
}
