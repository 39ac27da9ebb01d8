import Resources
import Storage

/// How objects lie in the store: JSON that begins with `apiVersion`, `kind` and `metadata`, without the resource version, which is the
/// store's revision and is put in on the way out.
enum ObjectBytes {
    private static let mark = [UInt8]("\"metadata\":{".utf8)

    /// - Parameter owned: what the object's only author owns, as JSON, where it has been written before.
    static func encode(_ object: JSON, owned: [UInt8]? = nil) -> [UInt8] {
        var writer = JSONWriter(capacityBytes: 2048)
        writer.raw("{")
        for key in ["apiVersion", "kind"] {
            guard let value = object[key] else { continue }
            writer.write(key: key, value)
            writer.raw(",")
        }
        var metadata = object["metadata"]?.object ?? [:]
        metadata["resourceVersion"] = nil
        writer.raw("\"metadata\":{")
        for (place, member) in metadata.members.enumerated() {
            if place > 0 { writer.raw(",") }
            if let owned, member.key == "managedFields", write(managedFields: member.value, owning: owned, to: &writer) { continue }
            writer.write(key: member.key, member.value)
        }
        writer.raw("}")
        for member in object.object?.members ?? [] where !["apiVersion", "kind", "metadata"].contains(member.key) {
            writer.raw(",")
            writer.write(key: member.key, member.value)
        }
        writer.raw("}")
        // No more memory than they need: they are kept.
        return writer.bytes.withUnsafeBufferPointer { Array($0) }
    }

    /// Who owns the fields, where the text of what they own is known.
    ///
    /// - Returns: whether it was written; nothing is where there is not exactly one author.
    private static func write(managedFields: JSON, owning owned: [UInt8], to writer: inout JSONWriter) -> Bool {
        guard case .array(let entries) = managedFields, entries.count == 1, case .object(let entry) = entries[0] else { return false }
        writer.raw("\"managedFields\":[{")
        for (place, member) in entry.members.enumerated() {
            if place > 0 { writer.raw(",") }
            if member.key == "fieldsV1" {
                writer.raw("\"fieldsV1\":")
                writer.raw(owned)
            } else {
                writer.write(key: member.key, member.value)
            }
        }
        writer.raw("}]")
        return true
    }

    private static let limits = JSONParser.Limits(depthMax: 300, bytesMax: 8 << 20)

    /// - Throws: `APIStatus` 500 if the bytes are no object; the store's checksums make that a mistake of ours.
    static func decode(_ value: RevisionedValue) throws(APIStatus) -> JSON {
        guard var object = try? JSONParser.parse(value.bytes, limits: limits) else { throw noJSON(value) }
        object[path: ["metadata", "resourceVersion"]] = .string(String(value.revision))
        return object
    }

    private static func noJSON(_ value: RevisionedValue) -> APIStatus { .internalError("the stored object \(value.name) is no JSON") }

    /// The object without its resource version and without who owns its fields, which is much of the text and which few ask for.
    static func decodeWithoutOwners(_ value: RevisionedValue) throws(APIStatus) -> JSON {
        guard let object = try? JSONParser.parse(written: value.bytes, limits: limits, leavingOut: "managedFields") else {
            throw noJSON(value)
        }
        return object
    }

    /// The object's metadata as JSON text with its resource version, without decoding it.
    static func metadata(_ value: RevisionedValue, into writer: inout JSONWriter) {
        guard let start = position(of: mark, in: value.bytes), let end = JSONParser.end(ofObjectFrom: start - 1, in: value.bytes) else {
            writer.raw("{}")
            return
        }
        writer.raw("{\"resourceVersion\":")
        writer.write(String(value.revision))
        // An object has a name, so more follows.
        writer.raw(",")
        writer.raw(value.bytes[start..<end])
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
        value.bytes.withUnsafeBufferPointer { bytes in
            var rest = bytes[...]
            // Asked for every object of a list and every line of a watch: nothing is put together for it.
            func takes(_ text: some Sequence<UInt8>) -> Bool {
                for byte in text { guard rest.popFirst() == byte else { return false } }
                return true
            }
            guard takes("{\"apiVersion\":\"".utf8), definition.group.isEmpty || takes(definition.group.utf8) && takes("/".utf8) else {
                return false
            }
            return takes(definition.version.utf8) && takes("\",".utf8)
        }
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
