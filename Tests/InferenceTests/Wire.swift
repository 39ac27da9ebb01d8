/// Writes protobuf by hand, to make files that no honest writer makes.
enum Wire {
    static func varint(_ value: Int) -> [UInt8] {
        var rest = UInt64(bitPattern: Int64(value))
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    static func int(_ field: Int, _ value: Int) -> [UInt8] { varint(field << 3) + varint(value) }
    static func bytes(_ field: Int, _ content: [UInt8]) -> [UInt8] { varint(field << 3 | 2) + varint(content.count) + content }
    static func text(_ field: Int, _ content: String) -> [UInt8] { bytes(field, Array(content.utf8)) }
    static func list(_ field: Int, _ values: [Int]) -> [UInt8] { bytes(field, values.flatMap { varint($0) }) }

    /// A ValueInfoProto; nil is a dimension of any size.
    static func value(_ field: Int, _ name: String, type: Int = 1, shape: [Int?]) -> [UInt8] {
        let dimensions = shape.flatMap { size in bytes(1, size.map { int(1, $0) } ?? text(2, "N")) }
        return bytes(field, text(1, name) + bytes(2, bytes(1, int(1, type) + bytes(2, dimensions))))
    }

    static func node(_ operation: String, _ inputs: [String], _ output: String, domain: String = "", attributes: [UInt8] = []) -> [UInt8] {
        bytes(1, inputs.flatMap { text(1, $0) } + text(2, output) + text(4, operation) + attributes + text(7, domain))
    }

    static func ints(_ name: String, _ values: [Int]) -> [UInt8] { bytes(5, text(1, name) + list(8, values) + int(20, 7)) }
    static func scalar(_ name: String, _ value: Int) -> [UInt8] { bytes(5, text(1, name) + int(3, value) + int(20, 2)) }
    static func tensor(_ name: String, type: Int, shape: [Int], raw: [UInt8]) -> [UInt8] {
        bytes(5, text(1, name) + bytes(5, list(1, shape) + int(2, type) + bytes(9, raw)) + int(20, 4))
    }

    static func model(graph: [UInt8], more: [UInt8] = []) -> [UInt8] {
        int(1, 10) + bytes(7, text(2, "g") + graph) + bytes(8, text(1, "") + int(2, 17)) + bytes(8, text(1, "ai.onnx.ml") + int(2, 5))
            + more
    }

    static func metadata(_ key: String, _ value: String) -> [UInt8] { bytes(14, text(1, key) + text(2, value)) }

    /// x → y, the same.
    static let identity = node("Identity", ["x"], "y") + value(11, "x", shape: [nil, 2]) + value(12, "y", shape: [nil, 2])
}
