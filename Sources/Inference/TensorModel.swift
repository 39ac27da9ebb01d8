import COnnxRuntime

/// A loaded model of any inputs and outputs. One thread at a time may use it and the tensors that it answers with.
package final class TensorModel {
    /// Bytes of all inputs and outputs of one run; more are refused, where sizes are not known before it, after it.
    package var runBytesMax = 256 << 20
    /// Numbers of rows whose memory is kept.
    private static let boundMax = 16

    /// What it takes and gives, as its file says.
    package let signature: ModelSignature
    /// Outputs as they are answered: of maps and lists, two each.
    package let outputs: [TensorSpec]
    /// Whether several requests may be answered by one run, as far as the file's shapes go, and what `findRows` has found: all dimensions but the first
    /// are fixed.
    package private(set) var isOfRows: Bool
    private let session: InferenceSession
    private let inputNames: CNames
    private let outputNames: CNames
    private var bound: [Int: BoundTensors] = [:]

    /// - Throws: `.refused` with ONNX Runtime's reason.
    package convenience init(_ runtime: ONNXRuntime, _ file: ModelFile, options: SessionOptions = SessionOptions()) throws(InferenceError) {
        self.init(try InferenceSession(runtime, file, options: options))
    }

    /// Of a session that others ask too: each with memory of its own, so that both may be asked at once.
    package init(_ session: InferenceSession) {
        self.session = session
        signature = session.signature
        (inputNames, outputNames) = (CNames(signature.inputs.map(\.name)), CNames(signature.outputs.map(\.name)))
        let all = signature.inputs + signature.outputs
        isOfRows = all.allSatisfy { $0.isOfRows && $0.shape[0] == nil }
        outputs = signature.outputs.flatMap(\.answered)
    }

    /// What is added to the name of an output of maps for the tensor of its keys.
    package static let keysSuffix = ".keys"
    /// What is added to the name of an output that is a list for the tensor of its items' sizes.
    package static let sizesSuffix = ".sizes"

    /// Computes all outputs. Blocks.
    ///
    /// - Parameter inputs: in the signature's order.
    /// - Returns: in the order of `outputs`; valid until the next run, unless copied.
    /// - Throws: `.wrongTensor` naming the input; `.refused` with ONNX Runtime's reason.
    package func run(_ inputs: [Tensor]) throws(InferenceError) -> [Tensor] {
        precondition(inputs.count == signature.inputs.count, "a tensor for each input")
        for (spec, tensor) in zip(signature.inputs, inputs) { try Self.check(tensor, spec) }
        if isOfRows, let rows = inputs.first?.shape.first, rows > 0, inputs.allSatisfy({ $0.shape[0] == rows }) {
            return try run(rows: rows, [inputs])
        }
        if session.isCompiled { return try runUneven(inputs) }
        return try runFreely(inputs)
    }

    /// Asks about one row, whether there is one in each output: detectors leave open how many things they find, by the same sign. To be called before
    /// other runs.
    ///
    /// - Parameter row: made up, as for `run`.
    /// - Throws: `.refused` for a row that is refused in any case.
    package func findRows(_ row: [Tensor]) throws(InferenceError) {
        guard isOfRows, !session.isCompiled else { return }
        do throws(InferenceError) { _ = try run(rows: 1, [row]) } catch {
            guard case .refused = error else { throw error }
            _ = try runFreely(row)
            isOfRows = false
        }
    }

    /// No row, or not the same number of rows for every input, of a model that ONNX Runtime does not know any more.
    private func runUneven(_ inputs: [Tensor]) throws(InferenceError) -> [Tensor] {
        let rows = inputs[0].shape[0]
        for (spec, tensor) in zip(signature.inputs, inputs) where tensor.shape[0] != rows {
            throw .wrongTensor(
                name: spec.name, expected: "of \(rows) rows as \"\(signature.inputs[0].name)\"", found: "\(tensor.shape[0]) rows")
        }
        return signature.outputs.map { Tensor(type: $0.type, shape: [rows] + $0.shape.dropFirst().map { $0! }) }
    }

    /// Computes the outputs of several requests in one run; their rows follow each other.
    ///
    /// - Parameter requests: each as for `run`, of one number of rows for all inputs.
    /// - Returns: one list a request.
    /// - Throws: as `run`; then no request is answered.
    package func run(together requests: [[Tensor]]) throws(InferenceError) -> [[Tensor]] {
        precondition(isOfRows, "requests of this model cannot be put together")
        for inputs in requests { for (spec, tensor) in zip(signature.inputs, inputs) { try Self.check(tensor, spec) } }
        let rows = requests.map { $0[0].shape[0] }
        let all = try run(rows: rows.reduce(0, +), requests)
        var first = 0
        return rows.map { count in
            defer { first += count }
            return all.map { tensor in
                let width = tensor.shape.dropFirst().reduce(1, *) * tensor.type.byteCount
                return Tensor(type: tensor.type, shape: [count] + tensor.shape.dropFirst(), memory: tensor.memory, offset: first * width)
            }
        }
    }

    private static func check(_ tensor: Tensor, _ spec: TensorSpec) throws(InferenceError) {
        guard tensor.type == spec.type, spec.fits(tensor.shape) else {
            throw .wrongTensor(
                name: spec.name, expected: "\(spec)", found: "\(tensor.type)[\(tensor.shape.map(String.init).joined(separator: ", "))]")
        }
    }

    /// In memory that ONNX Runtime knows already.
    private func run(rows: Int, _ requests: [[Tensor]]) throws(InferenceError) -> [Tensor] {
        let tensors = try tensors(rows: rows)
        for index in signature.inputs.indices {
            let memory = tensors.bytes(at: index)
            var filled = 0
            for request in requests {
                let bytes = request[index].bytes
                if bytes.count > 0 { (memory.baseAddress! + filled).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count) }
                filled += bytes.count
            }
        }
        try session.run(tensors)
        return outputs(of: tensors)
    }

    /// Memory for a number of rows, for callers that fill it themselves and ask with it again and again.
    ///
    /// - Parameter rows: 1 or more; of a model of rows (`isOfRows`).
    /// - Throws: `.tooManyRows`, or what ONNX Runtime says.
    package func bound(rows: Int) throws(InferenceError) -> BoundTensors { try session.tensors(rows: rows) }

    /// Computes the outputs in place.
    ///
    /// - Parameter tensors: of this model.
    /// - Throws: `.refused` with ONNX Runtime's reason.
    package func run(_ tensors: BoundTensors) throws(InferenceError) { try session.run(tensors) }

    /// The outputs where they are computed: what they hold changes with every run.
    package func outputs(of tensors: BoundTensors) -> [Tensor] {
        signature.outputs.enumerated().map { place, spec in
            Tensor(
                type: spec.type, shape: [tensors.rowCount] + spec.shape.dropFirst().map { $0! },
                memory: TensorMemory(tensors.bytes(at: signature.inputs.count + place), owner: tensors))
        }
    }

    /// The outputs of each row where they are computed, a row of one each; none are maps.
    ///
    /// - Parameter tensors: of this model, which is of rows.
    package func rows(of tensors: BoundTensors) -> [[Tensor]] {
        let whole = outputs(of: tensors)
        return (0..<tensors.rowCount).map { row in
            whole.map { output in
                let rowBytes = output.shape.dropFirst().reduce(1, *) * output.type.byteCount
                return Tensor(type: output.type, shape: [1] + output.shape.dropFirst(), memory: output.memory, offset: row * rowBytes)
            }
        }
    }

    /// Who computes.
    package var evaluator: ModelEvaluator { session.evaluator }

    private func tensors(rows: Int) throws(InferenceError) -> BoundTensors {
        if let found = bound[rows] { return found }
        let rowBytes = (signature.inputs + signature.outputs).reduce(0) { $0 + $1.width * $1.type.byteCount }
        guard rows <= runBytesMax / max(rowBytes, 1) else {
            throw .tooManyRows(found: rows, limit: runBytesMax / max(rowBytes, 1))
        }
        if bound.count >= Self.boundMax { bound.removeAll(keepingCapacity: true) }
        let made = try session.tensors(rows: rows)
        // Memory of large requests is not kept.
        if signature.inputs.allSatisfy({ rows * $0.width <= 1 << 16 }) { bound[rows] = made }
        return made
    }

    // MARK: - Any types and shapes

    private func runFreely(_ inputs: [Tensor]) throws(InferenceError) -> [Tensor] {
        let given = inputs.reduce(0) { $0 + $1.bytes.count }
        guard given <= runBytesMax else { throw .tooLarge(bytes: given, limit: runBytesMax) }
        let runtime = session.runtime, api = runtime.api
        var values: [OpaquePointer?] = []
        defer { for value in values { if let value { api.ReleaseValue(value) } } }
        for (spec, tensor) in zip(signature.inputs, inputs) { values.append(try OrtTensors.make(tensor, spec.name, runtime)) }
        var answers = [OpaquePointer?](repeating: nil, count: signature.outputs.count)
        var status: OpaquePointer?
        try runtime.permitted { () throws(InferenceError) in
            status = withExtendedLifetime(inputs) {
                api.Run(session.session, nil, inputNames.pointers, values, values.count, outputNames.pointers, answers.count, &answers)
            }
        }
        let kept = answers.map { $0.map { OrtValueKeeper($0, runtime) } }
        try runtime.check(status, "Run")
        var (found, byteCount): ([Tensor], Int) = ([], 0)
        for (spec, keeper) in zip(signature.outputs, kept) {
            guard let keeper else { throw .refused(call: "Run", message: "no value for output \(spec.name)") }
            let tensors: [Tensor] =
                switch spec.form {
                case .tensor: [try OrtTensors.read(keeper, spec.name, runtime)]
                case .maps: try OrtTensors.maps(keeper, spec, runtime)
                case .list: try OrtTensors.list(keeper, spec, runtime, bytesMax: runBytesMax)
                }
            byteCount += tensors.reduce(0) { $0 + $1.bytes.count + $1.texts.reduce(0) { $0 + $1.count } }
            guard byteCount <= runBytesMax else {
                throw .refused(call: "Run", message: "the outputs have more than \(runBytesMax) bytes; ask for fewer rows")
            }
            found += tensors
        }
        return found
    }
}

