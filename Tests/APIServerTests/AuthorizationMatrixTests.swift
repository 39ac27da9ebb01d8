import Resources
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Nodes × kinds × verbs, as authorization-matrix.txt has it: what has no row is refused, and nothing of another node's has one.
@Suite(.offThePool) struct AuthorizationMatrixTests {
    private static let verbs = [
        "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind", "escalate", "impersonate",
    ]
    private static let subresources = [
        "", "status", "scale", "log", "exec", "attach", "portforward", "proxy", "binding", "eviction", "token", "finalize", "approval",
    ]

    private struct Cell: Hashable {
        var resource: String
        var whose: String
        var verb: String
    }

    private static func matrix() throws -> Set<Cell> {
        let text = try String(contentsOfFile: "Tests/APIServerTests/authorization-matrix.txt", encoding: .utf8)
        var cells: Set<Cell> = []
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ").map(String.init)
            #expect(words.count >= 3 && ["own", "unnamed", "any"].contains(words[1]), "\(line)")
            for verb in words.dropFirst(2) {
                for whose in words[1] == "any" ? ["own", "other", "unnamed"] : [words[1]] {
                    cells.insert(Cell(resource: words[0], whose: whose, verb: verb))
                }
            }
        }
        return cells
    }

    /// The object of a kind that belongs to a node, as `furnish` makes it; of other kinds a name that nothing has.
    private static func name(_ plural: String, _ node: String) -> String {
        switch plural {
        case "nodes", "leases": node
        case "pods": "pod-\(node)"
        case "configmaps": "cm-\(node)"
        case "secrets": "secret-\(node)"
        case "serviceaccounts": "sa-\(node)"
        case "datasets": "data-\(node)"
        case "models": "model-\(node)"
        case "events": "event-\(node)"
        default: "x-\(node)"
        }
    }

    @Test func `what a node may do is what the matrix says, for every kind, subresource and verb`() async throws {
        let matrix = try Self.matrix()
        var used: Set<Cell> = []
        let api = try await TestAPI()
        for node in ["n1", "n2"] {
            try await AccessTests().furnish(api, node)
            _ = try await api.create(
                "/api/v1/namespaces/default/events",
                [
                    "metadata": ["name": .string("event-\(node)")], "source": ["host": .string(node)], "reason": "R", "message": "m",
                    "involvedObject": ["kind": "Pod", "name": .string("pod-\(node)"), "namespace": "default"],
                ])
        }
        let admin = try api.admin()
        var cellCount = 0
        for definition in BuiltInKinds.all {
            for subresource in Self.subresources {
                let kind = definition.group.isEmpty ? definition.plural : "\(definition.plural).\(definition.group)"
                let resource = subresource.isEmpty ? kind : "\(kind)/\(subresource)"
                for verb in Self.verbs {
                    for (agent, other) in [("n1", "n2"), ("n2", "n1")] {
                        for (whose, name) in [
                            ("own", Self.name(definition.plural, agent)), ("other", Self.name(definition.plural, other)), ("unnamed", ""),
                        ] {
                            let cell = Cell(resource: resource, whose: whose, verb: verb)
                            let isAllowed = try await allows(api, admin, agent, verb, definition, subresource, name)
                            #expect(isAllowed == matrix.contains(cell), "\(agent): \(verb) \(resource) \(whose): \(isAllowed)")
                            if isAllowed { used.insert(cell) }
                            cellCount += 1
                        }
                    }
                }
            }
        }
        #expect(used == matrix, "rows for nothing: \(matrix.subtracting(used))")
        #expect(cellCount == BuiltInKinds.all.count * Self.subresources.count * Self.verbs.count * 6)
    }

    private func allows(
        _ api: TestAPI, _ admin: [UInt8], _ node: String, _ verb: String, _ definition: KindDefinition, _ subresource: String,
        _ name: String
    ) async throws -> Bool {
        let namespace = !definition.isNamespaced ? "" : definition.plural == "leases" ? "kube-node-lease" : "default"
        let review = try await api.send(
            "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            [
                "spec": [
                    "user": .string("system:node:\(node)"), "groups": ["system:nodes", "system:authenticated"],
                    "resourceAttributes": [
                        "verb": .string(verb), "group": .string(definition.group), "resource": .string(definition.plural),
                        "subresource": .string(subresource), "name": .string(name), "namespace": .string(namespace),
                    ],
                ]
            ], as: admin)
        return review.json["status"]?["allowed"] == true
    }

    @Test func `a node changes no event that another has told`() async throws {
        let api = try await TestAPI()
        let path = "/api/v1/namespaces/default/events"
        for node in ["n1", "n2"] {
            _ = try await api.create(
                path,
                [
                    "metadata": ["name": .string("e-\(node)")], "source": ["host": .string(node)],
                    "involvedObject": ["kind": "Node", "name": .string(node)],
                ])
        }
        let agent = try await api.agent("n1")
        let count: JSON = ["count": 2]
        #expect(try await api.send("PATCH", path + "/e-n1", count, type: "application/merge-patch+json", as: agent).status == 200)
        #expect(try await api.send("PATCH", path + "/e-n2", count, type: "application/merge-patch+json", as: agent).status == 403)
    }

    @Test func `a role of the cluster gathers the rules of others by their labels, at once and through one another`() async throws {
        let api = try await TestAPI()
        let user = try api.certificate("dora", [])
        let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        _ = try await api.create(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            [
                "metadata": ["name": "dora"], "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"],
                "subjects": [["apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "dora"]],
            ])
        let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
        #expect(try await api.send("GET", leases, as: user).status == 403)
        // Gathered by view, which edit gathers.
        _ = try await api.create(
            roles,
            [
                "metadata": ["name": "leases", "labels": ["rbac.authorization.k8s.io/aggregate-to-view": "true"]],
                "rules": [["verbs": ["list"], "apiGroups": ["coordination.k8s.io"], "resources": ["leases"]]],
            ])
        #expect(try await api.send("GET", leases, as: user).status == 200)
        // A circle is no harm.
        let circle: JSON = ["metadata": ["labels": ["rbac.authorization.k8s.io/aggregate-to-view": "true"]]]
        #expect(try await api.send("PATCH", roles + "/edit", circle, type: "application/merge-patch+json").status == 200)
        #expect(try await api.send("GET", leases, as: user).status == 200)
        #expect(try await api.send("DELETE", roles + "/leases").status == 200)
        #expect(try await api.send("GET", leases, as: user).status == 403)
    }

    @Test func `only who may do everything makes a role that gathers others`() async throws {
        let api = try await TestAPI()
        let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        _ = try await api.create(
            roles,
            [
                "metadata": ["name": "maker"],
                "rules": [["verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"]]],
            ])
        _ = try await api.create(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            [
                "metadata": ["name": "eve"], "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "maker"],
                "subjects": [["apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"]],
            ])
        let user = try api.certificate("eve", [])
        let plain: JSON = ["metadata": ["name": "a"], "rules": []]
        var gathering = plain
        gathering[path: ["metadata", "name"]] = "b"
        gathering["aggregationRule"] = ["clusterRoleSelectors": [["matchLabels": ["kubernetes.io/bootstrapping": "rbac-defaults"]]]]
        #expect(try await api.send("POST", roles, plain, as: user).status == 201)
        #expect(try await api.send("POST", roles, gathering, as: user).status == 403)
    }
}
