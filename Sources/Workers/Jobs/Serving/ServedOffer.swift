import Inference
import Learning
import Network
import Resources
import Serving
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Nanoseconds of a clock that never goes back.
@Sendable func monotonic() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// A loaded version in the form in which requests ask it, warm.
struct ServedOffer {
    /// Used by the desk alone from here on.
    nonisolated(unsafe) let engine: any ServedEngine
    /// What was found out about it, for people.
    let words: String?

    /// - Parameters:
    ///   - isDirect: false: requests of the model's inputs go the long way too, because something is added to its answers there.
    ///   - isBatching: false: each request is answered by itself, whatever is found out.
    ///   - runBytesMax: of the inputs and outputs of one run.
    /// - Throws: what ONNX Runtime says of the first run.
    init(_ judge: RowJudge, version: String, isDirect: Bool, isBatching: Bool, runBytesMax: Int) throws {
        guard let model = judge.tensorModel else {
            (engine, words) = (TabularEngine(judge, nil, version: version), nil)
            return
        }
        model.runBytesMax = runBytesMax
        if judge.isTabular {
            let made = TabularEngine(judge, isDirect ? model : nil, version: version)
            try made.warmUp()
            (engine, words) = (made, "\(model.evaluator)")
        } else {
            let made = TensorEngine(model, version: version, mayBatch: isBatching, isDirect: isDirect)
            let finding = try made.warmUp(monotonic)
            let time = finding.singleNanoseconds.map { "\($0 / 1000) µs a run" } ?? "no inputs could be made up for a first run"
            let together = made.isBatching ? ", requests that arrive together are answered together" : ""
            (engine, words) = (made, "\(time)\(together), \(model.evaluator)")
        }
    }
}

/// A model of named features: as its file is, but that `site` and `person` come as words, and classes leave with their names.
final class TabularEngine: ServedEngine {
    let version: String
    let inputs: [TensorSpec]
    let outputs: [TensorSpec]
    let parameters: JSON?
    let isBatching = false
    let directRow: DirectRow?
    private let model: TensorModel?
    private let classes: [[UInt8]]
    private let places: [Int]

    /// - Parameter model: nil: every request goes the long way.
    init(_ judge: RowJudge, _ model: TensorModel?, version: String) {
        (self.model, self.version) = (model, version)
        let classes = judge.classNames.map { Array($0.utf8) }
        self.classes = classes
        inputs = [TensorSpec(name: "features", type: .float, shape: [nil, judge.featureNames.count])]
        outputs =
            classes.isEmpty
            ? [TensorSpec(name: "value", type: .float, shape: [nil, 1])]
            : [
                TensorSpec(name: "probabilities", type: .float, shape: [nil, classes.count]),
                TensorSpec(name: "label", type: .int64, shape: [nil]), TensorSpec(name: "class", type: .string, shape: [nil]),
            ]
        parameters = [
            "features": .array(judge.featureNames.map { .string($0) }), "classes": .array(judge.classNames.map { .string($0) }),
            "evaluator": .string(model?.evaluator.name ?? "onnxruntime"),
        ]
        let names = classes.isEmpty ? ["value"] : ["probabilities", "label"]
        let places = names.map { name in model?.outputs.firstIndex { $0.name == name } ?? 0 }
        self.places = places
        directRow = model.flatMap { Self.directRow($0, classes, places) }
    }

    /// Of a row of features alone: sites and persons are unknown.
    private static func directRow(_ model: TensorModel, _ classes: [[UInt8]], _ places: [Int]) -> DirectRow? {
        guard model.isOfRows, let input = model.signature.inputs.firstIndex(where: { $0.name == "features" && $0.type == .float }),
            let row = try? BoundRow(model)
        else { return nil }
        let first = row.outputs[places[0]].tensor
        guard !classes.isEmpty else {
            let outputs = [NamedTensor("value", first)]
            return DirectRow(name: "features", values: row.floats(input)) { () throws(InferenceError) in
                try row.run()
                return outputs
            }
        }
        let label = row.outputs[places[1]].tensor
        let answers = (classes + [[]]).map { name in
            [NamedTensor("probabilities", first), NamedTensor("label", label), NamedTensor("class", Tensor(texts: [name], shape: [1]))]
        }
        return DirectRow(name: "features", values: row.floats(input)) { () throws(InferenceError) in
            try row.run()
            let found = Int(label.values(as: Int64.self)[0])
            return answers[classes.indices.contains(found) ? found : classes.count]
        }
    }

    func warmUp() throws(InferenceError) {
        guard let model else { return }
        let row = model.signature.inputs.map { spec in Tensor(type: spec.type, shape: spec.shape.map { $0 ?? 1 }) }
        for _ in 0..<3 { _ = try run([row]) }
    }

    func tensors(for call: InferCall) throws(ServingRefusal) -> [Tensor]? {
        guard let model, let features = call.inputs.first(where: { $0.name == "features" }) else { return nil }
        let values = try InputOrder.fitting(features, inputs[0])
        var words: [String: Tensor] = [:]
        for input in call.inputs where input.name != "features" {
            guard ["site", "person", "task"].contains(input.name) else {
                throw ServingRefusal(400, "the input \"\(input.name)\" is unknown beside \"features\"; known: site, person, task")
            }
            guard input.tensor.count == values.shape[0] else {
                throw ServingRefusal(400, "input \"\(input.name)\" has the shape \(input.tensor.shape); expected [\(values.shape[0])]")
            }
            words[input.name] = input.tensor
        }
        return model.signature.inputs.map { spec in
            if spec.name == "features" { return values }
            return Self.hashes(words[spec.name], count: values.shape[0])
        }
    }