extension TensorSpec {
    /// As it is answered: maps and lists by two tensors.
    fileprivate var answered: [TensorSpec] {
        switch form {
        case .tensor: [self]
        case .maps(let keys):
            [
                TensorSpec(name: name, type: type, shape: shape),
                TensorSpec(name: name + TensorModel.keysSuffix, type: keys, shape: [nil]),
            ]
        case .list:
            [
                TensorSpec(name: name, type: type, shape: isShaped ? [nil] + shape : [], isShaped: isShaped),
                TensorSpec(name: name + TensorModel.sizesSuffix, type: .int64, shape: [nil, isShaped ? shape.count : nil]),
            ]
        }
    }
}

extension [NamedTensor] {
    /// Names of outputs that are of no row: keys of maps, lists, and what tells the sizes of their items.
    package var namesBesideRows: Set<String> {
        let names = Set(map(\.name))
        func isPart(_ name: String, _ suffix: String) -> Bool {
            name.hasSuffix(suffix) && names.contains(String(name.dropLast(suffix.count)))
        }
        return names.filter { name in
            names.contains(name + TensorModel.sizesSuffix) || isPart(name, TensorModel.sizesSuffix) || isPart(name, TensorModel.keysSuffix)
        }
    }
}

/// Names as C has them, allocated once.
final class CNames {
    let pointers: UnsafeMutablePointer<UnsafePointer<CChar>?>
    private let count: Int

