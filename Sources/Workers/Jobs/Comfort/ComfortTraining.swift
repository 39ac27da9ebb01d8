import Inference
import KnowledgeBase
import Learning
import Resources
import Storage
import ThermalComfort
import Training

/// What a comfort job chooses, by its variables; the method is the main job's.
struct ComfortJob {
    let seed: UInt64
    /// Stands in front of the versions of models: `SYNTHETIC` for what was learned from made-up votes.
    private let mark: String
    private let fewLabels: Bool
    private let stages: [String]

    /// - Throws: `WorkerInputError`.
    init(_ settings: WorkerSettings) throws {
        seed = try settings.seed()
        mark = settings["MODEL_MARK"] ?? ""
        fewLabels = try settings.choice("LABELS", of: LabelBudget.allCases.map(\.rawValue)) == LabelBudget.few.rawValue
        stages = settings.list("STAGES", separator: ";")
    }

    /// - Throws: `StageError`.
    func stages(_ library: XGBoostLibrary?) throws(StageError) -> LifelongStages {
        var chosen = LifelongStages.comfort
        var added: [StageMaker] = []
        if let library {
            let estimator = XGBoostEstimator(library, .transfer(seed: seed))
            chosen.relationDiscovery = TransferRelationDiscovery(estimator)
            added = [.transfer(estimator)]
        }
        let catalog = StageCatalog(adding: added)
        // Where nothing is trained no relation is looked for.
        for text in stages where library != nil || !text.hasPrefix(StageKind.relationDiscovery.rawValue) {
            try catalog.place(text, in: &chosen)
        }
        return chosen
    }

    func estimator(_ library: XGBoostLibrary, tick: @escaping @Sendable () -> Bool) -> BlendTrainer {
        BlendTrainer(library, settings: blend, classCount: Preference.allCases.count, progress: tick)
    }

    func version(_ round: Int) -> String { "\(mark.isEmpty ? "" : "\(mark) ")round \(round), seed \(seed)" }

    /// Calls of the estimator's progress in one round, about.
    var ticks: Int { (PartialPooling.foldCount + 1) * blend.trees.rounds + PartialPooling.foldCount * blend.network.epochs }

    private var blend: BlendSettings {
        .pooled(fewLabels: fewLabels, indicatorColumns: PhysicsFeatures.indicatorColumns, seed: seed)
    }

    /// The name by which the columns are known in `serving.json`.
    static let roles: TabularRoles = {
        var roles = TabularRoles(label: ComfortStream.labelColumn)
        roles.tasks = ["season", "cooling_type"]
        return roles
    }()
}

/// Everything a comfort job hands from round to round.
struct ComfortState {
    private static let mark: UInt32 = 0x434c_4b53
    /// 2: rows of the job that this one goes on from, where there are any.
    private static let version: UInt16 = 2

    /// Number of the round that comes next.
    var nextRound = 0
    /// Rows of earlier rounds; nil where they stay where they are and are given again.
    var rows: TextTable?
    /// Rows of the job that this one goes on from, which stay whatever becomes of its own; nil where it began by itself.
    private(set) var taken: TextTable?
    /// The round in which each record came first.
    var roundOfRecord: [Int: Int] = [:]
    /// Digest of each retained model's file, by its round.
    var digests: [Int: String] = [:]
    /// Of `SkerryMethod`; empty before the first round.
    var method: [UInt8] = []

    init() {}

    /// As `TabularLearner.takeOver`.
    ///
    /// - Throws: `TableError` where the state holds no rows.
    mutating func takeOver(source: String) throws(TableError) {
        guard let rows else {
            throw TableError(
                .noLabels,
                "\(source): the state holds none of its votes, as they stay on their node, and without them its tasks and sites would be"
                    + " forgotten; set STATE_ROWS=kept where it is trained, or spec.privacy.rule: all of a job that shares it")
        }
        var all = taken ?? TextTable(columns: rows.columns, source: rows.source)
        try all.append(contentsOf: rows)
        let known = Set(try all.words("record_id").compactMap { Int($0) })
        roundOfRecord = roundOfRecord.filter { known.contains($0.key) }
        (taken, self.rows) = (all, nil)
    }

