#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What one task's knowledge is worth in another.
package struct TaskRelation: Sendable, Equatable {
    /// The task that was learned.
    package var from: String
    /// The task whose rows were predicted.
    package var to: String
    /// Log-loss of the other task's class shares minus that of this task's model on its rows, nats a row: above 0 knowledge carries over.
    package var transfer: Double
    /// Rows it was measured on.
    package var rowCount: Int

    /// Made by a `TaskRelationDiscovery`, one for each ordered pair of tasks it looked at.
    package init(from: String, to: String, transfer: Double, rowCount: Int) {
        (self.from, self.to, self.transfer, self.rowCount) = (from, to, transfer, rowCount)
    }
}

/// Finds relations between tasks.
package protocol TaskRelationDiscovery: Sendable {
    /// - Parameter tasks: the task of each row.
    /// - Returns: in order of names.
    func relations(_ samples: LabelledSamples, tasks: [String], classCount: Int) throws -> [TaskRelation]
}

/// No relations, as Sedna's.
package struct DefaultTaskRelationDiscover: TaskRelationDiscovery {
    /// Without parameters, as Sedna's.
    package init() {}

    /// None, without looking at the rows.
    package func relations(_ samples: LabelledSamples, tasks: [String], classCount: Int) -> [TaskRelation] { [] }
}

/// Measures transfer: a model of each task alone predicts every other task's rows.
package struct TransferRelationDiscovery: TaskRelationDiscovery {
    private let estimator: any Estimator & Sendable
    /// A smaller task takes no part.
    package let rowsMin: Int
    /// Rows of a task that are looked at, evenly spread.
    package let rowsMax: Int

    /// The estimator trains one model for each task that is large enough; both bounds are checked where a job gives them.
    package init(_ estimator: any Estimator & Sendable, rowsMin: Int = 50, rowsMax: Int = 1000) {
        (self.estimator, self.rowsMin, self.rowsMax) = (estimator, rowsMin, rowsMax)
    }

    /// Pairs of tasks of at least `rowsMin` rows; one whose rows are all of one class is predicted but does not predict.
    ///
    /// - Throws: what the estimator throws.
    package func relations(_ samples: LabelledSamples, tasks: [String], classCount: Int) throws -> [TaskRelation] {
        let members = Dictionary(grouping: tasks.indices) { tasks[$0] }.filter { $0.value.count >= rowsMin }.mapValues(thinned)
        let judged = members.mapValues { samples.rows($0) }
        var relations: [TaskRelation] = []
        for (from, positions) in members.sorted(by: { $0.key < $1.key }) {
            let own = samples.rows(positions)
            guard Set(own.labels).count > 1 else { continue }
            let model = try estimator.fit(own.rows.features, labels: own.labels, classCount: classCount)
            for (to, other) in judged.sorted(by: { $0.key < $1.key }) where to != from {
                let shares = ClassShares(labels: other.labels, classCount: classCount).probabilities(rowCount: other.count)
                let found = try model.predict(other.rows.features)
                relations.append(
                    TaskRelation(
                        from: from, to: to, transfer: meanLogLoss(shares, other.labels) - meanLogLoss(found, other.labels),
                        rowCount: other.count))
            }
        }
        return relations
    }

    private func thinned(_ positions: [Int]) -> [Int] {
        guard positions.count > rowsMax else { return positions }
        return (0..<rowsMax).map { positions[$0 * positions.count / rowsMax] }
    }
}

private func meanLogLoss(_ probabilities: ClassProbabilities, _ labels: [Int]) -> Double {
    let losses = labels.indices.map { row in
        -log(Double(max(probabilities.values[row * probabilities.classCount + labels[row]], 1e-7)))
    }
    return losses.reduce(0, +) / Double(max(losses.count, 1))
}
