extension FieldWalk {
    /// What of an object decides who owns which of its fields: its members and what tells elements of lists apart, in their order, without
    /// the values. It holds no text but what stands in FieldsV1 too, and the members without an owner.
    ///
    /// - Parameter isRoot: the object is whole: it and its metadata are owned field by field whatever their schemas say.
    package func outline(of object: JSON, schema: Schema?, isRoot: Bool = true) -> JSON {
        let tree = schema.map(catalog.resolved)
        switch object {
        case .object(let members):
            if !isRoot, Self.isAtomic(schema) || Self.isAtomic(tree) { return .object(JSONObject()) }
            return .object(
                JSONObject(
                    differing: members.members.map { member in
                        let schema = tree?.property(member.key) ?? tree?.additional
                        let isMetadata = isRoot && member.key == "metadata"
                        return .init(key: member.key, value: outline(of: member.value, schema: schema, isRoot: isMetadata))
                    }))
        case .array(let elements):
            switch schema?.merge {
            case .set: return object
            case .map(let keys): return .array(elements.map { element(outlineOf: $0, keys: keys, schema: tree?.items) })
            default: return .array([])
            }
        default: return .null
        }
    }

    private func element(outlineOf element: JSON, keys: [String], schema: Schema?) -> JSON {
        var result = outline(of: element, schema: schema, isRoot: false)
        for key in keys { if let value = element[key] { result[key] = value } }
        return result
    }

    /// Whether an object has an outline, so that `fieldsOfNew` says of it what it said of the one the outline was made of. False is no verdict:
    /// it is also the answer for members in another order.
    ///
    /// - Parameter isRoot: as for `outline`.
    package func matches(_ object: JSON, outline: JSON, schema: Schema?, isRoot: Bool = true) -> Bool {
        switch (object, outline) {
        case (.object(let members), .object(let known)):
            let tree = schema.map(catalog.resolved)
            if !isRoot, Self.isAtomic(schema) || Self.isAtomic(tree) { return true }
            guard members.count == known.count else { return false }
            for place in members.members.indices {
                let key = members.members[place].key
                guard key == known.members[place].key else { return false }
                let value = members.members[place].value
                if Self.isScalar(value), Self.isScalar(known.members[place].value) { continue }
                let schema = tree?.property(key) ?? tree?.additional
                let isMetadata = isRoot && key == "metadata"
                guard matches(value, outline: known.members[place].value, schema: schema, isRoot: isMetadata) else { return false }
            }
            return true
        case (.array(let elements), .array(let known)):
            switch schema?.merge {
            case .set: return elements == known
            case .map(let keys):
                guard elements.count == known.count else { return false }
                let items = schema.map(catalog.resolved)?.items
                for place in elements.indices {
                    let (element, other) = (elements[place], known[place])
                    for key in keys where element[key] != other[key] { return false }
                    guard matches(element, outline: other, schema: items, isRoot: false) else { return false }
                }
                return true
            default: return true
            }
        default: return Self.isScalar(object) && Self.isScalar(outline)
        }
    }

    private static func isScalar(_ value: JSON) -> Bool {
        switch value {
        case .object, .array: false
        default: true
        }
    }

    private static func isAtomic(_ schema: Schema?) -> Bool {
        if case .atomic = schema?.merge { true } else { false }
    }
}
