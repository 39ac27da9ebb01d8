import Inference
import Learning
import Resources
import ThermalComfort

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// When a prediction is so unsure that its row is worth a label: Sedna's filters that fit classes (`HEM_NAME`, `HEM_PARAMETERS`).
struct HardExamples: Sendable, Equatable {
    private enum Rule: Sendable, Equatable {
        case never, always
        /// Entropy, as a share of what knowing nothing would be, from which a row is hard.
        case entropy(Double)
    }

    /// Of entropy / log of the number of classes.
    private static let usualShare = 0.95
    private let rule: Rule

    /// - Throws: `WorkerInputError` for a filter that is not known, or a parameter that is none.
    init(_ settings: WorkerSettings) throws {
        let name = settings["HEM_NAME"] ?? ""
        let parameters = try Self.parameters(settings)
        switch name {
        case "": rule = .entropy(Self.usualShare)
        case "EdgeOnly": rule = .never
        case "CloudOnly": rule = .always
        case "CrossEntropy":
            // Hard when 1 − normalised entropy < threshold.
            let text = parameters["threshold_cross_entropy"] ?? "0.5"
            guard let threshold = Double(text), (0...1).contains(threshold) else {
                throw WorkerInputError("HEM_PARAMETERS: threshold_cross_entropy is \"\(text.prefix(40))\"; give a number from 0 to 1")
            }
            rule = .entropy(1 - threshold)
        default:
            throw WorkerInputError(
                "HEM_NAME=\(name.prefix(40)): known for classes are CrossEntropy, CloudOnly, EdgeOnly; leave it out for an entropy of"
                    + " \(Self.usualShare) and more")
        }
    }

    private static func parameters(_ settings: WorkerSettings) throws -> [String: String] {
        guard let text = settings["HEM_PARAMETERS"] else { return [:] }
        guard let list = (try? JSON(parsing: text))?.array else {
            throw WorkerInputError("HEM_PARAMETERS=\(text.prefix(80)): expected a JSON list of {\"key\", \"value\"}")
        }
        return Dictionary(list.map { ($0["key"]?.string ?? "", $0["value"]?.string ?? $0["value"]?.text ?? "") }, uniquingKeysWith: { $1 })
    }

    func isHard(_ shares: some Collection<Float>) -> Bool {
        switch rule {
        case .never: return false
        case .always: return true
        case .entropy(let least):
            let entropy = shares.reduce(0.0) { sum, share in share > 0 ? sum - Double(share) * log(Double(share)) : sum }
            return entropy / log(Double(shares.count)) >= least
        }
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
    }

    /// Of some rows.
    struct Judgement {
        var probabilities: ClassProbabilities
        var marks: [Mark]
    }

    /// What answers.
    private enum Engine {
        case classes(ServedModels)
        case number(NumberPredictor)
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
        let signature = try ServedModels.file(model).signature
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
        }
    }

    /// In the order of an answer's columns; none where a number is estimated.
    var classNames: [String] { if case .classes(let models) = engine { models.main.classNames } else { [] } }

    /// As the model's file says.
    var version: String {
        switch engine {
        case .classes(let models): models.main.version
        case .number(let predictor): predictor.version
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
        }
    }

    /// - Throws: `TableError` for rows that do not fit the model.
    func judge(_ table: TextTable) throws -> Judgement {
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
                isHard: classes > 1 && hard.isHard(found.values[row * classes..<(row + 1) * classes]))
        }
        return Judgement(probabilities: found, marks: marks)
    }
}
