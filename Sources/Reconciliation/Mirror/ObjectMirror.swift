package import Resources

/// The list-and-watch of one kind, without hands: it says what to ask the server next and what its answers change.
///
///     list ──listed──► watch from its revision ──events──► … ──ended──► watch from the last revision
///       ▲                   │ 410, or the list is older than `relistAfter`
///       └──── back-off ◄────┴── any other failure
package struct ObjectMirror: Sendable {
    /// What to ask the server for.
    package enum Step: Sendable, Equatable {
        case list
        case watch(from: String)
        /// Nothing for so long.
        case wait(Duration)
    }

    /// A list is asked for anew after so long even if watches tell of every change: should a server lose an event, the error ends here.
    package static let relistAfter: Duration = .seconds(1800)
    /// What is listed and watched, in all namespaces.
    package let kind: ResourceKind
    /// What the server has told.
    package private(set) var shelf = ObjectShelf()
    /// A list has arrived, or the server has said that it has no such kind.
    package private(set) var isSynced = false
    private let backoff: ExponentialBackoff
    private let relistAfter: Duration
    private var revision: String?
    private var listedAt: Duration = .zero
    private var failures = 0
    private var retryAt: Duration = .zero
    /// What the list that is under way has not held so far; nil while none is.
    private var unlisted: Set<ObjectKey>?

    /// Holds nothing and begins with a list. `backoff` is the wait after failures in a row; `relistAfter` counts from one list to the next.
    package init(
        kind: ResourceKind, backoff: ExponentialBackoff = .init(first: .milliseconds(200), limit: .seconds(30)),
        relistAfter: Duration = ObjectMirror.relistAfter
    ) {
        self.kind = kind
        self.backoff = backoff
        self.relistAfter = relistAfter
    }

    /// What to do now. Asked whenever no request is under way.
    package func next(now: Duration) -> Step {
        if now < retryAt { return .wait(retryAt - now) }
        guard let revision, now - listedAt < relistAfter else { return .list }
        return .watch(from: revision)
    }

    /// Takes a whole list; what it does not hold is gone.
    package mutating func listed(_ list: ObjectList, now: Duration) -> [ObjectChange] {
        var changes = listed(page: list.items, isFirst: true)
        changes += listedAll(at: list.resourceVersion, now: now)
        return changes
    }

    /// Takes a part of a list, so that no more than a page of it need be in memory.
    package mutating func listed(page items: [JSON], isFirst: Bool) -> [ObjectChange] {
        if isFirst { unlisted = Set(shelf.keys) }
        var changes: [ObjectChange] = []
        for object in items {
            unlisted?.remove(ObjectKey(object))
            if let change = put(object) { changes.append(change) }
        }
        return changes
    }

    /// The pages have ended: what none of them held is gone.
    ///
    /// - Parameter version: the revision that the list shows.
    package mutating func listedAll(at version: String, now: Duration) -> [ObjectChange] {
        var changes: [ObjectChange] = []
        for key in (unlisted ?? []).sorted() { if let change = remove(key) { changes.append(change) } }
        unlisted = nil
        revision = version
        listedAt = now
        failures = 0
        isSynced = true
        return changes
    }

    /// Takes one event of a watch. An event that was taken before changes nothing.
    package mutating func received(_ event: WatchEvent) -> ObjectChange? {
        failures = 0
        if !event.resourceVersion.isEmpty { revision = event.resourceVersion }
        switch event {
        case .added(let object), .modified(let object): return put(object)
        case .deleted(let object): return remove(ObjectKey(object), last: object)
        case .bookmark: return nil
        }
    }

    /// The server has closed the stream. If it did so before the first event, the next watch waits a little.
    package mutating func ended(now: Duration, hadEvents: Bool) {
        if hadEvents {
            failures = 0
        } else {
            failures += 1
            // A quiet watch of some minutes ends like this too: the wait stays short.
            retryAt = now + backoff.first
        }
    }

    /// A request has failed.
    package mutating func failed(_ status: APIStatus, now: Duration) {
        failures += 1
        unlisted = nil
        // 410: what was to be watched from, or paged through, is no longer known.
        if status.code == 410 { revision = nil }
        // A kind that is not served, or not shown to us, has no objects that we could do anything about.
        if revision == nil, [403, 404, 405].contains(status.code) { isSynced = true }
        let asked = Duration.seconds(status.retryAfterSeconds)
        retryAt = now + (status.code == 410 && failures == 1 ? .zero : max(asked, backoff.wait(afterFailures: failures)))
    }

    private mutating func put(_ object: JSON) -> ObjectChange? {
        var object = object
        // Items of lists may lack these two.
        if object["kind"] == nil { object["kind"] = .string(kind.kind) }
        if object["apiVersion"] == nil { object["apiVersion"] = .string(kind.apiVersion) }
        object[path: ["metadata", "managedFields"]] = nil
        let key = ObjectKey(object)
        if let version = object["metadata"]?["resourceVersion"]?.string, shelf.revision(of: key) == version { return nil }
        let old = shelf[key]
        shelf[key] = object
        return ObjectChange(kind: kind, key: key, old: old, new: object)
    }

    private mutating func remove(_ key: ObjectKey, last: JSON? = nil) -> ObjectChange? {
        guard let old = shelf[key] else { return nil }
        shelf[key] = nil
        return ObjectChange(kind: kind, key: key, old: last ?? old, new: nil)
    }
}

/// An object became another: made (no old), changed, or gone (no new).
package struct ObjectChange: Sendable, Equatable {
    /// The mirror's kind.
    package let kind: ResourceKind
    /// The same before and after.
    package let key: ObjectKey
    /// The state before; of an object that is gone the last the server told of. Nil for one that is new here.
    package let old: JSON?
    /// The state now, with `apiVersion` and `kind`; nil for an object that is gone.
    package let new: JSON?

    /// Made by mirrors; one without any state is never made.
    package init(kind: ResourceKind, key: ObjectKey, old: JSON?, new: JSON?) {
        self.kind = kind
        self.key = key
        self.old = old
        self.new = new
    }

    /// The newest state, or the last.
    package var object: JSON { new ?? old ?? .null }
}
