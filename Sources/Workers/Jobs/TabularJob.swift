import Learning
import Resources
import Synchronization
import Training

/// The columns, stages and estimator of a tabular job, from its variables.
struct TabularJob: Sendable {
    let roles: TabularRoles
    private let estimator: StageParameters
    private let stages: [String]
    private let seed: UInt64
    private let settings: WorkerSettings

    /// Ways of learning by name, each with the parameters it reads; the first is the usual one.
    private static let estimators: [(name: String, parameters: [String])] = [
        ("gbt", ["rounds", "eta", "max_depth", "networks"]), ("XGBoost", ["rounds", "eta", "max_depth", "networks"]),
        (centres, ["shrinkage"]),
    ]
    private static let centres = "nearest-centres"

    /// - Throws: `WorkerInputError`, `StageError`.
    init(_ settings: WorkerSettings) throws {
        self.settings = settings
        var roles = TabularRoles(label: settings["LABEL_COLUMN"] ?? "label")
        roles.tasks = settings.list("TASK_ATTRIBUTES", separator: ",")
        roles.ignored = settings.list("IGNORED_COLUMNS", separator: ",")
        roles.site = settings["SITE_COLUMN"]
        roles.person = settings["PERSON_COLUMN"]
        roles.group = settings["GROUP_COLUMN"]
        roles.id = settings["ID_COLUMN"]
        roles.isNumber = try settings.choice("LABEL_KIND", of: ["class", "number"]) == "number"
        self.roles = roles
        let estimator = try StageParameters(text: settings["ESTIMATOR"] ?? Self.estimators[0].name)
        guard let known = Self.estimators.first(where: { $0.name == estimator.stage }) else {
            throw StageError.unknownStage(kind: "estimator", name: estimator.stage, known: Self.estimators.map(\.name))
        }
        try estimator.refuseStrays(known.parameters)
        guard !roles.isNumber || known.name != Self.centres else {
            throw WorkerInputError("ESTIMATOR=\(known.name): a number (LABEL_KIND=number) is estimated by gbt")
        }
        self.estimator = estimator
        stages = settings.list("STAGES", separator: ";")
        seed = try settings.seed()
    }

    /// Whether XGBoost trains; else no library is needed.
    var needsXGBoost: Bool { estimator.stage != Self.centres }

    /// Boosting rounds of one ensemble; 1 where nothing is boosted.
    var boostingRounds: Int {
        get throws { needsXGBoost ? Int(try estimator.number("rounds", default: 150, in: 1...10_000)) : 1 }
    }

    /// - Parameters:
    ///   - keepsRows: see `TabularLearner.Settings`.
    ///   - library: nil where nothing is to be boosted.
    ///   - tick: called with each boosting round.
    func learnerSettings(
        keepsRows: Bool, _ library: XGBoostLibrary?, tick: @escaping @Sendable () -> Bool = { true }
    ) throws -> TabularLearner.Settings {
        var made = TabularLearner.Settings(roles: roles) { _ in NoTraining() }
        if !needsXGBoost {
            let shrinkage = Float(try estimator.number("shrinkage", default: 5, in: 0...1e6))
            made.estimator = { CentresTrainer(classCount: $0.classNames.count, shrinkage: shrinkage) }
        } else if let library {
            let blend = try blend()
            made.estimator = { BlendTrainer(library, settings: blend, classCount: $0.classNames.count, progress: tick) }
        }
        made.keepsRows = keepsRows
        if let library {
            made.catalog = StageCatalog(adding: [.transfer(XGBoostEstimator(library, .transfer(seed: seed), progress: tick))])
            // Several tasks: what one's knowledge is worth in another.
            if !roles.tasks.isEmpty { made.stages = ["task_relation_discovery=Transfer"] }
        }
        // Where nothing is trained no relation is looked for.
        made.stages += stages.filter { library != nil || !$0.hasPrefix(StageKind.relationDiscovery.rawValue) }
        return made
    }

    /// How to boost trees.
    func trees() throws -> BoostingSettings {
        var parameters = [
            "tree_method": "hist", "max_bin": "128", "min_child_weight": "2", "subsample": "0.8", "colsample_bynode": "0.6", "lambda": "2",
        ]
        parameters["eta"] = "\(try estimator.number("eta", default: 0.08, in: 0.001...1))"
        parameters["max_depth"] = "\(Int(try estimator.number("max_depth", default: 5, in: 1...16)))"
        return BoostingSettings(rounds: try boostingRounds, parameters: parameters, seed: seed)
    }

    private func blend() throws -> BlendSettings {
        let share = Float(try estimator.number("networks", default: 0, in: 0...1))
        return BlendSettings(trees: try trees(), network: DenseSettings(seed: seed), indicatorColumns: [], networkShare: share)
    }
}

/// Stands for an estimator where a learner is only asked.
struct NoTraining: CrossFittingEstimator {
    struct Refused: Error {}
    func fit(_ rows: TrainingRows) throws -> BlendedModel { throw Refused() }
    func crossFit(_ rows: TrainingRows) throws -> CrossFittedBlend { throw Refused() }
}

/// Counts ticks of training for reports.
final class TickCounter: Sendable {
    private let done = Mutex(0)
    private let total: Int
    private let unit: String
    private let message: String
    private let context: WorkerContext

    init(total: Int, unit: String, message: String, _ context: WorkerContext) {
        (self.total, self.unit, self.message, self.context) = (max(total, 1), unit, message, context)
    }

    /// - Returns: true: training goes on until the process ends.
    func tick() -> Bool {
        let count = done.withLock { done in
            done += 1
            return done
        }
        context.progress(.init(done: Int64(min(count, total)), total: Int64(total), unit: unit, message: message))
        return true
    }
}
