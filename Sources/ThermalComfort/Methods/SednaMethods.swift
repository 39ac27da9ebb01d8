package import Learning

/// Sedna's task models for the ATCII example: one model for each (season, cooling type).
///
/// The rules are those of Sedna's multi_task_learning and of its task definition and allocation by data attributes: a task with at most
/// `rowsMax` labelled rows gets the global model; a task unknown at prediction gets the model of task 0, the first task ever met.
struct SednaTaskModels {
    /// Sedna's MIN_TRAIN_SAMPLE: at most this many labelled rows and a task has no model of its own.
    static let rowsMax = 10
    private static let classCount = Preference.allCases.count

    /// Task keys in order of first appearance; the first is task 0.
    private(set) var order: [String] = []
    private var models: [String: any Predictor] = [:]

    static func keys(_ rows: ComfortRows) -> [String] { zip(rows.seasons, rows.coolingTypes).map { "\($0)|\($1)" } }

    /// Trains a model for each task of the rows, in the rows' order, and puts it in place of an older one of the same name.
    ///
    /// - Parameter global: the model of small tasks; asked for at most once.
    mutating func replace(_ material: LabelledComfortRows, _ estimator: any Estimator, global: () throws -> any Predictor) throws {
        let keys = Self.keys(material.rows)
        let members = Dictionary(grouping: keys.indices) { keys[$0] }
        var shared: (any Predictor)?
        for key in members.keys.sorted(by: { members[$0]![0] < members[$1]![0] }) {
            if models[key] == nil { order.append(key) }
            if members[key]!.count > Self.rowsMax {
                models[key] = try Self.fit(material.rows(members[key]!), estimator)
            } else {
                shared = try shared ?? global()
                models[key] = shared
            }
        }
    }

    /// A task whose labels agree has nothing to boost; it names the one class it knows, as an ensemble of its rows would.
    private static func fit(_ material: LabelledComfortRows, _ estimator: any Estimator) throws -> any Predictor {
        guard material.obstacle == nil else { return ClassShares(labels: material.labels, classCount: classCount) }
        return try estimator.fit(material.rows.features(.base), labels: material.labels, classCount: classCount)
    }

    /// Shape [rows, classes]; rows of a task without a model are predicted by task 0.
    func predict(_ rows: ComfortRows) throws -> ClassProbabilities {
        precondition(!order.isEmpty, "predict was called before any round was learned")
        let keys = Self.keys(rows).map { models[$0] == nil ? order[0] : $0 }
        var values = [Float](repeating: 0, count: rows.count * Self.classCount)
        for (key, positions) in Dictionary(grouping: keys.indices, by: { keys[$0] }) {
            let found = try models[key]!.predict(rows.rows(positions).features(.base)).values
            for (row, position) in positions.enumerated() {
                for k in 0..<Self.classCount { values[position * Self.classCount + k] = found[row * Self.classCount + k] }
            }
        }
        return ClassProbabilities(classCount: Self.classCount, values: values)
    }
}

/// Baseline (b): Sedna's multi-task learning on all labels so far.
package struct SednaMultiTaskMethod: LifelongMethod {
    /// As in `results.json`.
    package let name = "sedna_multitask"
    private let estimator: any Estimator
    private var tasks = SednaTaskModels()

    /// The same estimator makes every task's model and the global one.
    package init(_ estimator: any Estimator) { self.estimator = estimator }

    /// Starts from nothing in each round: models of tasks that have at most 10 rows are the global one.
    ///
    /// - Throws: what the estimator throws.
    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        let material = round.labelledSoFar
        var fresh = SednaTaskModels()
        try fresh.replace(material, estimator) {
            try estimator.fit(material.rows.features(.base), labels: material.labels, classCount: Preference.allCases.count)
        }
        tasks = fresh
        return .updated(records: material.rows.recordIDs)
    }

    /// By the model of the row's season and cooling; of an unknown task, by that of task 0.
    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities { try tasks.predict(rows) }
}

/// Baseline (c0): Sedna's lifelong update to the letter: each round trains the tasks of its own rows alone, which then replace the same-named
/// tasks of the knowledge base.
package struct SednaLifelongMethod: LifelongMethod {
    /// As in `results.json`.
    package let name = "sedna_lifelong"
    private let estimator: any Estimator
    private var tasks = SednaTaskModels()

    /// The same estimator makes every task's model and that of small tasks.
    package init(_ estimator: any Estimator) { self.estimator = estimator }

    /// Replaces the models of the round's tasks and leaves those of others; keeps all where the round's labels have fewer than two
    /// classes.
    ///
    /// - Throws: what the estimator throws.
    package mutating func learn(_ round: ComfortRound) throws -> RoundOutcome {
        let material = round.labelled
        if let obstacle = material.obstacle { return .kept(reason: "round \(round.number): \(obstacle)") }
        let estimator = estimator
        try tasks.replace(material, estimator) {
            try estimator.fit(material.rows.features(.base), labels: material.labels, classCount: Preference.allCases.count)
        }
        return .updated(records: material.rows.recordIDs)
    }

    /// As `SednaMultiTaskMethod`; task 0 is the first task of the first round.
    package func predict(_ rows: ComfortRows) throws -> ClassProbabilities { try tasks.predict(rows) }
}
