package import Inference

/// A request of the Open Inference Protocol (version 2): JSON, and tensors behind it where its sizes say so (binary tensor data extension).
package struct InferCall {
    /// Bounds of a request.
    package struct Limits: Sendable {
        /// Inputs, and outputs asked for.
        package var tensorsMax = 256
        /// Bytes of one input; of texts, their number.
        package var tensorBytesMax = 64 << 20
        /// Dimensions of an input.
        package var rankMax = 8

        /// Every bound at the value that stands here.
        package init() {}
    }

    /// An output that is asked for.
    package struct Wanted: Equatable {
        /// As the model's metadata call it.
        package var name: String
        /// Sent as bytes behind the JSON.
        package var isBinary: Bool
    }

    /// Comes back with the answer; nil without one.
    package private(set) var id: [UInt8]?
    /// In the request's order; names differ.
    package private(set) var inputs: [NamedTensor] = []
    /// Empty: all.
    package private(set) var outputs: [Wanted] = []
    /// Whether outputs that are not named are sent as bytes.
    package private(set) var isBinary = false

    /// Of inputs that came another way; all outputs are wanted.
    init(inputs: [NamedTensor]) { self.inputs = inputs }

    /// Of an input that was read elsewhere.
    init(id: [UInt8]?, outputs: [Wanted], isBinary: Bool) { (self.id, self.outputs, self.isBinary) = (id, outputs, isBinary) }

    /// What is known of an input before its values are read.
    private struct Pending {
        var name = ""
        var type: ElementType?
        var word = ""
        var shape: [Int]?
        var binarySize: Int?
        var dataPlace: Int?
        var tensor: Tensor?
    }

    /// - Parameters:
    ///   - body: the whole body; only read during the call.
    ///   - headerLength: bytes of the JSON (`Inference-Header-Content-Length`); nil: all.
    /// - Throws: naming the input, the value found and the one expected.
    package init(_ body: UnsafeRawBufferPointer, headerLength: Int? = nil, limits: Limits = Limits()) throws(ServingRefusal) {
        try self.init(body, list: "inputs", headerLength: headerLength, limits: limits)
    }

    /// - Parameter body: the whole body.
    package init(_ body: [UInt8], headerLength: Int? = nil) throws(ServingRefusal) {
        self = try body.withServingBytes { (bytes) throws(ServingRefusal) in try InferCall(bytes, headerLength: headerLength) }
    }

    /// - Parameter list: the member that holds the tensors.
    init(_ body: UnsafeRawBufferPointer, list: String, headerLength: Int? = nil, limits: Limits = Limits()) throws(ServingRefusal) {
        let length = headerLength ?? body.count
        guard (0...body.count).contains(length) else {
            throw ServingRefusal(400, "Inference-Header-Content-Length is \(length), the body has \(body.count) bytes")
        }
        var scanner = JSONScanner(UnsafeRawBufferPointer(rebasing: body[..<length]))
        var (pending, wanted): ([Pending], [(wanted: Wanted, isSaid: Bool)]) = ([], [])
        var (id, isBinary): ([UInt8]?, Bool) = (nil, false)
        try scanner.object { (scanner, key) throws(ServingRefusal) in
            switch key {
            case "id": id = scanner.peek() == 0x22 ? try scanner.text() : try scanner.numberText()
            case list:
                try scanner.array { (scanner) throws(ServingRefusal) in
                    guard pending.count < limits.tensorsMax else { throw ServingRefusal(400, "more than \(limits.tensorsMax) inputs") }
                    pending.append(try Self.input(&scanner, limits))
                }
            case "outputs":
                try scanner.array { (scanner) throws(ServingRefusal) in
                    guard wanted.count < limits.tensorsMax else { throw ServingRefusal(400, "more than \(limits.tensorsMax) outputs") }
                    wanted.append(try Self.output(&scanner))
                }
            case "parameters":
                try scanner.object { (scanner, key) throws(ServingRefusal) in
                    if key == "binary_data_output" { isBinary = try scanner.bool() } else { try scanner.skip() }
                }
            default: try scanner.skip()
            }
        }
        try scanner.requireEnd()
        guard !pending.isEmpty else { throw ServingRefusal(400, "the request has no list \"\(list)\"") }
        guard (id?.count ?? 0) <= 1024 else { throw ServingRefusal(400, "the request's id has more than 1024 bytes") }
        (self.id, self.isBinary) = (id, isBinary)
        outputs = wanted.map { Wanted(name: $0.wanted.name, isBinary: $0.isSaid ? $0.wanted.isBinary : isBinary) }
        try finish(pending, &scanner, UnsafeRawBufferPointer(rebasing: body[length...]), limits)
    }

    private static func input(_ scanner: inout JSONScanner, _ limits: Limits) throws(ServingRefusal) -> Pending {
        var found = Pending()
        try scanner.object { (scanner, key) throws(ServingRefusal) in
            switch key {
            case "name": found.name = try scanner.name()
            case "datatype":
                found.word = try scanner.name()
                found.type = ElementType(oip: found.word)
            case "shape":
                var shape: [Int] = []
                try scanner.array { (scanner) throws(ServingRefusal) in
                    guard shape.count < limits.rankMax else { throw scanner.wrong("a shape of at most \(limits.rankMax) dimensions") }
                    shape.append(try scanner.int())
                }
                found.shape = shape
            case "parameters":
                try scanner.object { (scanner, key) throws(ServingRefusal) in
                    if key == "binary_data_size" { found.binarySize = try scanner.int() } else { try scanner.skip() }
                }
            case "data":
                scanner.skipSpace()
                found.dataPlace = scanner.position
                if !found.name.isEmpty, let type = found.type, let shape = found.shape {
                    found.tensor = try read(&scanner, found, type, shape, limits)
                } else {
                    try scanner.skip()
                }
            default: try scanner.skip()
            }
        }
        return found
    }

    private static func read(
        _ scanner: inout JSONScanner, _ input: Pending, _ type: ElementType, _ shape: [Int], _ limits: Limits
    ) throws(ServingRefusal) -> Tensor {
        // Each value takes a byte of JSON at least, and one between two.
        let bytesMax = min(limits.tensorBytesMax, scanner.restCount * max(type.byteCount, 1))
        return try Tensor.read(&scanner, type: type, shape: shape, "input \"\(input.name)\"", bytesMax: bytesMax)
    }

    private static func output(_ scanner: inout JSONScanner) throws(ServingRefusal) -> (wanted: Wanted, isSaid: Bool) {
        var (wanted, isSaid) = (Wanted(name: "", isBinary: false), false)
        try scanner.object { (scanner, key) throws(ServingRefusal) in
            switch key {
            case "name": wanted.name = try scanner.name()
            case "parameters":
                try scanner.object { (scanner, key) throws(ServingRefusal) in
                    switch key {
                    case "binary_data":
                        wanted.isBinary = try scanner.bool()
                        isSaid = true
                    case "classification":
                        guard try scanner.int() == 0 else {
                            throw ServingRefusal(400, "the classification extension is not served; ask for the output's values")
                        }
                    default: try scanner.skip()
                    }
                }
            default: try scanner.skip()
            }
        }
        guard !wanted.name.isEmpty else { throw ServingRefusal(400, "an output that is asked for has no name") }
        return (wanted, isSaid)
    }

    /// Values that stood before their type, and those behind the JSON.
    private mutating func finish(
        _ pending: [Pending], _ scanner: inout JSONScanner, _ binary: UnsafeRawBufferPointer, _ limits: Limits
    ) throws(ServingRefusal) {
        var taken = 0
        inputs.reserveCapacity(pending.count)
        for input in pending {
            guard !input.name.isEmpty else { throw ServingRefusal(400, "an input has no name") }
            guard !inputs.contains(where: { $0.name == input.name }) else {
                throw ServingRefusal(400, "input \"\(input.name)\" occurs twice")
            }
            guard let type = input.type else {
                throw ServingRefusal(
                    400,
                    "input \"\(input.name)\" has the datatype \"\(input.word.prefix(20))\"; known are"
                        + " \(ElementType.allCases.map(\.oip).joined(separator: ", "))")
            }
            guard let shape = input.shape else { throw ServingRefusal(400, "input \"\(input.name)\" has no shape") }
            if let tensor = input.tensor {
                inputs.append(NamedTensor(input.name, tensor))
            } else if let place = input.dataPlace {
                scanner.seek(place)
                inputs.append(NamedTensor(input.name, try Self.read(&scanner, input, type, shape, limits)))
            } else if let size = input.binarySize {
                guard size >= 0, size <= binary.count - taken else {
                    throw ServingRefusal(
                        400, "input \"\(input.name)\" has binary_data_size \(size); \(binary.count - taken) bytes are left behind the JSON")
                }
                let bytes = UnsafeRawBufferPointer(rebasing: binary[taken..<taken + size])
                inputs.append(NamedTensor(input.name, try BinaryTensor.read(bytes, type, shape, input.name, limits)))
                taken += size
            } else {
                throw ServingRefusal(400, "input \"\(input.name)\" has neither data nor parameters.binary_data_size")
            }
        }
        guard taken == binary.count else {
            throw ServingRefusal(400, "\(binary.count - taken) bytes behind the JSON belong to no input")
        }
    }
}

