package import Learning

/// Rows to ask a tabular model about.
package struct TabularRows: Sendable, Equatable {
    /// Shape [rows, features], row-major, in the order of the model's feature names; NaN is missing.
    package var features: [Float]
    /// `AdapterTable.hash` of each row's site, 0 for unknown; empty: no row has one.
    package var sites: [UInt32]
    /// The same for persons.
    package var persons: [UInt32]
    /// How many rows are asked about; `features` has this many times the model's features.
    package var count: Int

    /// Not checked here: only the model knows how many features a row has.
    package init(count: Int, features: [Float], sites: [UInt32] = [], persons: [UInt32] = []) {
        self.count = count
        self.features = features
        self.sites = sites
        self.persons = persons
    }

    /// - Parameters:
    ///   - sites, persons: keys, one a row; nil for all: no row has one.
    package init(_ features: FeatureMatrix, sites: [String?]? = nil, persons: [String?]? = nil) {
        self.init(
            count: features.rowCount, features: features.values, sites: (sites ?? []).map { AdapterTable.hash($0) },
            persons: (persons ?? []).map { AdapterTable.hash($0) })
    }
}

/// What a tabular model says.
package struct TabularPredictions: Sendable, Equatable {
    /// Row length of `probabilities` and `margins`.
    package let classCount: Int
    /// Shape [rows, classes]; each row sums to 1.
    package var probabilities: [Float] = []
    /// The class of the largest margin, the lowest on a tie; one a row.
    package var labels: [Int] = []
    /// Shape [rows, classes]: natural-log odds but for a constant a row.
    package var margins: [Float] = []

    /// No row yet; whoever computes appends to the three lists alike.
    package init(classCount: Int) { self.classCount = classCount }
}

/// A loaded `DeployedModel`. One thread at a time may use it.
package final class TabularPredictor {
    /// Rows of one run; more are answered run by run.
    package static let blockRows = 256

    /// Columns of a request, in order; from the model's metadata.
    package let featureNames: [String]
    /// Columns of an answer, in order; two or more.
    package let classNames: [String]
    /// Which model this is, for people; from the model's metadata, may be empty.
    package let version: String
    /// Whether the model has an input for the site's hash.
    package let takesSites: Bool
    /// The same for persons.
    package let takesPersons: Bool
    /// Its session, for others who ask it with memory of their own.
    package let session: InferenceSession
    /// A single row, the usual request, is bound once for ever; so is the last other number of rows.
    private let single: TabularTensors
    private var block: TabularTensors

    /// - Throws: what the session throws; `.missingInput`, `.unexpectedInput`, `.missingOutput`, `.wrongTensor` for a model of other inputs.
    package init(_ runtime: ONNXRuntime, _ file: ModelFile, options: SessionOptions = SessionOptions()) throws(InferenceError) {
        let names = try Self.names(file.signature)
        (featureNames, classNames) = names
        version = file.signature.metadata["version"] ?? ""
        takesSites = file.signature.input("site") != nil
        takesPersons = file.signature.input("person") != nil
        session = try InferenceSession(runtime, file, options: options)
        single = try TabularTensors(session, rows: 1)
        block = single
    }

    /// Whether a file names features and classes, as those of this program do.
    package static func isTabular(_ signature: ModelSignature) -> Bool {
        signature.metadata["features"] != nil && signature.metadata["classes"] != nil
    }

    /// Checks what the model takes and gives, before it is loaded.
    ///
    /// - Returns: names of features and classes.
    package static func names(_ signature: ModelSignature) throws(InferenceError) -> (features: [String], classes: [String]) {
        let features = (signature.metadata["features"] ?? "").split(separator: "\n").map(String.init)
        let classes = (signature.metadata["classes"] ?? "").split(separator: "\n").map(String.init)
        for (name, isKnown) in [
            ("features", !features.isEmpty), ("classes", classes.count > 1), ("version", signature.metadata["version"] != nil),
        ] {
            guard isKnown else { throw .unsupportedModel(reason: "its metadata does not name its \(name)") }
        }
        let inputs = [
            TensorSpec(name: "features", type: .float, shape: [nil, features.count]), TensorSpec(name: "site", type: .int64, shape: [nil]),
            TensorSpec(name: "person", type: .int64, shape: [nil]),
        ]
        let outputs = [
            TensorSpec(name: "probabilities", type: .float, shape: [nil, classes.count]),
            TensorSpec(name: "label", type: .int64, shape: [nil]), TensorSpec(name: "margins", type: .float, shape: [nil, classes.count]),
        ]
        guard signature.input("features") != nil else {
            throw .missingInput(name: "features", found: signature.inputs.map(\.name))
        }
        for input in signature.inputs {
            guard let known = inputs.first(where: { $0.name == input.name }) else {
                throw .unexpectedInput(name: input.name, known: inputs.map(\.name))
            }
            guard known == input else { throw .wrongTensor(name: input.name, expected: "\(known)", found: "\(input)") }
        }
        for output in outputs {
            guard let found = signature.output(output.name) else {
                throw .missingOutput(name: output.name, found: signature.outputs.map(\.name))
            }
            guard found == output else { throw .wrongTensor(name: output.name, expected: "\(output)", found: "\(found)") }
        }
        return (features, classes)
    }

    /// Answers one row or many. Blocks.
    ///
    /// - Throws: `.wrongValueCount` naming the input, `.unexpectedInput` for keys that the model does not ask for.
    package func predict(_ rows: TabularRows) throws(InferenceError) -> TabularPredictions {
        try check(rows)
        var result = TabularPredictions(classCount: classNames.count)
        result.probabilities.reserveCapacity(rows.count * classNames.count)
        result.margins.reserveCapacity(rows.count * classNames.count)
        result.labels.reserveCapacity(rows.count)
        for start in stride(from: 0, to: rows.count, by: Self.blockRows) {
            let tensors = try self.tensors(rows: min(Self.blockRows, rows.count - start))
            tensors.fill(rows, from: start)
            try session.run(tensors.bound)
            tensors.read(into: &result)
        }
        return result
    }

    private func tensors(rows: Int) throws(InferenceError) -> TabularTensors {
        if rows == 1 { return single }
        if block.bound.rowCount != rows { block = try TabularTensors(session, rows: rows) }
        return block
    }

    private func check(_ rows: TabularRows) throws(InferenceError) {
        guard rows.features.count == rows.count * featureNames.count else {
            throw .wrongValueCount(input: "features", expected: rows.count * featureNames.count, found: rows.features.count)
        }
        if !rows.sites.isEmpty { try check("site", rows.sites, takesSites, rows.count) }
        if !rows.persons.isEmpty { try check("person", rows.persons, takesPersons, rows.count) }
    }

    private func check(_ name: String, _ keys: [UInt32], _ isTaken: Bool, _ count: Int) throws(InferenceError) {
        guard isTaken else { throw .unexpectedInput(name: name, known: session.signature.inputs.map(\.name)) }
        guard keys.count == count else { throw .wrongValueCount(input: name, expected: count, found: keys.count) }
    }
}

