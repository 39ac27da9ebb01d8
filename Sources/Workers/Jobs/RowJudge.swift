import Inference
import Learning
import Resources
import Serving
import ThermalComfort

/// When a prediction is so unsure that its row is worth a label: `HEM_NAME`, `HEM_PARAMETERS`, one of `HardExampleFilter`.
struct HardExamples: Sendable, Equatable {
    private let filter: HardExampleFilter
    /// From this hardness on; without a filter an entropy of .95 of knowing nothing.
    private let least: Double

    /// - Throws: `WorkerInputError` for a filter that is not known, or a parameter that is none.
    init(_ settings: WorkerSettings) throws {
        let made = try Self.filter(settings, usual: "CrossEntropy").filter
        (filter, least) = (made, settings["HEM_NAME"] == nil ? 0.95 : made.threshold ?? 0.5)
    }

    /// What `HEM_NAME` and `HEM_PARAMETERS` say, and the budget among them.
    ///
    /// - Throws: `WorkerInputError`.
    static func filter(
        _ settings: WorkerSettings, usual: String
    ) throws -> (filter: HardExampleFilter, budget: UploadBudget.Limit?, parameters: [String: String]) {
        let parameters = try Self.parameters(settings)
        do {
            let filter = try HardExampleFilter(name: settings["HEM_NAME"] ?? usual, parameters: parameters)
            return (filter, try UploadBudget.limit(parameters), parameters)
        } catch {
            throw WorkerInputError("\(error)")
        }
    }

    static func parameters(_ settings: WorkerSettings) throws -> [String: String] {
        guard let text = settings["HEM_PARAMETERS"] else { return [:] }
        guard let list = (try? JSON(parsing: text))?.array else {
            throw WorkerInputError("HEM_PARAMETERS=\(text.prefix(80)): expected a JSON list of {\"key\", \"value\"}")
        }
        return Dictionary(list.map { ($0["key"]?.string ?? "", $0["value"]?.string ?? $0["value"]?.text ?? "") }, uniquingKeysWith: { $1 })
    }

    /// What is learned from a large model's answers is not known here: a gain is taken for half of what the lead leaves open.
    func isHard(_ shares: some Collection<Float>, classNames: [String]) -> Bool {
        let shares = Array(shares)
        let bits = shares.reduce(UInt64(shares.count)) { ($0 << 7 | $0 >> 57) ^ UInt64($1.bitPattern) }
        var lots = SeededGenerator(seed: bits)
        let gain = LearnedGain().expected(.init(shares: shares))
        let hardness = filter.hardness(
            of: .classes(shares), lot: .random(in: 0..<1, using: &lots), classNames: classNames, gain: gain)
        return hardness >= least
    }
}

/// What a worker makes of rows of a table: predictions, and whether they are worth a label.
///
/// One thread at a time may use it.
final class RowJudge {
    /// Of one row.
    struct Mark: Equatable {
        var task: String?
        var isUnseen = false
        var isHard = false
        /// The large model of a joint inference service has answered.
        var isFromCloud = false
    }

    /// Of some rows.
    struct Judgement {
        var probabilities: ClassProbabilities
        var marks: [Mark]
        /// The rows as the model was asked.
        var rows: ModelRows
    }

    /// What answers.
    private enum Engine {
        case classes(ServedModels)
        case number(NumberPredictor)
        /// A model of inputs of its own, which no table's columns fit.
        case tensors(TensorModel)
    }

    private let engine: Engine
    let learner: WorkerSettings.Learner
    private let roles: TabularRoles
    private let hard: HardExamples
    private let signs: Signs
    /// What the node has learned by itself; nil leaves the model's word as it is.
    var corrections: LocalCorrections?

    private enum Signs {
        case none
        case tabular(TabularLearner)
        case comfort(SkerryMethod)
    }

    /// - Parameter path: of a model's folder, or file; `signs.bin` beside it tells unseen rows.
    /// - Throws: naming the file at fault.
    init(path: String, _ settings: WorkerSettings, _ runtime: ONNXRuntime) throws {
        hard = try HardExamples(settings)
        let model = WorkerFile.isFolder(path) ? "\(path)/\(WorkerFile.model)" : path
        let screened = try ServedModels.file(model)
        let signature = screened.signature
        guard NumberPredictor.isNumber(signature) || TabularPredictor.isTabular(signature) else {
            // Its columns are its own: nothing is known of classes, tasks or sites.
            (engine, learner, signs) = (.tensors(try ServedModels.tensors(model, screened, runtime)), .tabular, .none)
            roles = TabularRoles(label: "")
            return
        }
        if NumberPredictor.isNumber(signature) {
            let predictor = try NumberJudging.predictor(model, runtime)
            (engine, learner, signs) = (.number(predictor), .tabular, .none)
            var roles = try TabularJob(settings).roles
            (roles.label, roles.isNumber, roles.tasks) = (predictor.valueName, true, [])
            self.roles = roles
            return
        }
        let models = try ServedModels(path: path, runtime)
        engine = .classes(models)
        learner = try settings["LEARNER"] == nil ? models.plan?.learner ?? .tabular : settings.learner()
        roles = try models.plan?.roles ?? TabularJob(settings).roles
        let folder = WorkerFile.isFolder(path) ? path : WorkerFile.folder(of: path)
        let file = "\(folder)/\(WorkerFile.signs)"
        guard models.plan != nil, WorkerFile.exists(file) else {
            signs = .none
            return
        }
        let bytes = try WorkerFile.read(file, limit: WorkerFile.stateBytesMax)
        switch learner {
        case .tabular: signs = .tabular(try TabularLearner(recognising: bytes, source: file))
        case .thermalComfort: signs = .comfort(try SkerryMethod(state: bytes, NoTraining(), stages: .comfort))
        }
    }

