/// Kubernetes' strategic merge patch: a merge patch that knows which lists are merged by a key, and directives in `$` members.
package struct StrategicMergePatch {
    private let catalog: SchemaCatalog

    /// The catalog resolves the schemas that fields name by reference.
    package init(catalog: SchemaCatalog) { self.catalog = catalog }

    /// - Throws: `PatchError.malformed` for an unknown directive or a list element without its key.
    package func apply(_ patch: JSON, to target: JSON, schema: Schema?) throws(PatchError) -> JSON {
        guard let members = patch.object else { throw .malformed("a strategic merge patch is an object, found \(patch.typeName)") }
        return try merge(members, into: target, schema)
    }

    private func merge(_ patch: JSONObject, into target: JSON, _ schema: Schema?) throws(PatchError) -> JSON {
        switch patch["$patch"]?.string {
        case "replace":
            var replacement = patch
            replacement["$patch"] = nil
            return .object(replacement)
        case "delete": return .object([:])
        case nil, "merge": break
        case let directive?: throw .malformed("unknown directive $patch: \(directive); use replace, delete or merge")
        }
        var result = target.object ?? JSONObject()
        if let kept = patch["$retainKeys"]?.array?.compactMap(\.string) {
            result = result.without(Set(result.keys).subtracting(kept))
        }
        result = result.without(Set(patch.lazy.filter { $0.1.isNull && !$0.0.hasPrefix("$") }.map(\.0)))
        for (key, value) in patch where !key.hasPrefix("$") && !value.isNull {
            let member = schema?.member(key, in: catalog)
            switch value {
            case .object(let inner):
                if member?.patchStrategy == "replace" || inner["$patch"]?.string == "replace" {
                    result[key] = try merge(inner, into: .object([:]), nil)
                } else if inner["$patch"]?.string == "delete" {
                    result[key] = nil
                } else {
                    result[key] = try merge(inner, into: result[key] ?? .object([:]), member)
                }
            case .array(let elements): result[key] = .array(try merge(elements, into: result[key]?.array ?? [], key, member))
            default: result[key] = value
            }
        }
        try applyListDirectives(patch, schema, &result)
        return .object(result)
    }

    private func merge(_ patch: [JSON], into target: [JSON], _ name: String, _ schema: Schema?) throws(PatchError) -> [JSON] {
        guard let schema, schema.patchStrategy.contains("merge") else { return patch.filter { $0["$patch"] == nil } }
        guard let key = schema.patchMergeKey else {
            let present = Set(target)
            return target + patch.filter { !present.contains($0) }
        }
        if patch.contains(where: { $0["$patch"]?.string == "replace" }) { return patch.filter { $0["$patch"] == nil } }
        var result: [JSON?] = target
        var places = Dictionary(
            target.enumerated().compactMap { place, element in element[key].map { ($0, [place]) } }, uniquingKeysWith: +)
        for element in patch {
            guard let members = element.object, let identity = element[key] else {
                throw .malformed("map: \(element.text.prefixShortened(200)) does not contain declared merge key: \(key)")
            }
            if element["$patch"]?.string == "delete" {
                for place in places.removeValue(forKey: identity) ?? [] { result[place] = nil }
            } else if let found = places[identity]?.first {
                result[found] = try merge(members, into: result[found] ?? .object([:]), schema.items)
            } else {
                places[identity] = [result.count]
                result.append(try merge(members, into: .object([:]), schema.items))
            }
        }
        return result.compactMap { $0 }
    }

    private func applyListDirectives(_ patch: JSONObject, _ schema: Schema?, _ result: inout JSONObject) throws(PatchError) {
        for (key, value) in patch {
            if key.hasPrefix("$deleteFromPrimitiveList/"), let gone = value.array.map({ Set($0) }) {
                let name = String(key.dropFirst("$deleteFromPrimitiveList/".count))
                if let list = result[name]?.array { result[name] = .array(list.filter { !gone.contains($0) }) }
            }
        }
        for (key, value) in patch {
            if key.hasPrefix("$setElementOrder/"), let order = value.array {
                let name = String(key.dropFirst("$setElementOrder/".count))
                let mergeKey = schema?.member(name, in: catalog)?.patchMergeKey
                if let list = result[name]?.array { result[name] = .array(ordered(list, by: order, key: mergeKey)) }
            }
        }
    }

    /// Elements named by the order come in it; the others keep their place after the neighbour they followed.
    private func ordered(_ list: [JSON], by order: [JSON], key: String?) -> [JSON] {
        func identity(_ element: JSON) -> JSON { key.flatMap { element[$0] } ?? element }
        let rank = Dictionary(order.enumerated().map { (identity($1), $0) }, uniquingKeysWith: { first, _ in first })
        var last = -1
        let ranked = list.enumerated().map { index, element -> (Int, Int, JSON) in
            if let place = rank[identity(element)] { last = place }
            return (rank[identity(element)] ?? last, index, element)
        }
        return ranked.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map(\.2)
    }
}