    init(_ names: [String]) {
        count = names.count
        pointers = .allocate(capacity: max(count, 1))
        for (index, name) in names.enumerated() {
            let bytes = UnsafeMutablePointer<CChar>.allocate(capacity: name.utf8.count + 1)
            for (place, byte) in name.utf8.enumerated() { bytes[place] = CChar(bitPattern: byte) }
            bytes[name.utf8.count] = 0
            (pointers + index).initialize(to: UnsafePointer(bytes))
        }
    }

    deinit {
        for index in 0..<count { pointers[index]?.deallocate() }
        pointers.deallocate()
    }
}

/// A value of ONNX Runtime, released when nobody needs it.
final class OrtValueKeeper {
    let value: OpaquePointer
    private let runtime: ONNXRuntime

    init(_ value: OpaquePointer, _ runtime: ONNXRuntime) { (self.value, self.runtime) = (value, runtime) }
    deinit { runtime.api.ReleaseValue(value) }
}

/// Tensors into ONNX Runtime's values and back.
enum OrtTensors {
    /// Numbers are not copied: the tensor must outlive the value.
    static func make(_ tensor: Tensor, _ name: String, _ runtime: ONNXRuntime) throws(InferenceError) -> OpaquePointer? {
        let api = runtime.api
        let shape = tensor.shape.map { Int64($0) }
        var value: OpaquePointer?
        guard tensor.type == .string else {
            try runtime.check(
                api.CreateTensorWithDataAsOrtValue(
                    runtime.memory, tensor.memory.bytes.baseAddress! + tensor.offset, tensor.bytes.count, shape, shape.count,
                    tensor.type.onnx, &value),
                "CreateTensor of \(name)")
            return value
        }
        var allocator: UnsafeMutablePointer<OrtAllocator>?
        try runtime.check(api.GetAllocatorWithDefaultOptions(&allocator), "GetAllocatorWithDefaultOptions")
        try runtime.check(
            api.CreateTensorAsOrtValue(allocator, shape, shape.count, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, &value),
            "CreateTensor of \(name)")
        for (index, text) in tensor.texts.enumerated() {
            let status = (text + [0]).withUnsafeBufferPointer { bytes in
                bytes.withMemoryRebound(to: CChar.self) { api.FillStringTensorElement(value, $0.baseAddress!, index) }
            }
            do throws(InferenceError) {
                try runtime.check(status, "FillStringTensorElement of \(name)")
            } catch {
                api.ReleaseValue(value)
                throw error
            }
        }
        return value
    }

