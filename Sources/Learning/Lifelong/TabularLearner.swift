/// Lifelong learning from tables of any job: numbers and words in, classes out.
///
/// A value that can be written after a round and read before the next; the rows it learned from go with it, or stay where they are and are
/// given again.
package struct TabularLearner: Sendable {
    /// What a job chooses.
    package struct Settings: Sendable {
        /// What the columns are.
        package var roles: TabularRoles
        /// Stages other than `TabularLearner.stages(_:)`, as `quality_gate=Open`.
        package var stages: [String] = []
        /// What `stages` may name.
        package var catalog = StageCatalog()
        /// Whether rows go into the state. Else the state holds only their names, and each round is given all rows that are to count.
        package var keepsRows = true
        /// Makes the way of learning for a table's inputs and classes.
        package var estimator: @Sendable (TabularSchema) throws -> any CrossFittingEstimator

        /// The rest is set afterwards.
        package init(roles: TabularRoles, estimator: @escaping @Sendable (TabularSchema) throws -> any CrossFittingEstimator) {
            (self.roles, self.estimator) = (roles, estimator)
        }
    }

    /// What a round met and made.
    package struct Round: Sendable {
        /// The engine's report.
        package var lifelong: LifelongRound
        /// Names of the labelled rows, in the order of `lifelong.taskOfRow`.
        package var labelledIDs: [Int]
        /// Of them, those that no earlier round had with a label.
        package var newIDs: Set<Int>
        /// The serving models on the labelled rows, each row judged by parts that did not see it.
        package var outOfSample: ClassificationMetrics
        /// The same answers by task.
        package var tasksOutOfSample: [String: HitCount]
        /// The same answers by the round in which a row first had a label; rows that a state of an older program knew have none.
        package var roundsOutOfSample: [Int: HitCount]
        /// What served before the round, on the rows that first had a label in it; nil where nothing served, or no row is new.
        package var standing: HitCount?
        /// What the most frequent class of the rounds before is worth on the rows that first had a label in this; nil as `standing`.
        package var majority: Double?
        /// Rows without a label.
        package var unlabelledCount: Int
        /// Rows of earlier rounds that were neither kept nor given again.
        package var absentCount: Int
        /// The unlabelled rows that are worth a label, with what was made of them before the round; empty in the first.
        package var unseen: [(id: Int, recognition: Recognition)]
    }

    /// Fixed by the first round.
    package let schema: TabularSchema
    /// Number of the round that comes next, from 0.
    package private(set) var nextRound = 0
    private var learner: LifelongLearner
    private var memory: RowMemory
    /// Rows of the job that this one goes on from; none where it began by itself.
    private var taken: RowMemory
    /// By name, the round in which each row first had a label; −1 where a state of an older program does not say.
    private var labelledIn: [Int: Int] = [:]

    /// Looks at the first round's table, without learning from it.
    ///
    /// - Throws: `TableError`, `StageError`, what making the estimator throws.
    package init(first table: TextTable, _ settings: Settings) throws {
        let schema = try TabularSchema(table, roles: settings.roles)
        self.schema = schema
        memory = RowMemory(schema, keepsRows: settings.keepsRows)
        taken = RowMemory(schema, keepsRows: true)
        learner = LifelongLearner(
            try settings.estimator(schema), stages: try Self.stages(schema, settings), classCount: schema.classNames.count,
            clusterAttribute: TabularSchema.groupAttribute)
    }

    /// What each stage is unless a job says otherwise: tasks by the task columns, corrections for sites and persons where the table names
    /// them, and of known rows no more than sums for telling unseen ones.
    package static func stages(_ schema: TabularSchema) -> LifelongStages {
        let roles = schema.roles
        var stages = LifelongStages()
        stages.taskDefinition = roles.tasks.isEmpty ? SingleTaskDefinition() : TaskDefinitionByDataAttr(attributes: roles.tasks)
        stages.unseenSampleRecognition = EnvelopeRecognition(attributes: roles.tasks)
        stages.unseenTaskDetection = AttributeFilterDetection(attributes: roles.tasks)
        var layers: [PartialPoolingAdaptation.Layer] = []
        if roles.site != nil { layers.append(.init("site", lambda: 50)) }
        if roles.person != nil { layers.append(.init("person", lambda: 2)) }
        stages.taskAdaptation = layers.isEmpty ? NoAdaptation() : PartialPoolingAdaptation(layers: layers)
        return stages
    }

    private static func stages(_ schema: TabularSchema, _ settings: Settings) throws(StageError) -> LifelongStages {
        var stages = stages(schema)
        for text in settings.stages { try settings.catalog.place(text, in: &stages) }
        return stages
    }

    /// Models that serve a task, and the newest, oldest first.
    package var models: [RetainedModel] { learner.models }
    /// Round of the model that serves each task.
    package var serving: [String: Int] { learner.servingRounds }
    /// Rows learned from so far, labelled or not.
    package var rowCount: Int { taken.joined(memory).ids.count }

    // MARK: - Learning

    /// Learns from a table: new rows, or the grown table with the earlier ones in it. Those met before keep their names; a label that comes
    /// later, or is corrected, counts.
    ///
    /// - Throws: `TableError` for a table that does not fit the first round's, or for rows of fewer than two classes; what the estimator
    ///   and the stages throw. The learner is then as it was.
    package mutating func learn(_ table: TextTable, round: Int? = nil) throws -> Round {
        var next = self
        let result = try next.learnHere(table, round: round ?? nextRound)
        self = next
        return result
    }

    private mutating func learnHere(_ table: TextTable, round: Int) throws -> Round {
        let known = Set(taken.ids + memory.ids)
        let given = try table.selecting(schema.neededColumns)
        // Looked at before they are among the others, so that a message names the file they came in.
        _ = try (schema.labels(given), schema.features(given))
        let absent = try memory.merge(given, schema)
        let (all, names) = taken.joined(memory)
        let labels = try schema.labels(all)
        let samples = try schema.samples(all, ids: names)
        let labelled = labels.indices.filter { labels[$0] != nil }
        let material = try material(samples.rows(labelled), labelled.map { labels[$0]! }, source: table.source)
        let fresh = labels.indices.filter { labels[$0] == nil && !known.contains(names[$0]) }
        var unseen: [(id: Int, recognition: Recognition)] = []
        if !learner.models.isEmpty, !fresh.isEmpty {
            let recognitions = try learner.recognise(samples.rows(fresh))
            unseen = zip(fresh, recognitions).filter { $1.isUnseen }.map { (names[$0], $1) }
        }
        let labelledNames = labelled.map { names[$0] }
        let newIDs = Set(labelledNames.filter { labelledIn[$0] == nil })
        let standing = try standing(on: material, newIDs)
        let half = samples.count / 2
        let seen = SeenSamples(rows: samples, isLater: (0..<samples.count).map { $0 >= half })
        let report = try learner.learn(material, seen: seen, round: round)
        labelledIn = Dictionary(uniqueKeysWithValues: labelledNames.map { ($0, labelledIn[$0] ?? round) })
        nextRound = round + 1
        memory.close()
        let answers = try learner.outOfSample(material)
        let rounds = labelledNames.map { labelledIn[$0]! }
        return Round(
            lifelong: report, labelledIDs: labelledNames, newIDs: newIDs,
            outOfSample: ClassificationMetrics(answers, truth: material.labels),
            tasksOutOfSample: HitCount.counts(answers, truth: material.labels, by: report.taskOfRow),
            roundsOutOfSample: HitCount.counts(answers, truth: material.labels, by: rounds.map { $0 < 0 ? nil : $0 }), standing: standing,
            majority: HitCount.majority(truth: material.labels, rounds: rounds, of: round), unlabelledCount: labels.count - labelled.count,
            absentCount: absent, unseen: unseen)
    }

    /// Goes on as another job than the one that wrote the state: the rows in it stay for good, beside those of this job's own rounds, and
    /// their names are no names of this job's rows any more.
    ///
    /// - Parameters:
    ///   - keepsRows: as in `Settings`, for this job's own rows.
    ///   - source: the state's file, for messages.
    /// - Throws: `TableError` where the state holds no rows: without them its tasks and sites would be forgotten.
    package mutating func takeOver(keepsRows: Bool, source: String) throws(TableError) {
        (taken, memory) = try taken.takenOver(memory, schema, keepsRows: keepsRows, source: source)
        let names = Set(taken.ids)
        labelledIn = labelledIn.filter { names.contains($0.key) }
    }

    /// From the next round on, which must be given all rows, the state holds them.
    package mutating func keepRows() { memory.keep() }

    /// What serves now, on rows that it has not met with a label.
    private func standing(on material: LabelledSamples, _ newIDs: Set<Int>) throws -> HitCount? {
        let fresh = material.rows.ids.indices.filter { newIDs.contains(material.rows.ids[$0]) }
        guard !learner.models.isEmpty, !fresh.isEmpty else { return nil }
        let answers = try learner.predict(material.rows.rows(fresh))
        return HitCount.counts(answers, truth: fresh.map { material.labels[$0] }, by: fresh.map { _ in 0 })[0]
    }

    /// Labelled rows whose folds each leave at least two classes outside, so that every part can be trained.
    private func material(_ rows: LifelongSamples, _ labels: [Int], source: String) throws(TableError) -> LabelledSamples {
        let counts = classCounts(labels, classCount: schema.classNames.count)
        guard counts.count(where: { $0 >= 2 }) >= 2 else {
            let told = zip(schema.classNames, counts).filter { $1 > 0 }.prefix(5).map { "\($1) \"\($0.prefix(40))\"" }.joined(
                separator: ", ")
            throw TableError(
                labels.isEmpty ? .noLabels : .oneClass,
                "\(source), column \"\(schema.roles.label)\": \(labels.count) labelled rows\(told.isEmpty ? "" : " (\(told))");"
                    + " at least two rows of each of two classes are needed, label more")
        }
        var rows = rows
        if !Self.canTrain(rows.folds, labels) {
            guard schema.roles.group == nil else {
                throw TableError(
                    .oneClass,
                    "\(source), column \"\(schema.roles.group!)\": its groups cannot be divided so that two classes are left to learn from;"
                        + " label rows of more groups")
            }
            rows = LifelongSamples(ids: rows.ids, features: rows.features, attributes: rows.attributes, folds: Self.stratified(labels))
        }
        return LabelledSamples(rows: rows, labels: labels, auxiliary: [Float](repeating: .nan, count: labels.count))
    }

    private static func canTrain(_ folds: [Int], _ labels: [Int]) -> Bool {
        let all = Set(folds)
        return all.count > 1 && all.allSatisfy { fold in Set(labels.indices.filter { folds[$0] != fold }.map { labels[$0] }).count > 1 }
    }

    /// Folds that divide every class evenly.
    private static func stratified(_ labels: [Int]) -> [Int] {
        var folds = [Int](repeating: 0, count: labels.count)
        let order = labels.indices.sorted { (labels[$0], $0) < (labels[$1], $1) }
        var place = 0, last: Int?
        for row in order {
            if labels[row] != last { (place, last) = (0, labels[row]) }
            folds[row] = place % PartialPooling.foldCount
            place += 1
        }
        return folds
    }

    // MARK: - Asking

    /// Shape [rows, classes]: by the models that serve each row's task, corrected for its site and person.
    ///
    /// - Throws: `TableError`, `StageError`.
    package func predict(_ table: TextTable) throws -> ClassProbabilities { try learner.predict(try samples(table)) }

    /// The known task of each row; nil where it belongs to none.
    ///
    /// - Throws: as `predict`.
    package func allocate(_ table: TextTable) throws -> [String?] { try learner.allocate(try samples(table)) }

    /// What of the rows is new; they are those that came together.
    ///
    /// - Throws: as `predict`.
    package func recognise(_ table: TextTable) throws -> [Recognition] { try learner.recognise(try samples(table)) }

    /// The rows need no label column to be asked about.
    private func samples(_ table: TextTable) throws -> LifelongSamples {
        try schema.samples(table, ids: Array(0..<table.count))
    }
}

