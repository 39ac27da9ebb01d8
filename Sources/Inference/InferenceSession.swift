import COnnxRuntime

/// How a session uses the machine.
package struct SessionOptions: Sendable {
    /// Threads of one run, 1 or more. Models of trees are fastest with 1.
    package var threadCount: Int
    /// Whether idle threads burn processor time while they wait.
    package var isSpinning: Bool

    /// Traps without a thread.
    package init(threadCount: Int = 1, isSpinning: Bool = false) {
        precondition(threadCount > 0, "a session needs a thread")
        self.threadCount = threadCount
        self.isSpinning = isSpinning
    }
}

/// A loaded model. One thread at a time may use a session and its tensors.
package final class InferenceSession {
    /// Read from the file itself, not asked of ONNX Runtime.
    package let signature: ModelSignature
    let runtime: ONNXRuntime
    let session: OpaquePointer

    /// Loads a screened model. Blocks for some milliseconds.
    ///
    /// - Throws: `.refused` with ONNX Runtime's reason.
    package init(_ runtime: ONNXRuntime, _ file: ModelFile, options: SessionOptions = SessionOptions()) throws(InferenceError) {
        let api = runtime.api
        var settings: OpaquePointer?
        try runtime.check(api.CreateSessionOptions(&settings), "CreateSessionOptions")
        defer { api.ReleaseSessionOptions(settings) }
        try runtime.check(api.SetIntraOpNumThreads(settings!, Int32(options.threadCount)), "SetIntraOpNumThreads")
        try runtime.check(api.SetInterOpNumThreads(settings!, 1), "SetInterOpNumThreads")
        try runtime.check(api.SetSessionExecutionMode(settings!, ORT_SEQUENTIAL), "SetSessionExecutionMode")
        let spinning = options.isSpinning ? "1" : "0"
        try runtime.check(
            api.AddSessionConfigEntry(settings!, "session.intra_op.allow_spinning", spinning), "AddSessionConfigEntry")
        var made: OpaquePointer?
        try runtime.check(
            api.CreateSessionFromArray(runtime.environment, file.bytes, file.bytes.count, settings!, &made), "CreateSession")
        session = made!
        self.runtime = runtime
        signature = file.signature
    }

    deinit { runtime.api.ReleaseSession(session) }

    /// Memory for a number of rows, bound once and used for many runs.
    ///
    /// - Parameter rows: 1 or more; what the model fixes as its first dimension, where it does.
    /// - Throws: `.wrongTensor` when the model accepts another number of rows only.
    package func tensors(rows: Int) throws(InferenceError) -> BoundTensors { try BoundTensors(self, rows: rows) }

    /// Computes the outputs from the inputs, in place.
    ///
    /// - Parameter tensors: of this session.
    package func run(_ tensors: BoundTensors) throws(InferenceError) {
        precondition(tensors.session === self, "tensors of another session")
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
    private var memories: [UnsafeMutableRawPointer] = []
    private let specs: [TensorSpec]

    fileprivate init(_ session: InferenceSession, rows: Int) throws(InferenceError) {
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
        for (index, spec) in specs.enumerated() { try bind(spec, at: index) }
    }

    private func bind(_ spec: TensorSpec, at index: Int) throws(InferenceError) {
        let (api, rows) = (session.runtime.api, spec.shape[0] ?? rowCount)
        guard spec.isOfRows else { throw .wrongTensor(name: spec.name, expected: "of rows of one size", found: "\(spec)") }
        guard rows == rowCount else { throw .wrongTensor(name: spec.name, expected: "of \(rowCount) rows", found: "\(spec)") }
        let byteCount = rowCount * spec.width * spec.type.byteCount
        let memory = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        memories.append(memory)
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
        for memory in memories { memory.deallocate() }
        inputNames.deallocate()
        inputValues.deallocate()
    }

    /// The memory of an input, then of the outputs, in the signature's order; valid while this object lives.
    package func bytes(at index: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: memories[index], count: rowCount * specs[index].width * specs[index].type.byteCount)
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
        return UnsafeMutableBufferPointer(start: memories[index].assumingMemoryBound(to: Element.self), count: count)
    }
}

extension ElementType {
    /// ONNX Runtime's numbers are those of ONNX.
    var onnx: ONNXTensorElementDataType { ONNXTensorElementDataType(UInt32(rawValue)) }
}
