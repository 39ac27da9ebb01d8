/// How many edges are let in a second, so that a storm of them leaves room for everybody else. Pure.
package struct AdmissionGate: Sendable {
    /// Sessions a second in the long run.
    package let perSecond: Double
    /// Sessions at once after a quiet time.
    package let burst: Double
    private var tokens: Double
    private var countedAt: Duration = .zero
    /// Refused since the last quiet time: who comes next waits behind them.
    private var refused = 0.0

    /// Nobody has come yet.
    package init(perSecond: Double, burst: Double) {
        self.perSecond = perSecond
        self.burst = burst
        tokens = burst
    }

    /// An edge asks to be let in.
    ///
    /// - Returns: nil to let it in; else seconds after which it may come again, 1 to 60.
    package mutating func refuses(now: Duration) -> UInt16? {
        let passed = max(0, (now - countedAt) / .seconds(1))
        countedAt = max(now, countedAt)
        tokens = min(burst, tokens + passed * perSecond)
        refused = max(0, refused - passed * perSecond)
        guard tokens < 1 else {
            tokens -= 1
            return nil
        }
        refused += 1
        return UInt16(min(60, max(1, refused / perSecond)))
    }
}
