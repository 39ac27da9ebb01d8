package import Inference
package import Resources

/// A loaded version of a model. Used on one thread at a time.
package protocol ServedEngine: AnyObject {
    /// Which version this is; told with every answer.
    var version: String { get }
    /// As the protocol's metadata say.
    var inputs: [TensorSpec] { get }
    /// As the protocol's metadata say.
    var outputs: [TensorSpec] { get }
    /// More to be told of the model; nil for nothing.
    var parameters: JSON? { get }
    /// Whether requests that have arrived together are answered by one run, which was seen to give the same and to be faster.
    var isBatching: Bool { get }
    /// What a request saves that is answered with others, in nanoseconds; 0 where that is not known.
    var savedNanoseconds: UInt64 { get }
    /// For requests of one row that can be answered without tensors of their own; nil where there is no such way.
    var directRow: DirectRow? { get }
    /// The same for several requests together, of a model that `isBatching`; nil where there is no such way.
    var directRows: DirectRows? { get }
    /// What the model is to be asked, in the order of its inputs.
    ///
    /// - Returns: nil where the request does not bring the model's inputs but something else, which somebody else may understand.
    /// - Throws: naming the input at fault.
    func tensors(for call: InferCall) throws(ServingRefusal) -> [Tensor]?
    /// Answers requests: one, or several together where `isBatching`.
    ///
    /// - Returns: one list a request, in the order of `outputs`; valid until the next run.
    func run(_ requests: [[Tensor]]) throws(InferenceError) -> [[NamedTensor]]
}

extension ServedEngine {
    /// Nothing is known to be saved.
    package var savedNanoseconds: UInt64 { 0 }

    /// There is no such way.
    package var directRows: DirectRows? { nil }
}

/// A model as its file is: its own inputs and outputs.
package final class TensorEngine: ServedEngine {
    package let version: String
    package let inputs: [TensorSpec]
    package let outputs: [TensorSpec]
    package let parameters: JSON?
    package private(set) var isBatching = false
    package private(set) var savedNanoseconds: UInt64 = 0
    package private(set) var directRow: DirectRow?
    package private(set) var directRows: DirectRows?
    private let model: TensorModel

    private let mayBatch: Bool
    private let isDirect: Bool

    /// Not yet warm.
    ///
    /// - Parameters:
    ///   - mayBatch: false: each request is answered by itself, whatever is found out.
    ///   - isDirect: false: requests are somebody else's, who has more to say than the model; this only tells what it is.
    package init(_ model: TensorModel, version: String, mayBatch: Bool = true, isDirect: Bool = true) {
        (self.mayBatch, self.isDirect) = (mayBatch, isDirect)
        (self.model, self.version, directRow) = (model, version, isDirect ? DirectRow(model) : nil)
        (inputs, outputs) = (model.signature.inputs, model.outputs)
        // Free text of the file's maker, without what is not for people.
        let about = model.signature.metadata.filter { $0.key != "features" && $0.key != "classes" && $0.value.count <= 1024 }
        var pairs = about.filter { $0.key != "evaluator" }.sorted { $0.key < $1.key }.prefix(32).map { ($0.key, JSON.string($0.value)) }
        pairs.append(("evaluator", .string(model.evaluator.name)))
        parameters = .object(JSONObject(pairs))
    }

    package func tensors(for call: InferCall) throws(ServingRefusal) -> [Tensor]? {
        isDirect ? try InputOrder.tensors(for: call, inputs) : nil
    }

    package func run(_ requests: [[Tensor]]) throws(InferenceError) -> [[NamedTensor]] {
        let answers = requests.count == 1 ? [try model.run(requests[0])] : try model.run(together: requests)
        return answers.map { answer in zip(outputs, answer).map { NamedTensor($0.name, $1) } }
    }

    /// Runs it on made-up inputs, so that the first request finds it warm, and finds out whether requests may be answered together.
    ///
    /// - Parameter nanoseconds: a clock that never goes back.
    /// - Returns: what was found, for people.
    /// - Throws: what ONNX Runtime says of the model.
    package func warmUp(_ nanoseconds: () -> UInt64) throws(InferenceError) -> WarmUp.Finding {
        let finding = try WarmUp(inputs).run(model, nanoseconds)
        if !model.isOfRows { directRow = nil }
        isBatching = finding.isBatching && mayBatch && isDirect
        directRows = isBatching ? DirectRows(model) : nil
        savedNanoseconds = isBatching ? finding.savedNanoseconds : 0
        return finding
    }
}

/// A request's inputs in the order of the model's.
package enum InputOrder {
    /// - Returns: nil where none of the names is an input of the model.
    /// - Throws: naming an input that is missing, unknown, or of another type or shape.
    package static func tensors(for call: InferCall, _ specs: [TensorSpec]) throws(ServingRefusal) -> [Tensor]? {
        try tensors(for: call.inputs, specs)
    }

    /// - Returns: nil where none of the names is an input of the model.
    /// - Throws: naming an input that is missing, unknown, or of another type or shape.
    package static func tensors(for given: [NamedTensor], _ specs: [TensorSpec]) throws(ServingRefusal) -> [Tensor]? {
        guard given.contains(where: { input in specs.contains { $0.name == input.name } }) else { return nil }
        for input in given where !specs.contains(where: { $0.name == input.name }) {
            throw ServingRefusal(
                400, "the input \"\(input.name)\" is unknown to the model (known: \(specs.map(\.name).joined(separator: ", ")))")
        }
        var tensors: [Tensor] = []
        tensors.reserveCapacity(specs.count)
        for spec in specs {
            guard let found = given.first(where: { $0.name == spec.name }) else {
                throw ServingRefusal(400, "the input \"\(spec.name)\" is missing (\(spec))")
            }
            tensors.append(try fitting(found, spec))
        }
        return tensors
    }

    /// - Throws: naming type and shape, found and expected.
    package static func fitting(_ input: NamedTensor, _ spec: TensorSpec) throws(ServingRefusal) -> Tensor {
        guard input.tensor.type == spec.type else {
            throw ServingRefusal(
                400, "input \"\(spec.name)\" has the datatype \(input.tensor.type.oip); the model takes \(spec.type.oip)")
        }
        guard spec.fits(input.tensor.shape) else {
            throw ServingRefusal(
                400,
                "input \"\(spec.name)\" has the shape \(input.tensor.shape); the model takes [\(spec.shape.map { $0.map(String.init) ?? "any" }.joined(separator: ", "))]"
            )
        }
        return input.tensor
    }
}
