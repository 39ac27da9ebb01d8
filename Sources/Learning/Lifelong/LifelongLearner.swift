#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A model of some round that is still needed, with corrections for every site and person known today.
package struct RetainedModel: Sendable {
    /// The round it was trained in.
    package let round: Int
    /// As it was trained; only its adapters change later.
    package let model: BlendedModel
    /// Fitted anew each round, on this model's own margins: an old model still learns of new places.
    package internal(set) var adapters: [AdapterLayer] = []
    /// By row id, margins from parts that did not see the row, where it was trained on it; else its plain margins.
    var outOfSample: [Int: [Double]] = [:]

    /// Shape [rows, classes].
    package func margins(_ rows: LifelongSamples) throws(StageError) -> [Double] {
        try adapters.adapt(model.margins(rows.features).map(Double.init), rows)
    }

    fileprivate func knownMargins(_ rows: LifelongSamples) -> [Double] { rows.ids.flatMap { outOfSample[$0]! } }

    fileprivate mutating func remember(_ rows: LifelongSamples) {
        let unknown = rows.ids.indices.filter { outOfSample[rows.ids[$0]] == nil }
        let margins = model.margins(rows.features.rows(unknown)).map(Double.init)
        for (place, row) in unknown.enumerated() { outOfSample[rows.ids[row]] = margins.rows([place], model.classCount) }
    }
}

/// What became of a round.
package struct LifelongRound: Sendable {
    /// As given to `learn`.
    package let number: Int
    /// Labelled rows of each task so far, in order of name.
    package let tasks: [KnownTask]
    /// Task of each labelled row, in the order given.
    package let taskOfRow: [String]
    /// Nil: a model was trained. Else why not.
    package let reasonToWait: String?
    /// The gate's, in order of task; empty where nothing was trained.
    package let decisions: [GateDecision]
    /// Found by the stage; empty where nothing was trained.
    package let relations: [TaskRelation]
    /// Round of the model that serves each task.
    package let serving: [String: Int]
}

/// What a learner makes of a row before anyone labels it.
package struct Recognition: Sendable, Equatable {
    /// The known task that serves the row; nil where it belongs to none.
    package var task: String?
    /// The row is unlike those of all known places.
    package var isUnseenSample: Bool
    /// The rows that came with it from its place are, taken together, unlike every known task.
    package var isUnseenTask: Bool

    /// Made by `LifelongLearner.recognise`, task first and then marks.
    package init(task: String?, isUnseenSample: Bool, isUnseenTask: Bool) {
        (self.task, self.isUnseenSample, self.isUnseenTask) = (task, isUnseenSample, isUnseenTask)
    }

    /// Whether anything about the row is new: worth a label.
    package var isUnseen: Bool { task == nil || isUnseenSample || isUnseenTask }
}

