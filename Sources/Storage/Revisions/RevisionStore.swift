import Synchronization

/// Collections of named bytes with one revision number over all of them; every state is on disk before it is seen.
///
/// Reads are served from memory and never wait for the disk. Writes of many callers share one synced transaction (group commit): the
/// commit thread takes what has gathered, checks each expectation against the state, writes the rows, and only then changes the state,
/// wakes listeners and answers. A write that cannot be kept changes nothing.
package final class RevisionStore: Sendable {
    /// Most writes in one transaction.
    private static let batchMax = 512

    /// Limits of one store, set when it opens.
    package struct Options: Sendable {
        /// Bytes of all current values together; a write beyond is refused with `.full`.
        package var bytesMax = 1 << 30
        /// Changes of one collection that are kept for watches and older lists; beyond, the oldest are forgotten. At least 1.
        package var windowCountMax = EventWindow.Limits().countMax
        /// Bytes of values in those changes; beyond, the oldest are forgotten, but for the newest change.
        package var windowBytesMax = EventWindow.Limits().bytesMax
        /// Largest size of the file in pages of 4 KiB; nil for no limit but the disk.
        package var pageCountMax: Int?
        /// Name of the file system, of those registered with SQLite, that holds the file; nil for the platform's own.
        package var fileSystem: String?
        /// Whether rows are written to a database, also one in memory; without, the state and its windows are all there is, which is enough
        /// for a mirror of what is kept elsewhere. Only for `.memory`.
        package var isLogged = true
        /// 1 GiB of values, 8,192 changes and 16 MiB of each collection, no limit of the file, the platform's file system.
        package init() {}
    }

    private let core: RevisionCore
    private let thread: CommitThread<RevisionCore.Job>
    private let lock: FileLock?

    /// Opens the store and reads all of it into memory.
    ///
    /// - Throws: `RevisionError.inUse`, `.damaged`; `SQLiteError`.
    package init(_ location: SQLiteLocation, _ options: Options = Options()) throws {
        if case .file(let path) = location { lock = try FileLock(path) } else { lock = nil }
        precondition(options.isLogged || lock == nil, "a store in a file has a log")
        let log = options.isLogged ? try RevisionLog(location, pageCountMax: options.pageCountMax, fileSystem: options.fileSystem) : nil
        let core = try RevisionCore(
            log, bytesMax: options.bytesMax, window: .init(countMax: max(1, options.windowCountMax), bytesMax: options.windowBytesMax))
        self.core = core
        thread = CommitThread(batchMax: Self.batchMax) { core.perform($0) }
    }

    deinit { close() }

    /// Finishes the writes that were accepted; later ones fail with `.closed`. Blocks until the last commit is done; others may open the
    /// store from then on.
    package func close() {
        guard thread.close() else { return }
        core.close()
        lock?.release()
    }

    /// The newest revision; 0 for an empty store.
    package var revision: Int64 { core.state.withLock { $0.revision } }

    /// Why no write is taken any more; nil while all is well.
    package var failure: RevisionError? { core.state.withLock { $0.failure } }

    /// Number of names in a collection.
    package func count(_ collection: String) -> Int { core.state.withLock { $0.collections[collection]?.names.count ?? 0 } }

    /// Names of the collections that hold something.
    package var collections: [String] {
        core.state.withLock { state in state.collections.filter { $0.value.names.count > 0 }.keys.sorted() }
    }

    /// The newest state of a name.
    package func get(_ collection: String, _ name: String) -> RevisionedValue? {
        core.state.withLock { $0.collections[collection]?.names[name] }
    }

    /// The states of a collection at one revision, in the order of their names.
    ///
    /// - Parameters:
    ///   - revision: the revision to read at; nil for the newest.
    ///   - after: begins behind this name.
    ///   - limit: most values; nil for all.
    /// - Returns: the values, the revision they are of, and whether more follow.
    /// - Throws: `.compacted` when the history needed is no longer kept, `.future`.
    package func list(
        _ collection: String, prefix: String = "", at revision: Int64? = nil, after: String? = nil, limit: Int? = nil
    ) throws(RevisionError) -> (values: [RevisionedValue], revision: Int64, hasMore: Bool) {
        let (names, newest, undone) = try core.snapshot(collection, at: revision)
        var values: [RevisionedValue] = []
        var hasMore = false
        let limit = limit ?? .max
        func add(_ value: RevisionedValue) -> Bool {
            if values.count == limit {
                hasMore = true
                return false
            }
            values.append(value)
            return true
        }
        if undone.isEmpty {
            names.forEachWhile(prefix: prefix, after: after, add)
        } else {
            // Names as they were: those changed since with their older state, those deleted since put back in their place.
            var old = OrderedNames()
            names.forEachWhile(prefix: prefix, after: after) { value in
                if undone[value.name] == nil { old.insert(value) }
                return true
            }
            for value in undone.values { if let value { old.insert(value) } }
            old.forEachWhile(prefix: prefix, after: after, add)
        }
        return (values, revision ?? newest, hasMore)
    }

    /// Changes of a collection above a revision, oldest first, at most `countMax`, and the newest revision of the store.
    ///
    /// An empty answer means that nothing has happened up to that revision.
    ///
    /// - Throws: `.compacted` when some of them are no longer kept; `.future`.
    package func events(
        _ collection: String, after revision: Int64, countMax: Int
    ) throws(RevisionError) -> (events: ArraySlice<RevisionEvent>, revision: Int64) {
        try core.events(collection, after: revision, countMax: countMax)
    }

    /// Performs one write.
    ///
    /// - Returns: its revision, once it is on disk.
    /// - Throws: `.exists`, `.missing`, `.changed`, `.full`, `.failed`, `.closed`; `SQLiteError` with code `.full` when the disk is full.
    @discardableResult
    package func write(_ write: RevisionWrite) async throws -> Int64 {
        // Unchecked: resumed by the commit thread, which answers each job once, or here.
        try await withUnsafeThrowingContinuation { continuation in
            let isTaken = thread.add(.write(write) { continuation.resume(with: $0) })
            if !isTaken { continuation.resume(throwing: RevisionError.closed) }
        }
    }

    /// Performs writes that have nothing to do with each other, in one transaction as far as it has room.
    ///
    /// - Returns: of each write, in their order, what `write` would return or throw.
    package func writeEach(_ writes: [RevisionWrite]) async -> [Result<Int64, any Error>] {
        guard !writes.isEmpty else { return [] }
        return await withCheckedContinuation { continuation in
            let answers = GatheredAnswers(count: writes.count) { continuation.resume(returning: $0) }
            let jobs = writes.enumerated().map { index, write in RevisionCore.Job.write(write) { answers.take($0, at: index) } }
            guard !thread.add(jobs) else { return }
            for index in writes.indices { answers.take(.failure(RevisionError.closed), at: index) }
        }
    }

    /// Forgets the history up to a revision: rows that newer ones replaced leave the file, older watches and lists get `.compacted`.
    package func compact(to revision: Int64) async throws {
        _ = try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Int64, any Error>) in
            let isTaken = thread.add(.compact(revision) { continuation.resume(with: $0) })
            if !isTaken { continuation.resume(throwing: RevisionError.closed) }
        }
    }

    /// Calls `listener` after every commit that changes a collection, on the commit thread, once its writers have been answered: it must be
    /// quick and must not call the store.
    ///
    /// - Returns: a number for `removeListener`.
    package func addListener(_ collection: String, _ listener: @escaping @Sendable () -> Void) -> Int {
        core.state.withLock { state in
            state.listenerCount += 1
            state.listeners[collection, default: [:]][state.listenerCount] = listener
            return state.listenerCount
        }
    }

    /// Ends the calls to a listener of a collection; a commit that is under way may still call it once. An unknown number is ignored.
    package func removeListener(_ number: Int, of collection: String) {
        core.state.withLock { state in
            state.listeners[collection]?[number] = nil
            if state.listeners[collection]?.isEmpty ?? false { state.listeners[collection] = nil }
        }
    }
}

/// The answers of several writes, handed on when the last has come.
private final class GatheredAnswers: Sendable {
    private let state: Mutex<(answers: [Result<Int64, any Error>], missing: Int)>
    private let done: @Sendable ([Result<Int64, any Error>]) -> Void

    init(count: Int, done: @escaping @Sendable ([Result<Int64, any Error>]) -> Void) {
        state = Mutex((Array(repeating: .failure(RevisionError.closed), count: count), count))
        self.done = done
    }

    /// To be called once for each.
    func take(_ answer: Result<Int64, any Error>, at index: Int) {
        let all = state.withLock { state -> [Result<Int64, any Error>]? in
            state.answers[index] = answer
            state.missing -= 1
            return state.missing == 0 ? state.answers : nil
        }
        if let all { done(all) }
    }
}
