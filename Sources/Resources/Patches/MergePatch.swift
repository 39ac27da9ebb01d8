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
