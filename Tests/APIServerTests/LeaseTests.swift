import APIServer
import Identity
import Resources
import Storage
import Synchronization
import TestKit
import Testing

/// Leases of nodes that are renewed without being read.
@Suite(.offThePool) struct LeaseTests {
    private static let key = ObjectKey(namespace: "kube-node-lease", name: "n1")
    private static let leases = BuiltInKinds.all.first { $0.kind == "Lease" }!

    private func spec(_ time: String) -> JSON {
        ["holderIdentity": "n1", "leaseDurationSeconds": 40, "renewTime": .string("\(time.dropLast()).000000Z")]
    }

    /// A server whose node has written its Lease, as agents and hubs do.
    private func api() async throws -> (TestAPI, AuthorizedClient) {
        let api = try await TestAPI()
        let node = AuthorizedClient.node("n1", api.service)
        let metadata: JSON = ["namespace": "kube-node-lease", "name": "n1"]
        _ = try await node.create(
            .lease, ["metadata": metadata, "spec": spec(api.service.environment.now().text)], part: .whole)
        api.clock.seconds.store(10, ordering: .relaxed)
        return (api, node)
    }

    private func text(_ api: TestAPI) -> String {
        String(decoding: api.store.get(Self.leases.collection, "kube-node-lease/n1")?.bytes ?? [], as: UTF8.self)
    }

    @Test func `a Lease lies in the store as its node's patch would have left it`() async throws {
        let (api, _) = try await api()
        let (other, node) = try await self.api()
        #expect(await api.service.renewLeases(of: ["n1"], manager: AuthorizedClient.nodeManager) == [])
        _ = try await node.patch(
            .lease, Self.key, .init(.merge, ["spec": spec(other.service.environment.now().text)]), part: .whole)
        #expect(text(api) == text(other))
        #expect(text(api).contains("\"renewTime\":\"2027-01-15T08:00:10.000000Z\""))
        #expect(api.store.revision == other.store.revision)
    }

    @Test func `watches are told of it, and the next patch goes on from it`() async throws {
        let (api, node) = try await api()
        let before = api.store.revision
        _ = await api.service.renewLeases(of: ["n1"], manager: AuthorizedClient.nodeManager)
        let events = try api.store.events(Self.leases.collection, after: before, countMax: 8).events
        #expect(events.map(\.name) == ["kube-node-lease/n1"] && events.first?.previous != nil)
        let lease = try await node.patch(.lease, Self.key, .init(.merge, ["metadata": ["labels": ["a": "b"]]]), part: .whole)
        let revision = api.store.revision
        #expect(await api.service.renewLeases(of: ["n1"], manager: AuthorizedClient.nodeManager) == [])
        #expect(api.store.revision == revision, "within the same second nothing is new")
        #expect(lease["spec"]?["renewTime"] == "2027-01-15T08:00:10.000000Z" && lease["metadata"]?["labels"]?["a"] == "b")
    }

    @Test func `the same Lease renewed by many at once is renewed by one, and the others are told`() async throws {
        let (api, _) = try await api()
        let left = await api.service.renewLeases(of: ["n1", "n1"], manager: AuthorizedClient.nodeManager)
        #expect(left == ["n1"])
    }

    @Test func `what is not there, or not a Lease of which only the time is new, is left to a patch`() async throws {
        let (api, _) = try await api()
        #expect(await api.service.renewLeases(of: ["n2", "n1"], manager: AuthorizedClient.nodeManager) == ["n2"])
        #expect(await api.service.renewLeases(of: ["n1"], manager: "kubelet") == ["n1"])
        for change: JSON in [
            ["spec": ["holderIdentity": "n2"]], ["spec": ["leaseDurationSeconds": 41]], ["spec": ["renewTime": .null]],
            // Somebody else's field: who owns what has changed with it.
            ["metadata": ["annotations": ["a": "\"spec\":{\"holderIdentity\":\"n1\",\"leaseDurationSeconds\":40,\"renewTime\":\""]]],
        ] {
            let (api, _) = try await self.api()
            let client = ServiceClient(api.service, user: .init(name: "admin", groups: ["system:masters"]), fieldManager: "kubectl")
            _ = try await client.patch(.lease, Self.key, .init(.merge, change), part: .whole)
            let before = text(api)
            #expect(await api.service.renewLeases(of: ["n1"], manager: AuthorizedClient.nodeManager) == ["n1"], "\(change.text)")
            #expect(text(api) == before)
        }
    }

    @Test func `a text of a user's that looks like the Lease's own is not taken for it`() async throws {
        let (api, node) = try await api()
        let mark = "\"spec\":{\"holderIdentity\":\"n1\",\"leaseDurationSeconds\":40,\"renewTime\":\"2027-01-15T08:00:00.000000Z\""
        _ = try await node.patch(
            .lease, Self.key, .init(.merge, ["metadata": ["annotations": ["a": .string(mark), "renewTime": "2027-01-15T08:00:00Z"]]]),
            part: .whole)
        #expect(await api.service.renewLeases(of: ["n1"], manager: AuthorizedClient.nodeManager) == [])
        let lease = try await node.get(.lease, Self.key)
        #expect(lease["metadata"]?["annotations"] == ["a": .string(mark), "renewTime": "2027-01-15T08:00:00Z"])
        #expect(lease["spec"] == spec(api.service.environment.now().text))
    }
}
