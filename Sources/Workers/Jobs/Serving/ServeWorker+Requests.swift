import Inference
import Learning
import Network
import Resources
import Serving
import Synchronization

/// Requests that are answered by more than the model alone: columns of a table, and every form of request where a node adapts its model or a large
/// one answers what is hard.
extension ServeWorker {
    /// Outputs of one run. Nobody else keeps them, hence unchecked.
    private struct Outputs: @unchecked Sendable { var all: [NamedTensor] }

    /// Bytes of JSON before tensors; nil where JSON is all.
    static func headerLength(_ request: HTTPRequest) -> Int? { request.headers[InferenceProtocol.headerLength].flatMap { Int($0) } }

    /// Answers a request of the protocol, JSON or with tensors as bytes behind it.
    func infer(_ request: HTTPRequest) async throws -> HTTPResponse {
        guard let facts = state.withLock({ $0.loaded.map { ($0.judge.isTabular, $0.judge.featureNames) } }) else { throw notThere }
        let length = Self.headerLength(request)
        if facts.0, length == nil { return Self.response(200, try await inferJSON(request.body, facts.1)) }
        let call = try InferCall(request.body, headerLength: length)
        let (outputs, version) = try await decide(call.inputs)
        var bytes: [UInt8] = []
        let header = try InferReply.write(outputs, for: call, modelName: modelName, version: version, into: &bytes)
        var response = HTTPResponse(status: 200, body: .bytes(bytes))
        response.headers["Content-Type"] = header == nil ? "application/json" : "application/octet-stream"
        response.headers[InferenceProtocol.headerLength] = header.map { "\($0)" }
        return response
    }

    /// Words as they are written in JSON: a category may look like a number.
    private func inferJSON(_ body: [UInt8], _ names: [String]) async throws -> JSON {
        let request = try InferenceRequest(body, featureNames: names, modelName: modelName)
        switch request.rows {
        case .table(let table):
            let (judged, classes, version) = try await decide(table)
            return InferenceAnswer(
                request, judged.probabilities, marks: judged.marks, tellsWho: joint != nil, classNames: classes, modelName: modelName,
                version: version
            ).json
        case .features(let rows):
            let (found, marks, classes, version) = try await decide(rows)
            return InferenceAnswer(
                request, found, marks: marks, tellsUnseen: false, tellsWho: joint != nil, classNames: classes, modelName: modelName,
                version: version
            ).json
        }
    }

    /// Whether a request brings inputs of the model, and not the columns of a table.
    func isOfInputs(_ call: InferCall) -> Bool {
        state.withLock { state in
            guard let judge = state.loaded?.judge else { return false }
            return call.inputs.contains { input in
                judge.isTabular ? input.name == "features" : judge.inputs.contains { $0.name == input.name }
            }
        }
    }

    // MARK: - Tensors

    /// Answers tensors by name: the model's own inputs, numbers of a table, or its columns.
    func decide(_ inputs: [NamedTensor]) async throws -> (outputs: [NamedTensor], version: String) {
        guard let facts = state.withLock({ $0.loaded.map { ($0.judge.isTabular, $0.judge.featureNames) } }) else { throw notThere }
        guard facts.0 else { return try await decide(own: inputs) }
        guard inputs.contains(where: { $0.name == "features" }) else {
            let (judged, classes, version) = try await decide(try TextTable(inputs))
            return (Self.outputs(judged.probabilities, judged.marks, classes, tellsUnseen: true, tellsWho: joint != nil), version)
        }
        let (found, marks, classes, version) = try await decide(try ModelRows(inputs, featureNames: facts.1))
        return (Self.outputs(found, marks, classes, tellsUnseen: false, tellsWho: joint != nil), version)
    }

    /// Numbers of a table as the model takes them in the end.
    ///
    /// - Returns: marks only where a large model has its word.
    private func decide(_ rows: ModelRows) async throws -> (ClassProbabilities, [RowJudge.Mark]?, [String], String) {
        let (found, classes, version) = try ask(rows: rows.count, label: { Self.label($0, $1) }) { judge in
            guard judge.featureNames == rows.features.columnNames else {
                throw InferenceRefusal(409, "the model was updated to one of other inputs; ask for its metadata again")
            }
            return try judge.predict(rows)
        }
        quality.note(found)
        guard let joint, !classes.isEmpty else {
            joint?.answeredAlone(rows.count)
            return (found, nil, classes, version)
        }
        let decided = await joint.decide(
            JointDesk.Batch(
                form: .features(rows), probabilities: found, features: rows.features.values, sites: rows.sites, classNames: classes))
        return (decided.probabilities, Self.marks(decided), classes, version)
    }

