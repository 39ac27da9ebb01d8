#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A small correction for each known task (a site, a person): one number a class, added to a model's log-probabilities.
///
/// A task with few labels stays close to 0, and an unknown one is exactly 0: partial pooling.
package struct BiasTable: Sendable, Equatable {
    /// Numbers of one correction.
    package let classCount: Int
    /// Class corrections by task key, in natural-log units.
    package private(set) var biases: [String: [Double]] = [:]

    /// As they were fitted and saved; one number a class each.
    init(classCount: Int, biases: [String: [Double]]) {
        self.classCount = classCount
        self.biases = biases
    }

    private static let damping = 0.75

    /// Corrects nothing: no task is known.
    package init(classCount: Int) { self.classCount = classCount }

    /// Fits all tasks by damped Newton steps on the penalised log-loss, each class by its diagonal curvature.
    ///
    /// For task s and class k, repeated `steps` times: P = softmax(z + δ), δ += ¾ (Σ(y − P) − λδ) / (Σ P(1 − P) + λ).
    /// The diagonal ignores that classes compete; full steps can overshoot for ever where a task's labels agree and λ is small.
    ///
    /// - Parameters:
    ///   - logits: shape [rows, classes], log-probabilities of a model that did not see these rows' labels.
    ///   - labels: true classes, one a row.
    ///   - keys: the task of each row; nil rows are left out.
    ///   - lambda: strength of the pull to 0, in rows: a task with many more rows than this trusts its own labels.
    package init(logits: [Double], labels: [Int], keys: [String?], classCount: Int, lambda: Double, steps: Int = 15) {
        precondition(logits.count == labels.count * classCount && keys.count == labels.count, "one label, one key, classCount logits a row")
        precondition(lambda > 0, "lambda must be positive")
        self.classCount = classCount
        let tasks = Dictionary(grouping: labels.indices.filter { keys[$0] != nil }) { keys[$0]! }
        for (key, rows) in tasks {
            var bias = [Double](repeating: 0, count: classCount)
            for _ in 0..<steps {
                var gradient = bias.map { -lambda * $0 }
                var curvature = [Double](repeating: lambda, count: classCount)
                for row in rows {
                    let z = logits[row * classCount..<(row + 1) * classCount]
                    for (k, p) in softmax(zip(z, bias).map { $0 + $1 }).enumerated() {
                        gradient[k] += (labels[row] == k ? 1 : 0) - p
                        curvature[k] += p * (1 - p)
                    }
                }
                for k in 0..<classCount { bias[k] += Self.damping * gradient[k] / curvature[k] }
            }
            biases[key] = bias
        }
    }

    /// Adds each row's correction to its logits; rows without a known task stay as they are.
    package func apply(to logits: inout [Double], keys: [String?]) {
        for (row, key) in keys.enumerated() {
            guard let key, let bias = biases[key] else { continue }
            for k in 0..<classCount { logits[row * classCount + k] += bias[k] }
        }
    }
}

/// Probabilities in proportion to the exponentials.
package func softmax(_ logits: [Double]) -> [Double] {
    let top = logits.max() ?? 0
    let powers = logits.map { exp($0 - top) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
}
