import Synchronization

/// Brings what has been committed from the write-ahead log of a store into its database, beside the commits instead of within one: a thousand
/// pages and their sync take as long as many commits.
///
/// The log begins anew once all of it has been copied and nobody writes. Under unbroken writing that moment never comes by itself: then a commit
/// copies the last few pages when the others have been.
///
/// Unchecked: `database` belongs to the thread, `askedAt` to the committing one.
final class LogCheckpoints: @unchecked Sendable {
    /// Pages between two copies beside the commits: SQLite's own measure.
    private static let step = 1000
    /// From so many pages on (16 MiB) a commit ends the log, if no more than the second number is left to copy,
    private static let longLog = 4096
    private static let restMax = 256
    /// and from so many on (64 MiB) in any case: the disk is too slow for both.
    private static let logMax = 16_384
    /// A copy is followed by others, so many at most, as long as there is more to copy: the last ones are short enough for a pause of the writers.
    private static let copiesMax = 4

    private let location: SQLiteLocation
    private var database: SQLiteDatabase?
    private var askedAt = 0
    /// Pages of the log that are in the database.
    private let copied = Atomic(0)
    private let isCopying = Atomic(false)
    private let broken = Mutex<RevisionError?>(nil)
    private let thread = Mutex<CommitThread<Void>?>(nil)

    /// - Parameter location: a file of the system's own files, whose log the committing connection watches (`SQLiteDatabase.watchLog`).
    init(_ location: SQLiteLocation) {
        self.location = location
        let thread = CommitThread<Void>(batchMax: 64) { [weak self] _ in
            self?.copy()
            return {}
        }
        self.thread.withLock { $0 = thread }
    }

    deinit { close() }

    /// Why a copy failed; nil while none has. The log still has all of it, but only an opening anew copies it from its beginning.
    var failure: RevisionError? { broken.withLock { $0 } }

    /// Ends the thread and closes its connection; blocks while it copies. Later commits are not looked after.
    func close() {
        let ended = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        ended?.close()
        if failure != nil { database?.keepLogAtClose() }
        database = nil
    }

    /// Looks at the log after a commit, on the committing thread.
    ///
    /// - Parameter committer: its connection.
    func look(_ pageCount: Int, _ committer: SQLiteDatabase) {
        if pageCount < askedAt {
            // The log has begun anew.
            askedAt = 0
            copied.store(0, ordering: .relaxed)
        }
        let rest = pageCount - copied.load(ordering: .relaxed)
        let isCopying = isCopying.load(ordering: .relaxed)
        if pageCount >= Self.logMax || (pageCount >= Self.longLog && rest <= Self.restMax && !isCopying) {
            _ = checkpoint(committer)
        } else if pageCount - askedAt >= Self.step, !isCopying {
            askedAt = pageCount
            thread.withLock { _ = $0?.add(()) }
        }
    }

    /// On the thread.
    private func copy() {
        isCopying.store(true, ordering: .relaxed)
        defer { isCopying.store(false, ordering: .relaxed) }
        if database == nil { database = try? SQLiteDatabase(location, SQLiteOptions(.readWrite)) }
        var before = -1
        for _ in 0..<Self.copiesMax {
            guard let database, let done = checkpoint(database) else { return }
            copied.store(done.copied, ordering: .relaxed)
            if done.copied == before || done.copied < done.of { return }
            before = done.copied
        }
    }

    /// Copies, unless that has failed before; a failure is remembered.
    ///
    /// What was copied is synced here and now: the commit that copies the rest would else wait for all that was copied before it.
    private func checkpoint(_ database: SQLiteDatabase) -> (copied: Int, of: Int)? {
        guard failure == nil else { return nil }
        do throws(SQLiteError) {
            guard let done = try database.checkpoint() else { return nil }
            if done.copied < done.of { try database.syncCopied() }
            return done
        } catch {
            broken.withLock { $0 = .failed("copying its log: \(error)") }
            return nil
        }
    }
}