    /// Inputs of a model that knows no columns.
    private func decide(own inputs: [NamedTensor]) async throws -> (outputs: [NamedTensor], version: String) {
        let given = Outputs(all: inputs), count = inputs.first?.tensor.shape.first ?? 1
        let (found, _, version) = try ask(rows: count, label: { (_: Outputs, _) in nil }) { judge in
            Outputs(all: try judge.outputs(of: given.all))
        }
        let outputs = found.all
        if let joint, let detections = Detections(rowCount: count, outputs) {
            // A picture has no dimension for rows.
            state.withLock { $0.inferences += detections.scores.count - count }
            return (await decide(inputs, outputs, detections, joint), version)
        }
        let place = ClassShares.place(in: outputs.map { TensorSpec(name: $0.name, type: $0.tensor.type, shape: $0.tensor.shape) })
        if let place {
            var first: [Float] = []
            ClassShares.appendFirst(of: outputs[place].tensor, to: &first)
            quality.note(first)
        }
        guard let joint else { return (outputs, version) }
        // Maps have their keys beside the rows, which are the same for all; of lists nobody can say which row is where.
        let keys = outputs.namesBesideRows
        guard let place, let shares = ClassShares.all(of: outputs[place].tensor),
            keys.allSatisfy({ $0.hasSuffix(TensorModel.keysSuffix) }),
            (inputs + outputs.filter { !keys.contains($0.name) }).allSatisfy({ $0.tensor.shape.first == count })
        else {
            joint.answeredAlone(count)
            return (outputs, version)
        }
        let classes = outputs[place].tensor.shape[1]
        let names = outputs.first { $0.name == outputs[place].name + TensorModel.keysSuffix }?.tensor.words
        let decided = await joint.decide(
            JointDesk.Batch(
                form: .tensors(inputs, outputs: outputs, shares: place),
                probabilities: ClassProbabilities(classCount: classes, values: shares), features: Self.numbers(inputs),
                sites: .init(repeating: nil, count: count), classNames: names ?? (0..<classes).map { "\($0)" }))
        let marks = Self.marks(decided).map { (isHard: $0.isHard, isFromCloud: $0.isFromCloud) }
        let known = Set(outputs.map(\.name))
        return (decided.outputs + Self.told(marks).filter { !known.contains($0.name) }, version)
    }

    /// What was detected in each row, with a large model's word.
    private func decide(
        _ inputs: [NamedTensor], _ outputs: [NamedTensor], _ detections: Detections, _ joint: JointDesk
    ) async -> [NamedTensor] {
        let count = detections.scores.count, areRows = (inputs + outputs).allSatisfy { $0.tensor.shape.first == count }
        guard count == 1 || areRows else {
            joint.answeredAlone(count)
            return outputs
        }
        let decided = await joint.decide(
            JointDesk.Batch(
                form: count == 1 ? .whole(inputs, outputs: outputs) : .tensors(inputs, outputs: outputs, shares: nil),
                probabilities: ClassProbabilities(classCount: 1, values: .init(repeating: 1, count: count)), features: [],
                sites: .init(repeating: nil, count: count), classNames: [""], detections: detections))
        let known = Set(outputs.map(\.name)), marks = Self.marks(decided).map { (isHard: $0.isHard, isFromCloud: $0.isFromCloud) }
        return decided.outputs + Self.told(marks).filter { !known.contains($0.name) }
    }

    /// What may be learned from: the numbers of a row where there are few; none of pictures.
    private static func numbers(_ inputs: [NamedTensor]) -> [Float] {
        guard inputs.count == 1, inputs[0].tensor.type == .float, inputs[0].tensor.width <= 96 else { return [] }
        return Array(inputs[0].tensor.values(as: Float.self))
    }

    // MARK: - Outputs

    private static func marks(_ decided: JointDesk.Decided) -> [RowJudge.Mark] {
        zip(decided.isHard, decided.isFromCloud).map { RowJudge.Mark(isHard: $0, isFromCloud: $1) }
    }

    private static func outputs(
        _ found: ClassProbabilities, _ marks: [RowJudge.Mark]?, _ classes: [String], tellsUnseen: Bool, tellsWho: Bool
    ) -> [NamedTensor] {
        let count = found.rowCount
        func floats(_ width: Int) -> Tensor {
            let tensor = Tensor(type: .float, shape: [count, width])
            for (place, value) in found.values.enumerated() { tensor.values(as: Float.self)[place] = value }
            return tensor
        }
        guard !classes.isEmpty else { return [NamedTensor("value", floats(1))] }
        let labels = (0..<count).map { found.predictedClass(row: $0) }
        let label = Tensor(type: .int64, shape: [count])
        for (place, value) in labels.enumerated() { label.values(as: Int64.self)[place] = Int64(value) }
        var outputs = [
            NamedTensor("probabilities", floats(classes.count)), NamedTensor("label", label),
            NamedTensor("class", Tensor(texts: labels.map { Array(classes[$0].utf8) }, shape: [count])),
        ]
        guard let marks else { return outputs }
        if tellsUnseen { outputs.append(NamedTensor("unseen", flags(marks.map(\.isUnseen)))) }
        let told = told(marks.map { (isHard: $0.isHard, isFromCloud: $0.isFromCloud) })
        return outputs + (tellsWho ? told : Array(told.prefix(1)))
    }