    /// Numbers stay where they are; texts are copied.
    static func read(_ keeper: OrtValueKeeper, _ name: String, _ runtime: ONNXRuntime) throws(InferenceError) -> Tensor {
        let api = runtime.api
        var info: OpaquePointer?
        try runtime.check(api.GetTensorTypeAndShape(keeper.value, &info), "GetTensorTypeAndShape of \(name)")
        defer { api.ReleaseTensorTypeAndShapeInfo(info) }
        var number = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED
        try runtime.check(api.GetTensorElementType(info, &number), "GetTensorElementType of \(name)")
        guard let type = ElementType(rawValue: Int(number.rawValue)) else {
            throw .wrongTensor(name: name, expected: "of numbers, bool or string", found: "element type \(number.rawValue)")
        }
        var rank = 0
        try runtime.check(api.GetDimensionsCount(info, &rank), "GetDimensionsCount of \(name)")
        var sizes = [Int64](repeating: 0, count: rank)
        try runtime.check(api.GetDimensions(info, &sizes, rank), "GetDimensions of \(name)")
        let shape = sizes.map { Int($0) }
        let count = shape.reduce(1, *)
        if type == .string { return Tensor(texts: try texts(keeper, name, count, runtime), shape: shape) }
        var data: UnsafeMutableRawPointer?
        try runtime.check(api.GetTensorMutableData(keeper.value, &data), "GetTensorMutableData of \(name)")
        guard let data, count > 0 else { return Tensor(type: type, shape: shape) }
        return Tensor(
            type: type, shape: shape,
            memory: TensorMemory(UnsafeMutableRawBufferPointer(start: data, count: count * type.byteCount), owner: keeper))
    }