extension TabularPredictor: Predictor {
    /// For rows of unknown sites and persons.
    ///
    /// - Throws: `InferenceError.wrongTensor` for other columns than the model's.
    package func predict(_ features: FeatureMatrix) throws -> ClassProbabilities {
        guard features.columnNames == featureNames else {
            throw InferenceError.wrongTensor(name: "features", expected: "\(featureNames)", found: "\(features.columnNames)")
        }
        return ClassProbabilities(classCount: classNames.count, values: try predict(TabularRows(features)).probabilities)
    }
}

/// The memory of a tabular model's inputs and outputs, looked up by name once.
private final class TabularTensors {
    let bound: BoundTensors
    private let features: UnsafeMutableBufferPointer<Float>
    private let sites: UnsafeMutableBufferPointer<Int64>?
    private let persons: UnsafeMutableBufferPointer<Int64>?
    private let probabilities: UnsafeMutableBufferPointer<Float>
    private let labels: UnsafeMutableBufferPointer<Int64>
    private let margins: UnsafeMutableBufferPointer<Float>

    init(_ session: InferenceSession, rows: Int) throws(InferenceError) {
        bound = try session.tensors(rows: rows)
        features = bound.floats("features")
        sites = session.signature.input("site") == nil ? nil : bound.integers("site")
        persons = session.signature.input("person") == nil ? nil : bound.integers("person")
        probabilities = bound.floats("probabilities")
        labels = bound.integers("label")
        margins = bound.floats("margins")
    }

    func fill(_ rows: TabularRows, from start: Int) {
        let width = features.count / bound.rowCount
        rows.features.withUnsafeBufferPointer { all in
            features.baseAddress!.update(from: all.baseAddress! + start * width, count: features.count)
        }
        if let sites { fill(sites, rows.sites, from: start) }
        if let persons { fill(persons, rows.persons, from: start) }
    }

    private func fill(_ memory: UnsafeMutableBufferPointer<Int64>, _ keys: [UInt32], from start: Int) {
        for row in 0..<bound.rowCount { memory[row] = keys.isEmpty ? 0 : Int64(keys[start + row]) }
    }

    func read(into result: inout TabularPredictions) {
        result.probabilities.append(contentsOf: probabilities)
        result.margins.append(contentsOf: margins)
        for label in labels { result.labels.append(Int(label)) }
    }
}
