package import Inference

/// First runs of a model, on made-up inputs.
package struct WarmUp {
    /// What was found.
    package struct Finding: Sendable, Equatable {
        /// Nanoseconds of a run of one row; nil where no input could be made up.
        package var singleNanoseconds: UInt64?
        /// Nanoseconds of a run of eight rows.
        package var eightNanoseconds: UInt64?
        /// Whether rows answered together were the same, bit for bit, as alone.
        package var isSame = false
        /// Whether requests that arrive together are to be answered together: the same, and eight cost less than five alone.
        package var isBatching: Bool {
            guard isSame, let one = singleNanoseconds, let eight = eightNanoseconds else { return false }
            return eight < 5 * one
        }
        /// What one request of eight saves.
        package var savedNanoseconds: UInt64 {
            guard let one = singleNanoseconds, let eight = eightNanoseconds, eight < 8 * one else { return 0 }
            return one - eight / 8
        }
    }

    private static let together = 8
    /// Sizes that a file leaves open are made up as this; models of pictures take a multiple of 32.
    private static let openSize = 32
    private let inputs: [TensorSpec]

    package init(_ inputs: [TensorSpec]) { self.inputs = inputs }

    /// - Throws: of models whose every size is known, what ONNX Runtime says; others may want sizes that cannot be guessed.
    package func run(_ model: TensorModel, _ nanoseconds: () -> UInt64) throws(InferenceError) -> Finding {
        var finding = Finding()
        guard inputs.allSatisfy({ $0.isShaped }), inputs.reduce(0, { $0 + $1.width }) <= 1 << 24 else { return finding }
        if model.isOfRows { try model.findRows(inputs.map { Self.tensor($0, seed: 1, isGuess: false) }) }
        guard model.isOfRows else {
            let guess = inputs.map { Self.tensor($0, seed: 1, isGuess: true) }
            let isKnown = inputs.allSatisfy { $0.shape.allSatisfy { $0 != nil } }
            do throws(InferenceError) {
                finding.singleNanoseconds = try Self.best(3, nanoseconds) { () throws(InferenceError) in _ = try model.run(guess) }
            } catch {
                if isKnown { throw error }
            }
            return finding
        }
        let requests = (0..<Self.together).map { row in inputs.map { Self.tensor($0, seed: UInt64(row + 1), isGuess: false) } }
        let alone: [[[UInt8]]] = try requests.map { (request) throws(InferenceError) in try model.run(request).map { Array($0.bytes) } }
        let both = try model.run(together: requests)
        finding.isSame = both.map { $0.map { Array($0.bytes) } } == alone
        finding.singleNanoseconds = try Self.best(5, nanoseconds) { () throws(InferenceError) in _ = try model.run(requests[0]) }
        finding.eightNanoseconds = try Self.best(5, nanoseconds) { () throws(InferenceError) in _ = try model.run(together: requests) }
        return finding
    }

    private static func best(
        _ times: Int, _ nanoseconds: () -> UInt64, _ body: () throws(InferenceError) -> Void
    ) throws(InferenceError) -> UInt64 {
        var best = UInt64.max
        for _ in 0..<times {
            let start = nanoseconds()
            try body()
            best = min(best, nanoseconds() - start)
        }
        return best
    }

    /// Small numbers, all kinds of them, from a row of fixed lots.
    static func tensor(_ spec: TensorSpec, seed: UInt64, isGuess: Bool) -> Tensor {
        let shape = spec.shape.enumerated().map { $1 ?? ($0 == 0 || !isGuess ? 1 : openSize) }
        let count = shape.reduce(1, *)
        guard spec.type != .string else { return Tensor(texts: (0..<count).map { Array("w\($0 % 7)".utf8) }, shape: shape) }
        let tensor = Tensor(type: spec.type, shape: shape)
        var state = seed &* 0x9e37_79b9_7f4a_7c15
        func draw() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        for index in 0..<count {
            let number = draw()
            switch spec.type {
            case .float: tensor.values(as: Float.self)[index] = Float(number % 20_000) / 1000 - 5
            case .double: tensor.values(as: Double.self)[index] = Double(number % 20_000) / 1000 - 5
            case .float16: tensor.values(as: UInt16.self)[index] = Float16(Float(number % 2000) / 1000).bitPattern
            case .bfloat16: tensor.values(as: UInt16.self)[index] = BrainFloat.rounded(Float(number % 2000) / 1000)
            // Whole numbers are often places in a table: 0 and 1 are in every one.
            default: tensor.bytes[index * spec.type.byteCount] = UInt8(number & 1)
            }
        }
        return tensor
    }
}