    private static func texts(
        _ keeper: OrtValueKeeper, _ name: String, _ count: Int, _ runtime: ONNXRuntime
    ) throws(InferenceError) -> [[UInt8]] {
        var byteCount = 0
        try runtime.check(runtime.api.GetStringTensorDataLength(keeper.value, &byteCount), "GetStringTensorDataLength of \(name)")
        var (bytes, offsets) = ([UInt8](repeating: 0, count: byteCount), [Int](repeating: 0, count: count))
        guard count > 0 else { return [] }
        let status = bytes.withUnsafeMutableBytes { memory in
            runtime.api.GetStringTensorContent(keeper.value, memory.baseAddress, byteCount, &offsets, count)
        }
        try runtime.check(status, "GetStringTensorContent of \(name)")
        return offsets.indices.map { Array(bytes[offsets[$0]..<($0 + 1 < count ? offsets[$0 + 1] : byteCount)]) }
    }

    /// A list of maps as the tensor of their values, in the order of the first map's keys, NaN (of whole numbers: 0) where a map lacks a key, and the keys.
    static func maps(_ keeper: OrtValueKeeper, _ spec: TensorSpec, _ runtime: ONNXRuntime) throws(InferenceError) -> [Tensor] {
        let rows = try count(keeper, spec.name, runtime)
        guard case .maps(let keyType) = spec.form, rows > 0 else {
            return [Tensor(type: spec.type, shape: [0, 0])] + spec.answered.dropFirst().map { blank($0.type, [0]) }
        }
        var (keys, order, values): (Tensor?, [[UInt8]: Int], Tensor?) = (nil, [:], nil)
        let size = spec.type.byteCount
        for row in 0..<rows {
            let map = try child(keeper, row, spec.name, runtime)
            let found = try read(try child(map, 0, spec.name, runtime), spec.name, runtime)
            let numbers = try read(try child(map, 1, spec.name, runtime), spec.name, runtime)
            guard found.type == keyType, numbers.type == spec.type, found.count == numbers.count else {
                throw .wrongTensor(name: spec.name, expected: "\(spec)", found: "maps of \(found.type) to \(numbers.type)")
            }
            let names = words(found)
            if keys == nil {
                keys = keyType == .string ? Tensor(texts: names, shape: [names.count]) : copy(found)
                for (place, name) in names.enumerated() { order[name] = place }
                values = blank(spec.type, [rows, names.count])
            }
            let target = values!.bytes
            for (index, name) in names.enumerated() {
                guard let place = order[name] else { continue }
                (target.baseAddress! + (row * order.count + place) * size).copyMemory(
                    from: numbers.bytes.baseAddress! + index * size, byteCount: size)
            }
        }
        return [values!, keys!]
    }

    /// A list of tensors as one that holds all, and the sizes of each.
    static func list(
        _ keeper: OrtValueKeeper, _ spec: TensorSpec, _ runtime: ONNXRuntime, bytesMax: Int
    ) throws(InferenceError) -> [Tensor] {
        var items: [Tensor] = []
        for place in 0..<(try count(keeper, spec.name, runtime)) {
            items.append(try read(try child(keeper, place, spec.name, runtime), spec.name, runtime))
        }
        let rank = items.first?.shape.count ?? spec.shape.count
        if let other = items.first(where: { $0.type != spec.type || $0.shape.count != rank }) {
            throw .wrongTensor(
                name: spec.name, expected: "\(spec), all of \(rank) dimensions", found: "\(other.type) of \(other.shape.count) dimensions")
        }
        let largest = (0..<rank).map { dimension in items.map { $0.shape[dimension] }.max() ?? 0 }
        let width = largest.reduce(1) { $0.multipliedReportingOverflow(by: $1).overflow ? Int.max : $0 * $1 }
        // A text takes 16 bytes, an empty one too.
        guard width <= bytesMax / (spec.type == .string ? 16 : spec.type.byteCount) / max(items.count, 1) else {
            throw .refused(call: "Run", message: "output \(spec.name) has more than \(bytesMax) bytes; ask for fewer rows")
        }
        let sizes = Tensor(type: .int64, shape: [items.count, rank])
        for (place, size) in items.flatMap(\.shape).enumerated() { sizes.values(as: Int64.self)[place] = Int64(size) }
        return [filled(items, spec.type, largest), sizes]
    }