    /// Which rows were hard, and who has answered each.
    private static func told(_ marks: [(isHard: Bool, isFromCloud: Bool)]) -> [NamedTensor] {
        [
            NamedTensor("hard", flags(marks.map(\.isHard))),
            NamedTensor(
                "answered_by", Tensor(texts: marks.map { Array(($0.isFromCloud ? "cloud" : "edge").utf8) }, shape: [marks.count])),
        ]
    }

    private static func flags(_ values: [Bool]) -> Tensor {
        let tensor = Tensor(type: .bool, shape: [values.count])
        for (place, value) in values.enumerated() { tensor.values(as: UInt8.self)[place] = value ? 1 : 0 }
        return tensor
    }
}

extension ModelRows {
    /// - Throws: `InferenceRefusal` naming the input at fault.
    fileprivate init(_ inputs: [NamedTensor], featureNames names: [String]) throws {
        guard let features = inputs.first(where: { $0.name == "features" })?.tensor, features.type == .float,
            features.shape.count == 2, features.shape[1] == names.count, features.shape[0] <= InferenceRequest.rowsMax
        else {
            let found = inputs.first { $0.name == "features" }?.tensor
            throw InferenceRefusal(
                400,
                "input \"features\" is \(found.map { "\($0.type.oip) of shape \($0.shape)" } ?? "missing"); expected FP32 of shape [rows, \(names.count)],"
                    + " at most \(InferenceRequest.rowsMax) rows")
        }
        let count = features.shape[0], values = features.values(as: Float.self)
        var matrix = FeatureMatrix(columnNames: names)
        for row in 0..<count { matrix.append(Array(values[row * names.count..<(row + 1) * names.count])) }
        self.init(
            features: matrix, sites: [String?](repeating: nil, count: count), persons: [String?](repeating: nil, count: count),
            tasks: [String](repeating: "", count: count))
        for input in inputs where input.name != "features" {
            guard let words = input.tensor.words, words.count == count else {
                throw InferenceRefusal(
                    400,
                    "input \"\(input.name)\" is \(input.tensor.type.oip) of shape \(input.tensor.shape); expected BYTES of shape [\(count)]"
                )
            }
            switch input.name {
            case "site": sites = words
            case "person": persons = words
            case "task": tasks = words
            default:
                throw InferenceRefusal(400, "the input \"\(input.name)\" is unknown beside \"features\"; known: site, person, task")
            }
        }
    }
}

extension TextTable {
    /// Columns that came as tensors: whole numbers without a point, nothing for a missing one.
    ///
    /// - Throws: `InferenceRefusal` naming the column at fault.
    fileprivate init(_ inputs: [NamedTensor]) throws {
        let count = inputs.first?.tensor.count ?? 0
        guard count <= InferenceRequest.rowsMax else {
            throw InferenceRefusal(400, "\(count) rows in one request; at most \(InferenceRequest.rowsMax) are answered")
        }
        self.init(columns: inputs.map(\.name), source: "the request")
        let columns = try inputs.map { input -> [String] in
            guard input.tensor.count == count, (1...2).contains(input.tensor.shape.count) else {
                throw InferenceRefusal(
                    400, "input \"\(input.name)\" has the shape \(input.tensor.shape); columns have one value a row, [\(count)]")
            }
            guard let words = input.tensor.words ?? Self.words(input.tensor) else {
                throw InferenceRefusal(
                    400, "input \"\(input.name)\" has the datatype \(input.tensor.type.oip); FP32, FP64, INT32, INT64, BYTES are taken")
            }
            return words
        }
        for row in 0..<count { append(columns.map { $0[row] }, line: row + 1) }
    }

    private static func words(_ tensor: Tensor) -> [String]? {
        func word(_ value: some BinaryFloatingPoint & CustomStringConvertible) -> String {
            if value.isNaN { return "" }
            let text = value.description
            return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
        }
        switch tensor.type {
        case .float: return tensor.values(as: Float.self).map { word($0) }
        case .double: return tensor.values(as: Double.self).map { word($0) }
        default: return nil
        }
    }
}
