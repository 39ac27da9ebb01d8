/// A rate with a burst: a token is taken now or is promised for later, never refused.
package struct TokenBucket: Sendable, Equatable {
    /// Tokens that come a second.
    package let perSecond: Double
    /// Tokens that gather at most while none is taken; so many are there at the beginning.
    package let burst: Double
    private var tokens: Double
    private var countedAt: Duration

    /// - Precondition: both are positive.
    package init(perSecond: Double, burst: Double) {
        precondition(perSecond > 0 && burst > 0, "a rate and its burst are positive")
        self.perSecond = perSecond
        self.burst = burst
        tokens = burst
        countedAt = .zero
    }

    /// Takes a token.
    ///
    /// - Parameter now: time since any fixed moment; a clock that goes back counts as one that stands.
    /// - Returns: how long to wait for it; zero while the burst lasts.
    package mutating func take(now: Duration) -> Duration {
        if now > countedAt {
            tokens = min(burst, tokens + (now - countedAt).seconds * perSecond)
            countedAt = now
        }
        tokens -= 1
        return tokens >= 0 ? .zero : .seconds(-tokens / perSecond)
    }
}

extension Duration {
    /// As a number, to a nanosecond or so.
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
