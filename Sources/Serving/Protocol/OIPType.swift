package import Inference

extension ElementType {
    /// The Open Inference Protocol's word.
    package var oip: String {
        switch self {
        case .bool: "BOOL"
        case .uint8: "UINT8"
        case .uint16: "UINT16"
        case .uint32: "UINT32"
        case .uint64: "UINT64"
        case .int8: "INT8"
        case .int16: "INT16"
        case .int32: "INT32"
        case .int64: "INT64"
        case .float16: "FP16"
        case .bfloat16: "BF16"
        case .float: "FP32"
        case .double: "FP64"
        case .string: "BYTES"
        }
    }

    private static let byWord = Dictionary(uniqueKeysWithValues: allCases.map { ($0.oip, $0) })

    /// By the Open Inference Protocol's word; nil for others.
    package init?(oip word: String) {
        guard let found = Self.byWord[word] else { return nil }
        self = found
    }
}

extension Tensor {
    /// Gives every value of a JSON list to its place; `null` is NaN, and of texts the empty one.
    ///
    /// - Parameter what: the input, for messages.
    static func read(
        _ scanner: inout JSONScanner, type: ElementType, shape: [Int], _ what: String, bytesMax: Int
    ) throws(ServingRefusal) -> Tensor {
        let count = try Tensor.count(shape, type, what, bytesMax: bytesMax)
        if type == .string { return Tensor(texts: try texts(&scanner, count, what), shape: shape) }
        let tensor = Tensor(type: type, shape: shape)
        switch type {
        case .float: try fill(&scanner, tensor.values(as: Float.self), what, floating)
        case .double: try fill(&scanner, tensor.values(as: Double.self), what, doubled)
        case .float16:
            try fill(&scanner, tensor.values(as: UInt16.self), what) { (scanner) throws(ServingRefusal) in
                Float16(try doubled(&scanner)).bitPattern
            }
        case .bfloat16:
            try fill(&scanner, tensor.values(as: UInt16.self), what) { (scanner) throws(ServingRefusal) in
                BrainFloat.rounded(Float(try doubled(&scanner)))
            }
        case .int8: try fill(&scanner, tensor.values(as: Int8.self), what, integer)
        case .int16: try fill(&scanner, tensor.values(as: Int16.self), what, integer)
        case .int32: try fill(&scanner, tensor.values(as: Int32.self), what, integer)
        case .int64: try fill(&scanner, tensor.values(as: Int64.self), what, integer)
        case .uint8: try fill(&scanner, tensor.values(as: UInt8.self), what, integer)
        case .uint16: try fill(&scanner, tensor.values(as: UInt16.self), what, integer)
        case .uint32: try fill(&scanner, tensor.values(as: UInt32.self), what, integer)
        case .uint64: try fill(&scanner, tensor.values(as: UInt64.self), what, integer)
        case .bool:
            try fill(&scanner, tensor.values(as: UInt8.self), what) { (scanner) throws(ServingRefusal) in
                if let byte = scanner.peek(), byte == 0x30 || byte == 0x31 { return UInt8(try scanner.whole().magnitude & 1) }
                return try scanner.bool() ? 1 : 0
            }
        case .string: break
        }
        return tensor
    }

    /// Elements of a shape, within bounds.
    static func count(_ shape: [Int], _ type: ElementType, _ what: String, bytesMax: Int) throws(ServingRefusal) -> Int {
        var count = 1
        for size in shape {
            let (product, isOver) = count.multipliedReportingOverflow(by: size)
            guard size >= 0, !isOver, product <= bytesMax / max(type.byteCount, 1) else {
                throw ServingRefusal(400, "\(what) has the shape \(shape); sizes are 0 or more, and at most \(bytesMax) bytes are taken")
            }
            count = product
        }
        return count
    }

    private static func floating(_ scanner: inout JSONScanner) throws(ServingRefusal) -> Float { Float(try doubled(&scanner)) }

    private static func doubled(_ scanner: inout JSONScanner) throws(ServingRefusal) -> Double {
        if scanner.peek() == 0x6e, scanner.takes(word: "null") { return .nan }
        return try scanner.double()
    }

    private static func integer<Number: FixedWidthInteger>(_ scanner: inout JSONScanner) throws(ServingRefusal) -> Number {
        let place = scanner.position
        let (magnitude, isNegative) = try scanner.whole()
        if !isNegative, let number = Number(exactly: magnitude) { return number }
        if isNegative, magnitude <= 1 << 63, let number = Number(exactly: Int64(truncatingIfNeeded: 0 &- magnitude)) { return number }
        scanner.seek(place)
        throw scanner.wrong("from \(Number.min) to \(Number.max)")
    }

    private static func fill<Element>(
        _ scanner: inout JSONScanner, _ values: UnsafeMutableBufferPointer<Element>, _ what: String,
        _ element: (inout JSONScanner) throws(ServingRefusal) -> Element
    ) throws(ServingRefusal) {
        var filled = 0
        try flatten(&scanner) { (scanner) throws(ServingRefusal) in
            guard filled < values.count else { throw ServingRefusal(400, "\(what) has more than the \(values.count) values of its shape") }
            values[filled] = try element(&scanner)
            filled += 1
        }
        guard filled == values.count else {
            throw ServingRefusal(400, "\(what) needs \(values.count) values for its shape, found \(filled)")
        }
    }

    private static func texts(_ scanner: inout JSONScanner, _ count: Int, _ what: String) throws(ServingRefusal) -> [[UInt8]] {
        var texts: [[UInt8]] = []
        try flatten(&scanner) { (scanner) throws(ServingRefusal) in
            guard texts.count < count else { throw ServingRefusal(400, "\(what) has more than the \(count) values of its shape") }
            switch scanner.peek() {
            case 0x22: texts.append(try scanner.text())
            case 0x6e where scanner.takes(word: "null"): texts.append([])
            default: texts.append(try scanner.numberText())
            }
        }
        guard texts.count == count else { throw ServingRefusal(400, "\(what) needs \(count) values for its shape, found \(texts.count)") }
        return texts
    }

    /// Lists in lists, row by row; a value alone is taken too.
    private static func flatten(
        _ scanner: inout JSONScanner, _ element: (inout JSONScanner) throws(ServingRefusal) -> Void
    ) throws(ServingRefusal) {
        guard scanner.peek() == 0x5b else { return try element(&scanner) }
        var depth = 0
        repeat {
            if scanner.takes(0x5b) {
                depth += 1
                guard depth <= 16 else { throw scanner.wrong("nested at most 16 deep") }
                if scanner.peek() != 0x5d { continue }
            } else {
                try element(&scanner)
            }
            while depth > 0, scanner.takes(0x5d) { depth -= 1 }
            if depth > 0 { try scanner.take(0x2c, "\",\" or \"]\"") }
        } while depth > 0
    }
}

/// bfloat16: the upper half of a 32-bit float.
enum BrainFloat {
    /// To the nearest, ties to even; NaN stays NaN.
    static func rounded(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        if value.isNaN { return UInt16(bits >> 16) | 0x40 }
        return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ (bits >> 16 & 1)) >> 16)
    }

    static func value(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }
}
