package import HubProtocol
package import Resources

/// Every object that some node may need, and which node needs it: one for all sessions, filled by one watch a kind. Pure.
///
/// What the hub has written itself is taken from the answer, ahead of the watch; revisions then tell what is older.
package struct HubCatalog: Sendable {
    /// A node's session should look at an object again.
    package struct Mark: Sendable, Hashable {
        /// The node's name.
        package let node: String
        /// The object that it needs, or needed.
        package let ref: ObjectRef
    }

    private struct Entry: Sendable {
        let stamp: Stamp
        let bytes: [UInt8]
        let revision: UInt64
    }

    private var entries: [ObjectRef: Entry] = [:]
    /// By node: what it needs, and how many objects say so.
    private var needs: [String: [ObjectRef: Int]] = [:]
    private var needers: [ObjectRef: Set<String>] = [:]
    private var claims: [ObjectRef: NodeNeeds] = [:]
    /// By node: which certificates hold. Asked at each change of a Node, whose text need not be read again for it.
    private var identities: [String: NodeIdentityRecord] = [:]
    /// Up to where a kind's watch has told.
    private var cursors: [ResourceKind: UInt64] = [:]
    /// What the list that is under way has not held so far.
    private var unlisted: [ResourceKind: Set<ObjectRef>] = [:]
    private var listedKinds: Set<ResourceKind> = []

    /// Knows nothing yet.
    package init() {}

    /// Objects.
    package var count: Int { entries.count }
    /// Every kind has been listed once: what is not here does not exist.
    package func isComplete(_ kinds: [ResourceKind]) -> Bool { kinds.allSatisfy(listedKinds.contains) }

    // MARK: Asked by sessions

    /// Everything a node needs and that exists.
    package func wants(_ node: String) -> [(ObjectRef, Stamp)] {
        (needs[node] ?? [:]).keys.compactMap { ref in entries[ref].map { (ref, $0.stamp) } }
    }

    /// What a node needs of an object now.
    package func lookUp(_ node: String, _ ref: ObjectRef) -> HubSession.Wanted {
        guard needs[node]?[ref] != nil, let entry = entries[ref] else { return .absent }
        return .object(entry.stamp, entry.bytes)
    }

    /// Which certificates of a node hold; nil for a node that does not exist.
    package func identity(of node: String) -> NodeIdentityRecord? { identities[node] }

    // MARK: Told by the API

    /// A list of a kind begins.
    package mutating func beginList(_ kind: ResourceKind) { unlisted[kind] = Set(entries.keys.lazy.filter { $0.kind == kind }) }

    /// A page of it.
    package mutating func listed(_ kind: ResourceKind, _ items: [JSON]) -> [Mark] {
        items.flatMap { item in
            unlisted[kind]?.remove(ObjectRef(kind, ObjectKey(item)))
            return put(kind, item, Self.revision(item))
        }
    }

    /// The list has ended: what no page held is gone, unless it is newer than the list.
    package mutating func endList(_ kind: ResourceKind, resourceVersion: String) -> [Mark] {
        let revision = UInt64(resourceVersion) ?? 0
        cursors[kind] = revision
        listedKinds.insert(kind)
        var marks: [Mark] = []
        for ref in (unlisted.removeValue(forKey: kind) ?? []).sorted() where entries[ref]!.revision <= revision { marks += remove(ref) }
        return marks
    }

    /// The kind is not served, or not shown to us: it has no objects.
    package mutating func hasNone(_ kind: ResourceKind) -> [Mark] {
        beginList(kind)
        return endList(kind, resourceVersion: String(UInt64.max))
    }

    /// An event of a kind's watch.
    package mutating func received(_ kind: ResourceKind, _ event: WatchEvent) -> [Mark] {
        let revision = UInt64(event.resourceVersion) ?? 0
        cursors[kind] = max(cursors[kind] ?? 0, revision)
        switch event {
        case .added(let object), .modified(let object): return put(kind, object, revision)
        case .deleted(let object):
            let ref = ObjectRef(kind, ObjectKey(object))
            // What was made anew meanwhile stays.
            guard let entry = entries[ref], entry.revision <= revision else { return [] }
            return remove(ref)
        case .bookmark: return []
        }
    }

    /// An object as the hub's own write left it. Nothing happens if the watch has already come so far: it knows better, also of deletions.
    package mutating func wrote(_ kind: ResourceKind, _ object: JSON) -> [Mark] {
        let revision = Self.revision(object)
        guard NodeNeeds.kinds.contains(kind), revision > cursors[kind] ?? .max else { return [] }
        return put(kind, object, revision)
    }

    private static func revision(_ object: JSON) -> UInt64 { object["metadata"]?["resourceVersion"]?.string.flatMap { UInt64($0) } ?? 0 }

    // MARK: Keeping

    private mutating func put(_ kind: ResourceKind, _ object: JSON, _ revision: UInt64) -> [Mark] {
        let ref = ObjectRef(kind, ObjectKey(object))
        let old = entries[ref]
        if let old, old.revision >= revision { return [] }
        var object = object
        if object["kind"] == nil { object["kind"] = .string(kind.kind) }
        if object["apiVersion"] == nil { object["apiVersion"] = .string(kind.apiVersion) }
        let text = StampedText(object)
        entries[ref] = Entry(stamp: text.stamp, bytes: text.bytes, revision: revision)
        if kind == .node { identities[ref.key.name] = NodeIdentityRecord(object) }
        var marks = claim(ref, NodeNeeds(ref, object))
        if text.stamp != old?.stamp { for node in needers[ref] ?? [] { marks.insert(Mark(node: node, ref: ref)) } }
        return marks.sorted { ($0.node, $0.ref) < ($1.node, $1.ref) }
    }

    private mutating func remove(_ ref: ObjectRef) -> [Mark] {
        guard entries.removeValue(forKey: ref) != nil else { return [] }
        if ref.kind == .node { identities[ref.key.name] = nil }
        var marks = Set((needers[ref] ?? []).map { Mark(node: $0, ref: ref) })
        marks.formUnion(claim(ref, nil))
        return marks.sorted { ($0.node, $0.ref) < ($1.node, $1.ref) }
    }

    /// Replaces what an object makes necessary.
    private mutating func claim(_ ref: ObjectRef, _ new: NodeNeeds?) -> Set<Mark> {
        let new = new.flatMap { $0.node.isEmpty ? nil : $0 }
        let old = claims[ref]
        if old == new { return [] }
        claims[ref] = new
        var marks: Set<Mark> = []
        for need in new?.refs ?? [] {
            needs[new!.node, default: [:]][need, default: 0] += 1
            needers[need, default: []].insert(new!.node)
            marks.insert(Mark(node: new!.node, ref: need))
        }
        for need in old?.refs ?? [] {
            let left = (needs[old!.node]?[need] ?? 1) - 1
            marks.insert(Mark(node: old!.node, ref: need))
            guard left == 0 else {
                needs[old!.node]![need] = left
                continue
            }
            needs[old!.node]?[need] = nil
            if needs[old!.node]?.isEmpty ?? false { needs[old!.node] = nil }
            needers[need]?.remove(old!.node)
            if needers[need]?.isEmpty ?? false { needers[need] = nil }
        }
        return marks
    }
}
