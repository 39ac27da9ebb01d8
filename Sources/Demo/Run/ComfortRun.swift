package import KnowledgeBase
import Learning
import Synchronization
package import ThermalComfort
package import Training
package import Workers

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The thermal-comfort example from files to results: every method over all rounds, the leaky split of the published claim, the deployed
/// model at the edge.
///
/// Equal data, split, labels and seed give equal predictions, whatever the number of threads.
package struct ComfortRun {
    /// What the user chose.
    package struct Settings: Sendable {
        /// How many labels are bought after round 0; the leaky split and the new cities have counts of their own.
        package var labels = LabelBudget.few
        /// Decides every draw of training and of the leaky split; named in the models' versions.
        package var seed: UInt64 = 27
        /// Edges that share the test rows; at least 1.
        package var edges = 2
        /// Path of a file that replaces the protocol's split.
        package var split: String?
        /// Methods taught at a time.
        package var threads = 2

        /// As the program's command line has it without options.
        package init() {}
    }

    /// The tools of a run.
    package struct Tools: Sendable {
        /// Shared by all threads; its version goes into the results.
        package var xgboost: XGBoostLibrary
        /// How to start an edge's worker.
        package var workers: InferenceWorkerProcess.Settings
        /// For temporary files.
        package var temporaryFolder: String
        /// By name; goes into the results.
        package var versions: [String: String]
        /// Where our method runs; nil for this process.
        package var cluster: DemoCluster?

        /// Opened and checked by the caller, so that what is missing shows before anything is learned.
        package init(
            xgboost: XGBoostLibrary, workers: InferenceWorkerProcess.Settings, temporaryFolder: String, versions: [String: String],
            cluster: DemoCluster? = nil
        ) {
            self.xgboost = xgboost
            self.workers = workers
            self.temporaryFolder = temporaryFolder
            self.versions = versions
            self.cluster = cluster
        }
    }

    /// What a run found, before it is written.
    package struct Findings {
        /// Everything `results.json` holds.
        package var results: ComfortResults
        /// The deployed models as ONNX files, by name; the newest is `ResultFiles.Paths.modelName`.
        package var models: [String: [UInt8]]
        /// What our method knew after each round.
        package var knowledge: Knowledge
    }

    /// What is known of the rounds.
    package enum Knowledge: Sendable {
        /// Of this process, oldest first; to be written into a knowledge base.
        case records([RoundRecord])
        /// The bytes of a cloud's knowledge base.
        case base([UInt8])
    }

    /// Contract, section 6; in the order of the table of predictions.
    package static let methods = ["majority", "single_task", "finetune", "sedna_multitask", "sedna_lifelong", "skerry"]

    let settings: Settings
    let tools: Tools
    let display: ProgressDisplay
    private let start = ContinuousClock.now

    /// Traps without an edge or a thread; reads nothing yet.
    package init(_ settings: Settings, _ tools: Tools, _ display: ProgressDisplay) {
        precondition(settings.edges >= 1 && settings.threads >= 1, "at least one edge and one thread")
        self.settings = settings
        self.tools = tools
        self.display = display
    }

    /// Reads, learns, judges and serves; blocks for minutes.
    ///
    /// - Parameter predictions: gets the rows of all methods.
    /// - Throws: errors of the data, the split, training and the disk, each with its remedy.
    package func findings(_ data: LocatedData, predictions: PredictionTable) throws -> Findings {
        var timings: [String: Double] = [:]
        func timed<Value>(_ stage: String, _ body: () throws -> Value) rethrows -> Value {
            let start = ContinuousClock.now
            defer { timings[stage] = Self.seconds(ContinuousClock.now - start) }
            return try body()
        }
        let source = try timed("read") { try ComfortSource(data, split: settings.split, reading: { display.note("reading \($0)") }) }
        let experiment = ComfortExperiment(
            database: source.database, rows: source.rows, budget: settings.labels, featureSets: [.base, .physics])
        guard !experiment.test.isEmpty else { throw EvaluationError.noTestRows }
        let known = experiment.round(experiment.roundCount - 1).labelledSoFar
        for column in known.columnsMissingEverywhere(.base) { display.note("no labelled row has a value of \"\(column)\"") }
        display.note(
            "learning from \(known.count) labelled votes in \(experiment.roundCount) rounds, to be judged on \(experiment.test.count) votes"
        )
        if let cluster = tools.cluster { try timed("cluster") { try begin(cluster, source) } }
        let taught = try timed("learn") { try teach(experiment, source) }
        var results = try results(source, experiment, taught, labelledRows: known.count)
        try timed("predictions") { try write(taught, experiment, to: predictions) }
        let ours: Ours
        switch taught.ours {
        case .inProcess(let remembered):
            ours = try timed("serve") { try serve(remembered, taught.evaluations["skerry"]!, source, experiment.test) }
        case .platform(let method, let evaluation): ours = try timed("serve") { try collect(method, evaluation, experiment) }
        }
        (results.model, results.edge, results.decisions, results.relations) = (ours.facts, ours.edge, ours.decisions, ours.relations)
        timings["total"] = Self.seconds(ContinuousClock.now - start)
        results.timingsS = timings
        results.peakMemoryMB = ((PeakMemory.ofThisProcess + ours.workerPeak) * 1.048576 * 10).rounded() / 10
        return Findings(results: results, models: ours.models, knowledge: ours.knowledge)
    }

    /// What is told of our method beside its predictions, wherever it ran.
    struct Ours {
        var facts: ComfortResults.Model
        var edge: ComfortResults.Edge
        var decisions: [ComfortResults.Decision]
        var relations: [ComfortResults.Relation]
        /// By name of the file.
        var models: [String: [UInt8]]
        var knowledge: Knowledge
        /// MiB of the workers at most.
        var workerPeak: Double
    }

    static func seconds(_ time: Duration) -> Double {
        let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
        return (seconds * 1000).rounded() / 1000
    }
}

