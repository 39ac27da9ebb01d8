/// JSON merge patch, RFC 7386.
package enum MergePatch {
    /// The target with the patch's members put in; null removes a member, an array replaces an array.
    package static func apply(_ patch: JSON, to target: JSON) -> JSON {
        guard let members = patch.object else { return patch }
        let gone = Set(members.lazy.filter { $0.1.isNull }.map(\.0))
        var result = (target.object ?? JSONObject()).without(gone)
        for (key, value) in members where !value.isNull { result[key] = apply(value, to: result[key] ?? .null) }
        return .object(result)
    }
}

extension MergePatch {
    /// The patch that makes `new` of `old`: `apply(difference(from: old, to: new), to: old)` is `new`, unless `new` holds nulls as members,
    /// which no merge patch can write. Empty if nothing differs.
    package static func difference(from old: JSON, to new: JSON) -> JSON {
        guard let before = old.object, let after = new.object else { return new }
        var patch = JSONObject()
        for (key, value) in after {
            guard let was = before[key] else {
                patch[key] = value
                continue
            }
            if was == value { continue }
            patch[key] = was.object != nil && value.object != nil ? difference(from: was, to: value) : value
        }
        for key in before.keys where after[key] == nil { patch[key] = .null }
        return .object(patch)
    }
}
