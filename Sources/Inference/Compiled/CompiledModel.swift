import CVectors

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A model computed row by row without ONNX Runtime: trees, and the few operators that stand around them in models of tables.
///
/// Immutable; frames hold what a computation writes, so that several threads may ask, each with its own.
final class CompiledModel {
    /// Where the numbers of a step are.
    enum Place: Equatable {
        /// Of the row's input, output: their number.
        case input(Int), output(Int)
        /// First number among the constants (4 bytes each), among those in between (8 bytes each).
        case constant(Int), between(Int)
    }

    /// One operator on one row. Numbers of `a`, `b` and `c` are places in the list of slots.
    struct Step {
        enum Code: UInt8 {
            case trees, classes, missing, choose, add, subtract, multiply, divide, clip, columns, lookUp, rows, copy, product, rectify,
                softmax,
                largest
        }

        var code: Code
        var out = 0
        var a = 0
        var b = 0
        var c = 0
        /// Numbers that are written.
        var count = 0
        /// Of `a`, `b`: 0 where one number stands for all, else 1.
        var strideA = 1
        var strideB = 1
        /// 0: `c` is not there.
        var strideC = 1
        /// Rows of a matrix.
        var depth = 0
        /// Width of a matrix, padded.
        var width = 0
        /// Number of the trees or of a dictionary, the first of some indices, or where a copy begins.
        var table = 0
        var factor: Float = 1
        var low: Float = 0
        var high: Float = 0
        var scratch = 0
    }

    /// Whole numbers to whole numbers; open addressing.
    struct Dictionary {
        var keys: [Int64]
        var values: [Int64]
        var isTaken: [Bool]
        var other: Int64

        init(_ pairs: [(Int, Int)], other: Int) {
            var size = 16
            while size < pairs.count * 2 { size *= 2 }
            (keys, values, isTaken) = (
                .init(repeating: 0, count: size), .init(repeating: 0, count: size), .init(repeating: false, count: size)
            )
            self.other = Int64(other)
            for (key, value) in pairs {
                var place = Self.place(Int64(key), size)
                while isTaken[place], keys[place] != Int64(key) { place = (place + 1) & (size - 1) }
                // Of a key that occurs twice, the first counts.
                if !isTaken[place] { (keys[place], values[place], isTaken[place]) = (Int64(key), Int64(value), true) }
            }
        }

        private static func place(_ key: Int64, _ size: Int) -> Int {
            Int(truncatingIfNeeded: (UInt64(bitPattern: key) &* 0x9e37_79b9_7f4a_7c15) >> 32) & (size - 1)
        }

        func value(_ key: Int64) -> Int64 {
            var place = Self.place(key, keys.count)
            while isTaken[place] {
                if keys[place] == key { return values[place] }
                place = (place + 1) & (keys.count - 1)
            }
            return other
        }
    }

    let inputs: [TensorSpec]
    let outputs: [TensorSpec]
    let trees: [CompiledTrees]
    private let steps: [Step]
    private let slots: [Place]
    private let dictionaries: [Dictionary]
    private let constants: UnsafeMutableRawPointer
    private let indices: [Int32]
    private let betweenCount: Int

    init(_ made: CompiledModelMaker, _ signature: ModelSignature) {
        (inputs, outputs) = (signature.inputs, signature.outputs)
        (trees, steps, slots, dictionaries) = (made.trees, made.steps, made.slots, made.dictionaries)
        (indices, betweenCount) = (made.indices, made.betweenCount)
        constants = .allocate(byteCount: max(made.constants.count * 4, 64), alignment: 64)
        made.constants.withUnsafeBytes { if $0.count > 0 { constants.copyMemory(from: $0.baseAddress!, byteCount: $0.count) } }
    }

    deinit { constants.deallocate() }

    /// Memory of one computation at a time.
    final class Frame {
        fileprivate let slots: UnsafeMutablePointer<UnsafeMutableRawPointer>
        private let between: UnsafeMutablePointer<UInt64>
        /// Keeps the constants valid.
        private let model: CompiledModel
        fileprivate let rowBytes: [Int]