// MARK: - Learning

extension ComfortRun {
    /// All methods after the last round.
    private struct Taught {
        /// By name.
        var evaluations: [String: MethodEvaluation]
        /// Under the random row split.
        var leaky: [String: MethodEvaluation]
        /// After the last round.
        var ours: OurMethod
        var newCities: NewCityEvaluation
        var unseen: [UnseenRound]

        var single: MethodEvaluation { evaluations["single_task"]! }
    }

    /// Our method after the last round.
    private enum OurMethod: Sendable {
        case inProcess(RememberingMethod)
        case platform(PlatformMethod, MethodEvaluation)
    }

    /// What one job brings.
    private enum Lesson: Sendable {
        case honest(MethodEvaluation)
        case ours(MethodEvaluation, OurMethod)
        case leaky(MethodEvaluation)
        case newCities(NewCityEvaluation)
        case unseen([UnseenRound])
    }

    private func teach(_ experiment: ComfortExperiment, _ source: ComfortSource) throws -> Taught {
        // Tables of all rows are large: each is made when its first job begins and dropped with its last.
        let (database, rows, seed) = (source.database, source.rows, settings.seed)
        let leakyMethods = LeakyClaim.methods.sorted { Self.cost($0) > Self.cost($1) }
        let leaky = SharedValue(uses: leakyMethods.count) {
            ComfortExperiment(
                database: database, rows: ComfortSplit.randomRow(database, seed: seed), budget: .full, featureSets: [.base, .physics])
        }
        let cities = SharedValue(uses: NewCityExperiment.foldCount) { NewCityExperiment(database: database, rows: rows) }
        let progress = Steps(display)
        var lessons: [@Sendable () throws -> Lesson] = []
        var total = 0
        func add(_ cost: Int, _ body: @escaping @Sendable () throws -> Lesson) {
            total += cost
            lessons.append(body)
        }
        // The longest first, so that no thread is left with it at the end.
        let rounds = experiment.roundCount
        func addLeaky(_ name: String) {
            add(Self.cost(name) * Self.leakyCost) {
                .leaky(try leaky.use { try judged(name, $0, Self.leakyCost, isLeaky: true, progress) })
            }
        }
        // The cloud's workers learn while this process does the rest.
        if let cluster = tools.cluster { add(Self.cost("skerry") * rounds) { try platform(cluster, experiment, source, progress) } }
        addLeaky(leakyMethods[0])
        if tools.cluster == nil { add(Self.cost("skerry") * rounds) { try ours(experiment, source, progress) } }
        for name in leakyMethods.dropFirst() { addLeaky(name) }
        for fold in 0..<NewCityExperiment.foldCount {
            add(Self.newCityCost) { .newCities(try cities.use { try newCities($0, fold: fold, progress) }) }
        }
        add(Self.unseenCost) {
            defer { progress.portion(Self.unseenCost).finish() }
            return .unseen(try experiment.unseenSites())
        }
        for name in Self.methods where name != "skerry" {
            add(Self.cost(name) * rounds) { .honest(try judged(name, experiment, 1, isLeaky: false, progress)) }
        }
        display.begin("learning", total: total * Steps.unit, unit: .thousandths("steps"))
        defer { display.end() }
        // One thread waits for the cluster.
        return taught(try ParallelWork.run(threads: settings.threads + (tools.cluster == nil ? 0 : 1), lessons))
    }