/// Lifelong learning put together from its stages: remembers labelled rows' margins and the models that still serve, and forgets nothing
/// that the gate does not let go.
package struct LifelongLearner: Sendable {
    private let estimator: any CrossFittingEstimator
    private let stages: LifelongStages
    let classCount: Int
    /// Attribute whose words cluster the gate's evidence.
    private let clusterAttribute: String
    /// Models that serve a task, and the newest, oldest first.
    package internal(set) var models: [RetainedModel] = []
    /// Position in `models` of the one that serves each task.
    var serving: [String: Int] = [:]
    var known: [KnownTask] = []
    var knownIDs: Set<Int> = []
    /// Fitted to the places seen by the last round that named any.
    var recogniser: (any UnseenSampleRecogniser)?
    var detector: (any UnseenTaskDetector)?

    /// - Parameter clusterAttribute: rows with the same word of it are one piece of evidence to the gate.
    package init(
        _ estimator: any CrossFittingEstimator, stages: LifelongStages = LifelongStages(), classCount: Int, clusterAttribute: String
    ) {
        self.estimator = estimator
        self.stages = stages
        self.classCount = classCount
        self.clusterAttribute = clusterAttribute
    }

    /// Learns from all rows labelled so far; those it has met before keep their ids.
    ///
    /// - Parameter seen: rows of known places, labelled or not, by which later rows are recognised as unseen; nil leaves that as it was.
    /// - Throws: what the estimator throws, and `StageError` where a stage asks for an attribute that is not there.
    package mutating func learn(_ samples: LabelledSamples, seen: SeenSamples? = nil, round: Int) throws -> LifelongRound {
        if let seen {
            recogniser = try stages.unseenSampleRecognition.recogniser(of: seen)
            detector = try stages.unseenTaskDetection.detector(of: seen)
        }
        let tasks = try stages.taskDefinition.tasks(of: samples.rows)
        known = KnownTask.all(samples.rows, tasks: tasks)
        for position in models.indices { models[position].remember(samples.rows) }
        let standing = try adaptedMargins(samples)
        if let reason = stages.updateDecision.reasonToWait(situation(samples, tasks, standing)) {
            try adapt(samples)
            return report(round, tasks, reasonToWait: reason)
        }
        let fitted = try estimator.crossFit(samples.training)
        var candidate = RetainedModel(round: round, model: fitted.model)
        for (row, id) in samples.rows.ids.enumerated() { candidate.outOfSample[id] = fitted.margins.rows([row], classCount) }
        let adapted = try stages.taskAdaptation.crossFitted(margins: fitted.margins, samples: samples, classCount: classCount)
        let decisions = try decide(samples, tasks, standing: standing, candidate: adapted)
        models.append(candidate)
        for decision in decisions where decision.deploys { serving[decision.task] = models.count - 1 }
        forgetIdleModels()
        knownIDs = Set(samples.rows.ids)
        try adapt(samples)
        let relations = try stages.relationDiscovery.relations(samples, tasks: tasks, classCount: classCount)
        return report(round, tasks, decisions: decisions, relations: relations)
    }

    /// Shape [rows, classes]. Rows of no known task are served by the newest model.
    ///
    /// - Throws: `StageError`.
    package func predict(_ rows: LifelongSamples) throws -> ClassProbabilities {
        precondition(!models.isEmpty, "predict was called before any round was learned")
        let all = try models.map { try $0.margins(rows) }
        let allocated = try allocate(rows)
        let margins = allocated.enumerated().flatMap { row, task in
            stages.inferenceIntegration.integrate(
                all.map { $0.rows([row], classCount) }, serving: task.flatMap { serving[$0] } ?? models.count - 1)
        }
        return ClassProbabilities(classCount: classCount, logits: margins.map(Float.init))
    }

    /// What the serving models say of rows they were taught, each row judged by parts and corrections that did not see it: shape
    /// [rows, classes].
    ///
    /// - Parameter samples: rows of the last round learned.
    /// - Throws: `StageError`.
    package func outOfSample(_ samples: LabelledSamples) throws -> ClassProbabilities {
        let all = try adaptedMargins(samples)
        let margins = try allocate(samples.rows).enumerated().flatMap { row, task in
            stages.inferenceIntegration.integrate(
                all.map { $0.rows([row], classCount) }, serving: task.flatMap { serving[$0] } ?? models.count - 1)
        }
        return ClassProbabilities(classCount: classCount, logits: margins.map(Float.init))
    }

    /// The known task of each row; nil where it belongs to none.
    package func allocate(_ rows: LifelongSamples) throws -> [String?] {
        try stages.taskAllocation.allocate(rows, named: stages.taskDefinition.tasks(of: rows), known: known)
    }

    /// What of the rows is new. They are those that came together; each place's are taken in batches to tell an unseen task.
    ///
    /// - Parameter place: the attribute that names a row's place.
    /// - Throws: `StageError`.
    package func recognise(_ rows: LifelongSamples, place: String = "site") throws -> [Recognition] {
        var found = try allocate(rows).map { Recognition(task: $0, isUnseenSample: false, isUnseenTask: false) }
        if let recogniser, !rows.ids.isEmpty {
            for (row, score) in try recogniser.scores(rows).enumerated() { found[row].isUnseenSample = score > recogniser.threshold }
        }
        guard let detector else { return found }
        for batch in PooledDetection.batches(try rows.keys(place), rows: Self.batchRows) {
            guard try detector.score(rows.rows(batch)) > detector.threshold else { continue }
            for row in batch { found[row].isUnseenTask = true }
        }
        return found
    }

    /// Round of the model that serves each known task.
    package var servingRounds: [String: Int] { serving.mapValues { models[$0].round } }

    /// What recognises rows and finds their tasks, without any model or margin: it can no longer predict.
    package var withoutModels: LifelongLearner {
        var copy = self
        (copy.models, copy.serving, copy.knownIDs) = ([], [:], [])
        // The mean of a few rows would tell of each.
        for index in copy.known.indices where copy.known[index].sampleCount < Self.centreRowsMin {
            copy.known[index].centre = copy.known[index].centre.map { _ in .nan }
        }
        return copy
    }

    /// Rows of a task whose centre may be shown to others.
    private static let centreRowsMin = 10

    /// Rows of a place that are judged together.
    private static let batchRows = 20

    // MARK: - Steps of a round

    /// For each model its margins on the labelled rows, corrected by adapters that did not see the row's fold.
    private func adaptedMargins(_ samples: LabelledSamples) throws -> [[Double]] {
        try models.map {
            try stages.taskAdaptation.crossFitted(margins: $0.knownMargins(samples.rows), samples: samples, classCount: classCount)
        }
    }

    private func situation(_ samples: LabelledSamples, _ tasks: [String], _ standing: [[Double]]) -> UpdateSituation {
        let fresh = samples.rows.ids.indices.filter { !knownIDs.contains(samples.rows.ids[$0]) }
        guard !models.isEmpty else { return UpdateSituation(newCount: fresh.count) }
        let losses = tasks.indices.map { row in loss(standing[serving[tasks[row]] ?? models.count - 1], row, samples.labels[row]) }
        let old = samples.rows.ids.indices.filter { knownIDs.contains(samples.rows.ids[$0]) }
        return UpdateSituation(
            newCount: fresh.count, newLoss: fresh.isEmpty ? nil : mean(fresh.map { losses[$0] }), oldLoss: mean(old.map { losses[$0] }))
    }

    private func decide(
        _ samples: LabelledSamples, _ tasks: [String], standing: [[Double]], candidate: [Double]
    ) throws -> [GateDecision] {
        let clusters = try samples.rows.keys(clusterAttribute).enumerated().map { $1 ?? "row \(samples.rows.ids[$0])" }
        let members = Dictionary(grouping: tasks.indices) { tasks[$0] }
        return members.sorted { $0.key < $1.key }.map { task, rows in
            guard let position = serving[task] else {
                return GateDecision(task: task, deploys: true, reason: "a new task: nothing serves it yet", rowCount: rows.count)
            }
            let differences = rows.map { loss(candidate, $0, samples.labels[$0]) - loss(standing[position], $0, samples.labels[$0]) }
            return stages.qualityGate.decide(
                GateEvidence(task: task, differences: differences, clusters: rows.map { clusters[$0] }))
        }
    }

    private mutating func adapt(_ samples: LabelledSamples) throws {
        for position in models.indices {
            models[position].adapters = try stages.taskAdaptation.fit(
                margins: models[position].knownMargins(samples.rows), samples: samples, classCount: classCount)
        }
    }

    private mutating func forgetIdleModels() {
        let needed = Set(serving.values).union([models.count - 1]).sorted()
        serving = serving.mapValues { needed.firstIndex(of: $0)! }
        models = needed.map { models[$0] }
    }

    private func report(
        _ round: Int, _ tasks: [String], reasonToWait: String? = nil, decisions: [GateDecision] = [], relations: [TaskRelation] = []
    ) -> LifelongRound {
        LifelongRound(
            number: round, tasks: known, taskOfRow: tasks, reasonToWait: reasonToWait, decisions: decisions, relations: relations,
            serving: servingRounds)
    }

    private func loss(_ margins: [Double], _ row: Int, _ label: Int) -> Double {
        -log(max(softmax(Array(margins[row * classCount..<(row + 1) * classCount]))[label], 1e-15))
    }

    private func mean(_ values: [Double]) -> Double { values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count) }
}