extension [UInt8] {
    /// The bytes for a reader that may refuse them.
    func withServingBytes<Result>(_ read: (UnsafeRawBufferPointer) throws(ServingRefusal) -> Result) throws(ServingRefusal) -> Result {
        var result: Swift.Result<Result, ServingRefusal>?
        withUnsafeBytes { bytes in
            do throws(ServingRefusal) { result = .success(try read(bytes)) } catch { result = .failure(error) }
        }
        return try result!.get()
    }
}

/// Tensors as bytes behind the JSON (binary tensor data extension): little-endian numbers; texts with their length as 4 bytes before each.
package enum BinaryTensor {
    /// A tensor as it stands behind the JSON.
    package static func bytes(_ tensor: Tensor) -> [UInt8] {
        var bytes: [UInt8] = []
        write(tensor, into: &bytes)
        return bytes
    }

    static func read(
        _ bytes: UnsafeRawBufferPointer, _ type: ElementType, _ shape: [Int], _ name: String, _ limits: InferCall.Limits
    ) throws(ServingRefusal) -> Tensor {
        let count = try Tensor.count(shape, type, "input \"\(name)\"", bytesMax: limits.tensorBytesMax)
        if type == .string { return Tensor(texts: try texts(bytes, count, name), shape: shape) }
        guard bytes.count == count * type.byteCount else {
            throw ServingRefusal(
                400, "input \"\(name)\" needs \(count * type.byteCount) bytes for \(type.oip) of shape \(shape), found \(bytes.count)")
        }
        let tensor = Tensor(type: type, shape: shape)
        if count > 0 { tensor.bytes.copyMemory(from: bytes) }
        return tensor
    }

    private static func texts(_ bytes: UnsafeRawBufferPointer, _ count: Int, _ name: String) throws(ServingRefusal) -> [[UInt8]] {
        guard count <= bytes.count / 4 else {
            throw ServingRefusal(400, "input \"\(name)\" needs \(count) texts with 4 bytes of length each, found \(bytes.count) bytes")
        }
        var (texts, place): ([[UInt8]], Int) = ([], 0)
        texts.reserveCapacity(count)
        for index in 0..<count {
            guard bytes.count - place >= 4 else {
                throw ServingRefusal(400, "input \"\(name)\" ends before text \(index) of \(count)")
            }
            let length = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self)))
            place += 4
            guard length <= bytes.count - place else {
                throw ServingRefusal(400, "text \(index) of input \"\(name)\" claims \(length) bytes, \(bytes.count - place) are left")
            }
            texts.append(Array(bytes[place..<place + length]))
            place += length
        }
        guard place == bytes.count else {
            throw ServingRefusal(400, "input \"\(name)\" has \(bytes.count - place) bytes behind its \(count) texts")
        }
        return texts
    }

    static func write(_ tensor: Tensor, into bytes: inout [UInt8]) {
        guard tensor.type == .string else { return bytes.append(contentsOf: tensor.bytes) }
        for text in tensor.texts {
            withUnsafeBytes(of: UInt32(text.count).littleEndian) { bytes.append(contentsOf: $0) }
            bytes.append(contentsOf: text)
        }
    }

    static func size(_ tensor: Tensor) -> Int {
        tensor.type == .string ? tensor.texts.reduce(0) { $0 + 4 + $1.count } : tensor.bytes.count
    }
}