    private func taught(_ lessons: [Lesson]) -> Taught {
        var evaluations: [String: MethodEvaluation] = [:], leaky = evaluations
        var ours: OurMethod?
        var unseen: [UnseenRound] = []
        var newCities = NewCityEvaluation(labelCounts: NewCityExperiment.labelCounts)
        for lesson in lessons {
            switch lesson {
            case .honest(let evaluation): evaluations[evaluation.method] = evaluation
            case .ours(let evaluation, let method): (evaluations[evaluation.method], ours) = (evaluation, method)
            case .leaky(let evaluation): leaky[evaluation.method] = evaluation
            case .newCities(let evaluation): newCities.merge(evaluation)
            case .unseen(let rounds): unseen = rounds
            }
        }
        return Taught(evaluations: evaluations, leaky: leaky, ours: ours!, newCities: newCities, unseen: unseen)
    }

    /// About how long a round of each takes, in steps of the progress bar; only the remaining time it tells depends on them.
    private static func cost(_ method: String) -> Int { ["skerry": 11, "single_task": 3, "sedna_multitask": 2][method] ?? 1 }
    /// The one round of the leaky split has all labels.
    private static let leakyCost = 4
    private static let newCityCost = 8
    private static let unseenCost = 8

    private func methods(isLeaky: Bool, _ portion: Steps.Portion) -> ComfortMethods {
        let few = settings.labels == .few && !isLeaky
        let (library, seed) = (tools.xgboost, settings.seed)
        return ComfortMethods(
            boosting: XGBoostEstimator(library, .sedna(seed: seed), progress: portion.tick),
            further: XGBoostEstimator(library, .sedna(seed: seed).with(rounds: 100), progress: portion.tick),
            pooled: XGBoostEstimator(library, .pooled(fewLabels: few, seed: seed), progress: portion.tick),
            blended: isLeaky
                ? BlendTrainer(library, settings: .claim(seed: seed), classCount: Preference.allCases.count, progress: portion.tick)
                : blended(fewLabels: few, portion))
    }

    private func blended(fewLabels: Bool, _ portion: Steps.Portion) -> BlendTrainer {
        BlendTrainer(
            tools.xgboost,
            settings: .pooled(fewLabels: fewLabels, indicatorColumns: PhysicsFeatures.indicatorColumns, seed: settings.seed),
            classCount: Preference.allCases.count, progress: portion.tick)
    }

    private func judged(
        _ name: String, _ experiment: ComfortExperiment, _ factor: Int, isLeaky: Bool, _ progress: Steps
    ) throws -> MethodEvaluation {
        let start = ContinuousClock.now
        let portion = progress.portion(Self.cost(name) * factor)
        let evaluation = try experiment.evaluate(
            try methods(isLeaky: isLeaky, portion).method(name), seconds: { Self.seconds(ContinuousClock.now - start) },
            onRound: { _ in portion.finish() })
        if !isLeaky { tell(evaluation) }
        return evaluation
    }

    private func ours(_ experiment: ComfortExperiment, _ source: ComfortSource, _ progress: Steps) throws -> Lesson {
        let (seed, isSynthetic) = (settings.seed, source.isSynthetic)
        var stages = LifelongStages.comfort
        stages.relationDiscovery = TransferRelationDiscovery(XGBoostEstimator(tools.xgboost, .transfer(seed: seed)))
        let portion = progress.portion(Self.cost("skerry"))
        let skerry = SkerryMethod(blended(fewLabels: settings.labels == .few, portion), stages: stages)
        let remembering = RememberingMethod(skerry, from: try origin(source)) { model in
            let file = try DeployedComfort.file(model, seed: seed, isSynthetic: isSynthetic)
            return .init(digest: file.digest, sizeBytes: file.bytes.count)
        }
        var method = ServedMethod(remembering, tools.workers, folder: tools.temporaryFolder)
        let start = ContinuousClock.now
        let evaluation = try experiment.evaluate(
            &method, seconds: { Self.seconds(ContinuousClock.now - start) }, onRound: { _ in portion.finish() })
        tell(evaluation)
        return .ours(evaluation, .inProcess(method.remembered))
    }

