/// Writes the protobuf wire format (protobuf.dev, Encoding), as far as ONNX needs it.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    private enum WireType: UInt64 { case varint = 0, lengthDelimited = 2 }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private mutating func tag(_ field: Int, _ type: WireType) { varint(UInt64(field) << 3 | type.rawValue) }

    mutating func int(_ field: Int, _ value: Int) {
        tag(field, .varint)
        varint(UInt64(bitPattern: Int64(value)))
    }

    mutating func raw(_ field: Int, _ content: [UInt8]) {
        tag(field, .lengthDelimited)
        varint(UInt64(content.count))
        bytes += content
    }

    mutating func string(_ field: Int, _ text: String) { raw(field, Array(text.utf8)) }

    /// One tag for all numbers; readers must take this form for every repeated number.
    mutating func packedInts(_ field: Int, _ values: [Int]) {
        var content = ProtobufWriter()
        for value in values { content.varint(UInt64(bitPattern: Int64(value))) }
        raw(field, content.bytes)
    }

    mutating func float(_ field: Int, _ value: Float) {
        // Wire type 5: four bytes, little-endian.
        varint(UInt64(field) << 3 | 5)
        bytes += value.littleEndianBytes
    }

    mutating func message(_ field: Int, _ fill: (inout ProtobufWriter) -> Void) {
        var content = ProtobufWriter()
        fill(&content)
        raw(field, content.bytes)
    }
}

extension Float {
    var littleEndianBytes: [UInt8] { withUnsafeBytes(of: bitPattern.littleEndian) { Array($0) } }
}

extension Float16 {
    var littleEndianBytes: [UInt8] { withUnsafeBytes(of: bitPattern.littleEndian) { Array($0) } }
}