    /// Items behind each other, each in the first places of every dimension.
    private static func filled(_ items: [Tensor], _ type: ElementType, _ sizes: [Int]) -> Tensor {
        let shape = [items.count] + sizes, width = sizes.reduce(1, *), size = type.byteCount
        guard type != .string else {
            var texts = [[UInt8]](repeating: [], count: items.count * width)
            for (place, item) in items.enumerated() {
                for run in runs(item.shape, in: sizes) {
                    let start = place * width + run.to
                    texts.replaceSubrange(start..<start + run.count, with: item.texts[run.from..<run.from + run.count])
                }
            }
            return Tensor(texts: texts, shape: shape)
        }
        let made = blank(type, shape)
        for (place, item) in items.enumerated() {
            for run in runs(item.shape, in: sizes) {
                (made.bytes.baseAddress! + (place * width + run.to) * size).copyMemory(
                    from: item.bytes.baseAddress! + run.from * size, byteCount: run.count * size)
            }
        }
        return made
    }

    /// Where the innermost rows of a tensor lie in it, and in a larger one.
    private static func runs(_ shape: [Int], in sizes: [Int]) -> [(from: Int, to: Int, count: Int)] {
        let count = shape.last ?? 1, all = shape.reduce(1, *)
        if shape == sizes { return all > 0 ? [(0, 0, all)] : [] }
        return stride(from: 0, to: all, by: max(count, 1)).map { from in
            var (rest, to, step) = (from / max(count, 1), 0, sizes.last ?? 1)
            for dimension in shape.indices.dropLast().reversed() {
                to += rest % shape[dimension] * step
                rest /= shape[dimension]
                step *= sizes[dimension]
            }
            return (from, to, count)
        }
    }

    private static func count(_ keeper: OrtValueKeeper, _ name: String, _ runtime: ONNXRuntime) throws(InferenceError) -> Int {
        var count = 0
        try runtime.check(runtime.api.GetValueCount(keeper.value, &count), "GetValueCount of \(name)")
        return count
    }

    private static func child(
        _ of: OrtValueKeeper, _ index: Int, _ name: String, _ runtime: ONNXRuntime
    ) throws(InferenceError) -> OrtValueKeeper {
        let api = runtime.api
        var (allocator, value): (UnsafeMutablePointer<OrtAllocator>?, OpaquePointer?)
        try runtime.check(api.GetAllocatorWithDefaultOptions(&allocator), "GetAllocatorWithDefaultOptions")
        try runtime.check(api.GetValue(of.value, Int32(index), allocator, &value), "GetValue of \(name)")
        return OrtValueKeeper(value!, runtime)
    }

    private static func copy(_ tensor: Tensor) -> Tensor {
        let made = Tensor(type: tensor.type, shape: tensor.shape)
        made.bytes.copyMemory(from: UnsafeRawBufferPointer(tensor.bytes))
        return made
    }

    private static func blank(_ type: ElementType, _ shape: [Int]) -> Tensor {
        guard type != .string else { return Tensor(texts: .init(repeating: [], count: shape.reduce(1, *)), shape: shape) }
        let made = Tensor(type: type, shape: shape)
        if type == .float { made.values(as: Float.self).update(repeating: .nan) }
        if type == .double { made.values(as: Double.self).update(repeating: .nan) }
        if type == .float16 { made.values(as: UInt16.self).update(repeating: 0x7e00) }
        if type == .bfloat16 { made.values(as: UInt16.self).update(repeating: 0x7fc0) }
        return made
    }

    /// Keys as bytes that can be compared.
    private static func words(_ keys: Tensor) -> [[UInt8]] {
        guard keys.type != .string else { return keys.texts }
        let size = keys.type.byteCount
        return (0..<keys.count).map { Array(keys.bytes[$0 * size..<($0 + 1) * size]) }
    }
}
