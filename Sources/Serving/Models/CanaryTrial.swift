/// What a version has answered.
package struct VersionCounts: Sendable, Equatable {
    /// Requests answered well.
    package var answered = 0
    /// Rows of those requests.
    package var rows = 0
    /// Requests that the model failed at; refused ones, which were the caller's fault, do not count.
    package var failed = 0
    /// Of those answered.
    package var latency = LatencyCounts()
    /// Answers of classes: how often each was the first.
    package var classes: [Int: Int] = [:]

    /// None yet.
    package init() {}
}

/// Whether a newer version, which answers a share of the requests, takes over. Pure: it is shown the counts.
package struct CanaryTrial: Sendable, Equatable {
    /// How a trial ends.
    package enum Verdict: Sendable, Equatable {
        case goesOn
        case takesOver
        /// The version before goes on alone; why, in a sentence.
        case rollsBack(String)
    }

    /// Share of the requests, above 0 and at most 1.
    package var share: Double
    /// Requests that the newer version must have answered.
    package var requests: Int
    /// Share of failed requests beyond the older version's, from which it is rolled back.
    package var failedShareMax = 0.01
    /// Times the older version's 99th percentile from which it is rolled back; of fewer than 500 requests, times what
    /// five of them are beyond.
    package var latencyFactorMax = 3.0
    /// Distance between how often both answer each class (half the sum of the differences), from which it is rolled back.
    package var driftMax = 0.5

    /// Traps for a share that is none.
    package init(share: Double, requests: Int) {
        precondition(share > 0 && share <= 1 && requests > 0, "a trial needs a share and some requests")
        (self.share, self.requests) = (share, requests)
    }

    /// Whether the request of this number, counted from 0, goes to the newer version: `share` of any run of them.
    package func takes(_ number: Int) -> Bool { Int(Double(number + 1) * share) > Int(Double(number) * share) }

    /// - Parameters:
    ///   - old, new: counts since the trial began.
    package func verdict(old: VersionCounts, new: VersionCounts) -> Verdict {
        let (seen, seenBefore) = (new.answered + new.failed, old.answered + old.failed)
        let (failed, failedBefore) = (Self.share(new.failed, seen), Self.share(old.failed, seenBefore))
        // A version that fails at once is not asked until the end.
        if new.failed >= 5, failed > failedBefore + max(failedShareMax, 0.2) || seen >= requests && failed > failedBefore + failedShareMax {
            return .rollsBack("it failed at \(new.failed) of \(seen) requests, the version before at \(old.failed) of \(seenBefore)")
        }
        guard seen >= requests else { return .goesOn }
        if failed > failedBefore + failedShareMax {
            return .rollsBack("it failed at \(new.failed) of \(seen) requests, the version before at \(old.failed) of \(seenBefore)")
        }
        let share = Self.slowShare(of: new.latency.count)
        if let now = new.latency.quantile(1 - share), let before = old.latency.quantile(1 - share), old.latency.count >= 50,
            Double(now) > latencyFactorMax * Double(before)
        {
            let slow = "one in \(Int((1 / share).rounded())) of its requests takes more than \(now / 1000) µs"
            return .rollsBack("\(slow), of the version before \(before / 1000); at most \(latencyFactorMax) times are allowed")
        }
        if let drift = Self.drift(old.classes, new.classes), drift > driftMax {
            return .rollsBack("it answers other classes: \((drift * 100).rounded() / 100) of them differ, at most \(driftMax) are allowed")
        }
        return .takesOver
    }

    /// Share of the requests that are called slow: a hundredth, and of few requests the five slowest and more. One or two that the
    /// machine held up say nothing of a model.
    private static func slowShare(of requests: Int) -> Double { min(0.5, max(0.01, share(5, requests))) }

    private static func share(_ part: Int, _ whole: Int) -> Double { whole > 0 ? Double(part) / Double(whole) : 0 }

    private static func drift(_ old: [Int: Int], _ new: [Int: Int]) -> Double? {
        let (before, now) = (old.values.reduce(0, +), new.values.reduce(0, +))
        guard before >= 50, now >= 50 else { return nil }
        return Set(old.keys).union(new.keys).reduce(0) {
            $0 + abs(share(old[$1] ?? 0, before) - share(new[$1] ?? 0, now)) / 2
        }
    }
}
