import APIServer
import Network
import Resources
import TestKit
import Testing

@Suite(.offThePool) struct UpkeepTests {
    private func owned(_ name: String, by owner: JSON, blocks: Bool = false) -> JSON {
        var object = dataset(name)
        var reference: JSON = [
            "apiVersion": owner["apiVersion"]!, "kind": owner["kind"]!, "name": owner["metadata"]!["name"]!,
            "uid": owner["metadata"]!["uid"]!,
        ]
        if blocks { reference["blockOwnerDeletion"] = true }
        object[path: ["metadata", "ownerReferences"]] = [reference]
        return object
    }

    private func names(_ api: TestAPI) async throws -> [String] {
        try await api.send("GET", datasets).json["items"]?.array?.compactMap { $0["metadata"]?["name"]?.string } ?? []
    }

    @Test func `background deletion takes dependents after their owner, and theirs`() async throws {
        let api = try await TestAPI()
        let owner = try await api.create(datasets, dataset("owner"))
        let child = try await api.create(datasets, owned("child", by: owner))
        _ = try await api.create(datasets, owned("grandchild", by: child))
        _ = try await api.create(datasets, dataset("other"))
        let upkeep = Upkeep(service: api.service)
        await upkeep.pass()
        #expect(try await names(api) == ["child", "grandchild", "other", "owner"])
        _ = try await api.send("DELETE", datasets + "/owner", ["propagationPolicy": "Background"])
        for _ in 0..<3 { await upkeep.pass() }
        #expect(try await names(api) == ["other"])
    }

    @Test func `foreground deletion takes the owner after its dependents`() async throws {
        let api = try await TestAPI()
        let owner = try await api.create(datasets, dataset("owner"))
        var child = owned("child", by: owner, blocks: true)
        child[path: ["metadata", "finalizers"]] = ["example.org/hold"]
        _ = try await api.create(datasets, child)
        _ = try await api.send("DELETE", datasets + "/owner", ["propagationPolicy": "Foreground"])
        let upkeep = Upkeep(service: api.service)
        for _ in 0..<3 { await upkeep.pass() }
        #expect(try await names(api) == ["child", "owner"])
        _ = try await api.send("PATCH", datasets + "/child", ["metadata": ["finalizers": .null]], type: "application/merge-patch+json")
        for _ in 0..<3 { await upkeep.pass() }
        #expect(try await names(api).isEmpty)
    }

    @Test func `orphaned dependents stay without their owner`() async throws {
        let api = try await TestAPI()
        let owner = try await api.create(datasets, dataset("owner"))
        _ = try await api.create(datasets, owned("child", by: owner))
        _ = try await api.send("DELETE", datasets + "/owner", ["propagationPolicy": "Orphan"])
        let upkeep = Upkeep(service: api.service)
        for _ in 0..<3 { await upkeep.pass() }
        #expect(try await names(api) == ["child"])
        #expect(try await api.send("GET", datasets + "/child").json["metadata"]?["ownerReferences"] == nil)
    }

    @Test func `a deleted namespace takes what is in it, and takes nothing new meanwhile`() async throws {
        let api = try await TestAPI()
        _ = try await api.create("/api/v1/namespaces", ["metadata": ["name": "t"]])
        let inside = "/apis/sedna.io/v1alpha1/namespaces/t/datasets"
        var held = dataset("held")
        held[path: ["metadata", "finalizers"]] = ["example.org/hold"]
        _ = try await api.create(inside, held)
        _ = try await api.create(inside, dataset("a"))
        #expect(try await api.send("DELETE", "/api/v1/namespaces/t").json["status"]?["phase"] == "Terminating")
        #expect(try await api.send("POST", inside, dataset("b")).status == 403)
        let upkeep = Upkeep(service: api.service)
        for _ in 0..<3 { await upkeep.pass() }
        #expect(try await api.send("GET", inside + "/a").status == 404)
        #expect(try await api.send("GET", "/api/v1/namespaces/t").status == 200)
        _ = try await api.send("PATCH", inside + "/held", ["metadata": ["finalizers": .null]], type: "application/merge-patch+json")
        for _ in 0..<3 { await upkeep.pass() }
        #expect(try await api.send("GET", "/api/v1/namespaces/t").status == 404)
    }
}
