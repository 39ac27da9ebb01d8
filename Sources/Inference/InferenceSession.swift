import COnnxRuntime

/// How a session uses the machine.
package struct SessionOptions: Sendable {
    /// Threads of one run, 1 or more. Models of trees are fastest with 1.
    package var threadCount: Int
    /// Whether idle threads burn processor time while they wait.
    package var isSpinning: Bool
    /// Whether a model of trees and a few operators is compiled, checked against ONNX Runtime, and asked without it from then on.
    package var isCompiling: Bool

    /// Traps without a thread.
    package init(threadCount: Int = 1, isSpinning: Bool = false, isCompiling: Bool = true) {
        precondition(threadCount > 0, "a session needs a thread")
        self.threadCount = threadCount
        self.isSpinning = isSpinning
        self.isCompiling = isCompiling
    }
}

/// A loaded model. One thread at a time may use its tensors.
package final class InferenceSession {
    /// Read from the file itself, not asked of ONNX Runtime.
    package let signature: ModelSignature
    /// Who computes; decided when it was loaded.
    package private(set) var evaluator = ModelEvaluator.onnxRuntime(because: "nothing else was wanted")
    let runtime: ONNXRuntime
    /// Nil of a compiled model, which does not need it any more.
    private(set) var session: OpaquePointer?
    private var compiled: CompiledModel?

    /// Loads a screened model. Blocks for some milliseconds.
    ///
    /// - Throws: `.refused` with ONNX Runtime's reason.
    package init(_ runtime: ONNXRuntime, _ file: ModelFile, options: SessionOptions = SessionOptions()) throws(InferenceError) {
        self.runtime = runtime
        signature = file.signature
        session = try Self.load(runtime, file, options)
        if options.isCompiling { try compile(file) }
    }

    /// Takes the compiled model, if there is one and it answers as ONNX Runtime does; then ONNX Runtime's is released.
    private func compile(_ file: ModelFile) throws(InferenceError) {
        let graph = try Graph(file), made: CompiledModelMaker
        do throws(CompiledModelMaker.Unknown) {
            made = try CompiledModelMaker(graph, signature)
        } catch {
            evaluator = .onnxRuntime(because: error.reason)
            return
        }
        let model = CompiledModel(made, signature)
        var check = CompiledCheck(model, keys: made.keys)
        if let difference = try check.difference(self) {
            evaluator = .onnxRuntime(because: difference)
            return
        }
        compiled = model
        evaluator = .compiled(checkedRows: CompiledCheck.singleRows + CompiledCheck.blockRows)
        runtime.api.ReleaseSession(session)
        session = nil
    }

    private static func load(_ runtime: ONNXRuntime, _ file: ModelFile, _ options: SessionOptions) throws(InferenceError) -> OpaquePointer {
        let api = runtime.api
        var settings: OpaquePointer?
        try runtime.check(api.CreateSessionOptions(&settings), "CreateSessionOptions")
        defer { api.ReleaseSessionOptions(settings) }
        if runtime.sharedThreadCount > 1 {
            try runtime.check(api.DisablePerSessionThreads(settings!), "DisablePerSessionThreads")
        } else {
            try runtime.check(api.SetIntraOpNumThreads(settings!, Int32(options.threadCount)), "SetIntraOpNumThreads")
        }
        try runtime.check(api.SetInterOpNumThreads(settings!, 1), "SetInterOpNumThreads")
        try runtime.check(api.SetSessionExecutionMode(settings!, ORT_SEQUENTIAL), "SetSessionExecutionMode")
        let spinning = options.isSpinning ? "1" : "0"
        try runtime.check(
            api.AddSessionConfigEntry(settings!, "session.intra_op.allow_spinning", spinning), "AddSessionConfigEntry")
        var made: OpaquePointer?
        try runtime.check(
            api.CreateSessionFromArray(runtime.environment, file.bytes, file.bytes.count, settings!, &made), "CreateSession")
        return made!
    }

    deinit { if let session { runtime.api.ReleaseSession(session) } }

    /// Whether it answers without ONNX Runtime.
    package var isCompiled: Bool { compiled != nil }

    /// Memory for a number of rows, bound once and used for many runs.
    ///
    /// - Parameter rows: 1 or more; what the model fixes as its first dimension, where it does.
    /// - Throws: `.wrongTensor` when the model accepts another number of rows only.
    package func tensors(rows: Int) throws(InferenceError) -> BoundTensors { try BoundTensors(self, rows: rows) }

    /// Computes the outputs from the inputs, in place.
    ///
    /// - Parameter tensors: of this session.
    /// - Throws: `.busy` where the runtime's permits say so; `.refused` with ONNX Runtime's reason.
    package func run(_ tensors: BoundTensors) throws(InferenceError) {
        precondition(tensors.session === self, "tensors of another session")
        try runtime.permitted { () throws(InferenceError) in
            if let compiled, let frame = tensors.frame { return compiled.run(frame, tensors.pointers, rows: tensors.rowCount) }
            try runByRuntime(tensors)
        }
    }

    fileprivate func frame(_ memories: [UnsafeMutableRawPointer]) -> CompiledModel.Frame? {
        compiled.map { CompiledModel.Frame($0, memories) }
    }

    /// - Parameter tensors: known to ONNX Runtime.
    func runByRuntime(_ tensors: BoundTensors) throws(InferenceError) {
        let status = runtime.api.Run(
            session, nil, tensors.inputNames, tensors.inputValues, signature.inputs.count, tensors.outputNames, signature.outputs.count,
            tensors.outputValues)
        try runtime.check(status, "Run")
    }
}

