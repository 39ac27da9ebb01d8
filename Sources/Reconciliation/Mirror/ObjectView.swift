package import Resources

/// What a reconciler sees: the mirrored objects of every kind it asked for. It may be older than what the server has, each kind by a
/// different time; a plan must therefore name the revision or uid of what it acts on, and derive the names of what it makes.
package struct ObjectView: Sendable {
    private var mirrors: [ResourceKind: ObjectMirror] = [:]
    /// By the uid of an owner: what names it in `ownerReferences`.
    private var owned: [String: Set<ReconcileItem>] = [:]

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

    /// Whether every one of the kinds has been listed once.
    package func isSynced(_ kinds: [ResourceKind]) -> Bool { kinds.allSatisfy { mirrors[$0]?.isSynced ?? false } }

    // MARK: Mirroring

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
        let before = mirrors[kind]?.shelf
        let changes = mirrors[kind]?.listed(list, now: now) ?? []
        for change in changes { index(change, replacing: before?[change.key]) }
        return changes
    }

    /// Takes an event of a watch.
    package mutating func received(_ event: WatchEvent, of kind: ResourceKind) -> ObjectChange? {
        let before: JSON? =
            switch event {
            case .added(let object), .modified(let object), .deleted(let object): self[kind, ObjectKey(object)]
            case .bookmark: nil
            }
        guard let change = mirrors[kind]?.received(event) else { return nil }
        index(change, replacing: before)
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
