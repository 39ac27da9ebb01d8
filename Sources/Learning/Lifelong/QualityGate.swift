#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// How a candidate did against what serves a task, on the same rows, neither having seen them.
package struct GateEvidence: Sendable {
    /// For which something serves already; a new task never comes before a gate.
    package var task: String
    /// Log-loss of the candidate minus that of the serving model, one a row, nats; below 0 the candidate is better.
    package var differences: [Double]
    /// Rows that belong together (a building's votes, say) are one piece of evidence; one cluster key a row.
    package var clusters: [String]

    /// Traps unless there is one cluster a row.
    package init(task: String, differences: [Double], clusters: [String]) {
        precondition(differences.count == clusters.count, "one cluster a row")
        (self.task, self.differences, self.clusters) = (task, differences, clusters)
    }

    /// Nats a row, each row counting alike; 0 without rows.
    package var meanDifference: Double { differences.isEmpty ? 0 : differences.reduce(0, +) / Double(differences.count) }

    /// Standard error of the mean over clusters (the sandwich for a ratio of sums), over rows where there is one cluster; nil for one row.
    package var standardError: Double? {
        let mean = meanDifference
        var deviations: [String: Double] = [:]
        for (key, difference) in zip(clusters, differences) { deviations[key, default: 0] += difference - mean }
        // Summed in order of key: a dictionary's own order would change the last bits from run to run.
        let pieces = deviations.count > 1 ? deviations.sorted { $0.key < $1.key }.map(\.value) : differences.map { $0 - mean }
        guard pieces.count > 1 else { return nil }
        let count = Double(pieces.count)
        return (pieces.reduce(0) { $0 + $1 * $1 } * count / (count - 1)).squareRoot() / Double(differences.count)
    }
}

/// What the gate says of a task, and why.
package struct GateDecision: Sendable, Equatable {
    /// Every task with labelled rows gets one decision in a round that trained.
    package var task: String
    /// Whether the new model takes over; else the serving one stays.
    package var deploys: Bool
    /// In words.
    package var reason: String
    /// Labelled rows of the task, of all rounds so far.
    package var rowCount: Int
    /// Candidate minus serving, nats a row; nil for a task that nothing served.
    package var difference: Double?
    /// Of `difference`, over clusters; nil for a new task and for a single row.
    package var standardError: Double?

    /// Made by a gate, and by the learner for a task that nothing serves.
    package init(task: String, deploys: Bool, reason: String, rowCount: Int, difference: Double? = nil, standardError: Double? = nil) {
        self.task = task
        self.deploys = deploys
        self.reason = reason
        self.rowCount = rowCount
        self.difference = difference
        self.standardError = standardError
    }
}

/// Decides task by task whether a new model takes over.
package protocol QualityGate: Sendable {
    func decide(_ evidence: GateEvidence) -> GateDecision
}

/// Deploys what is at least as good: whose log-loss is not above the serving model's by more than the noise of the comparison.
package struct AtLeastAsGoodGate: QualityGate {
    /// Standard errors by which a candidate may look worse and still pass.
    package let noise: Double
    /// A worse mean up to this passes whatever the noise, nats a row.
    package let tolerance: Double

    /// One-sided 95 % of a normal distribution.
    package static let usualNoise = 1.645

    /// A job's own numbers are checked when the stage is made: both 0...10.
    package init(noise: Double = usualNoise, tolerance: Double = 0) { (self.noise, self.tolerance) = (noise, tolerance) }

    /// Deploys up to the larger of the tolerance and the noise; a single row has no noise.
    package func decide(_ evidence: GateEvidence) -> GateDecision {
        let (difference, error) = (evidence.meanDifference, evidence.standardError)
        let allowance = max(tolerance, noise * (error ?? 0))
        let deploys = difference <= allowance
        let comparison =
            "log-loss \(difference > 0 ? "+" : "")\(rounded(difference)) on \(evidence.differences.count) rows"
            + (error.map { " (standard error \(rounded($0)))" } ?? "")
        let reason = "\(comparison): \(deploys ? "at least as good" : "worse than what serves, which stays")"
        return GateDecision(
            task: evidence.task, deploys: deploys, reason: reason, rowCount: evidence.differences.count, difference: difference,
            standardError: error)
    }

    static func make(_ parameters: StageParameters) throws(StageError) -> any QualityGate {
        AtLeastAsGoodGate(
            noise: try parameters.number("noise", default: AtLeastAsGoodGate.usualNoise, in: 0...10),
            tolerance: try parameters.number("tolerance", default: 0, in: 0...10))
    }
}

/// Deploys everything: what systems without a gate do.
package struct OpenGate: QualityGate {
    /// Without parameters.
    package init() {}

    /// Always deploys; the comparison is reported all the same.
    package func decide(_ evidence: GateEvidence) -> GateDecision {
        GateDecision(
            task: evidence.task, deploys: true, reason: "the gate is open", rowCount: evidence.differences.count,
            difference: evidence.meanDifference, standardError: evidence.standardError)
    }
}