        /// - Parameter memories: of the inputs, then of the outputs.
        init(_ model: CompiledModel, _ memories: [UnsafeMutableRawPointer]) {
            between = .allocate(capacity: max(model.betweenCount, 1))
            between.initialize(repeating: 0, count: max(model.betweenCount, 1))
            self.model = model
            slots = .allocate(capacity: model.slots.count + memories.count)
            rowBytes = (model.inputs + model.outputs).map { $0.width * $0.type.byteCount }
            for (number, place) in model.slots.enumerated() {
                let pointer =
                    switch place {
                    case .input(let index): memories[index]
                    case .output(let index): memories[model.inputs.count + index]
                    case .constant(let first): model.constants + first * 4
                    case .between(let first): UnsafeMutableRawPointer(between + first)
                    }
                (slots + number).initialize(to: pointer)
            }
        }

        deinit {
            slots.deallocate()
            between.deallocate()
        }
    }

    /// Writes the outputs of every row.
    ///
    /// - Parameters:
    ///   - frame: made for the memories.
    ///   - memories: of the inputs, then of the outputs.
    func run(_ frame: Frame, _ memories: [UnsafeMutableRawPointer], rows: Int) {
        for row in 0..<rows {
            if rows > 1 { place(frame, memories, row) }
            steps.withUnsafeBufferPointer { steps in
                for index in steps.indices { perform(steps[index], frame.slots) }
            }
        }
        if rows > 1 { place(frame, memories, 0) }
    }

    private func place(_ frame: Frame, _ memories: [UnsafeMutableRawPointer], _ row: Int) {
        for (number, place) in slots.enumerated() {
            switch place {
            case .input(let index): frame.slots[number] = memories[index] + row * frame.rowBytes[index]
            case .output(let index):
                frame.slots[number] = memories[inputs.count + index] + row * frame.rowBytes[inputs.count + index]
            case .constant, .between: break
            }
        }
    }

    // MARK: - Operators

    private typealias Slots = UnsafeMutablePointer<UnsafeMutableRawPointer>

    @inline(__always)
    private func floats(_ slots: Slots, _ number: Int) -> UnsafeMutablePointer<Float> { slots[number].assumingMemoryBound(to: Float.self) }

    @inline(__always)
    private func wholes(_ slots: Slots, _ number: Int) -> UnsafeMutablePointer<Int64> { slots[number].assumingMemoryBound(to: Int64.self) }

    private func perform(_ step: Step, _ slots: Slots) {
        let (out, a) = (floats(slots, step.out), floats(slots, step.a))
        switch step.code {
        case .trees: trees[step.table].evaluate(a, scratch: floats(slots, step.scratch), into: out)
        case .missing: for index in 0..<step.count { out[index] = a[index].isNaN ? 1 : 0 }
        case .choose: choose(step, slots)
        case .add, .subtract, .multiply, .divide: combine(step, slots)
        case .clip:
            for index in 0..<step.count {
                let value = a[index]
                let raised = value < step.low ? step.low : value
                out[index] = raised > step.high ? step.high : raised
            }
        case .columns:
            indices.withUnsafeBufferPointer { indices in
                for index in 0..<step.count { out[index] = a[Int(indices[step.table + index])] }
            }
        case .lookUp: wholes(slots, step.out)[0] = dictionaries[step.table].value(wholes(slots, step.a)[0])
        case .rows: out.update(from: a + Int(wholes(slots, step.b)[0]) * step.count, count: step.count)
        case .copy: (out + step.table).update(from: a, count: step.count)
        case .product: multiply(step, slots)
        case .rectify: for index in 0..<step.count { out[index] = a[index] > 0 ? a[index] : (a[index].isNaN ? a[index] : 0) }
        case .softmax: Self.softmax(a, step.count, out)
        case .largest, .classes: wholes(slots, step.out)[0] = largest(step, a)
        }
    }

    private func choose(_ step: Step, _ slots: Slots) {
        let (out, condition, a, b) = (floats(slots, step.out), floats(slots, step.c), floats(slots, step.a), floats(slots, step.b))
        for index in 0..<step.count { out[index] = condition[index] != 0 ? a[index &* step.strideA] : b[index &* step.strideB] }
    }