    /// Columns of a request's features, in order.
    var featureNames: [String] {
        switch engine {
        case .classes(let models): models.main.featureNames
        case .number(let predictor): predictor.featureNames
        case .tensors: []
        }
    }

    /// What answers requests of the model's inputs by itself; nil where several files answer.
    var tensorModel: TensorModel? {
        switch engine {
        case .classes(let models): models.plan?.files.count ?? 1 > 1 ? nil : TensorModel(models.main.session)
        case .number(let predictor): TensorModel(predictor.session)
        case .tensors(let model): model
        }
    }

    /// Whether its inputs are named by a table's columns.
    var isTabular: Bool { if case .tensors = engine { false } else { true } }

    /// Inputs of a model that no table's columns fit; none of others.
    var inputs: [TensorSpec] { if case .tensors(let model) = engine { model.signature.inputs } else { [] } }

    /// Answers a model's own inputs.
    ///
    /// - Parameter inputs: in any order.
    /// - Returns: all outputs, copied.
    /// - Throws: `ServingRefusal` naming the input at fault; `InferenceError`.
    func outputs(of inputs: [NamedTensor]) throws -> [NamedTensor] {
        guard case .tensors(let model) = engine, let tensors = try InputOrder.tensors(for: inputs, model.signature.inputs) else {
            throw InferenceRefusal(400, "the model takes \(self.inputs.map(\.name).joined(separator: ", "))")
        }
        return zip(model.outputs, try model.run(tensors)).map { NamedTensor($0.name, $1.copied) }
    }

    /// In the order of an answer's columns; none where a number is estimated.
    var classNames: [String] { if case .classes(let models) = engine { models.main.classNames } else { [] } }

    /// As the model's file says.
    var version: String {
        switch engine {
        case .classes(let models): models.main.version
        case .number(let predictor): predictor.version
        case .tensors(let model): model.signature.metadata["version"] ?? ""
        }
    }

    var schema: TabularSchema { TabularSchema(featureNames: featureNames, classNames: classNames, roles: roles) }

    /// Shape [rows, classes]; of a number its estimates, one a row.
    ///
    /// - Throws: `InferenceError`.
    func predict(_ rows: ModelRows) throws -> ClassProbabilities {
        let found = try predictUncorrected(rows)
        return corrections?.corrected(found, sites: rows.sites, persons: rows.persons) ?? found
    }

    /// As the model's file says, whatever the node has learned by itself.
    ///
    /// - Throws: `InferenceError`.
    func predictUncorrected(_ rows: ModelRows) throws -> ClassProbabilities {
        switch engine {
        case .classes(let models): try models.predict(rows)
        case .number(let predictor): ClassProbabilities(classCount: 1, values: try predictor.predict(rows.features))
        case .tensors(let model):
            throw InferenceRefusal(400, "the model takes \(model.signature.inputs.map(\.name).joined(separator: ", "))")
        }
    }

    /// - Throws: `TableError` for rows that do not fit the model.
    func judge(_ table: TextTable) throws -> Judgement {
        if case .tensors(let model) = engine {
            throw InferenceRefusal(
                400,
                "the model takes the inputs \(model.signature.inputs.map { "\"\($0.name)\" \($0)" }.joined(separator: ", ")),"
                    + " not the columns \(table.columns.prefix(20).joined(separator: ", "))")
        }
        let rows: ModelRows
        var recognitions: [Recognition]?
        switch learner {
        case .tabular:
            rows = try ModelRows(table, schema)
            if case .tabular(let learner) = signs { recognitions = try learner.recognise(table) }
        case .thermalComfort:
            let votes = try ComfortStream.asked(table)
            rows = try ModelRows(votes)
            if case .comfort(let method) = signs { recognitions = try method.recognise(votes) }
        }
        let found = try predict(rows)
        let classes = found.classCount
        let marks = (0..<rows.count).map { row in
            let recognition = recognitions?[row]
            return Mark(
                task: recognition == nil ? rows.tasks[row] : recognition!.task, isUnseen: recognition?.isUnseen ?? false,
                isHard: classes > 1 && hard.isHard(found.values[row * classes..<(row + 1) * classes], classNames: classNames))
        }
        return Judgement(probabilities: found, marks: marks, rows: rows)
    }
}
