/// How fast bytes may flow: a rate, and a burst after a rest. Pure: told what time it is.
package struct TokenBucket: Sendable {
    private let nanosecondsPerByte: Double
    private let burst: Duration
    /// When everything that was let through would have flowed at the rate.
    private var paidUntil: ContinuousClock.Instant?

    /// - Parameters:
    ///   - bytesPerSecond: at least 1.
    ///   - burstSeconds: how long a rest may be made up for.
    package init(bytesPerSecond: Int64, burstSeconds: Double = 0.25) {
        precondition(bytesPerSecond >= 1, "a rate of nothing would wait forever")
        nanosecondsPerByte = 1e9 / Double(bytesPerSecond)
        burst = .nanoseconds(Int64(burstSeconds * 1e9))
    }

    /// Lets bytes through.
    ///
    /// - Returns: how long to wait before the next ones.
    package mutating func take(_ byteCount: Int, now: ContinuousClock.Instant) -> Duration {
        let start = max(paidUntil ?? now - burst, now - burst)
        let end = start + .nanoseconds(Int64(Double(byteCount) * nanosecondsPerByte))
        paidUntil = end
        return end > now ? now.duration(to: end) : .zero
    }
}
