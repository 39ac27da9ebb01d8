package import Inference

/// The shortest way through a model: a request that brings its one input of floats, one row, goes from the connection's buffer into memory that was
/// bound when the model was loaded, and the outputs are written from where they are computed.
///
/// Used on the loop's thread alone.
package final class DirectRow {
    /// The input's name, as UTF-8.
    private let name: [UInt8]
    private let values: UnsafeMutableBufferPointer<Float>
    private let answer: () throws(InferenceError) -> [NamedTensor]

    /// - Parameters:
    ///   - name: the input's.
    ///   - values: its row; valid while `answer` is.
    ///   - answer: computes the outputs from the row; they are valid until it is called again.
    package init(name: String, values: UnsafeMutableBufferPointer<Float>, answer: @escaping () throws(InferenceError) -> [NamedTensor]) {
        (self.name, self.values, self.answer) = (Array(name.utf8), values, answer)
    }

    /// Of a model with one input of floats, and a row of one size.
    ///
    /// - Returns: nil for other models.
    package convenience init?(_ model: TensorModel) {
        guard model.isOfRows, model.signature.inputs.count == 1, model.signature.inputs[0].type == .float,
            model.signature.inputs[0].shape.count == 2,
            let row = try? BoundRow(model)
        else { return nil }
        self.init(name: model.signature.inputs[0].name, values: row.floats(0)) { () throws(InferenceError) in
            try row.run()
            return row.outputs
        }
    }

    /// Reads a request's row into its place.
    ///
    /// - Returns: what else the request says; nil for one that must be read by `InferCall`: it says more, brings something else, or is wrong.
    func read(_ body: UnsafeRawBufferPointer, headerLength: Int?) -> InferCall? {
        Self.read(body, headerLength: headerLength, name, into: values)
    }

    fileprivate static func read(
        _ body: UnsafeRawBufferPointer, headerLength: Int?, _ name: [UInt8], into values: UnsafeMutableBufferPointer<Float>
    ) -> InferCall? {
        let length = headerLength ?? body.count
        guard length <= body.count, let base = body.baseAddress else { return nil }
        var reader = RowReader(base.assumingMemoryBound(to: UInt8.self), length)
        return reader.read(name, values, behind: UnsafeRawBufferPointer(rebasing: body[length...]))
    }

    /// - Throws: what the model's runtime says.
    func run() throws(InferenceError) -> [NamedTensor] { try answer() }
}

/// The same for requests of one row each that have arrived together: each row goes to its place in a block, and one run answers all.
///
/// Used on the loop's thread alone.
package final class DirectRows {
    /// Requests that are answered by one run.
    static let rowsMax = 64
    /// Bytes of a block's inputs and outputs; requests whose block would take more are read one by one.
    private static let blockBytesMax = 1 << 20

    /// Memory for a number of rows.
    private struct Block {
        let tensors: BoundTensors
        let values: UnsafeMutableBufferPointer<Float>
        let outputs: [[NamedTensor]]
    }

    private let model: TensorModel
    private let name: [UInt8]
    private let width: Int
    private let rowsMax: Int
    private var blocks = [Block?](repeating: nil, count: DirectRows.rowsMax + 1)

    /// Of a model with one input of floats, and a row of one size.
    ///
    /// - Returns: nil for other models.
    package init?(_ model: TensorModel) {
        let specs = model.signature.inputs
        guard model.isOfRows, specs.count == 1, specs[0].type == .float, specs[0].shape.count == 2 else { return nil }
        let rowBytes = (specs + model.signature.outputs).reduce(0) { $0 + $1.width * $1.type.byteCount }
        (self.model, name, width) = (model, Array(specs[0].name.utf8), specs[0].width)
        rowsMax = min(Self.rowsMax, Self.blockBytesMax / max(rowBytes, 1))
    }

    /// Reads every request's row into its place.
    ///
    /// - Returns: what else each request says; nil where one of them must be read by `InferCall`, or they are too many.
    func read(_ requests: [LoopRequest]) -> [InferCall]? {
        guard requests.count <= rowsMax, let values = block(requests.count)?.values else { return nil }
        var calls: [InferCall] = []
        calls.reserveCapacity(requests.count)
        for (row, request) in requests.enumerated() {
            let place = UnsafeMutableBufferPointer(rebasing: values[row * width..<(row + 1) * width])
            guard let call = DirectRow.read(request.body, headerLength: request.head.inferenceHeaderLength, name, into: place) else {
                return nil
            }
            calls.append(call)
        }
        return calls
    }

    /// Answers what was read.
    ///
    /// - Returns: one list a request; valid until the next run.
    /// - Throws: what the model's runtime says.
    func run(_ count: Int) throws(InferenceError) -> [[NamedTensor]] {
        guard let block = block(count) else { return [] }
        try model.run(block.tensors)
        return block.outputs
    }

    private func block(_ count: Int) -> Block? {
        if let found = blocks[count] { return found }
        guard let tensors = try? model.bound(rows: count) else { return nil }
        let outputs = model.rows(of: tensors).map { row in zip(model.outputs, row).map { NamedTensor($0.name, $1) } }
        blocks[count] = Block(tensors: tensors, values: tensors.bytes(at: 0).bindMemory(to: Float.self), outputs: outputs)
        return blocks[count]
    }
}

