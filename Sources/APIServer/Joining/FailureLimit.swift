/// How often something may fail for each of many, as an address: a burst, then one more in a while.
struct FailureLimit: Sendable {
    /// Failures in a row before the first refusal.
    let burst: Int64
    /// Seconds after which one more is allowed.
    let secondsPerFailure: Int64
    /// Names that are remembered; beyond, those that have been quiet for longest are forgotten first.
    private static let namesMax = 4096
    /// By name, when its failures will be forgotten: each failure moves it by `secondsPerFailure`.
    private var forgottenAt: [String: Int64] = [:]

    init(burst: Int64, secondsPerFailure: Int64) {
        self.burst = burst
        self.secondsPerFailure = secondsPerFailure
    }

    /// Seconds until a name may try again; 0 for now.
    func wait(_ name: String, now: Int64) -> Int64 {
        guard let until = forgottenAt[name] else { return 0 }
        return max(0, until - now - (burst - 1) * secondsPerFailure)
    }

    mutating func failed(_ name: String, now: Int64) {
        if forgottenAt.count >= Self.namesMax, forgottenAt[name] == nil { forget(now) }
        forgottenAt[name] = max(now, forgottenAt[name] ?? now) + secondsPerFailure
    }

    private mutating func forget(_ now: Int64) {
        forgottenAt = forgottenAt.filter { $0.value > now }
        guard forgottenAt.count >= Self.namesMax else { return }
        let middle = forgottenAt.values.sorted()[forgottenAt.count / 2]
        forgottenAt = forgottenAt.filter { $0.value > middle }
    }
}