    private func platform(
        _ cluster: DemoCluster, _ experiment: ComfortExperiment, _ source: ComfortSource, _ progress: Steps
    ) throws -> Lesson {
        let portion = progress.portion(Self.cost("skerry"))
        var method = platformMethod(cluster, experiment, source, onProgress: portion.reach)
        let start = ContinuousClock.now
        let evaluation = try experiment.evaluate(
            &method, seconds: { Self.seconds(ContinuousClock.now - start) }, onRound: { _ in portion.finish() })
        tell(evaluation)
        return .ours(evaluation, .platform(method, evaluation))
    }

    /// The rows come from the database, and the split says which of them were learned from.
    private func origin(_ source: ComfortSource) throws -> RememberingMethod.Origin {
        .init(
            job: try JobName("demo/thermal-comfort"), pod: "train",
            datasets: [
                .init(name: source.dataset, digest: source.digests.measurements, rowCount: source.database.records.count),
                .init(name: "split \(source.split.name)", digest: source.split.sha256, rowCount: source.rows.count),
            ])
    }

    private func newCities(_ experiment: NewCityExperiment, fold: Int, _ progress: Steps) throws -> NewCityEvaluation {
        let portion = progress.portion(Self.newCityCost)
        let trainer = BlendTrainer(
            tools.xgboost, settings: .newCity(seed: settings.seed), classCount: Preference.allCases.count, progress: portion.tick)
        defer { portion.finish() }
        return try experiment.evaluate(fold: fold, NewCityService(frozen: trainer, retrained: trainer))
    }

    private func tell(_ evaluation: MethodEvaluation) {
        display.note("  \(evaluation.method): \(percent(evaluation.metrics.accuracy)) right")
    }

    private func percent(_ share: Double) -> String {
        let tenths = Int((share * 1000).rounded())
        return "\(tenths / 10).\(tenths % 10) %"
    }
}

// MARK: - Results

extension ComfortRun {
    private func results(
        _ source: ComfortSource, _ experiment: ComfortExperiment, _ taught: Taught, labelledRows: Int
    ) throws -> ComfortResults {
        let buildings = Set(source.database.records.map(\.buildingID))
        var results = ComfortResults(
            dataset: .init(
                name: source.dataset, sha256: source.digests, rows: source.rows.count, labelledRows: labelledRows,
                cities: Set(buildings.map { source.database.buildings[$0]!.city }).count, buildings: buildings.count,
                synthetic: source.isSynthetic),
            split: source.split, labels: settings.labels.rawValue, seed: Int(clamping: settings.seed))
        results.rounds = ComfortResults.Round.all(source.database, source.rows, settings.labels)
        for (name, evaluation) in taught.evaluations {
            guard let method = ComfortResults.Method(evaluation, over: taught.single) else { throw RunError.baselineNeverRight }
            results.methods[name] = method
        }
        results.leakyRandomSplit = leaky(taught.leaky)
        results.labelCurve = ComfortResults.LabelCurve(taught.newCities)
        results.unseenSites = ComfortResults.UnseenSites(taught.unseen)
        results.knowledgeBase = "knowledge.db"
        results.versions = tools.versions
        results.versions["xgboost"] = tools.xgboost.version
        return results
    }

    private func leaky(_ evaluations: [String: MethodEvaluation]) -> ComfortResults.LeakyRandomSplit? {
        let found = LeakyClaim.methods.compactMap { evaluations[$0] }
        return found.count == LeakyClaim.methods.count ? ComfortResults.LeakyRandomSplit(found) : nil
    }

