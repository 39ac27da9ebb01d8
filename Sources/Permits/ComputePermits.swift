import CFutex
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How many runs of models compute at once on a node, over all its worker processes: permits in memory that they share by a file of the node's.
///
///     begin ── a permit is free ─────────────► computes ── end: the permit is free, who waits longest is woken
///       └─ none, or somebody waits long ─► waits ─┘ (and looks every 10 ms for permits of processes that are gone)
///
/// Without anybody who waits, a permit costs two atomic exchanges. Who comes anew may go before those who wait, which saves a change of process
/// for each run, but not before one that has waited for a millisecond.
package final class ComputePermits: @unchecked Sendable {
    /// What a permit was given for; to be given back by `end`.
    package struct Permit: Sendable {
        /// Of whoever computes.
        package let seat: Int
        /// The permit; of several, one.
        package let slot: Int
        /// Permits taken.
        package let count: Int

        /// What `begin` has given.
        package init(seat: Int, slot: Int, count: Int) { (self.seat, self.slot, self.count) = (seat, slot, count) }
    }

    /// How things stand on the node.
    package struct Use: Sendable, Equatable {
        /// Permits there are.
        package var limit: Int
        /// Permits by which something computes.
        package var busy: Int
        /// Runs that wait for one.
        package var waiting: Int
        /// Runs that have waited since the file was made.
        package var waits: Int
        /// What they have waited, together.
        package var waitedNanoseconds: UInt64
    }

    /// Permits a node can have at most.
    package static let limitMax = PermitTable.slotCount
    /// Time after which nobody who comes later goes first.
    private static let patienceNanoseconds: UInt64 = 1_000_000
    /// Between two looks for permits of processes that are gone.
    private static let lookNanoseconds: UInt64 = 10_000_000

    /// Seats of this process.
    private struct Seats {
        var own: Set<Int> = []
        var free: [Int] = []
    }

    /// The file.
    package let path: String
    private let table: PermitTable
    private let file: Int32
    private let seats = Mutex(Seats())
    /// Where the last permit was found: a process that is alone stays with one line of memory.
    private let hint = Atomic<Int>(0)

    /// For a node: makes the file, or takes the one there is, and says how many permits there are. Workers of an earlier life go on with it.
    ///
    /// - Parameter limit: 1 to `limitMax`.
    /// - Throws: naming the file.
    package convenience init(file path: String, limit: Int) throws(PermitsError) {
        precondition((1...Self.limitMax).contains(limit), "a node has 1 to \(Self.limitMax) permits")
        try self.init(path, isMade: true)
        self.limit = limit
    }

    /// For a worker: takes part in what a node has made.
    ///
    /// - Throws: naming the file.
    package convenience init(joining path: String) throws(PermitsError) { try self.init(path, isMade: false) }

    private init(_ path: String, isMade: Bool) throws(PermitsError) {
        func failure(_ words: String) -> PermitsError {
            PermitsError(
                "permits at \(path): \(words): \(String(cString: strerror(errno))); start the node's agent anew, in a folder that it may write"
            )
        }
        let opened = open(path, O_RDWR | O_CLOEXEC | (isMade ? O_CREAT : 0), 0o666)
        guard opened >= 0 else { throw failure("cannot be opened") }
        do throws(PermitsError) {
            if isMade { try Self.prepare(opened, path) }
            var facts = stat()
            guard fstat(opened, &facts) == 0, facts.st_size >= PermitTable.byteCount else {
                throw PermitsError(
                    "permits at \(path): \(facts.st_size) bytes, \(PermitTable.byteCount) expected; remove the file and start the node's agent anew"
                )
            }
            guard let table = PermitTable(file: opened) else { throw failure("cannot be mapped") }
            guard table.markWord.pointee.load(ordering: .acquiring) == PermitTable.mark,
                table.versionWord.pointee.load(ordering: .acquiring) == PermitTable.version
            else {
                table.unmap()
                throw PermitsError("permits at \(path): written by another version of this program; start the node's agent anew")
            }
            self.table = table
        } catch {
            close(opened)
            throw error
        }
        (self.path, file) = (path, opened)
    }

    deinit {
        table.unmap()
        close(file)
    }

    /// Whoever makes the file is alone for the moment.
    private static func prepare(_ file: Int32, _ path: String) throws(PermitsError) {
        guard Self.lock(file, PermitTable.seatCount, F_WRLCK, waits: true) else {
            throw PermitsError("permits at \(path): cannot be locked: \(String(cString: strerror(errno))); choose a folder on a local disk")
        }
        defer { _ = Self.lock(file, PermitTable.seatCount, F_UNLCK) }
        // Workers may be other users.
        fchmod(file, 0o666)
        var facts = stat()
        guard fstat(file, &facts) == 0 else { return }
        if facts.st_size != PermitTable.byteCount, ftruncate(file, off_t(PermitTable.byteCount)) != 0 {
            throw PermitsError("permits at \(path): \(String(cString: strerror(errno))); free space there")
        }
        guard let table = PermitTable(file: file) else { return }
        defer { table.unmap() }
        if facts.st_size == PermitTable.byteCount, table.versionWord.pointee.load(ordering: .acquiring) == PermitTable.version { return }
        table.versionWord.pointee.store(PermitTable.version, ordering: .releasing)
        table.markWord.pointee.store(PermitTable.mark, ordering: .releasing)
    }

    /// Locks or frees a byte for this opening of the file; the kernel frees it when the process ends.
    private static func lock(_ file: Int32, _ number: Int, _ type: Int32, waits: Bool = false) -> Bool {
        var wanted = flock()
        wanted.l_type = Int16(type)
        wanted.l_whence = Int16(SEEK_SET)
        wanted.l_start = off_t(PermitTable.lockBase + number)
        wanted.l_len = 1
        // F_OFD_SETLK and F_OFD_SETLKW: of the opening, not of the process, whose other openings would free them.
        while fcntl(file, waits ? 38 : 37, &wanted) != 0 { if errno != EINTR { return false } }
        return true
    }

    // MARK: - Runs

    /// Waits until a run may compute.
    ///
    /// - Parameters:
    ///   - threads: that the run uses; counted as no more permits than there are.
    ///   - nanoseconds: how long it may wait.
    /// - Returns: nil where the time is over, or 256 runs of the node compute or wait.
    package func begin(threads: Int = 1, within nanoseconds: UInt64) -> Permit? {
        guard let seat = takeSeat() else { return nil }
        let count = threads == 1 ? 1 : max(1, min(threads, limit))
        if count == 1, mayGoFirst, let slot = tryTake(seat) { return Permit(seat: seat, slot: slot, count: 1) }
        if let slot = wait(seat, count, nanoseconds) { return Permit(seat: seat, slot: slot, count: count) }
        seats.withLock { $0.free.append(seat) }
        return nil
    }

    /// Gives a permit back.
    package func end(_ permit: Permit) {
        if permit.count == 1 {
            _ = table.slot(permit.slot).pointee.exchange(0, ordering: .sequentiallyConsistent)
        } else {
            freeSlots(of: permit.seat)
        }
        if table.waiting.pointee.load(ordering: .sequentiallyConsistent) != 0 { wakeOldest() }
        seats.withLock { $0.free.append(permit.seat) }
    }

    /// How things stand; frees what processes that are gone have left.
    package var use: Use {
        freeWhatIsLeft()
        let used = usedSeats
        return Use(
            limit: limit,
            busy: (0..<Self.limitMax).count { table.slot($0).pointee.load(ordering: .relaxed) != 0 },
            waiting: (0..<used).count { table.since($0).pointee.load(ordering: .relaxed) != 0 },
            waits: Int(table.waits.pointee.load(ordering: .relaxed)),
            waitedNanoseconds: table.waitedNanoseconds.pointee.load(ordering: .relaxed))
    }

    /// Permits there are, 1 to `limitMax`. With fewer than before, runs that compute go on to their end.
    package var limit: Int {
        get { max(1, min(Int(table.limit.pointee.load(ordering: .relaxed)), Self.limitMax)) }
        set {
            table.limit.pointee.store(UInt32(max(1, min(newValue, Self.limitMax))), ordering: .sequentiallyConsistent)
            // With more than before, who waits may go on.
            for seat in 0..<usedSeats where table.since(seat).pointee.load(ordering: .sequentiallyConsistent) != 0 { wake(seat) }
        }
    }

    private var usedSeats: Int { min(Int(table.seatsUsed.pointee.load(ordering: .sequentiallyConsistent)), PermitTable.seatCount) }

    /// Whether nobody has waited long.
    private var mayGoFirst: Bool {
        if table.waiting.pointee.load(ordering: .sequentiallyConsistent) == 0 { return true }
        guard let oldest = oldest() else { return true }
        return Self.nanoseconds() < oldest.since &+ Self.patienceNanoseconds
    }

    private func tryTake(_ seat: Int) -> Int? {
        let (limit, first) = (limit, hint.load(ordering: .relaxed))
        for step in 0..<limit {
            let index = (first + step) % limit
            let slot = table.slot(index)
            guard slot.pointee.load(ordering: .relaxed) == 0 else { continue }
            let taken = slot.pointee.compareExchange(expected: 0, desired: UInt32(seat + 1), ordering: .sequentiallyConsistent)
            if taken.exchanged {
                if step > 0 { hint.store(index, ordering: .relaxed) }
                return index
            }
        }
        return nil
    }

    // MARK: - Waiting

    /// - Returns: one of the slots; nil after the time.
    private func wait(_ seat: Int, _ count: Int, _ nanoseconds: UInt64) -> Int? {
        let begin = Self.nanoseconds()
        _ = table.waiting.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        table.since(seat).pointee.store(begin, ordering: .sequentiallyConsistent)
        let slot = awaitSlots(seat, count, begin, begin &+ nanoseconds)
        table.since(seat).pointee.store(0, ordering: .sequentiallyConsistent)
        _ = table.waiting.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        _ = table.waits.pointee.wrappingAdd(1, ordering: .relaxed)
        _ = table.waitedNanoseconds.pointee.wrappingAdd(Self.nanoseconds() &- begin, ordering: .relaxed)
        // Of two that were woken at once, one may have slept on.
        if table.waiting.pointee.load(ordering: .sequentiallyConsistent) != 0 { wakeOldest() }
        return slot
    }

    private func awaitSlots(_ seat: Int, _ count: Int, _ begin: UInt64, _ deadline: UInt64) -> Int? {
        var (taken, slot, looked): (Int, Int?, UInt64) = (0, nil, begin)
        while true {
            let signal = table.signal(seat).pointee.load(ordering: .sequentiallyConsistent)
            // Who needs several collects them when it is first: two that collect would wait for each other.
            let isFirst = oldest().map { $0.seat == seat } ?? true
            if isFirst || (count == 1 && mayGoFirst) {
                while taken < min(count, limit), let found = tryTake(seat) { (taken, slot) = (taken + 1, found) }
                if taken >= min(count, limit) { return slot }
            }
            let now = Self.nanoseconds()
            guard now < deadline else {
                freeSlots(of: seat)
                return nil
            }
            if now &- looked >= Self.lookNanoseconds {
                freeWhatIsLeft()
                looked = now
                continue
            }
            skerry_futex_wait(table.address(ofSignal: seat), signal, Int64(min(deadline - now, Self.lookNanoseconds)))
        }
    }

    private func freeSlots(of seat: Int) {
        for index in 0..<Self.limitMax {
            _ = table.slot(index).pointee.compareExchange(expected: UInt32(seat + 1), desired: 0, ordering: .sequentiallyConsistent)
        }
    }

    /// Who waits longest.
    private func oldest() -> (seat: Int, since: UInt64)? {
        var found: (seat: Int, since: UInt64)?
        for seat in 0..<usedSeats {
            let since = table.since(seat).pointee.load(ordering: .sequentiallyConsistent)
            if since != 0, found.map({ since < $0.since }) ?? true { found = (seat, since) }
        }
        return found
    }

    private func wakeOldest() { if let oldest = oldest() { wake(oldest.seat) } }

    private func wake(_ seat: Int) {
        _ = table.signal(seat).pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        skerry_futex_wake(table.address(ofSignal: seat))
    }

    static func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    // MARK: - Seats

    /// A seat that this process has, or a new one.
    private func takeSeat() -> Int? {
        seats.withLock { seats in
            if let seat = seats.free.popLast() { return seat }
            for seat in 0..<PermitTable.seatCount where !seats.own.contains(seat) {
                guard Self.lock(file, seat, F_WRLCK) else { continue }
                seats.own.insert(seat)
                clear(seat)
                _ = table.seatsUsed.pointee.max(UInt32(seat + 1), ordering: .sequentiallyConsistent)
                return seat
            }
            return nil
        }
    }

    /// What a seat's last holder has left.
    private func clear(_ seat: Int) {
        freeSlots(of: seat)
        if table.since(seat).pointee.exchange(0, ordering: .sequentiallyConsistent) != 0 {
            _ = table.waiting.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        }
    }

    /// Frees permits of processes that are gone, and forgets them among those who wait.
    private func freeWhatIsLeft() {
        let isChanged = seats.withLock { seats in
            var isChanged = false
            for seat in 0..<usedSeats where !seats.own.contains(seat) && isInUse(seat) {
                // Held for the moment, so that nobody sits down meanwhile.
                guard Self.lock(file, seat, F_WRLCK) else { continue }
                clear(seat)
                isChanged = true
                _ = Self.lock(file, seat, F_UNLCK)
            }
            return isChanged
        }
        if isChanged { wakeOldest() }
    }

    private func isInUse(_ seat: Int) -> Bool {
        if table.since(seat).pointee.load(ordering: .relaxed) != 0 { return true }
        return (0..<Self.limitMax).contains { table.slot($0).pointee.load(ordering: .relaxed) == UInt32(seat + 1) }
    }
}