    /// Sites and persons are known to the model by the hashes of their words, 0 where there is none.
    private static func hashes(_ words: Tensor?, count: Int) -> Tensor {
        let hashes = Tensor(type: .int64, shape: [count])
        guard let words else { return hashes }
        let places = hashes.values(as: Int64.self)
        for row in 0..<count {
            let word: String? =
                switch words.type {
                case .string: String(decoding: words.texts[row], as: UTF8.self)
                case .int64: "\(words.values(as: Int64.self)[row])"
                case .int32: "\(words.values(as: Int32.self)[row])"
                default: nil
                }
            places[row] = Int64(AdapterTable.hash(word))
        }
        return hashes
    }

    func run(_ requests: [[Tensor]]) throws(InferenceError) -> [[NamedTensor]] {
        guard let model else { return [] }
        var answers: [[NamedTensor]] = []
        for request in requests {
            let found = try model.run(request)
            guard !classes.isEmpty else {
                answers.append([NamedTensor("value", found[places[0]])])
                continue
            }
            let label = found[places[1]]
            let names = label.values(as: Int64.self).map { classes.indices.contains(Int($0)) ? classes[Int($0)] : [] }
            answers.append([
                NamedTensor("probabilities", found[places[0]]), NamedTensor("label", label),
                NamedTensor("class", Tensor(texts: names, shape: [names.count])),
            ])
        }
        return answers
    }
}

/// The worker behind its desk, for what the desk does not answer itself; nil before it serves and after.
final class WorkerBehind: Sendable {
    private let worker = Mutex<ServeWorker?>(nil)

    func take(_ worker: ServeWorker?) { self.worker.withLock { $0 = worker } }

    func answer(_ head: LoopHead, _ body: [UInt8]) async -> LoopResponse {
        guard let worker = worker.withLock({ $0 }) else {
            return LoopResponse(ServingRefusal(503, "the worker is ending; ask again later"))
        }
        var request = HTTPRequest(method: head.method, path: head.path, query: head.query, body: body)
        request.headers[InferenceProtocol.headerLength] = head.inferenceHeaderLength.map { "\($0)" }
        let answer = await worker.respond(to: request)
        guard case .bytes(let bytes) = answer.body else { return LoopResponse(ServingRefusal(500, "an answer without an end")) }
        return LoopResponse(
            answer.status, bytes, contentType: answer.headers["Content-Type"] ?? "application/json",
            inferenceHeaderLength: answer.headers[InferenceProtocol.headerLength].flatMap { Int($0) })
    }

    func settle(_ version: String, _ verdict: CanaryTrial.Verdict) { worker.withLock { $0 }?.settle(version, verdict) }

    func rows(_ table: RowTable) throws -> RowTable { try there().answer(table) }

    /// As `rows`, with whoever else has a word in the answers.
    func decided(_ table: RowTable) async throws(ServingRefusal) -> RowTable {
        do { return try await there().decided(table) } catch { throw ServingRefusal(of: error) }
    }

    /// Inputs of the model, with whoever else has a word in the answers.
    func decided(_ inputs: [NamedTensor]) async throws(ServingRefusal) -> [NamedTensor] {
        do { return try await there().decide(inputs).outputs } catch { throw ServingRefusal(of: error) }
    }

    func note(_ shares: [Float]) { worker.withLock { $0 }?.note(shares) }

    private func there() throws -> ServeWorker {
        guard let worker = worker.withLock({ $0 }) else { throw ServingRefusal(503, "the worker is ending; ask again later") }
        return worker
    }
}

extension ServingRefusal {
    /// An error of a worker as its caller is told it.
    init(of error: any Error) {
        switch error {
        case let refusal as ServingRefusal: self = refusal
        case let refusal as InferenceRefusal: self.init(refusal.status, refusal.reason)
        case let error as InferenceError: self.init(error.status, "\(error)")
        default: self.init(400, "\(error)")
        }
    }
}

extension RowTable {
    /// What rows of a table were answered.
    ///
    /// - Parameter tellsWho: whether a column says which of two models has answered.
    init(_ judged: RowJudge.Judgement, classes: [String], lines: [Int], tellsWho: Bool = false) {
        guard !classes.isEmpty else {
            self.init(columns: ["value"], rows: judged.probabilities.values.map { ["\($0)"] }, lines: lines)
            return
        }
        let rows = judged.marks.enumerated().map { row, mark in
            let label = judged.probabilities.predictedClass(row: row)
            return [
                classes[label], "\(judged.probabilities.values[row * classes.count + label])", mark.task ?? "", "\(mark.isUnseen)",
                "\(mark.isHard)",
            ] + (tellsWho ? [mark.isFromCloud ? "cloud" : "edge"] : [])
        }
        self.init(
            columns: ["class", "probability", "task", "unseen", "hard"] + (tellsWho ? ["answered_by"] : []), rows: rows, lines: lines)
    }
}
