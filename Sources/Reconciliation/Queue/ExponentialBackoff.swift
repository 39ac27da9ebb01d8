/// How long to wait after the n-th failure in a row: twice as long each time, up to a limit.
package struct ExponentialBackoff: Sendable, Equatable {
    /// The wait after one failure.
    package var first: Duration
    /// The longest wait, reached by doubling.
    package var limit: Duration

    /// - Precondition: `first` is positive and no longer than `limit`.
    package init(first: Duration, limit: Duration) {
        precondition(first > .zero && first <= limit, "the first wait is positive and within the limit")
        self.first = first
        self.limit = limit
    }

    /// - Parameter failures: failures in a row, from 1; fewer count as 1.
    package func wait(afterFailures failures: Int) -> Duration {
        var wait = first
        for _ in 1..<max(2, min(failures, 64)) where wait < limit { wait *= 2 }
        return failures <= 1 ? first : min(wait, limit)
    }
}
