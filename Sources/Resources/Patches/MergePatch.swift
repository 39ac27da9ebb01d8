/// JSON merge patch, RFC 7386.
package enum MergePatch {
    /// The target with the patch's members put in; null removes a member, an array replaces an array.
    package static func apply(_ patch: JSON, to target: JSON) -> JSON {
        guard let members = patch.object else { return patch }
        var result = target.object ?? JSONObject()
        for (key, value) in members {
            result[key] = value.isNull ? nil : apply(value, to: result[key] ?? .null)
        }
        return .object(result)
    }
}
