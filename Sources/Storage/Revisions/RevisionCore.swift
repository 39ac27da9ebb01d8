import Synchronization

/// The state of a store and how a batch of writes changes it.
///
/// Unchecked: `log`, `obsolete` and `perform` belong to the commit thread; readers use `state` only.
final class RevisionCore: @unchecked Sendable {
    struct Entry: Sendable {
        var names = OrderedNames()
        var window: EventWindow
    }

    /// What readers see; changed by the commit thread only, but for listeners.
    struct State: Sendable {
        var collections: [String: Entry] = [:]
        var revision: Int64 = 0
        /// Floor of collections that have nothing yet.
        var floor: Int64 = 0
        /// Bytes of all current values.
        var byteCount = 0
        var failure: RevisionError?
        /// By collection and number.
        var listeners: [String: [Int: Listener]] = [:]
        var listenerCount = 0
    }

    typealias Listener = @Sendable () -> Void

    typealias Answer = @Sendable (Result<Int64, any Error>) -> Void

    enum Job: Sendable {
        case write(RevisionWrite, Answer)
        case compact(Int64, Answer)
    }

    /// A row that a newer one has replaced, or a deletion.
    private struct Obsolete {
        let row: Int64
        /// Revision that made it so.
        let since: Int64
    }

    let state = Mutex(State())
    /// Nil where nothing is to outlive the process.
    private let log: RevisionLog?
    private let bytesMax: Int
    private let windowLimits: EventWindow.Limits
    private var obsolete: [Obsolete] = []

    init(_ log: RevisionLog?, bytesMax: Int, window: EventWindow.Limits) throws {
        self.log = log
        self.bytesMax = bytesMax
        windowLimits = window
        let loaded = try load()
        state.withLock { $0 = loaded }
    }

    /// Ends what goes on beside the commits and closes the log, once the commit thread has ended.
    func close() { log?.close() }

    private func load() throws -> State {
        var state = State()
        guard let log else { return state }
        let (floor, newest) = try log.floor()
        state.floor = floor
        state.revision = newest
        try log.forEach { row in
            state.revision = max(state.revision, row.revision)
            let value = row.bytes.map { RevisionedValue(name: row.name, bytes: $0, created: row.created, revision: row.revision) }
            apply(RevisionedChange(collection: row.collection, name: row.name, revision: row.revision, value: value), to: &state)
        }
        return state
    }
}

/// One change on its way into the state.
private struct RevisionedChange {
    let collection: String
    let name: String
    let revision: Int64
    let value: RevisionedValue?
}

extension RevisionCore {
    private func apply(_ change: RevisionedChange, to state: inout State) {
        var entry =
            state.collections.removeValue(forKey: change.collection) ?? Entry(window: EventWindow(floor: state.floor, limits: windowLimits))
        let previous = entry.names[change.name]
        if let previous {
            if log != nil { obsolete.append(Obsolete(row: previous.revision, since: change.revision)) }
            state.byteCount -= previous.bytes.count
        }
        if let value = change.value {
            entry.names.insert(value)
            state.byteCount += value.bytes.count
        } else {
            entry.names.remove(change.name)
            if log != nil { obsolete.append(Obsolete(row: change.revision, since: change.revision)) }
        }
        // Rows at or below the floor are states, not changes: their history is gone.
        if change.revision > state.floor {
            entry.window.append(RevisionEvent(revision: change.revision, name: change.name, value: change.value, previous: previous))
        }
        state.collections[change.collection] = entry
    }

    /// Performs a batch, on the commit thread.
    ///
    /// - Returns: what answers its jobs and wakes listeners.
    func perform(_ jobs: [Job]) -> () -> Void {
        var writes: [(RevisionWrite, Answer)] = []
        var answers: [() -> Void] = []
        for job in jobs {
            switch job {
            case .write(let write, let answer): writes.append((write, answer))
            case .compact(let revision, let answer):
                answers.append(commit(writes))
                writes = []
                let result = Result { try compact(to: revision) }
                answers.append { answer(result) }
            }
        }
        let last = commit(writes)
        if answers.isEmpty { return last }
        return {
            for answer in answers { answer() }
            last()
        }
    }

    private func commit(_ writes: [(RevisionWrite, Answer)]) -> () -> Void {
        guard !writes.isEmpty else { return {} }
        let (revision, byteCount, failure) = state.withLock { ($0.revision, $0.byteCount, $0.failure) }
        // Looked up one by one: a copy of the state would make every change below copy what it touches.
        var planned = Plan(revision: revision, byteCount: byteCount, bytesMax: bytesMax) { [self] write in
            state.withLock { $0.collections[write.collection]?.names[write.name] }
        }
        let verdicts = writes.map { write, _ in
            Result { () throws(RevisionError) in
                if let failure { throw failure }
                return try planned.add(write)
            }
        }
        do {
            if !planned.rows.isEmpty { try log?.append(planned.rows) }
        } catch {
            fail(error)
            return {
                for (verdict, (_, answer)) in zip(verdicts, writes) {
                    answer(verdict.mapError { $0 as any Error }.flatMap { _ in .failure(error) })
                }
            }
        }
        let listeners = publish(planned.rows)
        return {
            // Writers first: a thousand watches may wait for what they wrote.
            for (verdict, (_, answer)) in zip(verdicts, writes) { answer(verdict.mapError { $0 as any Error }) }
            for listener in listeners { listener() }
        }
    }

