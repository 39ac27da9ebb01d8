import Identity
import Resources

extension AccessBook {
    private static let kinds = Dictionary(
        uniqueKeysWithValues: BuiltInKinds.all.filter { $0.group == "rbac.authorization.k8s.io" }.map { ($0.kind, $0) })

    /// Roles and bindings as objects say.
    init(reading service: ObjectService) throws(APIStatus) {
        self.init()
        for object in try service.all(Self.kinds["Role"]!) {
            roles[RoleName(namespace: Self.text(object["metadata"]?["namespace"]), name: Self.text(object["metadata"]?["name"]))] =
                Self.rules(object["rules"])
        }
        let clusterRoles = RoleAggregation(try service.all(Self.kinds["ClusterRole"]!))
        for name in clusterRoles.names { roles[RoleName(namespace: "", name: name)] = Self.rules(.array(clusterRoles.rules(of: name))) }
        for kind in ["RoleBinding", "ClusterRoleBinding"] {
            for object in try service.all(Self.kinds[kind]!) {
                let namespace = Self.text(object["metadata"]?["namespace"])
                let isLocal = object["roleRef"]?["kind"] == "Role"
                bindings.append(
                    Binding(
                        namespace: namespace, name: Self.text(object["metadata"]?["name"]),
                        role: RoleName(namespace: isLocal ? namespace : "", name: Self.text(object["roleRef"]?["name"])),
                        subjects: (object["subjects"]?.array ?? []).compactMap { Self.subject($0, namespace) }))
            }
        }
    }

    private static func text(_ value: JSON?) -> String { value?.string ?? "" }

    private static func texts(_ value: JSON?) -> [String] { (value?.array ?? []).compactMap(\.string) }

    /// The rules of a role.
    static func rules(_ value: JSON?) -> [AccessRule] {
        (value?.array ?? []).map { rule in
            AccessRule(
                verbs: texts(rule["verbs"]), groups: texts(rule["apiGroups"]), resources: texts(rule["resources"]),
                names: texts(rule["resourceNames"]), paths: texts(rule["nonResourceURLs"]))
        }
    }

    private static func subject(_ value: JSON, _ namespace: String) -> AccessSubject? {
        let name = text(value["name"])
        switch value["kind"] {
        case "User": return .user(name)
        case "Group": return .group(name)
        case "ServiceAccount":
            let own = text(value["namespace"])
            return .serviceAccount(namespace: own.isEmpty ? namespace : own, name: name)
        default: return nil
        }
    }
}
