import Resources
import Storage

/// What every cluster does by itself: deletes what belongs to a deleted owner, empties namespaces that end,
/// watches over nodes, places Pods, keeps Deployments and DaemonSets at their number, compacts the store's history.
///
/// Looks at everything again after each change and at least every `period`: a pass may be repeated or interrupted at any line.
package struct Upkeep: Sendable {
    private static let period: Duration = .seconds(30)
    /// Passes begin at most so often; changes in between are seen by the next one.
    private static let pause: Duration = .milliseconds(200)
    /// History kept for watches and paged lists.
    private static let historyKept: Duration = .seconds(300)
    private let service: ObjectService

    package init(service: ObjectService) { self.service = service }

    /// Looks at everything once. What fails, as for a full disk, is tried again by the next pass.
    package func pass() async {
        try? await GarbageCollection(service: service).pass()
        try? await NamespaceDeletion(service: service).pass()
        try? await WorkloadUpkeep(service: service).pass()
    }

    /// Runs until it is cancelled.
    package func run() async {
        var seen: Int64 = -1
        var marks: [(time: ContinuousClock.Instant, revision: Int64)] = []
        var last = ContinuousClock.now - Self.period
        while !Task.isCancelled {
            let revision = service.store.revision
            if revision != seen || last + Self.period < .now {
                last = .now
                seen = revision
                await pass()
            }
            marks.append((.now, revision))
            if let old = marks.lastIndex(where: { $0.time + Self.historyKept < .now }) {
                try? await service.store.compact(to: marks[old].revision)
                marks.removeFirst(old + 1)
            }
            if marks.count > 2, marks[marks.count - 2].time + .seconds(10) > marks[marks.count - 1].time { marks.removeLast() }
            try? await Task.sleep(for: Self.pause)
        }
    }
}
