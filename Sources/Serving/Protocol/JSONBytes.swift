import Inference

/// Writes JSON byte by byte.
enum JSONBytes {
    static func append(raw text: StaticString, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// A text in quotes; bytes that are no UTF-8 become U+FFFD.
    static func append(text: some Collection<UInt8>, to bytes: inout [UInt8]) {
        bytes.append(0x22)
        if text.allSatisfy({ $0 >= 0x20 && $0 < 0x80 && $0 != 0x22 && $0 != 0x5c }) {
            bytes.append(contentsOf: text)
        } else {
            for byte in String(decoding: text, as: UTF8.self).utf8 {
                switch byte {
                case 0x22, 0x5c: bytes += [0x5c, byte]
                case 0x0a: append(raw: "\\n", to: &bytes)
                case 0x0d: append(raw: "\\r", to: &bytes)
                case 0x09: append(raw: "\\t", to: &bytes)
                case 0..<0x20:
                    append(raw: "\\u00", to: &bytes)
                    bytes += [0x30 + byte >> 4, Array("0123456789abcdef".utf8)[Int(byte & 15)]]
                default: bytes.append(byte)
                }
            }
        }
        bytes.append(0x22)
    }

    static func append(_ text: String, to bytes: inout [UInt8]) { append(text: text.utf8, to: &bytes) }

    static func append(number: some BinaryInteger, to bytes: inout [UInt8]) {
        if number >= 0, number < 10 { return bytes.append(0x30 + UInt8(number)) }
        bytes.append(contentsOf: number.description.utf8)
    }

    static func append(shape: [Int], to bytes: inout [UInt8]) {
        bytes.append(0x5b)
        for (index, size) in shape.enumerated() {
            if index > 0 { bytes.append(0x2c) }
            append(number: size, to: &bytes)
        }
        bytes.append(0x5d)
    }

    /// The values in one flat list; NaN and the infinities become `null`, which JSON has instead.
    static func append(values tensor: Tensor, to bytes: inout [UInt8]) {
        bytes.append(0x5b)
        switch tensor.type {
        case .float: append(tensor.values(as: Float.self), to: &bytes) { floating($0, to: &$1) }
        case .double: append(tensor.values(as: Double.self), to: &bytes) { floating($0, to: &$1) }
        case .float16: append(tensor.values(as: UInt16.self), to: &bytes) { floating(Float(Float16(bitPattern: $0)), to: &$1) }
        case .bfloat16: append(tensor.values(as: UInt16.self), to: &bytes) { floating(BrainFloat.value($0), to: &$1) }
        case .int8: append(tensor.values(as: Int8.self), to: &bytes) { append(number: $0, to: &$1) }
        case .int16: append(tensor.values(as: Int16.self), to: &bytes) { append(number: $0, to: &$1) }
        case .int32: append(tensor.values(as: Int32.self), to: &bytes) { append(number: $0, to: &$1) }
        case .int64: append(tensor.values(as: Int64.self), to: &bytes) { append(number: $0, to: &$1) }
        case .uint8: append(tensor.values(as: UInt8.self), to: &bytes) { append(number: $0, to: &$1) }
        case .uint16: append(tensor.values(as: UInt16.self), to: &bytes) { append(number: $0, to: &$1) }
        case .uint32: append(tensor.values(as: UInt32.self), to: &bytes) { append(number: $0, to: &$1) }
        case .uint64: append(tensor.values(as: UInt64.self), to: &bytes) { append(number: $0, to: &$1) }
        case .bool: append(tensor.values(as: UInt8.self), to: &bytes) { append(raw: $0 == 0 ? "false" : "true", to: &$1) }
        case .string: append(tensor.texts, to: &bytes) { append(text: $0, to: &$1) }
        }
        bytes.append(0x5d)
    }

    private static func append<Values: Collection>(
        _ values: Values, to bytes: inout [UInt8], _ value: (Values.Element, inout [UInt8]) -> Void
    ) {
        var isFirst = true
        for element in values {
            if !isFirst { bytes.append(0x2c) }
            isFirst = false
            value(element, &bytes)
        }
    }

    static func floating(_ value: some BinaryFloatingPoint & CustomStringConvertible, to bytes: inout [UInt8]) {
        if value.isFinite { bytes.append(contentsOf: value.description.utf8) } else { append(raw: "null", to: &bytes) }
    }
}
