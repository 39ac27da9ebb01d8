/// The newest changes of one collection: what watches resume from and older lists are rebuilt with.
///
/// Holds so many changes and bytes of values as its limits say; beyond either the oldest go, and with them the revisions before.
struct EventWindow: Sendable {
    struct Limits: Sendable {
        var countMax = 8192
        var bytesMax = 16 << 20
    }

    private let limits: Limits
    private var events: ContiguousArray<RevisionEvent> = []
    /// Index of the oldest change that is kept; the ones before are dropped in bulk.
    private var first = 0
    private var byteCount = 0
    /// Every change above this revision is kept.
    private(set) var floor: Int64

    init(floor: Int64, limits: Limits) {
        self.floor = floor
        self.limits = limits
    }

    private static func bytes(_ event: RevisionEvent) -> Int { (event.value?.bytes.count ?? 0) + (event.previous?.bytes.count ?? 0) + 128 }

    mutating func append(_ event: RevisionEvent) {
        events.append(event)
        byteCount += Self.bytes(event)
        while events.count - first > limits.countMax || byteCount > limits.bytesMax && events.count - first > 1 { dropOldest() }
    }

    private mutating func dropOldest() {
        floor = events[first].revision
        byteCount -= Self.bytes(events[first])
        // Its values go now; its place goes in bulk.
        events[first] = RevisionEvent(revision: floor, name: "", value: nil, previous: nil)
        first += 1
        if first >= 1024, first * 2 >= events.count {
            events.removeFirst(first)
            first = 0
        }
    }

    /// Forgets the changes up to a revision.
    mutating func compact(to revision: Int64) {
        while first < events.count, events[first].revision <= revision { dropOldest() }
        floor = max(floor, revision)
    }

    /// The changes above a revision, oldest first, at most `countMax`; nil if some of them are no longer kept.
    func events(after revision: Int64, countMax: Int = .max) -> ArraySlice<RevisionEvent>? {
        guard revision >= floor else { return nil }
        var low = first
        var high = events.count
        while low < high {
            let middle = (low + high) / 2
            if events[middle].revision <= revision { low = middle + 1 } else { high = middle }
        }
        return ArraySlice(events[low..<min(events.count, low + min(countMax, events.count - low))])
    }

    /// Revision of the newest change; the floor without one.
    var newest: Int64 { events.count > first ? events[events.count - 1].revision : floor }
}