    var bytes: [UInt8] {
        var writer = StateWriter()
        writer.write(Self.mark)
        // A program of before reads what it can.
        writer.write(taken == nil ? Self.version - 1 : Self.version)
        writer.write(Int64(nextRound))
        writer.write(rows != nil)
        writer.write(block: rows?.csv ?? [])
        writer.write(count: roundOfRecord.count)
        for (id, round) in roundOfRecord.sorted(by: { $0.key < $1.key }) {
            writer.write(Int64(id))
            writer.write(count: round)
        }
        writer.write(count: digests.count)
        for (round, digest) in digests.sorted(by: { $0.key < $1.key }) {
            writer.write(count: round)
            writer.write(digest)
        }
        writer.write(block: method)
        if let taken { writer.write(block: taken.csv) }
        return writer.bytes
    }

    /// - Parameter source: the file, for messages.
    /// - Throws: `StateError`, `TableError`.
    init(_ bytes: [UInt8], source: String) throws {
        var reader = StateReader(bytes)
        guard try reader.integer(UInt32.self) == Self.mark else { throw StateError.foreign(expected: "saved comfort learner") }
        let version = try reader.integer(UInt16.self)
        guard version <= Self.version else { throw StateError.newer(version: Int(version), known: Int(Self.version)) }
        nextRound = Int(try reader.integer(Int64.self))
        let isKept = try reader.claim()
        var csv: [UInt8]? = try reader.block()
        if isKept {
            rows = try TextTable(source: "the rows in \(source)") {
                defer { csv = nil }
                return csv
            }
        }
        for _ in 0..<(try reader.count(of: "records", elementBytes: 12)) {
            let id = Int(try reader.integer(Int64.self))
            roundOfRecord[id] = Int(try reader.integer(UInt32.self))
        }
        for _ in 0..<(try reader.count(of: "digests", elementBytes: 8)) {
            let round = Int(try reader.integer(UInt32.self))
            digests[round] = try reader.text()
        }
        method = try reader.block()
        if version > 1 {
            var block: [UInt8]? = try reader.block()
            taken = try TextTable(source: "the rows in \(source)") {
                defer { block = nil }
                return block
            }
        }
        try reader.finish()
        guard nextRound >= 0, digests.values.allSatisfy({ ArtifactDigest(hex: $0) != nil }) else {
            throw StateError.damaged(reason: "a round or a digest is none")
        }
    }
}

/// A round of the thermal-comfort job, by the method of the main job.
struct ComfortTraining {
    private let context: WorkerContext
    private let settings: WorkerSettings
    private let job: ComfortJob

    init(_ context: WorkerContext) throws {
        self.context = context
        settings = context.settings
        job = try ComfortJob(settings)
    }

    func run() throws -> [WorkerReport.Result] {
        let output = try TrainWorker.output(settings)
        let earlier = try TrainWorker.earlier(settings)
        let files = try TableFiles(settings, "TRAIN_DATASET_URL", "CSV of votes to learn from")
        let given = try files.table()
        var state =
            if let earlier {
                try ComfortState(try WorkerFile.read(earlier, limit: WorkerFile.stateBytesMax), source: earlier)
            } else {
                ComfortState()
            }
        let origin = try KnowledgeOrigin(settings)
        if let earlier, origin?.isTaken == true { try state.takeOver(source: earlier) }
        let number = try settings.integer("ROUND", default: state.nextRound, in: state.nextRound...Int(Int32.max))!
        let stream = try self.stream(given, &state, round: number, keepsRows: try TrainWorker.keepsRows(files, settings))
        let round = stream.round(number)
        let library = try XGBoostLibrary(candidates: context.xgboost)
        let counter = TickCounter(
            total: job.ticks, unit: "steps", message: "learning from \(round.labelledSoFar.count) votes", context)
        var method = try remembering(state, library, files, tick: { counter.tick() })
        context.say("round \(number): \(given.count) rows of \(files.paths.joined(separator: ", ")), \(round.labelled.count) labelled")
        let standing = try standing(method.method, round)
        let outcome = try method.learn(round)
        guard !method.method.models.isEmpty else {
            guard case .kept(let reason) = outcome else { preconditionFailure("a method that learned has a model") }
            throw TableError(.noLabels, "\(given.source), column \"\(ComfortStream.labelColumn)\": \(reason); label votes of two classes")
        }
        if case .kept(let reason) = outcome { context.say("no new model: \(reason)") }
        (state.nextRound, state.digests, state.method) = (number + 1, method.digests, try method.method.state())
        try TrainWorker.writePlaces(settings, files, earlier: earlier, to: output) { table in
            let keys = try ComfortStream.asked(table).tasks
            return ["site": keys.sites.map { $0 }, "person": keys.persons]
        }
        return try write(method, round, state, standing, earlier, to: output)
    }

