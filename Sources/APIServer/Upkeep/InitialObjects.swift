package import Resources
import Storage
import Identity

/// What a new cloud begins with: the namespaces and roles that clients of Kubernetes expect.
package enum InitialObjects {
    private static let namespaces = ["default", "kube-system", "kube-public", "kube-node-lease"]
    private static let reading: JSON = ["get", "list", "watch"]
    private static let writing: JSON = ["create", "delete", "deletecollection", "patch", "update"]
    private static let shown: JSON = [
        "pods", "pods/log", "pods/status", "configmaps", "events", "services", "serviceaccounts", "namespaces",
    ]

    private static func rule(_ verbs: JSON, _ groups: JSON, _ resources: JSON) -> JSON {
        ["verbs": verbs, "apiGroups": groups, "resources": resources]
    }

    private static func role(_ name: String, _ rules: JSON) -> (String, JSON) {
        ("ClusterRole", ["metadata": ["name": .string(name), "labels": ["kubernetes.io/bootstrapping": "rbac-defaults"]], "rules": rules])
    }

    private static func aggregationLabel(_ role: String) -> String { "rbac.authorization.k8s.io/aggregate-to-\(role)" }

    /// A role that gathers the rules of those that are labelled for it: the part made here, and those of authors of custom kinds.
    private static func gathering(_ name: String, isPartOf whole: String? = nil) -> (String, JSON) {
        let (kind, plain) = role(name, [])
        var object = plain
        object["aggregationRule"] = [
            "clusterRoleSelectors": [["matchLabels": .object(JSONObject([(aggregationLabel(name), JSON.string("true"))]))]]
        ]
        if let whole { object[path: ["metadata", "labels", aggregationLabel(whole)]] = "true" }
        return (kind, object)
    }

    /// Rules that a gathering role begins with.
    private static func part(of whole: String, _ rules: [JSON]) -> (String, JSON) {
        let (kind, plain) = role("system:aggregate-to-\(whole)", .array(rules))
        var object = plain
        object[path: ["metadata", "labels", aggregationLabel(whole)]] = "true"
        return (kind, object)
    }

    private static func binding(_ name: String, _ role: String, _ groups: [String]) -> (String, JSON) {
        (
            "ClusterRoleBinding",
            [
                "metadata": ["name": .string(name), "labels": ["kubernetes.io/bootstrapping": "rbac-defaults"]],
                "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": .string(role)],
                "subjects": .array(groups.map { ["apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": .string($0)] }),
            ]
        )
    }

    private static let views: [JSON] = [
        rule(reading, [""], shown),
        rule(
            reading, ["apps"],
            ["deployments", "deployments/scale", "daemonsets", "replicasets", "replicasets/scale", "controllerrevisions"]),
        rule(reading, ["sedna.io"], ["*"]), rule(reading, ["events.k8s.io"], ["events"]),
    ]
    private static let edits: [JSON] = [
        rule(
            writing, [""],
            [
                "pods", "pods/exec", "pods/attach", "pods/portforward", "pods/eviction", "configmaps", "secrets", "events", "services",
                "serviceaccounts",
            ]),
        rule(reading, [""], ["secrets"]),
        rule(writing, ["apps"], ["deployments", "deployments/scale", "daemonsets", "replicasets", "replicasets/scale"]),
        rule(writing, ["sedna.io"], ["*"]), rule(writing, ["events.k8s.io"], ["events"]),
    ]

    private static let roles: [(String, JSON)] = [
        role("cluster-admin", [rule(["*"], ["*"], ["*"]), ["verbs": ["*"], "nonResourceURLs": ["*"]]]),
        gathering("view", isPartOf: "edit"), gathering("edit", isPartOf: "admin"), gathering("admin"),
        part(of: "view", views), part(of: "edit", edits),
        part(
            of: "admin",
            [
                rule(["*"], ["rbac.authorization.k8s.io"], ["roles", "rolebindings"]),
                rule(["create"], ["authorization.k8s.io"], ["localsubjectaccessreviews"]),
            ]),
        role(
            "system:discovery",
            [
                [
                    "verbs": ["get"],
                    "nonResourceURLs": [
                        "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version",
                    ],
                ]
            ]),
        role(
            "system:basic-user",
            [
                rule(["create"], ["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
                rule(["create"], ["authentication.k8s.io"], ["selfsubjectreviews"]),
            ]), binding("cluster-admin", "cluster-admin", ["system:masters"]),
        binding("system:discovery", "system:discovery", ["system:authenticated"]),
        binding("system:basic-user", "system:basic-user", ["system:authenticated"]),
    ]

    /// Makes what is missing; what exists is left as it is. Safe to run at every start.
    package static func make(in service: ObjectService) async throws(APIStatus) {
        var options = WriteOptions(user: .init(name: "system:apiserver", groups: ["system:masters"]))
        options.fieldManager = "skerry"
        for name in namespaces { try await make("v1", "Namespace", ["metadata": ["name": .string(name)]], service, options) }
        for (kind, object) in roles { try await make("rbac.authorization.k8s.io/v1", kind, object, service, options) }
        for name in namespaces {
            try await make("v1", "ServiceAccount", ["metadata": ["name": "default", "namespace": .string(name)]], service, options)
        }
    }

    private static func make(
        _ apiVersion: String, _ kind: String, _ object: JSON, _ service: ObjectService, _ options: WriteOptions
    ) async throws(APIStatus) {
        guard let definition = service.registry.definition(apiVersion: apiVersion, kind: kind) else { return }
        let namespace = object["metadata"]?["namespace"]?.string ?? ""
        let key = definition.key(namespace: namespace, name: object["metadata"]?["name"]?.string ?? "")
        guard service.store.get(definition.collection, key) == nil else { return }
        _ = try await service.create(definition, namespace: namespace, object, options)
    }
}
