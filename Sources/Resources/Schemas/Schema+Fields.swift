extension Schema {
    /// At most so many unknown fields are named.
    private static let unknownMax = 32

    /// The value without the fields the schema does not know, and their paths in order.
    package func pruned(_ value: JSON, at path: String = "", catalog: SchemaCatalog) -> (value: JSON, unknown: [String]) {
        // Most objects hold nothing unknown: those are not built anew.
        if knowsAll(value, catalog, isRoot: path.isEmpty) { return (value, []) }
        var unknown: [String] = []
        let result = prune(value, path, catalog, isRoot: path.isEmpty, &unknown)
        return (result, unknown)
    }

    private func knowsAll(_ value: JSON, _ catalog: SchemaCatalog, isRoot: Bool) -> Bool {
        let tree = catalog.resolved(self)
        switch value {
        case .object(let object):
            if tree.shape == .any { return true }
            return object.members.allSatisfy { member in
                if let schema = tree.property(member.key) ?? tree.additional {
                    return schema.knowsAll(member.value, catalog, isRoot: false)
                }
                return tree.keeps(member.key, isRoot: isRoot, isEmbedded: isEmbeddedResource)
            }
        case .array(let elements):
            return tree.items.map { items in elements.allSatisfy { items.knowsAll($0, catalog, isRoot: false) } } ?? true
        default: return true
        }
    }

    /// Whether a member stays that no field describes.
    func keeps(_ key: String, isRoot: Bool, isEmbedded: Bool) -> Bool {
        keepsUnknown || ((isRoot || isEmbedded) && ["apiVersion", "kind", "metadata"].contains(key))
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
                    if tree.keeps(key, isRoot: isRoot, isEmbedded: isEmbeddedResource) { return member }
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
        guard lacksDefaults(value, catalog) else { return value }
        var result = value
        applyDefaults(&result, catalog)
        return result
    }

    private func lacksDefaults(_ value: JSON, _ catalog: SchemaCatalog) -> Bool {
        let tree = catalog.resolved(self)
        guard tree.holdsDefaults(catalog) else { return false }
        switch value {
        case .object(let object):
            return object.members.contains { member in
                guard let schema = tree.property(member.key) ?? tree.additional else { return false }
                return schema.isReplaced(member.value) || schema.lacksDefaults(member.value, catalog)
            } || tree.defaults.contains { object[$0] == nil }
        case .array(let elements): return tree.items.map { items in elements.contains { items.lacksDefaults($0, catalog) } } ?? false
        default: return false
        }
    }

    /// Whether a null gives way to the schema's default.
    private func isReplaced(_ value: JSON) -> Bool { value.isNull && !isNullable && defaultValue != nil }

    private func applyDefaults(_ value: inout JSON, _ catalog: SchemaCatalog) {
        let tree = catalog.resolved(self)
        switch value {
        case .object(var object):
            // The value lets go, so that the object is changed where it lies.
            value = .null
            func schema(_ key: String) -> Schema? { tree.property(key) ?? tree.additional }
            if object.members.contains(where: { schema($0.key)?.isReplaced($0.value) ?? false }) {
                object = object.compactMapValues { key, member in schema(key)?.isReplaced(member) ?? false ? nil : member }
            }
            for position in object.members.indices {
                guard let schema = schema(object.members[position].key) else { continue }
                object.change(at: position) { schema.applyDefaults(&$0, catalog) }
            }
            for name in tree.defaults where object[name] == nil {
                guard let schema = tree.property(name), let given = schema.defaultValue else { continue }
                object[name] = schema.defaulted(given, catalog: catalog)
            }
            value = .object(object)
        case .array(var elements):
            guard let items = tree.items else { return }
            value = .null
            for index in elements.indices { items.applyDefaults(&elements[index], catalog) }
            value = .array(elements)
        default: break
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