    /// What served before the round, on its votes.
    private func standing(_ method: SkerryMethod, _ round: ComfortRound) throws -> HitCount? {
        guard !method.models.isEmpty, round.labelled.count > 0 else { return nil }
        let answers = try method.predict(round.labelled.rows)
        return HitCount.counts(answers, truth: round.labelled.labels, by: round.labelled.labels.map { _ in 0 })[0]
    }

    /// All votes that count, and the state with those that are kept.
    private func stream(_ given: TextTable, _ state: inout ComfortState, round: Int, keepsRows: Bool) throws -> ComfortStream {
        let columns = ComfortStream.columns.filter { $0 != ComfortStream.groupColumn || given.columns.contains($0) }
        let fresh = try given.selecting(columns)
        var all = try state.taken?.selecting(columns) ?? TextTable(columns: columns, source: given.source)
        let takenCount = all.count
        if let rows = state.rows {
            if all.count == 0 { all = rows } else { try all.append(contentsOf: rows) }
        }
        if all.count == 0 { all = fresh } else { try all.append(contentsOf: fresh) }
        let ids = try all.words("record_id").map { Int($0) ?? -1 }
        let stream = try ComfortStream(all, rounds: ids.map { state.roundOfRecord[$0] ?? round })
        for id in ids where state.roundOfRecord[id] == nil { state.roundOfRecord[id] = round }
        guard keepsRows else {
            state.rows = nil
            return stream
        }
        // Of a record given again the later row is kept.
        var place: [Int: Int] = [:]
        for (row, id) in ids.enumerated() where row >= takenCount { place[id] = row }
        state.rows = all.rows(place.values.sorted())
        return stream
    }

    private func remembering(
        _ state: ComfortState, _ library: XGBoostLibrary, _ files: TableFiles, tick: @escaping @Sendable () -> Bool
    ) throws -> RememberingMethod {
        let estimator = job.estimator(library, tick: tick), stages = try job.stages(library)
        let method =
            if state.method.isEmpty {
                SkerryMethod(estimator, stages: stages)
            } else {
                try SkerryMethod(state: state.method, estimator, stages: stages)
            }
        let origin = RememberingMethod.Origin(
            job: try JobName(settings.jobName), pod: settings.podName, datasets: try files.datasets())
        let job = job
        return RememberingMethod(method, from: origin, digests: state.digests) { model in
            let bytes = try Self.file(model, job)
            return .init(digest: ArtifactDigest(of: bytes).hex, sizeBytes: bytes.count)
        }
    }

    private static func file(_ model: RetainedModel, _ job: ComfortJob) throws -> [UInt8] {
        try model.deployed(version: job.version(model.round)).onnx()
    }

