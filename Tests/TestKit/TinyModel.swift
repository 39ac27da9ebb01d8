/// ONNX files of a few nodes, written by hand.
package enum TinyModel {
    /// A number of any length.
    package static func varint(_ value: Int) -> [UInt8] {
        var (rest, bytes): (UInt64, [UInt8]) = (UInt64(bitPattern: Int64(value)), [])
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
    /// A field of a number.
    package static func int(_ field: Int, _ value: Int) -> [UInt8] { varint(field << 3) + varint(value) }
    /// A field of bytes.
    package static func bytes(_ field: Int, _ content: [UInt8]) -> [UInt8] { varint(field << 3 | 2) + varint(content.count) + content }
    /// A field of text.
    package static func text(_ field: Int, _ content: String) -> [UInt8] { bytes(field, Array(content.utf8)) }

    /// An input (11) or output (12); nil is a dimension of any size.
    package static func value(_ field: Int, _ name: String, type: Int = 1, _ shape: [Int?]) -> [UInt8] {
        let dimensions = shape.flatMap { size in bytes(1, size.map { int(1, $0) } ?? text(2, "N")) }
        return bytes(field, text(1, name) + bytes(2, bytes(1, int(1, type) + bytes(2, dimensions))))
    }

    /// An operator.
    package static func node(_ operation: String, _ inputs: [String], _ outputs: [String], domain: String = "", attributes: [UInt8] = [])
        -> [UInt8]
    {
        bytes(
            1,
            inputs.flatMap { text(1, $0) } + outputs.flatMap { text(2, $0) } + text(4, operation) + attributes + text(7, domain))
    }

    /// A constant of floats.
    package static func tensor(_ name: String, _ values: [Float], _ shape: [Int]) -> [UInt8] {
        let raw = values.flatMap { value in withUnsafeBytes(of: value) { Array($0) } }
        return bytes(5, shape.flatMap { int(1, $0) } + int(2, 1) + text(8, name) + bytes(9, raw))
    }

    /// A whole file of a graph.
    package static func file(_ graph: [UInt8], version: String? = nil) -> [UInt8] {
        int(1, 8) + bytes(7, text(2, "g") + graph) + bytes(8, text(1, "") + int(2, 17)) + bytes(8, text(1, "ai.onnx.ml") + int(2, 3))
            + (version.map { bytes(14, text(1, "version") + text(2, $0)) } ?? [])
    }

    /// y = x + `added`, rows of two.
    package static func adding(_ added: Float, version: String) -> [UInt8] {
        file(
            node("Add", ["x", "a"], ["y"]) + tensor("a", [added], [1]) + value(11, "x", [nil, 2]) + value(12, "y", [nil, 2]),
            version: version)
    }
}
