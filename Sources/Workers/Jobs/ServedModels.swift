import Inference
import Learning
import ThermalComfort

/// Rows in the form in which models are asked, whatever the learner.
struct ModelRows {
    var features: FeatureMatrix
    /// One a row; nil where the row names none.
    var sites: [String?]
    var persons: [String?]
    /// The name that the task definition gives each row.
    var tasks: [String]

    var count: Int { tasks.count }

    func rows(_ positions: [Int]) -> ModelRows {
        ModelRows(
            features: features.rows(positions), sites: positions.map { sites[$0] }, persons: positions.map { persons[$0] },
            tasks: positions.map { tasks[$0] })
    }
}

/// A version of a model as it is deployed: one file, or several with the plan that says which serves which task.
///
/// One thread at a time may use it.
final class ServedModels {
    /// `model.onnx`, or the file named.
    let main: TabularPredictor
    /// Nil for a lone file.
    let plan: ServingPlan?
    private var predictors: [String: TabularPredictor] = [:]
    /// Tasks of each file.
    private let fileOfTask: [String: String]
    private let other: String

    /// - Parameter path: of a folder with `model.onnx`, or of an ONNX file; a `serving.json` beside it that lists it is followed.
    /// - Throws: `InferenceError`, `WorkerInputError`, `WorkersError`, each naming the file.
    init(path: String, _ runtime: ONNXRuntime) throws {
        let file = WorkerFile.isFolder(path) ? "\(path)/\(WorkerFile.model)" : path
        let folder = WorkerFile.folder(of: file), name = String(file.split(separator: "/").last ?? "")
        main = try Self.predictor(file, runtime)
        let planPath = "\(folder)/\(WorkerFile.serving)"
        let found =
            WorkerFile.exists(planPath)
            ? try ServingPlan(try WorkerFile.read(planPath, limit: WorkerFile.jsonBytesMax), source: planPath) : nil
        // A file of an earlier round is asked for itself.
        plan = name == WorkerFile.model ? found : nil
        (fileOfTask, other) = (plan?.tasks ?? [:], plan?.other ?? name)
        predictors[name] = main
        for extra in plan?.files ?? [] where extra != name { predictors[extra] = try Self.predictor("\(folder)/\(extra)", runtime) }
        for (extra, predictor) in predictors where predictor.featureNames != main.featureNames || predictor.classNames != main.classNames {
            throw WorkerInputError("\(folder)/\(extra) has other inputs or classes than \(name); fetch the model's version again")
        }
    }

    /// A model's file, screened but not loaded.
    ///
    /// - Throws: `WorkerInputError` naming the path; `WorkersError`.
    static func file(_ path: String) throws -> ModelFile {
        do {
            return try ModelFile(try InferenceWorker.read(path, limit: ModelLimits.edge.bytes))
        } catch let error as InferenceError {
            throw WorkerInputError("\(path): \(error)")
        }
    }

    /// A model of any inputs and outputs.
    ///
    /// - Throws: `WorkerInputError` naming the path.
    static func tensors(_ path: String, _ file: ModelFile, _ runtime: ONNXRuntime) throws -> TensorModel {
        try named(path) { try TensorModel(runtime, file) }
    }

    private static func predictor(_ path: String, _ runtime: ONNXRuntime) throws -> TabularPredictor {
        try named(path) { try TabularPredictor(runtime, try file(path)) }
    }

    /// Errors of a model with the path of its file; those of the library as they are.
    private static func named<Model>(_ path: String, _ body: () throws -> Model) throws -> Model {
        do {
            return try body()
        } catch let error as InferenceError where !error.isOfLibrary {
            throw WorkerInputError("\(path): \(error)")
        }
    }

    /// Shape [rows, classes].
    ///
    /// - Throws: `InferenceError`.
    func predict(_ rows: ModelRows) throws -> ClassProbabilities {
        let classes = main.classNames.count
        var values = [Float](repeating: 0, count: rows.count * classes)
        for (file, positions) in Dictionary(grouping: rows.tasks.indices, by: { fileOfTask[rows.tasks[$0]] ?? other }) {
            let predictor = predictors[file]!
            let part = rows.rows(positions)
            let found = try predictor.predict(
                TabularRows(
                    part.features, sites: predictor.takesSites ? part.sites : nil, persons: predictor.takesPersons ? part.persons : nil))
            for (place, row) in positions.enumerated() {
                for k in 0..<classes { values[row * classes + k] = found.probabilities[place * classes + k] }
            }
        }
        return ClassProbabilities(classCount: classes, values: values)
    }
}

extension InferenceError {
    /// Whether ONNX Runtime itself is missing, and no model at fault.
    var isOfLibrary: Bool {
        switch self {
        case .libraryNotFound, .notONNXRuntime, .unsupportedVersion: true
        default: false
        }
    }
}

extension ModelRows {
    /// Rows of a table by the inputs of a model.
    ///
    /// - Throws: `TableError`.
    init(_ table: TextTable, _ schema: TabularSchema) throws {
        let samples = try schema.samples(table, ids: Array(0..<table.count))
        let stages = TabularLearner.stages(schema)
        self.init(
            features: samples.features, sites: try samples.keys("site"), persons: try samples.keys("person"),
            tasks: try stages.taskDefinition.tasks(of: samples))
    }

    /// Votes of the thermal-comfort database.
    init(_ rows: ComfortRows) throws {
        let samples = rows.lifelongSamples
        self.init(
            features: samples.features, sites: try samples.keys("site"), persons: try samples.keys("person"),
            tasks: try LifelongStages.comfort.taskDefinition.tasks(of: samples))
    }
}
