#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Who computes a model's answers.
package enum ModelEvaluator: Sendable, Equatable, CustomStringConvertible {
    /// ONNX Runtime; why not something else, in half a sentence.
    case onnxRuntime(because: String)
    /// The model as compiled here, which gave the same as ONNX Runtime, bit for bit, on this many rows when it was loaded.
    case compiled(checkedRows: Int)

    /// One word, for programs.
    package var name: String { if case .compiled = self { "compiled" } else { "onnxruntime" } }

    /// One sentence.
    package var description: String {
        switch self {
        case .onnxRuntime(let reason): "computed by ONNX Runtime: \(reason)"
        case .compiled(let rows): "compiled, the same as ONNX Runtime to the last bit on \(rows) rows"
        }
    }
}

/// Rows on which a compiled model must answer as ONNX Runtime does: about every threshold, with and without missing values.
struct CompiledCheck {
    static let singleRows = 128
    static let blockRows = 64
    private let model: CompiledModel
    private let keys: [Int: [Int]]
    private var state: UInt64 = 0x5eed

    init(_ model: CompiledModel, keys: [Int: [Int]]) { (self.model, self.keys) = (model, keys) }

    private mutating func draw(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % bound
    }

    private mutating func number(_ thresholds: [Float]) -> Float {
        let kind = draw(100)
        if kind < 1 { return draw(2) == 0 ? .infinity : -.infinity }
        if kind < 8 { return Float(draw(3)) - 1 }
        if kind < 15 || thresholds.isEmpty { return Float(draw(200_001) - 100_000) / 100 }
        let threshold = thresholds[draw(thresholds.count)]
        switch kind {
        case ..<45: return threshold
        case ..<55: return threshold.nextUp
        case ..<65: return threshold.nextDown
        default: return threshold + (thresholds[draw(thresholds.count)] - threshold) * Float(draw(1000)) / 1000
        }
    }

    /// Writes rows into the memory of the inputs.
    mutating func fill(_ memories: [UnsafeMutableRawPointer], rows: Int, from number: Int) {
        for (index, spec) in model.inputs.enumerated() {
            if spec.type == .int64 {
                let (values, known) = (memories[index].assumingMemoryBound(to: Int64.self), keys[index] ?? [])
                for row in 0..<rows {
                    values[row] = known.isEmpty || draw(4) == 0 ? Int64(draw(1000)) - 1 : Int64(known[draw(known.count)])
                }
                continue
            }
            let values = memories[index].assumingMemoryBound(to: Float.self)
            let trees = model.trees.filter { $0.columns == spec.width }
            for row in 0..<rows {
                // Of a hundred values, how many are missing.
                let missing = [0, 0, 10, 30, 70, 100][(number + row) % 6]
                for column in 0..<spec.width {
                    let value = self.number(trees.isEmpty ? [] : trees[draw(trees.count)].thresholds[column])
                    values[row * spec.width + column] = draw(100) < missing ? .nan : value
                }
            }
        }
    }

    /// - Returns: the first difference, in half a sentence; nil: all outputs of all rows are the same, bit for bit.
    mutating func difference(_ session: InferenceSession) throws(InferenceError) -> String? {
        for number in 0..<Self.singleRows {
            if let found = try difference(session, rows: 1, from: number) { return found }
        }
        return try difference(session, rows: Self.blockRows, from: Self.singleRows)
    }

    private mutating func difference(_ session: InferenceSession, rows: Int, from number: Int) throws(InferenceError) -> String? {
        let (theirs, ours) = (try BoundTensors(session, rows: rows, isKnownToRuntime: true), try BoundTensors(session, rows: rows))
        fill(theirs.pointers, rows: rows, from: number)
        for index in model.inputs.indices { ours.bytes(at: index).copyMemory(from: UnsafeRawBufferPointer(theirs.bytes(at: index))) }
        try session.runByRuntime(theirs)
        model.run(CompiledModel.Frame(model, ours.pointers), ours.pointers, rows: rows)
        for (index, spec) in model.outputs.enumerated() {
            let (expected, found) = (theirs.bytes(at: model.inputs.count + index), ours.bytes(at: model.inputs.count + index))
            if let place = Self.firstDifference(expected, found, spec.type) {
                return "output \"\(spec.name)\" differed from ONNX Runtime's in row \(number + place / spec.width)"
            }
        }
        return nil
    }

    /// Equal to the last bit, but that one NaN is as good as another.
    private static func firstDifference(
        _ expected: UnsafeMutableRawBufferPointer, _ found: UnsafeMutableRawBufferPointer, _ type: ElementType
    ) -> Int? {
        guard type == .float else {
            return expected.elementsEqual(found)
                ? nil : zip(expected, found).enumerated().first { $1.0 != $1.1 }.map { $0.offset / type.byteCount }
        }
        let (expected, found) = (expected.bindMemory(to: Float.self), found.bindMemory(to: Float.self))
        return expected.indices.first { place in
            expected[place].bitPattern != found[place].bitPattern && !(expected[place].isNaN && found[place].isNaN)
        }
    }
}
