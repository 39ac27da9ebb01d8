import Resources
import TestKit
import Testing

@Suite(.offThePool) struct RoleAggregationTests {
    private static func rule(_ resource: String, _ verbs: JSON = ["get"]) -> JSON {
        ["verbs": verbs, "apiGroups": [""], "resources": [.string(resource)]]
    }

    private static func role(_ name: String, _ rules: JSON = [], partOf: [String] = [], gathers: String? = nil) -> JSON {
        var role: JSON = ["metadata": ["name": .string(name), "labels": [:]], "rules": rules]
        for whole in partOf { role[path: ["metadata", "labels", "to-\(whole)"]] = "true" }
        if let gathers {
            role["aggregationRule"] = [
                "clusterRoleSelectors": [["matchLabels": .object(JSONObject([("to-\(gathers)", JSON.string("true"))]))]]
            ]
        }
        return role
    }

    private func rules(_ cluster: Cluster, _ name: String) -> JSON? { cluster.find(.clusterRole, name)?["rules"] }

    @Test func `a role shows the rules it gathers, also through another, each once`() async throws {
        var cluster = try await Cluster()
        for role in [
            Self.role("view", partOf: ["edit"], gathers: "view"), Self.role("edit", [Self.rule("ghosts")], gathers: "edit"),
            Self.role("b", [Self.rule("pods"), Self.rule("nodes")], partOf: ["view"]),
            Self.role("a", [Self.rule("pods")], partOf: ["view", "edit"]),
            Self.role("c", [Self.rule("pods", ["delete"])], partOf: ["edit"]),
            Self.role("other", [Self.rule("secrets")]),
        ] { try await cluster.server.create(.clusterRole, role) }
        #expect(await cluster.rest())
        #expect(rules(cluster, "view") == [Self.rule("pods"), Self.rule("nodes")])
        #expect(rules(cluster, "edit") == [Self.rule("pods"), Self.rule("nodes"), Self.rule("pods", ["delete"])])
        #expect(rules(cluster, "other") == [Self.rule("secrets")])
        // A role that goes takes its rules along.
        try await cluster.server.delete(.clusterRole, ObjectKey(name: "b"), Deletion())
        #expect(await cluster.rest())
        #expect(rules(cluster, "view") == [Self.rule("pods")])
        #expect(rules(cluster, "edit") == [Self.rule("pods"), Self.rule("pods", ["delete"])])
        let writes = cluster.server.writeCount
        #expect(await cluster.rest())
        #expect(cluster.server.writeCount == writes)
    }

    @Test func `roles that gather one another lose what the circle no longer holds`() async throws {
        var cluster = try await Cluster()
        for role in [
            Self.role("one", partOf: ["two"], gathers: "one"), Self.role("two", partOf: ["one"], gathers: "two"),
            Self.role("a", [Self.rule("pods")], partOf: ["one"]),
        ] { try await cluster.server.create(.clusterRole, role) }
        #expect(await cluster.rest())
        #expect(rules(cluster, "one") == [Self.rule("pods")] && rules(cluster, "two") == [Self.rule("pods")])
        try await cluster.server.delete(.clusterRole, ObjectKey(name: "a"), Deletion())
        #expect(await cluster.rest())
        #expect(rules(cluster, "one") == [] && rules(cluster, "two") == [])
    }
}
