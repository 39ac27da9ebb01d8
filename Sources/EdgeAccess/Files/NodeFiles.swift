package import Storage

/// Keeps the files of a node equal to what its objects name: brings what is missing, one after the other, and removes what nothing has named
/// for a while.
package struct NodeFiles: Sendable {
    /// What is named now.
    package struct Wanted: Sendable, Equatable {
        package let files: Set<ArtifactDigest>
        /// Another one whenever the files may be others.
        package let mark: Int64
        /// Whether the cloud is in reach: else nothing is asked for.
        package var isReachable = true

        /// - Parameter mark: of the state that the files were read from.
        package init(files: Set<ArtifactDigest>, mark: Int64) { (self.files, self.mark) = (files, mark) }
    }

    /// For so long a file stays that was written or read and is named no more.
    package static let graceSeconds: Int64 = 3600
    /// Between two looks for what may go, if nothing changes.
    private static let collectPeriod: Duration = .seconds(600)
    /// Failures after which the next file has its turn.
    package static let failuresMax = 2

    private let store: ArtifactStore
    private let fetcher: ArtifactFetcher
    private let report: @Sendable (String) -> Void

    /// - Parameters:
    ///   - fetcher: should give up after `failuresMax` failures, so that no file waits for one that cannot be had.
    ///   - report: takes lines for people.
    package init(store: ArtifactStore, fetcher: ArtifactFetcher, report: @escaping @Sendable (String) -> Void) {
        (self.store, self.fetcher, self.report) = (store, fetcher, report)
    }

    /// Runs until its task is cancelled.
    ///
    /// - Parameter next: waits until something may have changed, at most some seconds, and says what is named.
    package func run(_ next: @Sendable () async -> Wanted) async {
        var seen: Int64?
        // What the cloud refused stays refused until objects change.
        var refused: Set<ArtifactDigest> = []
        var told: Set<String> = []
        var collectAt = ContinuousClock.now
        while !Task.isCancelled {
            let wanted = await next()
            if wanted.mark != seen { refused = [] }
            let missing = wanted.isReachable ? wanted.files.subtracting(refused).filter { store.size($0) == nil } : []
            for digest in missing.sorted() where !Task.isCancelled {
                do throws(EdgeAccessError) { try await fetcher.fetch(digest) } catch {
                    if case .refused = error.code { refused.insert(digest) }
                    if error.code != .cancelled, told.insert("\(digest) \(error)").inserted { report("file \(digest): \(error)") }
                    if told.count > 1000 { told = [] }
                }
            }
            if wanted.mark != seen || ContinuousClock.now >= collectAt {
                collect(wanted.files)
                collectAt = .now + Self.collectPeriod
            }
            seen = wanted.mark
        }
    }

    private func collect(_ files: Set<ArtifactDigest>) {
        let collected = store.collect(keeping: files, graceSeconds: Self.graceSeconds)
        if collected.count > 0 { report("removed \(collected.count) files of \(collected.byteCount) bytes that nothing here names") }
    }
}