/// The inputs and outputs of a session for a number of rows: plain memory that ONNX Runtime reads and writes in place.
package final class BoundTensors {
    /// The first dimension of every input and output.
    package let rowCount: Int
    fileprivate let session: InferenceSession
    fileprivate let inputNames: UnsafeMutablePointer<UnsafePointer<CChar>?>
    fileprivate let outputNames: UnsafeMutablePointer<UnsafePointer<CChar>?>
    fileprivate let inputValues: UnsafeMutablePointer<OpaquePointer?>
    fileprivate let outputValues: UnsafeMutablePointer<OpaquePointer?>
    /// Of the inputs, then of the outputs.
    private(set) var pointers: [UnsafeMutableRawPointer] = []
    fileprivate private(set) var frame: CompiledModel.Frame?
    private let specs: [TensorSpec]

    /// - Parameter isKnownToRuntime: nil: where ONNX Runtime is who computes.
    init(_ session: InferenceSession, rows: Int, isKnownToRuntime: Bool? = nil) throws(InferenceError) {
        precondition(rows > 0, "tensors need a row")
        self.session = session
        rowCount = rows
        specs = session.signature.inputs + session.signature.outputs
        let inputCount = session.signature.inputs.count
        inputNames = .allocate(capacity: specs.count)
        inputValues = .allocate(capacity: specs.count)
        inputNames.initialize(repeating: nil, count: specs.count)
        inputValues.initialize(repeating: nil, count: specs.count)
        outputNames = inputNames + inputCount
        outputValues = inputValues + inputCount
        let isKnown = isKnownToRuntime ?? !session.isCompiled
        for (index, spec) in specs.enumerated() { try bind(spec, at: index, isKnown: isKnown) }
        frame = session.frame(pointers)
    }

    private func bind(_ spec: TensorSpec, at index: Int, isKnown: Bool) throws(InferenceError) {
        let (api, rows) = (session.runtime.api, spec.shape[0] ?? rowCount)
        guard spec.isOfRows else { throw .wrongTensor(name: spec.name, expected: "of rows of one size", found: "\(spec)") }
        guard rows == rowCount else { throw .wrongTensor(name: spec.name, expected: "of \(rowCount) rows", found: "\(spec)") }
        let byteCount = rowCount * spec.width * spec.type.byteCount
        let memory = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        pointers.append(memory)
        guard isKnown else { return }
        let name = UnsafeMutablePointer<CChar>.allocate(capacity: spec.name.utf8.count + 1)
        for (place, byte) in spec.name.utf8.enumerated() { name[place] = CChar(bitPattern: byte) }
        name[spec.name.utf8.count] = 0
        inputNames[index] = UnsafePointer(name)
        let shape = [Int64(rowCount)] + spec.shape.dropFirst().map { Int64($0!) }
        try session.runtime.check(
            api.CreateTensorWithDataAsOrtValue(
                session.runtime.memory, memory, byteCount, shape, shape.count, spec.type.onnx, inputValues + index),
            "CreateTensor of \(spec.name)")
    }

    deinit {
        for index in specs.indices {
            if let value = inputValues[index] { session.runtime.api.ReleaseValue(value) }
            inputNames[index]?.deallocate()
        }
        for memory in pointers { memory.deallocate() }
        inputNames.deallocate()
        inputValues.deallocate()
    }

    /// The memory of an input, then of the outputs, in the signature's order; valid while this object lives.
    package func bytes(at index: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: pointers[index], count: rowCount * specs[index].width * specs[index].type.byteCount)
    }

    /// The memory of a float input or output, row-major; valid while this object lives.
    package func floats(_ name: String) -> UnsafeMutableBufferPointer<Float> { memory(name, .float, Float.self) }

    /// The memory of an int64 input or output, row-major; valid while this object lives.
    package func integers(_ name: String) -> UnsafeMutableBufferPointer<Int64> { memory(name, .int64, Int64.self) }

    private func memory<Element>(_ name: String, _ type: ElementType, _: Element.Type) -> UnsafeMutableBufferPointer<Element> {
        guard let index = specs.firstIndex(where: { $0.name == name && $0.type == type }) else {
            preconditionFailure("the model has no \(type) tensor \"\(name)\"")
        }
        let count = rowCount * specs[index].width
        return UnsafeMutableBufferPointer(start: pointers[index].assumingMemoryBound(to: Element.self), count: count)
    }
}

extension ElementType {
    /// ONNX Runtime's numbers are those of ONNX.
    var onnx: ONNXTensorElementDataType { ONNXTensorElementDataType(UInt32(rawValue)) }
}