// MARK: - State

extension TabularLearner {
    private static let mark: UInt32 = 0x544c_4b53
    /// 2: the round of each labelled row. 3: rows of the job that this one goes on from, where there are any.
    private static let version: UInt16 = 3

    /// All that the next round and predictions need; equal learners give equal bytes.
    ///
    /// - Parameter hasModels: false leaves out models, rows and margins: what is left recognises rows and finds their tasks, and holds
    ///   nobody's row (with the stages of `stages(_:)`).
    /// - Throws: `StateError.unsavable`.
    package func state(hasModels: Bool = true) throws(StateError) -> [UInt8] {
        var writer = StateWriter()
        writer.write(Self.mark)
        // A program of before reads what it can.
        writer.write(taken.ids.isEmpty || !hasModels ? Self.version - 1 : Self.version)
        writer.write(hasModels)
        schema.write(to: &writer)
        writer.write(Int64(nextRound))
        (hasModels ? memory : RowMemory(schema, keepsRows: memory.keepsRows)).write(to: &writer)
        if hasModels, !taken.ids.isEmpty { taken.write(to: &writer) }
        let labelled = hasModels ? labelledIn.sorted { $0.key < $1.key } : []
        writer.write(count: labelled.count)
        for (id, round) in labelled {
            writer.write(Int64(id))
            writer.write(Int64(round))
        }
        writer.write(block: try (hasModels ? learner : learner.withoutModels).state())
        return writer.bytes
    }

