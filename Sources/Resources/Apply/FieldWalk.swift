/// Walks objects field by field as their schema's list semantics say; the basis of server-side apply.
package struct FieldWalk {
    let catalog: SchemaCatalog

    /// The catalog resolves the schemas that fields name by reference.
    package init(catalog: SchemaCatalog) { self.catalog = catalog }

    /// How the children of a value are told apart.
    private enum Children {
        case none
        case members(JSONObject, Schema?)
        case elements([(FieldSet.Step, JSON)], Schema?)
    }

    private func children(_ value: JSON, _ schema: Schema?) -> Children {
        let tree = schema.map(catalog.resolved)
        switch value {
        case .object(let object):
            return schema?.merge == .atomic || tree?.merge == .atomic ? .none : .members(object, tree)
        case .array(let elements):
            switch schema?.merge {
            case .set: return .elements(elements.map { (.value($0), $0) }, tree?.items)
            case .map(let keys):
                return .elements(
                    elements.map { (.key(ListIdentity(of: $0, keys: keys, schema: tree?.items, catalog: catalog).value), $0) }, tree?.items)
            default: return .none
            }
        default: return .none
        }
    }

    private func member(_ name: String, _ tree: Schema?) -> (schema: Schema?, isNamed: Bool) {
        guard let tree else { return (nil, false) }
        if let schema = tree.property(name) { return (schema, true) }
        return (tree.additional, false)
    }

    /// The fields an applied configuration sets: its leaves, its empty objects, members of maps, elements of lists.
    package func fields(of value: JSON, schema: Schema?) -> FieldSet {
        var result = FieldSet()
        switch children(value, schema) {
        case .none: result.insertItself()
        case .members(let object, let tree):
            for (name, inner) in object {
                let (schema, isNamed) = member(name, tree)
                var set = fields(of: inner, schema: schema)
                if inner.isNull || inner.object?.isEmpty == true || !isNamed && tree != nil && inner.object == nil { set.insertItself() }
                result[.field(name)] = set
            }
            if object.isEmpty { result.insertItself() }
        case .elements(let elements, let schema):
            for (step, inner) in elements {
                var set = fields(of: inner, schema: schema)
                set.insertItself()
                result[step] = set
            }
            if elements.isEmpty { result.insertItself() }
        }
        return result
    }

    /// The fields that differ between two states of an object: those set or changed, and those gone.
    package func difference(from old: JSON?, to new: JSON?, schema: Schema?) -> (changed: FieldSet, removed: FieldSet) {
        if old == new { return (FieldSet(), FieldSet()) }
        guard let new else { return (FieldSet(), old.map { everything(in: $0, schema) } ?? FieldSet()) }
        guard let old else { return (everything(in: new, schema), FieldSet()) }
        var changed = FieldSet()
        var removed = FieldSet()
        switch (children(old, schema), children(new, schema)) {
        case (.members(let before, let tree), .members(let after, _)):
            func note(_ name: String, _ old: JSON?, _ new: JSON?) {
                let inner = difference(from: old, to: new, schema: member(name, tree).schema)
                changed[.field(name)] = inner.changed
                removed[.field(name)] = inner.removed
            }
            // Most members are as they were: of those nothing is written down.
            for (place, member) in before.members.enumerated() {
                let new = after.value(of: member.key, near: place)
                if new != member.value { note(member.key, member.value, new) }
            }
            for member in after.members where before[member.key] == nil { note(member.key, nil, member.value) }
        case (.elements(let before, let schema), .elements(let after, _)):
            let olds = Dictionary(before, uniquingKeysWith: { first, _ in first })
            let news = Dictionary(after, uniquingKeysWith: { first, _ in first })
            for step in Set(olds.keys).union(news.keys) {
                let inner = difference(from: olds[step], to: news[step], schema: schema)
                changed[step] = inner.changed
                removed[step] = inner.removed
            }
        default: changed.insertItself()
        }
        return (changed, removed)
    }

    /// What the writer of a new object owns, as FieldsV1: the same as the difference from nothing, without the way by a set.
    package func fieldsOfNew(_ object: JSON, schema: Schema) -> JSON {
        let tree = catalog.resolved(schema)
        var result: [JSONObject.Member] = []
        for root in object.object?.members ?? [] where !ManagedFields.unownedKeys.contains(root.key) {
            guard root.key == "metadata" else {
                result.append(owned(root, tree))
                continue
            }
            let metadataTree = member(root.key, tree).schema.map(catalog.resolved)
            let own = (root.value.object?.members ?? []).filter { !ManagedFields.unownedMetadata.contains($0.key) }
                .map { owned($0, metadataTree) }
            if !own.isEmpty { result.append(.init(key: "f:metadata", value: Self.sorted(own))) }
        }
        return Self.sorted(result)
    }

    /// A member as FieldsV1 has it, with everything below.
    private func owned(_ member: JSONObject.Member, _ tree: Schema?) -> JSONObject.Member {
        guard let field = tree?.field(member.key) else {
            return .init(key: "f:" + member.key, value: everythingV1(in: member.value, tree?.additional))
        }
        return .init(key: field.ownedName, value: everythingV1(in: member.value, field.schema))
    }

    private static func sorted(_ fields: [JSONObject.Member]) -> JSON {
        let isSorted = zip(fields, fields.dropFirst()).allSatisfy { $0.key < $1.key }
        return .object(JSONObject(differing: isSorted ? fields : fields.sorted { $0.key < $1.key }))
    }

    private func everythingV1(in value: JSON, _ schema: Schema?) -> JSON {
        var fields: [JSONObject.Member] = []
        switch children(value, schema) {
        case .none: return .object(JSONObject())
        case .members(let object, let tree):
            guard !object.isEmpty else { return .object(JSONObject()) }
            fields.reserveCapacity(object.count + 1)
            // Before everything else: a letter and a colon follow in every other key.
            fields.append(.init(key: ".", value: .object(JSONObject())))
            for inner in object.members { fields.append(owned(inner, tree)) }
        case .elements(let elements, let schema):
            // Of elements that are told apart by nothing the last one stands for all.
            var known = JSONObject([(".", .object(JSONObject()))])
            for (step, inner) in elements { known[step.text] = everythingV1(in: inner, schema) }
            guard !elements.isEmpty else { return .object(JSONObject()) }
            fields = known.members
        }
        return Self.sorted(fields)
    }

    /// Every field of a value, the composite ones too.
    private func everything(in value: JSON, _ schema: Schema?) -> FieldSet {
        var result = FieldSet.itself
        switch children(value, schema) {
        case .none: break
        case .members(let object, let tree):
            for (name, inner) in object { result[.field(name)] = everything(in: inner, member(name, tree).schema) }
        case .elements(let elements, let schema):
            for (step, inner) in elements { result[step] = everything(in: inner, schema) }
        }
        return result
    }

    /// The live object with the applied configuration laid over it.
    package func merged(_ applied: JSON, over live: JSON?, schema: Schema?) -> JSON {
        guard let live else { return applied }
        switch (children(live, schema), children(applied, schema)) {
        case (.members(var result, let tree), .members(let members, _)):
            for (name, value) in members { result[name] = merged(value, over: result[name], schema: member(name, tree).schema) }
            return .object(result)
        case (.elements(let before, let schema), .elements(let after, _)):
            let news = Dictionary(after, uniquingKeysWith: { first, _ in first })
            let known = Set(before.map(\.0))
            let kept = before.map { step, value in news[step].map { merged($0, over: value, schema: schema) } ?? value }
            return .array(kept + after.filter { !known.contains($0.0) }.map(\.1))
        default: return applied
        }
    }

    /// The value without the members of a set; a member that is composite goes with everything below, unless something below is kept.
    ///
    /// - Parameter kept: fields that stay whatever `gone` says.
    package func removing(_ gone: FieldSet, keeping kept: FieldSet, from value: JSON, schema: Schema?) -> JSON? {
        if gone.isMember && kept.isEmpty { return nil }
        switch children(value, schema) {
        case .none: return gone.isMember && !kept.isMember ? nil : value
        case .members(let object, let tree):
            let rest = object.compactMapValues { name, inner in
                let step = FieldSet.Step.field(name)
                guard gone.children[step] != nil else { return inner }
                return removing(gone[step], keeping: kept[step], from: inner, schema: member(name, tree).schema)
            }
            return rest.isEmpty && !object.isEmpty && !kept.isMember ? nil : .object(rest)
        case .elements(let elements, let schema):
            let rest = elements.compactMap { step, inner -> JSON? in
                guard gone.children[step] != nil else { return inner }
                return removing(gone[step], keeping: kept[step], from: inner, schema: schema)
            }
            return rest.isEmpty && !elements.isEmpty && !kept.isMember ? nil : .array(rest)
        }
    }
}
