import Learning
import Resources
import Synchronization

/// How sure a model is of what it says, watched over time: without labels, what its accuracy should be, and whether that changes.
final class QualityWatch: Sendable {
    private struct State {
        var window = ADWIN()
        var stability = PopulationStability()
        /// Changes since the version that serves took over.
        var changes = 0
        var rows = 0
    }

    private let state = Mutex(State())

    /// Another version answers from now on.
    func begin() { state.withLock { $0 = State() } }

    /// Takes answers in: the probability of the class that each row was said to be of.
    func note(_ found: ClassProbabilities) {
        guard found.classCount > 1 else { return }
        let classes = found.classCount
        note((0..<found.rowCount).map { found.values[$0 * classes..<($0 + 1) * classes].max() ?? 0 })
    }

    /// Takes the largest share of each row in.
    func note(_ first: [Float]) {
        if first.isEmpty { return }
        state.withLock { state in
            for share in first.lazy.map(Double.init) where share.isFinite {
                state.rows += 1
                // Both look at the same numbers: one mean, and one of the whole distribution. A change that both see counts once.
                let isMoved = state.window.update(share), isOther = state.stability.update(share)
                if isMoved || isOther { state.changes += 1 }
            }
        }
    }

    /// Changes since the version that serves took over.
    var changes: Int { state.withLock { $0.changes } }

    /// What reports say of it; a model that is as sure as it is right has this accuracy.
    var info: JSONObject {
        let (mean, index, changes, rows) = state.withLock { ($0.window.mean, $0.stability.index, $0.changes, $0.rows) }
        guard rows > 0 else { return [:] }
        func decimal(_ value: Double) -> JSON { .decimal("\((value * 10_000).rounded() / 10_000)") }
        return ["driftNumber": .integer(Int64(changes)), "qualityEstimate": decimal(mean), "stabilityIndex": decimal(index)]
    }
}
