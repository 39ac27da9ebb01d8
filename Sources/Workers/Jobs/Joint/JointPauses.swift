/// When a large model that may be away is asked again. Pure: seconds are told.
///
/// After a failure nobody asks before a pause has gone by, 1 s at first and twice as long each time. Behind it one question goes first, and the
/// others do not wait for what may still be away.
package struct JointPauses: Sendable {
    /// Longest pause, seconds.
    package static let pauseMax = 30.0
    private let patience: Double
    private var failures = 0
    private var pausedUntil = -Double.infinity
    private var failedAt = -Double.infinity

    /// - Parameter patience: seconds after which a question is given up.
    package init(patience: Double) { self.patience = patience }

    /// Whether asking is worth a try.
    package func isOpen(now: Double) -> Bool { now >= pausedUntil }

    /// Whether a question may begin; one that may is the only one until it has failed, answered or run out of patience, while nothing has been
    /// heard since a failure.
    package mutating func begins(now: Double) -> Bool {
        guard isOpen(now: now) else { return false }
        if failures > 0 { pausedUntil = now + patience }
        return true
    }

    /// A question was not answered. Questions that were on their way together fail once.
    ///
    /// - Parameter begun: when the question began.
    package mutating func failed(begun: Double, now: Double) {
        guard begun >= failedAt else { return }
        (failures, failedAt) = (failures + 1, now)
        pausedUntil = now + min(Self.pauseMax, Double(1 << min(failures - 1, 5)))
    }

    /// A question was answered.
    package mutating func answered() { (failures, pausedUntil) = (0, -.infinity) }
}
