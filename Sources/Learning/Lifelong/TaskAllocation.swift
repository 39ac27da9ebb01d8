/// What is known of a task when a row asks to which it belongs.
package struct KnownTask: Sendable, Equatable {
    /// As the task definition gives it.
    package var name: String
    /// Labelled rows so far.
    package var sampleCount: Int
    /// Mean of every feature over the task's labelled rows; NaN where none has a value.
    package var centre: [Float]

    /// Made by the learner from all labelled rows, anew in each round.
    package init(name: String, sampleCount: Int, centre: [Float]) {
        (self.name, self.sampleCount, self.centre) = (name, sampleCount, centre)
    }
}

/// Finds the known task that serves a row.
package protocol TaskAllocation: Sendable {
    /// - Parameters:
    ///   - names: the name that the task definition gives each row.
    ///   - known: at least one, in order of name.
    /// - Returns: the name of a known task for each row; nil where none is like it, and the newest model serves.
    func allocate(_ rows: LifelongSamples, named names: [String], known: [KnownTask]) throws -> [String?]
}

/// A row belongs to the task of its own attributes, or to none. Sedna's answer to an unknown one, task 0, cost five points of accuracy.
package struct TaskAllocationByDataAttr: TaskAllocation {
    /// Without parameters, as Sedna's.
    package init() {}

    /// The row's own name where that is known, else nil.
    package func allocate(_ rows: LifelongSamples, named names: [String], known: [KnownTask]) -> [String?] {
        let known = Set(known.map(\.name))
        return names.map { known.contains($0) ? $0 : nil }
    }
}

/// As by attributes, but a row of an unknown task goes to the known one whose centre is nearest, in units of the centres' spread.
package struct TaskAllocationByNearestCentre: TaskAllocation {
    /// Without parameters.
    package init() {}

    /// Never nil while any task is known; of tasks equally near, the first in order of name.
    package func allocate(_ rows: LifelongSamples, named names: [String], known: [KnownTask]) -> [String?] {
        let exact = TaskAllocationByDataAttr().allocate(rows, named: names, known: known)
        let scales = Self.spread(of: known)
        return exact.enumerated().map { row, name in
            name ?? known.min { distance(rows.features, row, $0, scales) < distance(rows.features, row, $1, scales) }?.name
        }
    }

    /// Mean squared distance over the columns both have.
    private func distance(_ features: FeatureMatrix, _ row: Int, _ task: KnownTask, _ scales: [Float]) -> Float {
        var (sum, count) = (Float(0), Float(0))
        for column in 0..<features.columnCount {
            let step = (features.values[row * features.columnCount + column] - task.centre[column]) / scales[column]
            guard step.isFinite else { continue }
            sum += step * step
            count += 1
        }
        return count == 0 ? .infinity : sum / count
    }

    /// Standard deviation of each column over the centres; 1 where they agree.
    private static func spread(of tasks: [KnownTask]) -> [Float] {
        (tasks.first?.centre.indices ?? 0..<0).map { column in
            let values = tasks.map { $0.centre[column] }.filter { !$0.isNaN }
            let mean = values.reduce(0, +) / Float(max(values.count, 1))
            let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(max(values.count, 1))
            return variance > 0 ? variance.squareRoot() : 1
        }
    }
}

extension KnownTask {
    /// The tasks of labelled rows, in order of name.
    static func all(_ rows: LifelongSamples, tasks: [String]) -> [KnownTask] {
        Dictionary(grouping: tasks.indices) { tasks[$0] }.map { name, members in
            KnownTask(name: name, sampleCount: members.count, centre: centre(rows.features, members))
        }.sorted { $0.name < $1.name }
    }

    private static func centre(_ features: FeatureMatrix, _ members: [Int]) -> [Float] {
        (0..<features.columnCount).map { column in
            let values = members.map { features.values[$0 * features.columnCount + column] }.filter { !$0.isNaN }
            return values.isEmpty ? .nan : values.reduce(0, +) / Float(values.count)
        }
    }
}