    /// Goes on where `state` was written.
    ///
    /// - Parameter source: the file, for messages.
    /// - Throws: `StateError`; `TableError` where the job's columns are others than the first round's; `StageError`.
    package init(state bytes: [UInt8], source: String, _ settings: Settings) throws {
        var (reader, version, hasModels) = try Self.begin(bytes)
        guard hasModels else { throw StateError.foreign(expected: "state with models, as \(source) has to be") }
        try self.init(&reader, version, source: source, roles: settings.roles) { _ in settings }
    }

    /// Reads what `state(hasModels: false)` has written, to recognise rows; it can neither learn nor predict.
    ///
    /// - Throws: `StateError`.
    package init(recognising bytes: [UInt8], source: String) throws {
        var (reader, version, hasModels) = try Self.begin(bytes)
        guard !hasModels else { throw StateError.foreign(expected: "state without models, as \(source) has to be") }
        try self.init(&reader, version, source: source, roles: nil) { Settings(roles: $0.roles) { _ in Silent() } }
    }

    /// - Returns: a reader behind the head, the state's version, and whether models follow.
    private static func begin(_ bytes: [UInt8]) throws(StateError) -> (StateReader, UInt16, Bool) {
        var reader = StateReader(bytes)
        guard try reader.integer(UInt32.self) == mark else { throw StateError.foreign(expected: "saved tabular learner") }
        let version = try reader.integer(UInt16.self)
        guard version <= Self.version else { throw StateError.newer(version: Int(version), known: Int(Self.version)) }
        let hasModels = try reader.claim()
        return (reader, version, hasModels)
    }

