package import Resources

/// What a reconciler sees: the mirrored objects of every kind it asked for. It may be older than what the server has, each kind by a
/// different time; a plan must therefore name the revision or uid of what it acts on, and derive the names of what it makes.
package struct ObjectView: Sendable {
    private var mirrors: [ResourceKind: ObjectMirror] = [:]
    /// By the uid of an owner: what names it in `ownerReferences`.
    private var owned: [String: Set<ReconcileItem>] = [:]
    private var indexes: [ObjectIdentifier: any ViewIndex] = [:]

    /// Mirrors no kind yet.
    package init() {}

    /// A view of given objects, as tests and one-off plans need it.
    package init(_ objects: [(ResourceKind, [JSON])]) {
        for (kind, items) in objects {
            add(kind)
            for item in items { _ = received(.added(item), of: kind) }
        }
    }

    /// The kinds that are mirrored, in order of their names.
    package private(set) var kinds: [ResourceKind] = []

    /// The mirrored kind that an object's first two fields name.
    package func kind(apiVersion: String, kind: String) -> ResourceKind? {
        mirrors.keys.first { $0.kind == kind && $0.apiVersion == apiVersion }
    }

    /// The object as it was last told of; nil if there was none, or its kind is not mirrored.
    package subscript(kind: ResourceKind, key: ObjectKey) -> JSON? { mirrors[kind]?.shelf[key] }

    /// Whether there is such an object.
    package func contains(_ kind: ResourceKind, _ key: ObjectKey) -> Bool { mirrors[kind]?.shelf.revision(of: key) != nil }

    /// Whether there is such an object and its deletion has begun.
    package func isBeingDeleted(_ kind: ResourceKind, _ key: ObjectKey) -> Bool { mirrors[kind]?.shelf.isBeingDeleted(key) ?? false }

    /// How many objects of a kind there are.
    package func count(_ kind: ResourceKind) -> Int { mirrors[kind]?.shelf.count ?? 0 }

    /// All objects of a kind in the order of their keys; none of a kind that is not mirrored.
    package func all(_ kind: ResourceKind) -> [JSON] { mirrors[kind]?.shelf.objects ?? [] }

    /// The objects of a kind in a namespace in the order of their names.
    package func all(_ kind: ResourceKind, in namespace: String) -> [JSON] { mirrors[kind]?.shelf.objects(in: namespace) ?? [] }

    /// What names the owner's uid in its `ownerReferences`, in order.
    package func dependents(of uid: String) -> [ReconcileItem] { (owned[uid] ?? []).sorted() }

    /// The objects of a kind whose controller has the uid, in order.
    package func controlled(_ kind: ResourceKind, by uid: String) -> [JSON] {
        dependents(of: uid).filter { $0.kind == kind }.compactMap { self[kind, $0.key] }
            .filter {
                $0["metadata"]?["ownerReferences"]?.array?.contains { $0["uid"]?.string == uid && $0["controller"] == true } ?? false
            }
    }

    /// What is kept of the objects by a type of index; nil if no reconciler asked for it.
    package func index<Index: ViewIndex>(_ type: Index.Type) -> Index? { indexes[ObjectIdentifier(type)] as? Index }

    /// The keys of a kind's objects of a name, in all namespaces.
    package func keys(_ kind: ResourceKind, named name: String) -> [ObjectKey] { mirrors[kind]?.shelf.keys(named: name) ?? [] }

    /// Whether every one of the kinds has been listed once.
    package func isSynced(_ kinds: [ResourceKind]) -> Bool { kinds.allSatisfy { mirrors[$0]?.isSynced ?? false } }

    // MARK: Mirroring

    /// Keeps an index from now on; a second one of its type is left out.
    ///
    /// - Precondition: nothing has been mirrored yet.
    package mutating func add(_ index: any ViewIndex) {
        precondition(mirrors.values.allSatisfy { $0.shelf.count == 0 }, "an index must see every object")
        let id = ObjectIdentifier(type(of: index))
        if indexes[id] == nil { indexes[id] = index }
    }

    /// Begins to mirror a kind, from an empty shelf; nothing happens if it is mirrored already.
    package mutating func add(_ kind: ResourceKind, relistAfter: Duration = ObjectMirror.relistAfter) {
        guard mirrors[kind] == nil else { return }
        mirrors[kind] = ObjectMirror(kind: kind, relistAfter: relistAfter)
        kinds.append(kind)
        kinds.sort { ($0.description, $0.version) < ($1.description, $1.version) }
    }

    /// Forgets a kind.
    package mutating func remove(_ kind: ResourceKind) {
        guard let mirror = mirrors.removeValue(forKey: kind) else { return }
        kinds.removeAll { $0 == kind }
        for object in mirror.shelf.objects {
            index(ObjectChange(kind: kind, key: ObjectKey(object), old: object, new: nil), replacing: object)
        }
    }

    /// What the kind's mirror wants to ask the server next; nil for a kind that is not mirrored.
    package func next(_ kind: ResourceKind, now: Duration) -> ObjectMirror.Step? { mirrors[kind]?.next(now: now) }

    /// Takes a whole list of a kind.
    package mutating func listed(_ list: ObjectList, of kind: ResourceKind, now: Duration) -> [ObjectChange] {
        noted(mirrors[kind]?.listed(list, now: now) ?? [])
    }

    /// Takes a part of a list of a kind.
    package mutating func listed(page items: [JSON], isFirst: Bool, of kind: ResourceKind) -> [ObjectChange] {
        noted(mirrors[kind]?.listed(page: items, isFirst: isFirst) ?? [])
    }

    /// The pages of a list of a kind have ended.
    package mutating func listedAll(of kind: ResourceKind, at version: String, now: Duration) -> [ObjectChange] {
        noted(mirrors[kind]?.listedAll(at: version, now: now) ?? [])
    }

    private mutating func noted(_ changes: [ObjectChange]) -> [ObjectChange] {
        for change in changes { index(change, replacing: change.old) }
        return changes
    }

    /// Takes an event of a watch.
    package mutating func received(_ event: WatchEvent, of kind: ResourceKind) -> ObjectChange? {
        // The last state of what is gone may differ from the one that was seen.
        let before: JSON? = if case .deleted(let object) = event { self[kind, ObjectKey(object)] } else { nil }
        guard let change = mirrors[kind]?.received(event) else { return nil }
        index(change, replacing: before ?? change.old)
        return change
    }

    /// The server has closed a kind's watch. Nothing happens for a kind that is not mirrored any more.
    ///
    /// - Parameter hadEvents: without any the next watch waits a little.
    package mutating func ended(_ kind: ResourceKind, now: Duration, hadEvents: Bool) {
        mirrors[kind]?.ended(now: now, hadEvents: hadEvents)
    }

    /// A list or watch of a kind failed: its mirror backs off, and lists anew after 410. What it holds stays to be seen.
    package mutating func failed(_ kind: ResourceKind, _ status: APIStatus, now: Duration) { mirrors[kind]?.failed(status, now: now) }

    private mutating func index(_ change: ObjectChange, replacing before: JSON?) {
        // Not over the dictionary itself: while that is being walked, each index would be copied before it is changed.
        for id in Array(indexes.keys) { indexes[id]!.replace(change.kind, change.key, before, by: change.new) }
        let old = before?["metadata"]?["ownerReferences"]?.array ?? []
        let new = change.new?["metadata"]?["ownerReferences"]?.array ?? []
        guard !old.isEmpty || !new.isEmpty else { return }
        let item = ReconcileItem(change.kind, change.key)
        for uid in old.compactMap({ $0["uid"]?.string }) {
            owned[uid]?.remove(item)
            if owned[uid]?.isEmpty ?? false { owned[uid] = nil }
        }
        for uid in new.compactMap({ $0["uid"]?.string }) { owned[uid, default: []].insert(item) }
    }
}

/// What is computed from the objects of a view and kept up to date with each change, so that nobody has to read all of them.
package protocol ViewIndex: Sendable {
    /// An object became another: made (no old), changed, or gone (no new).
    mutating func replace(_ kind: ResourceKind, _ key: ObjectKey, _ old: JSON?, by new: JSON?)
}

extension ViewIndex {
    /// The same with every object of some kinds of a view, for a view that keeps no such index.
    package func reading(_ view: ObjectView, _ kinds: [ResourceKind]) -> Self {
        var result = self
        for kind in kinds { for object in view.all(kind) { result.replace(kind, ObjectKey(object), nil, by: object) } }
        return result
    }
}
