/// Reads the protobuf wire format (protobuf.dev, Encoding) of untrusted bytes, field by field.
struct ProtobufReader {
    enum Value {
        case varint(UInt64)
        case fixed32(UInt32)
        case fixed64(UInt64)
        case bytes(ArraySlice<UInt8>)
    }

    struct Field {
        var number: Int
        var value: Value
    }

    private let bytes: ArraySlice<UInt8>
    private(set) var position: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    var isAtEnd: Bool { position == bytes.endIndex }

    /// - Returns: nil at the end.
    mutating func next() throws(InferenceError) -> Field? {
        guard !isAtEnd else { return nil }
        let start = position
        let tag = try varint()
        let number = tag >> 3
        guard number > 0, number < 1 << 29 else { throw .malformedFile(reason: "field number \(number) at byte \(start)") }
        switch tag & 7 {
        case 0: return Field(number: Int(number), value: .varint(try varint()))
        case 1: return Field(number: Int(number), value: .fixed64(try fixed(8)))
        case 2:
            let count = try varint()
            guard count <= UInt64(bytes.endIndex - position) else {
                throw .malformedFile(reason: "it ends at byte \(bytes.endIndex), a field at byte \(start) goes on for \(count) bytes")
            }
            defer { position += Int(count) }
            return Field(number: Int(number), value: .bytes(bytes[position..<position + Int(count)]))
        case 5: return Field(number: Int(number), value: .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
        default: throw .malformedFile(reason: "wire type \(tag & 7) at byte \(start)")
        }
    }

    mutating func varint() throws(InferenceError) -> UInt64 {
        let start = position
        var (value, shift): (UInt64, UInt64) = (0, 0)
        while position < bytes.endIndex {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
            if shift > 63 { throw .malformedFile(reason: "a number of more than 64 bits at byte \(start)") }
        }
        throw .malformedFile(reason: "it ends within a number at byte \(start)")
    }

    private mutating func fixed(_ count: Int) throws(InferenceError) -> UInt64 {
        guard bytes.endIndex - position >= count else { throw .malformedFile(reason: "it ends within a number at byte \(position)") }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(bytes[position + index]) << UInt64(8 * index) }
        position += count
        return value
    }
}

extension ProtobufReader.Field {
    func bytes(_ what: String) throws(InferenceError) -> ArraySlice<UInt8> {
        guard case .bytes(let bytes) = value else { throw .malformedFile(reason: "\(what) is a number") }
        return bytes
    }

    func text(_ what: String) throws(InferenceError) -> String {
        guard let text = String(validating: try bytes(what), as: UTF8.self) else { throw .malformedFile(reason: "\(what) is no UTF-8") }
        return text
    }

    func int(_ what: String) throws(InferenceError) -> Int {
        guard case .varint(let number) = value else { throw .malformedFile(reason: "\(what) is no whole number") }
        return Int(truncatingIfNeeded: number)
    }

    /// Adds one number, or all of a packed field.
    func append(to numbers: inout [Int], _ what: String) throws(InferenceError) {
        guard case .bytes(let packed) = value else { return numbers.append(try int(what)) }
        var reader = ProtobufReader(packed)
        while !reader.isAtEnd { numbers.append(Int(truncatingIfNeeded: try reader.varint())) }
    }
}
