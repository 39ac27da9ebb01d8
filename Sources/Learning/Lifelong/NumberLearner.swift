/// Learning a number from tables, round after round: all rows that count are learned anew, so that nothing is forgotten. Whether the new model
/// serves is the job's gate's to say.
package struct NumberLearner: Sendable {
    /// What a job chooses.
    package struct Settings: Sendable {
        /// With `isNumber`.
        package var roles: TabularRoles
        /// As of `TabularLearner.Settings`.
        package var keepsRows = true
        /// Grows trees with one target; NaN is a missing input.
        package var trainer: @Sendable (FeatureMatrix, [Float]) throws -> TreeEnsemble

        /// The rest is set afterwards. Traps unless the label is a number.
        package init(roles: TabularRoles, trainer: @escaping @Sendable (FeatureMatrix, [Float]) throws -> TreeEnsemble) {
            precondition(roles.isNumber, "the label is no number")
            (self.roles, self.trainer) = (roles, trainer)
        }
    }

    /// What a round met and made.
    package struct Round: Sendable {
        /// As given to `learn`, from 0.
        package var number: Int
        /// Names of the labelled rows.
        package var labelledIDs: [Int]
        /// Of them, those that no earlier round had with a label.
        package var newIDs: Set<Int>
        /// Rows without a label.
        package var unlabelledCount: Int
        /// Rows of earlier rounds that were neither kept nor given again.
        package var absentCount: Int
        /// On the labelled rows, each judged by trees that did not see its fold.
        package var outOfSample: NumberMetrics
    }

    /// Labelled rows that are needed.
    package static let rowsMin = 8
    /// Fixed by the first round.
    package let schema: TabularSchema
    /// Number of the round that comes next, from 0.
    package private(set) var nextRound = 0
    /// Of the last round learned; nil before the first.
    package private(set) var trees: TreeEnsemble?
    private let trainer: @Sendable (FeatureMatrix, [Float]) throws -> TreeEnsemble
    private var memory: RowMemory
    /// Rows of the job that this one goes on from; none where it began by itself.
    private var taken: RowMemory
    private var labelledIDs: Set<Int> = []

    /// Looks at the first round's table, without learning from it.
    ///
    /// - Throws: `TableError`.
    package init(first table: TextTable, _ settings: Settings) throws(TableError) {
        schema = try TabularSchema(table, roles: settings.roles)
        trainer = settings.trainer
        memory = RowMemory(schema, keepsRows: settings.keepsRows)
        taken = RowMemory(schema, keepsRows: true)
    }

    /// Learns from a table: new rows, or the grown table with the earlier ones in it.
    ///
    /// - Throws: `TableError`, what the trainer throws. The learner is then as it was.
    package mutating func learn(_ table: TextTable, round: Int? = nil) throws -> Round {
        var next = self
        let result = try next.learnHere(table, round: round ?? nextRound)
        self = next
        return result
    }

    private mutating func learnHere(_ table: TextTable, round: Int) throws -> Round {
        let given = try table.selecting(schema.neededColumns)
        // Looked at before they are among the others, so that a message names the file they came in.
        _ = try (schema.numbers(given), schema.features(given))
        let absent = try memory.merge(given, schema)
        let (all, ids) = taken.joined(memory)
        let numbers = try schema.numbers(all)
        let labelled = numbers.indices.filter { numbers[$0] != nil }
        guard labelled.count >= Self.rowsMin else {
            throw TableError(
                .noLabels,
                "\(table.source), column \"\(schema.roles.label)\": \(labelled.count) labelled rows; at least \(Self.rowsMin) are needed")
        }
        let samples = try schema.samples(all, ids: ids).rows(labelled)
        let targets = labelled.map { numbers[$0]! }
        let judged = try outOfFold(samples, targets, source: table.source)
        trees = try trainer(samples.features, targets)
        let names = labelled.map { ids[$0] }
        let newIDs = Set(names).subtracting(labelledIDs)
        labelledIDs = Set(names)
        nextRound = round + 1
        memory.close()
        return Round(
            number: round, labelledIDs: names, newIDs: newIDs, unlabelledCount: numbers.count - labelled.count, absentCount: absent,
            outOfSample: NumberMetrics(judged, truth: targets))
    }

    /// As `TabularLearner.takeOver`.
    package mutating func takeOver(keepsRows: Bool, source: String) throws(TableError) {
        (taken, memory) = try taken.takenOver(memory, schema, keepsRows: keepsRows, source: source)
        labelledIDs.formIntersection(taken.ids)
    }

    /// As `TabularLearner.keepRows`.
    package mutating func keepRows() { memory.keep() }

    private func outOfFold(_ samples: LifelongSamples, _ targets: [Float], source: String) throws -> [Float] {
        var folds = samples.folds
        if Set(folds).count < 2 {
            guard schema.roles.group == nil else {
                throw TableError(
                    .column, "\(source), column \"\(schema.roles.group!)\": all labelled rows are of one group; label rows of more groups")
            }
            folds = folds.indices.map { $0 % PartialPooling.foldCount }
        }
        var found = targets
        for fold in Set(folds) {
            let inside = folds.indices.filter { folds[$0] == fold }, outside = folds.indices.filter { folds[$0] != fold }
            let part = try trainer(samples.features.rows(outside), outside.map { targets[$0] })
            for (row, estimate) in zip(inside, part.margins(features: samples.features.rows(inside))) { found[row] = estimate }
        }
        return found
    }

    /// One number a row, in the label's unit.
    ///
    /// - Throws: `TableError`.
    package func predict(_ table: TextTable) throws(TableError) -> [Float] {
        guard let trees else { preconditionFailure("predict was called before any round was learned") }
        return trees.margins(features: try schema.features(table))
    }
}

