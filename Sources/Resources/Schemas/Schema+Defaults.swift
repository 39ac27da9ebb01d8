import Synchronization

/// Whether a schema has a default anywhere below, as it was found in one catalog.
final class FoundDefaults: Sendable {
    /// The catalog's number doubled, and 1 more if there is one; 0 for not looked yet.
    private let found = Atomic<UInt64>(0)

    func isThere(in catalog: UInt64) -> Bool? {
        let value = found.load(ordering: .relaxed)
        return value >> 1 == catalog && value != 0 ? value & 1 == 1 : nil
    }

    func note(_ isThere: Bool, in catalog: UInt64) { found.store(catalog << 1 | (isThere ? 1 : 0), ordering: .relaxed) }
}

extension Schema {
    /// Whether a value of this schema, which refers to no other tree, may hold fields that have a default: most trees of most objects have none,
    /// and their values need not be walked.
    func holdsDefaults(_ catalog: SchemaCatalog) -> Bool {
        if properties.isEmpty, additional == nil, items == nil { return false }
        if let known = defaultsBelow.isThere(in: catalog.id) { return known }
        var seen: Set<ObjectIdentifier> = []
        let result = findsDefault(catalog, &seen)
        defaultsBelow.note(result, in: catalog.id)
        return result
    }

    private func findsDefault(_ catalog: SchemaCatalog, _ seen: inout Set<ObjectIdentifier>) -> Bool {
        guard seen.insert(ObjectIdentifier(self)).inserted else { return false }
        for schema in properties.map(\.schema) + [additional, items].compactMap({ $0 }) {
            if schema.defaultValue != nil || catalog.resolved(schema).findsDefault(catalog, &seen) { return true }
        }
        return false
    }
}