    private func write(
        _ method: RememberingMethod, _ round: ComfortRound, _ state: ComfortState, _ standing: HitCount?, _ earlier: String?,
        to output: String
    ) throws -> [WorkerReport.Result] {
        let plan = ServingPlan(
            models: method.method.models.map(\.round), serving: method.method.serving, learner: .thermalComfort, roles: ComfortJob.roles)
        for model in method.method.models {
            let name = plan.rounds.first { $0.value == model.round }!.key
            try WorkerFile.write(try Self.file(model, job), output, name)
        }
        try WorkerFile.write(plan.json.bytes(order: .sorted), output, WorkerFile.serving)
        try WorkerFile.write(try method.method.state(hasModels: false), output, WorkerFile.signs)
        var record = method.records.last!
        let judged = try method.method.outOfSample(round).map { ComfortFigures($0, round, taskOfRow: method.method.rounds.last?.taskOfRow) }
        for place in record.tasks.indices { record.tasks[place].metrics["accuracy"] = judged?.tasks[record.tasks[place].name]?.accuracy }
        try KnowledgeOrigin(settings)?.mark(&record, state: earlier)
        try WorkerFile.write(Array(try record.canonical().json()), output, WorkerFile.round)
        // Last: whoever finds a state finds all that belongs to it.
        try WorkerFile.write(state.bytes, output, WorkerFile.state)
        var metrics: [String: Double] = [
            "round": Double(round.number), "samples": Double(round.labelledSoFar.count), "new_samples": Double(round.labelled.count),
            "task_count": Double(plan.tasks.count),
        ]
        if let all = judged?.all {
            (metrics["accuracy"], metrics["macro_f1"], metrics["log_loss"]) = (all.accuracy, all.macroF1, all.logLoss)
        }
        if let report = method.method.rounds.last {
            metrics["trained"] = report.reasonToWait == nil ? 1 : 0
            metrics["deployed_tasks"] = Double(report.decisions.count { $0.deploys })
        }
        return TrainWorker.results(
            plan, metrics, tasks: (judged?.tasks ?? [:]).mapValues { ["accuracy": $0.accuracy, "samples": Double($0.rows)] },
            rounds: TrainWorker.roundFigures(judged?.rounds ?? [:], of: round.number, standing: standing, majority: judged?.majority),
            output)
    }
}

/// Answers of the serving models to the votes they were taught, each by parts that did not see it.
private struct ComfortFigures {
    let all: ClassificationMetrics
    let tasks: [String: HitCount]
    let rounds: [Int: HitCount]
    let majority: Double?

    /// - Parameter taskOfRow: nil where the last round did not define tasks.
    init(_ answers: ClassProbabilities, _ round: ComfortRound, taskOfRow: [String]?) {
        let votes = round.labelledSoFar
        all = ClassificationMetrics(answers, truth: votes.labels)
        let names = taskOfRow.flatMap { $0.count == votes.count ? $0 : nil }
        tasks = names.map { HitCount.counts(answers, truth: votes.labels, by: $0) } ?? [:]
        rounds = HitCount.counts(answers, truth: votes.labels, by: votes.rows.rounds)
        majority = HitCount.majority(truth: votes.labels, rounds: votes.rows.rounds, of: round.number)
    }
}

/// Judges comfort models on votes.
struct ComfortJudging {
    private let context: WorkerContext

    init(_ context: WorkerContext) { self.context = context }

    /// - Parameter path: of a model, or of a saved state.
    func judge(_ path: String, _ table: TextTable, _ rounds: [Int?]) throws -> EvaluateWorker.Judged {
        let stream = try ComfortStream(table, rounds: rounds.map { $0 ?? -1 })
        let votes = stream.labelled
        guard votes.count > 0 else {
            throw TableError(
                .noLabels, "\(table.source), column \"\(ComfortStream.labelColumn)\": none of \(table.count) votes has a label to judge by")
        }
        let rows = try ModelRows(votes.rows)
        return EvaluateWorker.Judged(
            try predict(path, votes.rows, rows), truth: votes.labels, tasks: rows.tasks, rounds: votes.rows.rounds.map { $0 < 0 ? nil : $0 }
        )
    }

    private func predict(_ path: String, _ votes: ComfortRows, _ rows: ModelRows) throws -> ClassProbabilities {
        guard path.hasSuffix(".bin") else {
            let models = try ServedModels(path: path, try ONNXRuntime(candidates: context.onnxRuntime))
            guard models.main.featureNames == rows.features.columnNames else {
                throw WorkerInputError("\(path) asks for other inputs than votes have; LEARNER=thermal-comfort goes with models it made")
            }
            return try models.predict(rows)
        }
        let state = try ComfortState(try WorkerFile.read(path, limit: WorkerFile.stateBytesMax), source: path)
        return try SkerryMethod(state: state.method, NoTraining(), stages: try ComfortJob(context.settings).stages(nil)).predict(votes)
    }
}
