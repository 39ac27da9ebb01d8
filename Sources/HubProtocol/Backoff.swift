/// How long an edge waits before it dials again: somewhere between nothing and a ceiling that doubles with every failure (full jitter), so
/// that nodes that lost the same cloud do not come back together.
package struct Backoff: Sendable, Equatable {
    /// The ceiling after one failure.
    package var first: Duration
    /// The highest ceiling.
    package var limit: Duration
    /// The highest ceiling while the other side is out of reach: asking again costs nobody else anything, and a link that is there again is
    /// to be noticed within seconds.
    package var unreachedLimit: Duration
    /// Failures in a row.
    package private(set) var failures = 0

    /// - Precondition: `first` is positive and no longer than the limits.
    package init(first: Duration = .milliseconds(500), limit: Duration = .seconds(60), unreachedLimit: Duration = .seconds(3)) {
        precondition(first > .zero && first <= min(limit, unreachedLimit), "the first ceiling is positive and within the limits")
        self.first = first
        self.limit = limit
        self.unreachedLimit = unreachedLimit
    }

    /// A link stood.
    package mutating func succeeded() { failures = 0 }

    /// No link, or one that broke.
    ///
    /// - Parameters:
    ///   - random: any 64 bits, from outside.
    ///   - asked: the other side wants to be left alone so long; the wait is spread over the next half of that.
    ///   - isReached: the other side had been there to answer, well or not. Failures to reach it raise the ceiling to `unreachedLimit` alone.
    /// - Returns: how long to wait.
    package mutating func failed(random: UInt64, asked: Duration = .zero, isReached: Bool = true) -> Duration {
        let share = Double(random >> 11) / Double(1 << 53)
        guard isReached else {
            if failures == 0 || ceiling < unreachedLimit { failures += 1 }
            return min(ceiling, unreachedLimit) * share
        }
        failures += 1
        if asked > .zero { return asked + asked / 2 * share }
        return ceiling * share
    }

    private var ceiling: Duration {
        var ceiling = first
        for _ in 1..<max(2, min(failures, 40)) where failures > 1 && ceiling < limit { ceiling *= 2 }
        return min(ceiling, limit)
    }
}
