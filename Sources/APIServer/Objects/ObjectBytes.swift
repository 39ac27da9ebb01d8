import Resources
import Storage

/// How objects lie in the store: JSON that begins with `apiVersion`, `kind` and `metadata`, without the resource version, which is the
/// store's revision and is put in on the way out.
enum ObjectBytes {
    private static let mark = [UInt8]("\"metadata\":{".utf8)

    static func encode(_ object: JSON) -> [UInt8] {
        var writer = JSONWriter(capacityBytes: 2048)
        writer.raw("{")
        for key in ["apiVersion", "kind"] {
            guard let value = object[key] else { continue }
            writer.write(key: key, value)
            writer.raw(",")
        }
        var metadata = object["metadata"]?.object ?? [:]
        metadata["resourceVersion"] = nil
        writer.write(key: "metadata", .object(metadata))
        for member in object.object?.members ?? [] where !["apiVersion", "kind", "metadata"].contains(member.key) {
            writer.raw(",")
            writer.write(key: member.key, member.value)
        }
        writer.raw("}")
        return writer.bytes
    }

    /// - Throws: `APIStatus` 500 if the bytes are no object; the store's checksums make that a mistake of ours.
    static func decode(_ value: RevisionedValue) throws(APIStatus) -> JSON {
        guard var object = try? JSONParser.parse(value.bytes, limits: .init(depthMax: 300, bytesMax: 8 << 20)) else {
            throw .internalError("the stored object \(value.name) is no JSON")
        }
        object[path: ["metadata", "resourceVersion"]] = .string(String(value.revision))
        return object
    }

    /// The object as JSON text with its resource version, without decoding it.
    static func text(_ value: RevisionedValue, revision: Int64? = nil, into result: inout [UInt8]) {
        guard let place = position(of: mark, in: value.bytes) else {
            result.append(contentsOf: value.bytes)
            return
        }
        result.append(contentsOf: value.bytes[..<place])
        result.append(contentsOf: "\"resourceVersion\":\"\(revision ?? value.revision)\",".utf8)
        result.append(contentsOf: value.bytes[place...])
    }

    private static let deletionMark = [UInt8]("\"deletionTimestamp\"".utf8)

    /// Whether the object's text holds the name of the field; false is certain, true is not.
    static func mayHaveDeletionTime(_ value: RevisionedValue) -> Bool {
        value.bytes.withUnsafeBufferPointer { bytes in
            deletionMark.withUnsafeBufferPointer { mark in
                guard bytes.count >= mark.count else { return false }
                for start in 0...(bytes.count - mark.count) where bytes[start] == mark[0] && bytes[start + 1] == mark[1] {
                    if (2..<mark.count).allSatisfy({ bytes[start + $0] == mark[$0] }) { return true }
                }
                return false
            }
        }
    }

    /// Whether the object is stored in a version.
    static func isStored(_ value: RevisionedValue, in definition: KindDefinition) -> Bool {
        value.bytes.starts(with: "{\"apiVersion\":\"\(definition.groupVersion)\",".utf8)
    }

    /// First byte behind the mark; `apiVersion` and `kind` before it hold no quotes.
    private static func position(of mark: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count > mark.count else { return nil }
        return bytes.withUnsafeBufferPointer { bytes in
            mark.withUnsafeBufferPointer { mark in
                for start in 0...min(bytes.count - mark.count, 1024) where bytes[start] == mark[0] {
                    if (1..<mark.count).allSatisfy({ bytes[start + $0] == mark[$0] }) { return start + mark.count }
                }
                return nil
            }
        }
    }
}