    private func combine(_ step: Step, _ slots: Slots) {
        let (out, a, b) = (floats(slots, step.out), floats(slots, step.a), floats(slots, step.b))
        if step.strideA == 1, step.strideB == 1 {
            switch step.code {
            case .add: for index in 0..<step.count { out[index] = a[index] + b[index] }
            case .subtract: for index in 0..<step.count { out[index] = a[index] - b[index] }
            case .multiply: for index in 0..<step.count { out[index] = a[index] * b[index] }
            default: for index in 0..<step.count { out[index] = a[index] / b[index] }
            }
            return
        }
        for index in 0..<step.count {
            let (x, y) = (a[index &* step.strideA], b[index &* step.strideB])
            switch step.code {
            case .add: out[index] = x + y
            case .subtract: out[index] = x - y
            case .multiply: out[index] = x * y
            default: out[index] = x / y
            }
        }
    }

    /// Rows of a matrix that ONNX Runtime multiplies before it adds to the answer (MLAS_SGEMM_PACKED_STRIDEK).
    private static let rowsTogether = 256

    /// As ONNX Runtime's matrix product rounds: one chain of fused steps a column, then the factor and the sum in one more.
    private func multiply(_ step: Step, _ slots: Slots) {
        let (out, scratch) = (floats(slots, step.out), floats(slots, step.scratch))
        var (added, first): (UnsafeMutablePointer<Float>?, Int) = (step.strideC == 0 ? nil : floats(slots, step.c), 0)
        repeat {
            let depth = min(Self.rowsTogether, step.depth - first)
            skerry_row_times_matrix(floats(slots, step.a) + first, depth, floats(slots, step.b) + first * step.width, step.width, scratch)
            if let added, step.factor == 1 {
                for column in 0..<step.count { out[column] = scratch[column] + added[column] }
            } else if let added {
                for column in 0..<step.count { out[column] = skerry_fused(scratch[column], step.factor, added[column]) }
            } else {
                for column in 0..<step.count { out[column] = scratch[column] * step.factor }
            }
            added = out
            first += depth
        } while first < step.depth
    }

    private func largest(_ step: Step, _ values: UnsafePointer<Float>) -> Int64 {
        var best = 0
        for index in 1..<step.count where values[index] > values[best] { best = index }
        return step.code == .classes ? Int64(indices[step.table + best]) : Int64(best)
    }

    /// ONNX Runtime's own (MlasComputeSoftmax): a polynomial, and sums by halves of a vector.
    private static func softmax(_ values: UnsafePointer<Float>, _ count: Int, _ out: UnsafeMutablePointer<Float>) {
        var largest = values[0]
        for index in 1..<count where values[index] > largest { largest = values[index] }
        var lanes: (Float, Float, Float, Float, Float, Float, Float, Float, Float, Float, Float, Float, Float, Float, Float, Float)
        lanes = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        let sum: Float = withUnsafeMutableBytes(of: &lanes) { bytes in
            let lanes = bytes.baseAddress!.assumingMemoryBound(to: Float.self)
            for index in 0..<count {
                out[index] = exponential(values[index], -largest)
                lanes[index] = out[index]
            }
            for lane in 0..<8 { lanes[lane] += lanes[lane + 8] }
            for lane in 0..<4 { lanes[lane] += lanes[lane + 4] }
            return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
        }
        let scale = 1 / sum
        for index in 0..<count { out[index] *= scale }
    }

    /// The constants of ONNX Runtime's MlasExpConstants.
    private static func exponential(_ value: Float, _ negativeLargest: Float) -> Float {
        var value = value + negativeLargest
        if value < -88.376_262_664_794_9 { value = -88.376_262_664_794_9 }
        let biased = skerry_fused(value, 1.442_695_040_888_963_41, 12_582_912)
        let whole = biased - 12_582_912
        value = skerry_fused(whole, -6.931_457_52e-1, value)
        value = skerry_fused(whole, -1.428_606_77e-6, value)
        var power = skerry_fused(0x1.694000p-10, value, 0x1.125edcp-7)
        power = skerry_fused(power, value, 0x1.555b5ap-5)
        power = skerry_fused(power, value, 0x1.555450p-3)
        power = skerry_fused(power, value, 0x1.fffff6p-2)
        power = skerry_fused(power, value, 1)
        power = skerry_fused(power, value, 1)
        return power * Float(bitPattern: (biased.bitPattern &<< 23) &+ 0x3f80_0000)
    }
}
