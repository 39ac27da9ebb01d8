/// Defaults and checks of roles and their bindings.
enum PermissionRules {
    private static let group: JSON = "rbac.authorization.k8s.io"

    static func applyBindingDefaults(_ object: inout JSON) {
        if object["roleRef"]?["apiGroup"]?.string?.isEmpty ?? true { object[path: ["roleRef", "apiGroup"]] = group }
        guard let subjects = object["subjects"]?.array else { return }
        object["subjects"] = .array(
            subjects.map { subject in
                var subject = subject
                if subject["kind"] != "ServiceAccount", subject["apiGroup"]?.string?.isEmpty ?? true { subject["apiGroup"] = group }
                return subject
            })
    }

    static func bindingErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        var errors: [FieldError] = []
        let kinds = new["kind"] == "RoleBinding" ? ["ClusterRole", "Role"] : ["ClusterRole"]
        let kind = new["roleRef"]?["kind"] ?? ""
        if !kinds.contains(kind.string ?? "") { errors.append(.notSupported("roleRef.kind", kind, kinds)) }
        if (new["roleRef"]?["name"]?.string ?? "").isEmpty { errors.append(.required("roleRef.name")) }
        for (index, subject) in (new["subjects"]?.array ?? []).enumerated() {
            let kinds = ["Group", "ServiceAccount", "User"]
            let kind = subject["kind"] ?? ""
            if !kinds.contains(kind.string ?? "") { errors.append(.notSupported("subjects[\(index)].kind", kind, kinds)) }
            if (subject["name"]?.string ?? "").isEmpty { errors.append(.required("subjects[\(index)].name")) }
            if kind == "ServiceAccount", (subject["namespace"]?.string ?? "").isEmpty {
                errors.append(.required("subjects[\(index)].namespace"))
            }
        }
        if let old, old["roleRef"] != new["roleRef"] {
            errors.append(.invalid("roleRef", new["roleRef"] ?? .null, "cannot change roleRef"))
        }
        return errors
    }

    static func roleErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, rule) in (new["rules"]?.array ?? []).enumerated() {
            let path = "rules[\(index)]"
            if rule["verbs"]?.array?.isEmpty ?? true { errors.append(.required("\(path).verbs", "verbs must contain at least one value")) }
            let hasURLs = !(rule["nonResourceURLs"]?.array?.isEmpty ?? true)
            if hasURLs {
                if new["kind"] == "Role" {
                    errors.append(
                        .invalid(
                            "\(path).nonResourceURLs", rule["nonResourceURLs"] ?? .null,
                            "namespaced rules cannot apply to non-resource URLs"))
                }
                continue
            }
            if rule["apiGroups"]?.array?.isEmpty ?? true {
                errors.append(.required("\(path).apiGroups", "resource rules must supply at least one api group"))
            }
            if rule["resources"]?.array?.isEmpty ?? true {
                errors.append(.required("\(path).resources", "resource rules must supply at least one resource"))
            }
        }
        return errors
    }
}
