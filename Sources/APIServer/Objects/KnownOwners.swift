import Resources
import Synchronization

/// Who owns which fields of new objects, as it was found for others before them: most objects of a kind differ in their values only, and what
/// their author owns is the same.
///
/// Holds the outlines of at most `slotCount` objects, whose fields take at most `textBytesMax` bytes each; a newer one takes the place of an
/// older one. No values are kept.
final class KnownOwners: Sendable {
    /// What one author of a whole object owns, as FieldsV1.
    struct Fields: Sendable {
        let value: JSON
        /// The value as JSON, to be written into stored objects; nil if it is long.
        let text: [UInt8]?
    }

    private struct Entry: Sendable {
        /// Held, so that no other schema can be at its address.
        let schema: Schema
        let outline: JSON
        let fields: Fields
    }

    private static let slotCount = 128
    private static let textBytesMax = 8 << 10
    private let slots = Mutex([Entry?](repeating: nil, count: slotCount))

    /// What the author of a new object owns.
    func fields(ofNew object: JSON, schema: Schema, walk: FieldWalk) -> Fields {
        let slot = Self.slot(object, schema)
        if let entry = slots.withLock({ $0[slot] }), entry.schema === schema,
            walk.matches(object, outline: entry.outline, schema: schema)
        {
            return entry.fields
        }
        let value = walk.fieldsOfNew(object, schema: schema)
        let text = value.bytes()
        guard text.count <= Self.textBytesMax else { return Fields(value: value, text: nil) }
        let entry = Entry(schema: schema, outline: walk.outline(of: object, schema: schema), fields: Fields(value: value, text: text))
        // What was there goes after the lock.
        let before = slots.withLock { slots -> Entry? in
            defer { slots[slot] = entry }
            return slots[slot]
        }
        withExtendedLifetime(before) {}
        return entry.fields
    }

    /// By the kind and by how many members the object and its parts have.
    private static func slot(_ object: JSON, _ schema: Schema) -> Int {
        var hash = UInt(bitPattern: ObjectIdentifier(schema)) >> 4
        if case .object(let whole) = object {
            for member in whole.members {
                guard case .object(let part) = member.value else { continue }
                hash = hash &* 31 &+ UInt(part.count)
            }
        }
        return Int(hash % UInt(slotCount))
    }
}
