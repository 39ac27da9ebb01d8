extension Schema {
    /// At most so many unknown fields are named.
    private static let unknownMax = 32

    /// The value without the fields the schema does not know, and their paths in order.
    package func pruned(_ value: JSON, at path: String = "", catalog: SchemaCatalog) -> (value: JSON, unknown: [String]) {
        var unknown: [String] = []
        let result = prune(value, path, catalog, isRoot: path.isEmpty, &unknown)
        return (result, unknown)
    }

    private func prune(_ value: JSON, _ path: String, _ catalog: SchemaCatalog, isRoot: Bool, _ unknown: inout [String]) -> JSON {
        let tree = catalog.resolved(self)
        switch value {
        case .object(let object):
            if tree.shape == .any { return value }
            return .object(
                object.compactMapValues { key, member in
                    let place = path.isEmpty ? key : "\(path).\(key)"
                    if let schema = tree.property(key) ?? tree.additional {
                        return schema.prune(member, place, catalog, isRoot: false, &unknown)
                    }
                    if tree.keepsUnknown || ((isRoot || isEmbeddedResource) && ["apiVersion", "kind", "metadata"].contains(key)) {
                        return member
                    }
                    if unknown.count < Self.unknownMax { unknown.append(place) }
                    return nil
                })
        case .array(let elements):
            guard let items = tree.items else { return value }
            return .array(
                elements.enumerated().map { index, element in items.prune(element, "\(path)[\(index)]", catalog, isRoot: false, &unknown) })
        default: return value
        }
    }

    /// The value with the schema's defaults where fields are missing, and without nulls where the schema has a default or no place for one.
    package func defaulted(_ value: JSON, catalog: SchemaCatalog) -> JSON {
        let tree = catalog.resolved(self)
        switch value {
        case .object(let object):
            var result = object.compactMapValues { key, member in
                guard let schema = tree.property(key) ?? tree.additional else { return member }
                if member.isNull, !schema.isNullable, schema.defaultValue != nil { return nil }
                return schema.defaulted(member, catalog: catalog)
            }
            for property in tree.properties where result[property.name] == nil {
                if let value = property.schema.defaultValue {
                    result[property.name] = property.schema.defaulted(value, catalog: catalog)
                }
            }
            return .object(result)
        case .array(let elements):
            guard let items = tree.items else { return value }
            return .array(elements.map { items.defaulted($0, catalog: catalog) })
        default: return value
        }
    }
}

/// What tells an element of a list apart from its neighbours.
package struct ListIdentity: Hashable, Sendable {
    /// The identifying fields as an object in the order of the keys.
    package let value: JSON

    /// A field that is missing counts as its default, as `protocol: TCP` of a port does.
    package init(of element: JSON, keys: [String], schema: Schema?, catalog: SchemaCatalog) {
        let tree = schema.map(catalog.resolved)
        value = .object(
            JSONObject(
                keys.compactMap { key in
                    (element[key] ?? tree?.property(key)?.defaultValue).map { (key, $0) }
                }))
    }
}