extension NumberLearner {
    private static let mark: UInt32 = 0x4e4c_4b53
    /// 2: rows of the job that this one goes on from, where there are any.
    private static let version: UInt16 = 2

    /// All that the next round needs; equal learners give equal bytes.
    package func state() -> [UInt8] {
        var writer = StateWriter()
        writer.write(Self.mark)
        writer.write(taken.ids.isEmpty ? Self.version - 1 : Self.version)
        schema.write(to: &writer)
        writer.write(Int64(nextRound))
        memory.write(to: &writer)
        if !taken.ids.isEmpty { taken.write(to: &writer) }
        writer.write(count: labelledIDs.count)
        for id in labelledIDs.sorted() { writer.write(Int64(id)) }
        writer.write(trees != nil)
        trees?.write(to: &writer)
        return writer.bytes
    }

    /// Goes on where `state` was written.
    ///
    /// - Parameter source: the file, for messages.
    /// - Throws: `StateError`; `TableError` where the job's columns are others than the first round's.
    package init(state bytes: [UInt8], source: String, _ settings: Settings) throws {
        var reader = StateReader(bytes)
        guard try reader.integer(UInt32.self) == Self.mark else { throw StateError.foreign(expected: "saved learner of numbers") }
        let version = try reader.integer(UInt16.self)
        guard version <= Self.version else { throw StateError.newer(version: Int(version), known: Int(Self.version)) }
        let schema = try TabularSchema(from: &reader)
        try TabularLearner.check(schema.roles, settings.roles, source)
        self.schema = schema
        trainer = settings.trainer
        nextRound = Int(try reader.integer(Int64.self))
        memory = try RowMemory(from: &reader, schema, source: source)
        taken = version < 2 ? RowMemory(schema, keepsRows: true) : try RowMemory(from: &reader, schema, source: source)
        for _ in 0..<(try reader.count(of: "labelled rows", elementBytes: 8)) { labelledIDs.insert(Int(try reader.integer(Int64.self))) }
        if try reader.claim() { trees = try TreeEnsemble(from: &reader) }
        try reader.finish()
        guard nextRound >= 0, trees.map({ $0.targetCount == 1 && $0.featureCount == schema.featureNames.count }) ?? true else {
            throw StateError.damaged(reason: "its trees are of other columns, or its round is \(nextRound)")
        }
    }
}
