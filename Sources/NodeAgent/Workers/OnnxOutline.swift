#if canImport(Glibc)
    import Glibc
#endif

/// Whether a file can be an ONNX model: a protobuf message whose fields end where the file ends, with a graph among them. The content is for
/// those to judge who load it.
enum OnnxOutline {
    /// Fields of the message; a model has about ten, and one for each of its properties.
    private static let fieldsMax = 4096
    private static let graphField: UInt64 = 7

    /// Why a file is none; nil if it may be one.
    ///
    /// - Parameter read: up to so many bytes from an offset; fewer only at the end.
    static func fault(size: Int64, read: (_ offset: Int64, _ count: Int) -> [UInt8]?) -> String? {
        guard size > 0 else { return "it is empty" }
        var offset: Int64 = 0
        var hasGraph = false
        for _ in 0..<fieldsMax {
            if offset == size { return hasGraph ? nil : "it holds no graph" }
            guard let bytes = read(offset, 24), let (tag, tagBytes) = varint(bytes[...]) else {
                return "it cannot be read at byte \(offset)"
            }
            let (field, form) = (tag >> 3, tag & 7)
            guard field > 0, field < 1000 else { return "what stands at byte \(offset) is no field of a model" }
            var next = offset + Int64(tagBytes)
            switch form {
            case 0:
                guard let (_, count) = varint(bytes.dropFirst(tagBytes)) else { return "it ends within a number at byte \(next)" }
                next += Int64(count)
            case 1: next += 8
            case 5: next += 4
            case 2:
                guard let (length, count) = varint(bytes.dropFirst(tagBytes)), length <= UInt64(size) else {
                    return "a field at byte \(offset) is longer than the file"
                }
                next += Int64(count) + Int64(length)
                if field == graphField, length > 0 { hasGraph = true }
            default: return "what stands at byte \(offset) is no field of a model"
            }
            guard next <= size else { return "it ends within a field that begins at byte \(offset)" }
            offset = next
        }
        return "it has more than \(fieldsMax) fields"
    }

    private static func varint(_ bytes: ArraySlice<UInt8>) -> (value: UInt64, count: Int)? {
        var value: UInt64 = 0
        for (place, byte) in bytes.prefix(10).enumerated() {
            value |= UInt64(byte & 0x7f) << UInt64(7 * place)
            if byte & 0x80 == 0 { return (value, place + 1) }
        }
        return nil
    }
}
