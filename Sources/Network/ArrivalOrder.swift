/// Who of those that stand before a server's door is let in. Pure.
///
///     arrived ─► unknown ──says who it is──► in a hurry ─► in
///                   │                 └────► patient ─► waits for a seat ─► in
///                   └─ says nothing in time ─► away
package struct ArrivalOrder {
    /// Patient connections that were let in and whose turn has not come yet, at most.
    package let seatsMax: Int
    /// How long one may stand there without saying who it is.
    package let patience: Duration
    /// Those that have not said who they are, and when each came; also some that have since, or have gone.
    private var unknown: [(guest: UInt64, since: Duration)] = []
    private var unknownHead = 0
    /// Patient ones in the order in which they said so; also some that have gone.
    private var line: [UInt64] = []
    private var lineHead = 0
    /// Everybody who stands there, and whether it is known to be patient.
    private var standing: [UInt64: Bool] = [:]
    private var seated = 0

    /// Nobody has come yet.
    package init(seatsMax: Int, patience: Duration) {
        self.seatsMax = seatsMax
        self.patience = patience
    }

    /// Those who stand there.
    package var count: Int { standing.count }
    /// Whether somebody has yet to say who it is.
    package var hasUnknown: Bool { unknownHead < unknown.count }

    /// Somebody comes, with a number of its own.
    package mutating func arrived(_ guest: UInt64, now: Duration) {
        standing[guest] = false
        unknown.append((guest, now))
    }

    /// It has said who it is.
    ///
    /// - Returns: whether it is let in at once; else `next` will name it.
    package mutating func spoke(_ guest: UInt64, isPatient: Bool) -> Bool {
        guard standing[guest] == false else { return false }
        guard isPatient else {
            standing[guest] = nil
            return true
        }
        standing[guest] = true
        line.append(guest)
        return false
    }

    /// Whether it has said that it can wait, and does so.
    package func isPatient(_ guest: UInt64) -> Bool { standing[guest] == true }

    /// It has gone by itself.
    package mutating func left(_ guest: UInt64) { standing[guest] = nil }

    /// The next who is patient, if there is a seat, which is then its own until `rose`.
    package mutating func next() -> UInt64? {
        while seated < seatsMax, lineHead < line.count {
            let guest = line[lineHead]
            lineHead += 1
            if standing.removeValue(forKey: guest) != nil {
                seated += 1
                return guest
            }
        }
        if lineHead == line.count || lineHead > 1024 {
            line.removeFirst(lineHead)
            lineHead = 0
        }
        return nil
    }

    /// One that had a seat has had its turn, or has gone.
    package mutating func rose() { seated -= 1 }

    /// The next who has said nothing for too long; it stands there no more.
    package mutating func late(now: Duration) -> UInt64? {
        while unknownHead < unknown.count {
            let (guest, since) = unknown[unknownHead]
            let isUnknown = standing[guest] == false
            if isUnknown, now - since < patience { break }
            unknownHead += 1
            if isUnknown {
                standing[guest] = nil
                return guest
            }
        }
        if unknownHead == unknown.count || unknownHead > 1024 {
            unknown.removeFirst(unknownHead)
            unknownHead = 0
        }
        return nil
    }
}