    /// - Parameter roles: what the job says they are; nil: what they were.
    private init(
        _ reader: inout StateReader, _ version: UInt16, source: String, roles: TabularRoles?, settings: (TabularSchema) -> Settings
    ) throws {
        let schema = try TabularSchema(from: &reader)
        if let roles { try Self.check(schema.roles, roles, source) }
        let settings = settings(schema)
        self.schema = schema
        let round = Int(try reader.integer(Int64.self))
        memory = try RowMemory(from: &reader, schema, source: source)
        taken = version < 3 ? RowMemory(schema, keepsRows: true) : try RowMemory(from: &reader, schema, source: source)
        for _ in 0..<(try reader.count(of: "labelled rows", elementBytes: version < 2 ? 8 : 16)) {
            let id = Int(try reader.integer(Int64.self))
            labelledIn[id] = version < 2 ? -1 : Int(try reader.integer(Int64.self))
        }
        let saved = try reader.block()
        try reader.finish()
        guard round >= 0 else { throw StateError.damaged(reason: "the next round is \(round)") }
        nextRound = round
        learner = try LifelongLearner(
            state: saved, try settings.estimator(schema), stages: try Self.stages(schema, settings),
            classCount: schema.classNames.count, featureNames: schema.featureNames, clusterAttribute: TabularSchema.groupAttribute)
    }

    /// Learns nothing.
    private struct Silent: CrossFittingEstimator {
        struct Refused: Error {}
        func fit(_ rows: TrainingRows) throws -> BlendedModel { throw Refused() }
        func crossFit(_ rows: TrainingRows) throws -> CrossFittedBlend { throw Refused() }
    }

    static func check(_ saved: TabularRoles, _ asked: TabularRoles, _ source: String) throws(TableError) {
        func differ(_ what: String, _ old: [String], _ new: [String]) throws(TableError) {
            guard old != new else { return }
            func shown(_ names: [String]) -> String { names.isEmpty ? "none" : names.joined(separator: ", ") }
            throw TableError(
                .column,
                "\(source): the job's \(what) were \(shown(old)) and are now \(shown(new)); keep them, or begin a new job")
        }
        func kind(_ roles: TabularRoles) -> String { roles.isNumber ? "a number" : "a class" }
        try differ("label columns", [saved.label, kind(saved)], [asked.label, kind(asked)])
        try differ("task columns", saved.tasks, asked.tasks)
        try differ("ignored columns", saved.ignored.sorted(), asked.ignored.sorted())
        try differ("site columns", [saved.site].compactMap { $0 }, [asked.site].compactMap { $0 })
        try differ("person columns", [saved.person].compactMap { $0 }, [asked.person].compactMap { $0 })
        try differ("group columns", [saved.group].compactMap { $0 }, [asked.group].compactMap { $0 })
        try differ("id columns", [saved.id].compactMap { $0 }, [asked.id].compactMap { $0 })
    }
}