    /// What the update rule and the gate decided, round by round and task by task.
    private func decisions(_ rounds: [LifelongRound]) -> [ComfortResults.Decision] {
        rounds.flatMap { round -> [ComfortResults.Decision] in
            if let reason = round.reasonToWait {
                return [.init(round: round.number, subject: "all tasks", action: "keep", reason: reason)]
            }
            return round.decisions.map {
                .init(
                    round: round.number, subject: $0.task, action: $0.deploys ? "deploy" : "keep", difference: $0.difference,
                    standardError: $0.standardError, reason: $0.reason)
            }
        }
    }

    private func write(_ taught: Taught, _ experiment: ComfortExperiment, to table: PredictionTable) throws {
        let (ids, rounds) = (experiment.test.recordIDs, experiment.test.rounds)
        for name in Self.methods {
            let values = taught.evaluations[name]!.probabilities.values
            for row in ids.indices {
                try table.append(
                    recordID: ids[row], round: rounds[row], method: name,
                    probabilities: (values[3 * row], values[3 * row + 1], values[3 * row + 2]))
            }
        }
    }

    private func serve(
        _ remembered: RememberingMethod, _ evaluation: MethodEvaluation, _ source: ComfortSource, _ rows: ComfortRows
    ) throws -> Ours {
        let method = remembered.method
        let deployed = try DeployedComfort(method, seed: settings.seed, isSynthetic: source.isSynthetic)
        display.begin("serving at \(edgesInWords)", total: rows.count, unit: .things("votes"))
        defer { display.end() }
        let served = try deployed.serve(
            rows, edges: settings.edges, tools.workers, folder: tools.temporaryFolder, progress: display.update)
        return Ours(
            facts: deployed.facts, edge: served.edge, decisions: decisions(method.rounds),
            relations: (method.rounds.last?.relations ?? []).sorted { $0.transfer > $1.transfer }.prefix(Self.relationsShown).map {
                .init(from: $0.from, to: $0.to, transfer: $0.transfer, rows: $0.rowCount)
            },
            models: deployed.contents, knowledge: .records(remembered.records(judgedBy: evaluation)), workerPeak: served.workerPeak)
    }

    static let relationsShown = 50
    var edgesInWords: String { settings.edges == 1 ? "1 edge" : "\(settings.edges) edges" }
}

/// Why a run has no results.
package enum RunError: Error, Equatable, CustomStringConvertible {
    case baselineNeverRight
    /// The file that was made does not say what the model says.
    case edgeDisagrees(recordID: Int)

    /// One sentence: which figure or record, and what to do.
    package var description: String {
        switch self {
        case .baselineNeverRight: "single_task is right on no test row, so no gain over it exists; give a split with more test rows"
        case .edgeDisagrees(let id):
            "the deployed model answers record \(id) otherwise than the model it was made from; report this as a defect"
        }
    }
}

/// Steps done by several threads, in thousandths, so that a boosting round shows.
private final class Steps: Sendable {
    /// Of a step.
    static let unit = 1000
    private let done = Counter()
    private let display: ProgressDisplay
    init(_ display: ProgressDisplay) { self.display = display }

    /// A part of the work that is done over and over, each time in so many steps.
    func portion(_ steps: Int) -> Portion { Portion(self, size: steps * Self.unit) }

    private func add(_ count: Int) { done.add(count) { display.update($0) } }

    /// Moves by ticks whose number nobody knows beforehand: each takes a share of what is left, and the end the rest.
    final class Portion: Sendable {
        /// About as many ticks as a round of boosting one model has.
        private static let usualTicks = 500
        private let steps: Steps
        private let size: Int
        private let left: Mutex<Int>

        fileprivate init(_ steps: Steps, size: Int) {
            (self.steps, self.size) = (steps, size)
            left = Mutex(size)
        }

        /// - Returns: true: go on.
        @Sendable func tick() -> Bool {
            steps.add(take { $0 / Self.usualTicks })
            return true
        }

        /// Moves to a share of it, of work that somebody else counts.
        @Sendable func reach(_ done: Int64, _ total: Int64) {
            guard total > 0 else { return }
            let goal = size - Int(Double(size) * min(1, max(0, Double(done) / Double(total))))
            steps.add(take { max(0, $0 - goal) })
        }

        /// All of it is done; the next time begins.
        func finish() {
            steps.add(take { $0 })
            left.withLock { $0 = size }
        }

        private func take(_ share: (Int) -> Int) -> Int {
            left.withLock {
                let taken = share($0)
                $0 -= taken
                return taken
            }
        }
    }
}
