import Reconciliation
import Resources
import Synchronization
import TestKit
import Testing

/// Marks every ConfigMap that lacks the mark.
private struct Marking: Reconciler {
    static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")
    let client: any ObjectClient
    let name = "marking"
    var kinds = ReconcilerKinds.these([configMap])

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        change.kind == Self.configMap ? [ReconcileItem(change.kind, change.key)] : []
    }

    func reconcile(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ReconcileWork {
        let isMarked = view[item.kind, item.key].map { $0["data"]?["mark"] == "yes" } ?? true
        return { [client] () async throws(APIStatus) -> Requeue in
            if isMarked { return .done }
            _ = try await client.patch(item.kind, item.key, ObjectPatch(.merge, ["data": ["mark": "yes"]]), part: .whole)
            return .done
        }
    }
}

@Suite struct ReconcileRunnerTests {
    private func withRunner(
        _ kinds: ReconcilerKinds = .these([Marking.configMap]), _ body: (MemoryServer, StoppingClient) async throws -> Void
    ) async throws {
        let server = MemoryServer()
        _ = try await server.create(.namespace, ["metadata": ["name": "n"]])
        let client = StoppingClient(server)
        let runner = ReconcileRunner(
            client: client, reconcilers: [Marking(client: client, kinds: kinds)], clock: ContinuousClock(),
            time: { Timestamp(seconds: 0) }, random: { 7 }, report: { _ in })
        let task = Task { await runner.run() }
        do { try await body(server, client) } catch {
            task.cancel()
            throw error
        }
        task.cancel()
        // A runner that does not end when it is cancelled hangs here, and the test with it.
        await task.value
    }

    private func make(_ server: MemoryServer, _ names: [String]) async throws {
        for name in names { try await server.create(Marking.configMap, ["metadata": ["name": .string(name), "namespace": "n"]]) }
    }

    private func allMarked(_ server: MemoryServer, _ count: Int) async throws -> Bool {
        for _ in 0..<2000 {
            let maps = server.all(Marking.configMap)
            if maps.count == count, maps.allSatisfy({ $0["data"]?["mark"] == "yes" }) { return true }
            try await Task.sleep(for: .milliseconds(5))
        }
        return false
    }

    @Test func `what was there before and what comes later is brought to what it should be`() async throws {
        try await withRunner { server, _ in
            try await make(server, (0..<50).map { "before-\($0)" })
            #expect(try await allMarked(server, 50))
            try await make(server, (0..<50).map { "later-\($0)" })
            #expect(try await allMarked(server, 100))
        }
    }

    @Test func `a compaction and a failing server are survived`() async throws {
        try await withRunner { server, client in
            try await make(server, ["a"])
            #expect(try await allMarked(server, 1))
            client.revive(stop: .before(write: 1))
            try await make(server, ["b"])
            while !client.isStopped { try await Task.sleep(for: .milliseconds(2)) }
            server.compact()
            client.revive(stop: nil)
            try await make(server, ["c"])
            #expect(try await allMarked(server, 3))
        }
    }

    @Test func `kinds are found by asking the server`() async throws {
        try await withRunner(.every) { server, _ in
            try await make(server, ["a", "b"])
            #expect(try await allMarked(server, 2))
        }
    }
}
