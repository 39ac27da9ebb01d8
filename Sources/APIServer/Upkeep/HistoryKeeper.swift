package import Storage

/// Forgets the store's history some minutes after it was made: watches and paged lists may go back so far and no further.
package struct HistoryKeeper: Sendable {
    /// Between two looks.
    private static let period: Duration = .seconds(10)
    /// History kept for watches and paged lists, unless another time is set.
    package static let kept: Duration = .seconds(300)
    private let store: RevisionStore
    private let kept: Duration

    /// Nothing is forgotten before `run` is called.
    package init(_ store: RevisionStore, kept: Duration = HistoryKeeper.kept) {
        self.store = store
        self.kept = kept
    }

    /// Runs until its task is cancelled. A compaction that fails, as for a full disk, is tried again.
    package func run() async {
        var marks: [(time: ContinuousClock.Instant, revision: Int64)] = []
        while !Task.isCancelled {
            marks.append((.now, store.revision))
            if let old = marks.lastIndex(where: { $0.time + kept < .now }) {
                try? await store.compact(to: marks[old].revision)
                marks.removeFirst(old + 1)
            }
            try? await Task.sleep(for: Self.period)
        }
    }
}
