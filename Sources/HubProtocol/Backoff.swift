/// How long an edge waits before it dials again: somewhere between nothing and a ceiling that doubles with every failure (full jitter), so
/// that nodes that lost the same cloud do not come back together.
package struct Backoff: Sendable, Equatable {
    /// The ceiling after one failure.
    package var first: Duration
    /// The highest ceiling.
    package var limit: Duration
    /// Failures in a row.
    package private(set) var failures = 0

    /// - Precondition: `first` is positive and no longer than `limit`.
    package init(first: Duration = .milliseconds(500), limit: Duration = .seconds(60)) {
        precondition(first > .zero && first <= limit, "the first ceiling is positive and within the limit")
        self.first = first
        self.limit = limit
    }

    /// A link stood.
    package mutating func succeeded() { failures = 0 }

    /// No link, or one that broke.
    ///
    /// - Parameters:
    ///   - random: any 64 bits, from outside.
    ///   - asked: the other side wants to be left alone so long; the wait is spread over the next half of that.
    /// - Returns: how long to wait.
    package mutating func failed(random: UInt64, asked: Duration = .zero) -> Duration {
        failures += 1
        let share = Double(random >> 11) / Double(1 << 53)
        if asked > .zero { return asked + asked / 2 * share }
        return ceiling * share
    }

    private var ceiling: Duration {
        var ceiling = first
        for _ in 1..<max(2, min(failures, 40)) where failures > 1 && ceiling < limit { ceiling *= 2 }
        return min(ceiling, limit)
    }
}