/// A model's inputs and outputs for one row, in memory of its own that is used again and again.
package final class BoundRow {
    /// In the order of the model's outputs; valid until the next run.
    package let outputs: [NamedTensor]
    private let model: TensorModel
    private let tensors: BoundTensors

    /// - Parameter model: of rows (`isOfRows`).
    /// - Throws: as `TensorModel.bound`.
    package init(_ model: TensorModel) throws(InferenceError) {
        self.model = model
        tensors = try model.bound(rows: 1)
        outputs = zip(model.outputs, model.outputs(of: tensors)).map { NamedTensor($0.name, $1) }
    }

    /// The row of an input.
    package func floats(_ index: Int) -> UnsafeMutableBufferPointer<Float> { tensors.bytes(at: index).bindMemory(to: Float.self) }

    /// Computes the outputs.
    ///
    /// - Throws: what the model's runtime says.
    package func run() throws(InferenceError) { try model.run(tensors) }
}

/// Reads what most requests look like; gives up at anything else.
private struct RowReader {
    private let bytes: UnsafePointer<UInt8>
    private let end: Int
    private var place = 0

    private struct Found { var binarySize: Int? }

    init(_ bytes: UnsafePointer<UInt8>, _ count: Int) { (self.bytes, end) = (bytes, count) }

    mutating func read(_ name: [UInt8], _ values: UnsafeMutableBufferPointer<Float>, behind: UnsafeRawBufferPointer) -> InferCall? {
        var (id, isBinary, hasInput, binarySize): ([UInt8]?, Bool, Bool, Int?) = (nil, false, false, nil)
        var wanted: [(name: String, isBinary: Bool?)] = []
        guard takes(0x7b) else { return nil }
        repeat {
            guard let key = word(), takes(0x3a) else { return nil }
            if isSame(key, "inputs") {
                guard !hasInput, takes(0x5b), let found = input(name, values), takes(0x5d) else { return nil }
                (hasInput, binarySize) = (true, found.binarySize)
            } else if isSame(key, "id") {
                guard id == nil, let text = word(), text.count <= 1024 else { return nil }
                id = Array(text)
            } else if isSame(key, "outputs") {
                guard wanted.isEmpty, let found = outputs() else { return nil }
                wanted = found
            } else if isSame(key, "parameters") {
                guard takes(0x7b), let inner = word(), isSame(inner, "binary_data_output"), takes(0x3a), let flag = flag(), takes(0x7d)
                else {
                    return nil
                }
                isBinary = flag
            } else {
                return nil
            }
        } while takes(0x2c)
        guard takes(0x7d), hasInput, !isMore else { return nil }
        if let binarySize {
            guard binarySize == behind.count, binarySize == values.count * 4 else { return nil }
            UnsafeMutableRawBufferPointer(values).copyMemory(from: behind)
        } else if behind.count > 0 {
            return nil
        }
        return InferCall(
            id: id, outputs: wanted.map { InferCall.Wanted(name: $0.name, isBinary: $0.isBinary ?? isBinary) }, isBinary: isBinary)
    }

    /// One input: its name, its type, the shape of one row, and then its values, or how many bytes they have behind the JSON.
    private mutating func input(_ name: [UInt8], _ values: UnsafeMutableBufferPointer<Float>) -> Found? {
        var (hasName, hasType, hasShape, hasData, binarySize): (Bool, Bool, Bool, Bool, Int?) = (false, false, false, false, nil)
        guard takes(0x7b) else { return nil }
        repeat {
            guard let key = word(), takes(0x3a) else { return nil }
            if isSame(key, "name") {
                guard !hasName, let text = word(), text.elementsEqual(name) else { return nil }
                hasName = true
            } else if isSame(key, "datatype") {
                guard !hasType, let text = word(), isSame(text, "FP32") else { return nil }
                hasType = true
            } else if isSame(key, "shape") {
                guard !hasShape, takes(0x5b), whole() == 1, takes(0x2c), whole() == values.count, takes(0x5d) else { return nil }
                hasShape = true
            } else if isSame(key, "data") {
                guard !hasData, numbers(values) else { return nil }
                hasData = true
            } else if isSame(key, "parameters") {
                guard binarySize == nil, takes(0x7b), let inner = word(), isSame(inner, "binary_data_size"), takes(0x3a),
                    let size = whole(),
                    takes(0x7d)
                else { return nil }
                binarySize = size
            } else {
                return nil
            }
        } while takes(0x2c)
        guard takes(0x7d), hasName, hasType, hasShape, hasData != (binarySize != nil) else { return nil }
        return Found(binarySize: binarySize)
    }