    /// After a failed sync nobody knows what is on the disk; only a full disk leaves everything as it was.
    private func fail(_ error: any Error) {
        if let error = error as? SQLiteError, error.code == .full || error.code == .tooBig { return }
        state.withLock { $0.failure = error as? RevisionError ?? .failed("\(error)") }
    }

    /// Makes rows that are on disk the state.
    ///
    /// - Returns: who is to be told.
    private func publish(_ rows: [RevisionLog.Row]) -> [Listener] {
        guard !rows.isEmpty else { return [] }
        return state.withLock { state in
            for row in rows {
                let value = row.bytes.map { RevisionedValue(name: row.name, bytes: $0, created: row.created, revision: row.revision) }
                apply(RevisionedChange(collection: row.collection, name: row.name, revision: row.revision, value: value), to: &state)
                state.revision = row.revision
            }
            return Set(rows.map(\.collection)).flatMap { state.listeners[$0].map { Array($0.values) } ?? [] }
        }
    }

    private func compact(to revision: Int64) throws -> Int64 {
        let newest = state.withLock { $0.revision }
        let floor = min(revision, newest)
        let gone = obsolete.filter { $0.since <= floor }.map(\.row)
        do {
            try log?.compact(gone, floor: floor, newest: newest)
        } catch {
            fail(error)
            throw error
        }
        obsolete.removeAll { $0.since <= floor }
        state.withLock { state in
            state.floor = max(state.floor, floor)
            for key in state.collections.keys { state.collections[key]!.window.compact(to: floor) }
        }
        return floor
    }

    /// A collection as it is, with what must be undone to see it at `revision`: the older states by name, nil for names that did not exist.
    func snapshot(_ collection: String, at revision: Int64?) throws(RevisionError) -> (
        names: OrderedNames, newest: Int64, undone: [String: RevisionedValue?]
    ) {
        let (entry, newest, floor) = state.withLock { ($0.collections[collection], $0.revision, $0.floor) }
        guard let revision else { return (entry?.names ?? OrderedNames(), newest, [:]) }
        guard revision <= newest else { throw .future(newest: newest) }
        guard let entry else {
            if revision < floor { throw .compacted(oldest: floor) }
            return (OrderedNames(), newest, [:])
        }
        guard let events = entry.window.events(after: revision) else { throw .compacted(oldest: entry.window.floor) }
        var undone: [String: RevisionedValue?] = [:]
        for event in events where undone.index(forKey: event.name) == nil { undone.updateValue(event.previous, forKey: event.name) }
        return (entry.names, newest, undone)
    }

    func events(_ collection: String, after revision: Int64, countMax: Int) throws(RevisionError) -> (ArraySlice<RevisionEvent>, Int64) {
        // Only the slice that is asked for leaves the lock.
        let (slice, floor, newest) = state.withLock { state -> (ArraySlice<RevisionEvent>?, Int64, Int64) in
            let window = state.collections[collection]?.window ?? EventWindow(floor: state.floor, limits: windowLimits)
            return (window.events(after: revision, countMax: countMax), window.floor, state.revision)
        }
        guard revision <= newest else { throw .future(newest: newest) }
        guard let slice else { throw .compacted(oldest: floor) }
        // Events up to the newest are shown only when all of them are.
        return (slice, slice.count < countMax ? newest : slice.last?.revision ?? newest)
    }
}

/// What a batch will do: later writes of the batch see the earlier ones.
private struct Plan {
    var revision: Int64
    var byteCount: Int
    let bytesMax: Int
    /// The state before the batch.
    let committed: (RevisionWrite) -> RevisionedValue?
    var rows: [RevisionLog.Row] = []
    /// States that earlier writes of the batch have made; nil inside for deleted names.
    private var changed: [String: [String: RevisionLog.Row]] = [:]

    init(revision: Int64, byteCount: Int, bytesMax: Int, committed: @escaping (RevisionWrite) -> RevisionedValue?) {
        self.revision = revision
        self.byteCount = byteCount
        self.bytesMax = bytesMax
        self.committed = committed
    }

    private func current(_ write: RevisionWrite) -> (revision: Int64, created: Int64, byteCount: Int)? {
        if let row = changed[write.collection]?[write.name] { return row.bytes.map { (row.revision, row.created, $0.count) } }
        return committed(write).map { ($0.revision, $0.created, $0.bytes.count) }
    }

    mutating func add(_ write: RevisionWrite) throws(RevisionError) -> Int64 {
        let current = current(write)
        switch (write.expectation, current) {
        case (.absent, let current?): throw .exists(revision: current.revision)
        case (.revision, nil): throw .missing
        case (.revision(let expected), let current?): if current.revision != expected { throw .changed(revision: current.revision) }
        case (.absent, nil): break
        }
        let total = byteCount - (current?.byteCount ?? 0) + (write.bytes?.count ?? 0)
        if total > bytesMax, total > byteCount { throw .full(bytesMax: bytesMax) }
        byteCount = total
        revision += 1
        let row = RevisionLog.Row(
            revision: revision, collection: write.collection, name: write.name, created: current?.created ?? revision, bytes: write.bytes)
        rows.append(row)
        changed[write.collection, default: [:]][write.name] = row
        return revision
    }
}
