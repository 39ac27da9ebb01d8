import HubProtocol
import Resources

/// What the node's programs see: every object by a revision of this node, and the last changes, to watch from. Pure.
struct LocalView {
    /// Changes that are remembered, and bytes of their objects; up to twice as many before the older are forgotten. A watch from before them
    /// lists again, which costs a program of the node little.
    static let (eventsMax, eventBytesMax) = (512, 128 << 10)

    struct Shown {
        var revision: Int64
        var bytes: [UInt8]
    }

    private enum Change { case added, modified, deleted }

    private struct Event {
        let revision: Int64
        let ref: ObjectRef
        let change: Change
        let bytes: [UInt8]
    }

    private(set) var revision: Int64
    private var objects: [ObjectRef: Shown] = [:]
    private var events: [Event] = []
    /// Of all events.
    private var eventBytes = 0
    private var forgottenUpTo: Int64

    init(revision: Int64) {
        self.revision = revision
        forgottenUpTo = revision
    }

    /// Kinds with objects.
    var kinds: Set<ResourceKind> { Set(objects.keys.lazy.map(\.kind)) }

    /// An object is now as given; nil if it is gone.
    ///
    /// - Returns: whether that is a change.
    mutating func set(_ ref: ObjectRef, _ object: JSON?) -> Bool {
        let old = objects[ref]
        guard let object else {
            guard let old else { return false }
            objects[ref] = nil
            note(ref, .deleted, old.bytes)
            return true
        }
        // No more memory than they need: they are kept.
        let bytes = object.bytes().withUnsafeBufferPointer { Array($0) }
        if let old, old.bytes == bytes || Self.parsed(old.bytes) == object { return false }
        note(ref, old == nil ? .added : .modified, bytes)
        objects[ref] = Shown(revision: revision, bytes: bytes)
        return true
    }

    private mutating func note(_ ref: ObjectRef, _ change: Change, _ bytes: [UInt8]) {
        revision += 1
        events.append(Event(revision: revision, ref: ref, change: change, bytes: bytes))
        eventBytes += bytes.count
        if events.count > 2 * Self.eventsMax || eventBytes > 2 * Self.eventBytesMax { forget() }
    }

    /// Forgets changes until what is left is within the limits, but for the newest.
    private mutating func forget() {
        var count = 0
        while events.count - count > 1, events.count - count > Self.eventsMax || eventBytes > Self.eventBytesMax {
            eventBytes -= events[count].bytes.count
            count += 1
        }
        guard count > 0 else { return }
        forgottenUpTo = events[count - 1].revision
        events.removeFirst(count)
    }

    private static func parsed(_ bytes: [UInt8]) -> JSON {
        (try? JSONParser.parse(bytes, limits: .init(depthMax: 512, bytesMax: HubLimits.frameBytesMax))) ?? .null
    }

    private static func versioned(_ bytes: [UInt8], _ revision: Int64, _ kind: ResourceKind) -> JSON {
        var object = parsed(bytes)
        object[path: ["metadata", "resourceVersion"]] = .string(String(revision))
        if object["kind"] == nil { object["kind"] = .string(kind.kind) }
        if object["apiVersion"] == nil { object["apiVersion"] = .string(kind.apiVersion) }
        return object
    }

    subscript(ref: ObjectRef) -> JSON? { objects[ref].map { Self.versioned($0.bytes, $0.revision, ref.kind) } }

    func list(_ kind: ResourceKind, namespace: String) -> [JSON] {
        objects.keys.filter { $0.kind == kind && (namespace.isEmpty || $0.key.namespace == namespace) }.sorted().map { self[$0]! }
    }

    /// What happened to a kind behind a revision, at most `countMax` changes; and up to where that tells.
    ///
    /// - Throws: 410 for a revision that is no longer, or never was, known.
    func changes(_ kind: ResourceKind, after from: Int64, countMax: Int) throws(APIStatus) -> (events: [WatchEvent], upTo: Int64) {
        guard from >= forgottenUpTo, from <= revision else {
            throw .expired("too old resource version: \(from) (\(forgottenUpTo)); list again")
        }
        var found: [WatchEvent] = []
        // Revisions follow each other without gaps.
        for event in events.suffix(Int(revision - from)) where event.ref.kind == kind {
            let object = Self.versioned(event.bytes, event.revision, kind)
            switch event.change {
            case .added: found.append(.added(object))
            case .modified: found.append(.modified(object))
            case .deleted: found.append(.deleted(object))
            }
            if found.count == countMax { return (found, event.revision) }
        }
        return (found, revision)
    }
}