    /// Names of outputs, one or more, and whether each is wanted as bytes.
    private mutating func outputs() -> [(name: String, isBinary: Bool?)]? {
        var found: [(name: String, isBinary: Bool?)] = []
        guard takes(0x5b) else { return nil }
        repeat {
            var (name, isBinary): (String?, Bool?) = (nil, nil)
            guard takes(0x7b) else { return nil }
            repeat {
                guard let key = word(), takes(0x3a) else { return nil }
                if isSame(key, "name") {
                    guard name == nil, let text = word(), text.count <= 256, text.count > 0 else { return nil }
                    name = String(decoding: text, as: UTF8.self)
                } else if isSame(key, "parameters") {
                    guard isBinary == nil, takes(0x7b), let inner = word(), isSame(inner, "binary_data"), takes(0x3a), let flag = flag(),
                        takes(0x7d)
                    else { return nil }
                    isBinary = flag
                } else {
                    return nil
                }
            } while takes(0x2c)
            guard takes(0x7d), let name, found.count < 64 else { return nil }
            found.append((name, isBinary))
        } while takes(0x2c)
        return takes(0x5d) ? found : nil
    }

    // MARK: - Pieces

    /// The next byte that is no space.
    private mutating func next() -> UInt8? {
        while place < end {
            switch bytes[place] {
            case 0x20, 0x0a, 0x0d, 0x09: place += 1
            default: return bytes[place]
            }
        }
        return nil
    }

    private var isMore: Bool {
        var copy = self
        return copy.next() != nil
    }

    private mutating func takes(_ byte: UInt8) -> Bool {
        guard next() == byte else { return false }
        place += 1
        return true
    }

    /// A text of plain characters, without its quotes.
    private mutating func word() -> UnsafeBufferPointer<UInt8>? {
        guard takes(0x22) else { return nil }
        let start = place
        while place < end, bytes[place] != 0x22 {
            guard bytes[place] >= 0x20, bytes[place] < 0x80, bytes[place] != 0x5c else { return nil }
            place += 1
        }
        guard place < end else { return nil }
        defer { place += 1 }
        return UnsafeBufferPointer(start: bytes + start, count: place - start)
    }

    private func isSame(_ text: UnsafeBufferPointer<UInt8>, _ word: StaticString) -> Bool {
        guard text.count == word.utf8CodeUnitCount else { return false }
        for index in 0..<text.count where text[index] != word.utf8Start[index] { return false }
        return true
    }

    private mutating func flag() -> Bool? {
        for (word, value) in [("true" as StaticString, true), ("false", false)] {
            guard next() != nil, end - place >= word.utf8CodeUnitCount,
                isSame(UnsafeBufferPointer(start: bytes + place, count: word.utf8CodeUnitCount), word)
            else { continue }
            place += word.utf8CodeUnitCount
            return value
        }
        return nil
    }

    private mutating func whole() -> Int? {
        guard next() != nil else { return nil }
        let start = place
        var value = 0
        while place < end, bytes[place] &- 0x30 < 10, place - start < 10 {
            value = value &* 10 &+ Int(bytes[place] &- 0x30)
            place += 1
        }
        guard place > start, bytes[start] != 0x30 || place == start + 1 else { return nil }
        return value
    }

    private mutating func numbers(_ values: UnsafeMutableBufferPointer<Float>) -> Bool {
        guard takes(0x5b) else { return false }
        let isNested = takes(0x5b)
        for index in 0..<values.count {
            guard index == 0 || takes(0x2c), next() != nil, let value = number() else { return false }
            values[index] = value
        }
        return takes(0x5d) && (!isNested || takes(0x5d))
    }

    private static let powers: [Double] = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15]

    /// `null`, or a number of at most nineteen digits without an exponent: the nearest double, as `JSONScanner` reads it.
    private mutating func number() -> Float? {
        if bytes[place] == 0x6e {
            guard end - place >= 4, bytes[place + 1] == 0x75, bytes[place + 2] == 0x6c, bytes[place + 3] == 0x6c else { return nil }
            place += 4
            return .nan
        }
        let isNegative = bytes[place] == 0x2d
        if isNegative { place += 1 }
        let start = place
        var digits: UInt64 = 0
        while place < end, bytes[place] &- 0x30 < 10 {
            digits = digits &* 10 &+ UInt64(bytes[place] &- 0x30)
            place += 1
        }
        let wholeCount = place - start
        guard wholeCount > 0, wholeCount == 1 || bytes[start] != 0x30 else { return nil }
        var fraction = 0
        if place < end, bytes[place] == 0x2e {
            place += 1
            let first = place
            while place < end, bytes[place] &- 0x30 < 10 {
                digits = digits &* 10 &+ UInt64(bytes[place] &- 0x30)
                place += 1
            }
            fraction = place - first
            guard fraction > 0 else { return nil }
        }
        let count = wholeCount + fraction
        guard count <= DecimalQuotient.digitsMax, place < end, bytes[place] | 0x20 != 0x65 else { return nil }
        // The quotient of two numbers that are held exactly is the nearest.
        let value = count <= 15 ? Double(digits) / Self.powers[fraction] : DecimalQuotient.nearest(digits, fraction: fraction)
        return Float(isNegative ? -value : value)
    }
}
