package import Resources

/// What waits to be told to the cloud, and in which order. Pure: what it says to keep is kept by somebody else.
///
/// More urgent topics go first, within a topic the older; of the reports about one object one is under way at a time, in their order.
package struct Outbox: Sendable {
    /// Bounds of a topic.
    package struct Limit: Sendable, Equatable {
        /// Reports.
        package var countMax: Int
        /// Bytes of their bodies.
        package var bytesMax: Int
        /// A droppable report that is older is dropped when the next one comes; 0 for no bound.
        package var ageSecondsMax: Int64
        /// At the limit the oldest reports go; otherwise the new one is refused.
        package var dropsOldest: Bool

        /// All bounds are inclusive.
        package init(countMax: Int, bytesMax: Int, ageSecondsMax: Int64 = 0, dropsOldest: Bool) {
            self.countMax = countMax
            self.bytesMax = bytesMax
            self.ageSecondsMax = ageSecondsMax
            self.dropsOldest = dropsOldest
        }
    }

    /// What a node keeps by default: 240 MB at most, in all.
    package static let defaultLimits: [Report.Topic: Limit] = [
        .status: Limit(countMax: 20_000, bytesMax: 32 << 20, dropsOldest: false),
        .result: Limit(countMax: 10_000, bytesMax: 64 << 20, dropsOldest: false),
        .event: Limit(countMax: 2_000, bytesMax: 4 << 20, ageSecondsMax: 14 * 86400, dropsOldest: true),
        .sample: Limit(countMax: 10_000, bytesMax: 128 << 20, ageSecondsMax: 30 * 86400, dropsOldest: true),
    ]

    /// How far a report is.
    package enum State: Sendable, Equatable {
        case waiting
        /// Sent over the link that stands, not answered.
        case sent
        /// Done by the cloud; it still stands over the local copy until the cloud's own state arrives.
        case done
    }

    /// A report as it stands in line; bodies of those that change a local copy are kept in memory.
    package struct Entry: Sendable, Equatable {
        /// The report; without a body where `hasBody` is false.
        package var report: Report
        /// The body is in `report`.
        package var hasBody: Bool
        /// Of the body.
        package var bytes: Int
        /// When it was made, seconds since 1970 by the edge's clock.
        package var createdSeconds: Int64
        /// How far it is.
        package var state: State
        /// Not to be sent before, by the clock that `next` is asked with.
        var notBefore: Duration = .zero

        /// As it was kept.
        package init(report: Report, hasBody: Bool, bytes: Int, createdSeconds: Int64, state: State = .waiting) {
            self.report = report
            self.hasBody = hasBody
            self.bytes = bytes
            self.createdSeconds = createdSeconds
            self.state = state
        }
    }

    private struct Line: Sendable {
        /// Ascending; those that are gone are skipped.
        var ids: [UInt64] = []
        var count = 0
        var bytes = 0
        var dropped = 0
    }

    private let limits: [Report.Topic: Limit]
    private var entries: [UInt64: Entry] = [:]
    private var lines: [Report.Topic: Line] = [:]
    /// Ascending.
    private var byRef: [ObjectRef: [UInt64]] = [:]
    private var underWay: Set<ObjectRef> = []
    /// Reports sent and not answered.
    package private(set) var sentCount = 0
    /// Bytes of them.
    package private(set) var sentBytes = 0

    /// An empty one.
    package init(limits: [Report.Topic: Limit] = Outbox.defaultLimits) { self.limits = limits }

    /// Reports in line, those done but still shown included.
    package var count: Int { entries.count }
    /// Reports that are not answered.
    package var unansweredCount: Int { entries.values.count { $0.state != .done } }
    /// Bytes of all bodies.
    package var bytes: Int { lines.values.reduce(0) { $0 + $1.bytes } }
    /// Reports of a topic that were dropped to make room.
    package func droppedCount(_ topic: Report.Topic) -> Int { lines[topic]?.dropped ?? 0 }
    /// A report in line.
    package subscript(id: UInt64) -> Entry? { entries[id] }
    /// The reports about an object, oldest first.
    package func about(_ ref: ObjectRef) -> [Entry] { (byRef[ref] ?? []).compactMap { entries[$0] } }
    /// Objects with reports.
    package var refs: [ObjectRef] { Array(byRef.keys) }

    /// Puts a report in line.
    ///
    /// - Returns: the reports that were dropped for it.
    /// - Throws: 507 when there is no room and nothing may be dropped.
    package mutating func add(_ entry: Entry, nowSeconds: Int64) throws(APIStatus) -> [UInt64] {
        let topic = entry.report.topic
        let dropped = try makeRoom(topic, bytes: entry.bytes, nowSeconds: nowSeconds)
        restore(entry)
        return dropped
    }

    /// Puts a report in line that was there before, whatever the limits.
    package mutating func restore(_ entry: Entry) {
        let id = entry.report.id
        entries[id] = entry
        byRef[entry.report.ref, default: []].append(id)
        lines[entry.report.topic, default: Line()].ids.append(id)
        lines[entry.report.topic]!.count += 1
        lines[entry.report.topic]!.bytes += entry.bytes
    }

    private mutating func makeRoom(_ topic: Report.Topic, bytes: Int, nowSeconds: Int64) throws(APIStatus) -> [UInt64] {
        let limit = limits[topic]!
        func isFull(_ line: Line) -> Bool { line.count + 1 > limit.countMax || line.bytes + bytes > limit.bytesMax }
        guard limit.dropsOldest, bytes <= limit.bytesMax else {
            if isFull(lines[topic] ?? Line()) { throw Self.full(topic, limit) }
            return []
        }
        var dropped: [UInt64] = []
        for id in lines[topic]?.ids ?? [] {
            guard let entry = entries[id], entry.state != .sent else { continue }
            let isOld = limit.ageSecondsMax > 0 && nowSeconds - entry.createdSeconds > limit.ageSecondsMax
            guard isOld || isFull(lines[topic]!) else { break }
            remove(id)
            lines[topic]!.dropped += 1
            dropped.append(id)
        }
        if isFull(lines[topic] ?? Line()) { throw Self.full(topic, limit) }
        return dropped
    }

    private static func full(_ topic: Report.Topic, _ limit: Limit) -> APIStatus {
        APIStatus(
            code: 507, reason: "InsufficientStorage",
            message:
                "the outbox is full of reports of topic \(topic): at most \(limit.countMax) of \(limit.bytesMax) bytes together are kept until the cloud is reached"
        )
    }

    /// Gives a waiting report another body; its place stays.
    package mutating func replaceBody(_ id: UInt64, _ body: [UInt8]) {
        guard let entry = entries[id] else { return }
        lines[entry.report.topic]!.bytes += body.count - entry.bytes
        entries[id]!.report.body = body
        entries[id]!.bytes = body.count
    }

    /// Takes a report out of line.
    package mutating func remove(_ id: UInt64) {
        guard let entry = entries.removeValue(forKey: id) else { return }
        release(entry)
        lines[entry.report.topic]!.count -= 1
        lines[entry.report.topic]!.bytes -= entry.bytes
        byRef[entry.report.ref]?.removeAll { $0 == id }
        if byRef[entry.report.ref]?.isEmpty ?? false { byRef[entry.report.ref] = nil }
        // What is gone is skipped; where most is gone the rest is gathered.
        let line = lines[entry.report.topic]!
        if line.ids.count > 2 * line.count + 16 { lines[entry.report.topic]!.ids = line.ids.filter { entries[$0] != nil } }
    }

    private mutating func release(_ entry: Entry) {
        guard entry.state == .sent else { return }
        sentCount -= 1
        sentBytes -= entry.bytes
        underWay.remove(entry.report.ref)
    }

    /// A report that may be sent now; nil if none may, or too much is under way.
    package func next(now: Duration) -> UInt64? {
        guard sentCount < HubLimits.reportsMax else { return nil }
        for topic in Report.Topic.allCases {
            var blocked: Set<ObjectRef> = []
            for id in lines[topic]?.ids ?? [] {
                guard let entry = entries[id], entry.state == .waiting else { continue }
                let ref = entry.report.ref
                guard !underWay.contains(ref), !blocked.contains(ref) else { continue }
                guard entry.notBefore <= now, isFirst(id, of: ref) else {
                    // Nothing about an object overtakes.
                    blocked.insert(ref)
                    continue
                }
                guard sentCount == 0 || sentBytes + entry.bytes <= HubLimits.reportBytesMax else { return nil }
                return id
            }
        }
        return nil
    }

    private func isFirst(_ id: UInt64, of ref: ObjectRef) -> Bool {
        byRef[ref]?.first { entries[$0]?.state != .done } == id
    }

    /// A report has been sent; `expected` is what the edge expects of its object's status.
    mutating func sent(_ id: UInt64, expected: UInt64) {
        guard let entry = entries[id], entry.state == .waiting else { return }
        entries[id]!.state = .sent
        entries[id]!.report.expected = expected
        sentCount += 1
        sentBytes += entry.bytes
        underWay.insert(entry.report.ref)
    }

    /// The cloud has done it; it stays in line for what it shows.
    mutating func done(_ id: UInt64) {
        guard let entry = entries[id] else { return }
        release(entry)
        entries[id]!.state = .done
    }

    /// The cloud wants it later.
    mutating func rest(_ id: UInt64, until: Duration) {
        guard let entry = entries[id] else { return }
        release(entry)
        entries[id]!.state = .waiting
        entries[id]!.notBefore = until
    }

    /// The link is gone: what was not answered is sent again over the next one.
    package mutating func reopen() {
        for (id, entry) in entries {
            if entry.state == .sent { entries[id]!.state = .waiting }
            entries[id]!.notBefore = .zero
        }
        sentCount = 0
        sentBytes = 0
        underWay = []
    }
}
