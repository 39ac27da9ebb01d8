import KubernetesClient
import Reconciliation
import Resources
import Storage
import Synchronization
import TestKit
import Testing

/// Writes down every state of ConfigMaps that it is told of.
private final class Witness: Reconciler {
    let name = "witness"
    let kinds = ReconcilerKinds.these([configMap])
    /// Revisions by name in the order they came; an empty one for the object's end.
    private let seen = Mutex<[String: [String]]>([:])

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        let revision = change.new?["metadata"]?["resourceVersion"]?.string ?? ""
        seen.withLock { $0[change.key.name, default: []].append(revision) }
        return []
    }

    func reconcile(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ReconcileWork { { .done } }

    func revisions(of name: String) -> [String] { seen.withLock { $0[name] ?? [] } }

    /// Waits until a condition on what was seen of a name holds.
    func wait(_ name: String, until condition: ([String]) -> Bool) async throws {
        while !condition(revisions(of: name)) {
            try Task.checkCancellation()
            await Task.yield()
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}

@Suite(.offThePool, .timeLimit(.minutes(30))) struct ResumeTests {
    private func run(_ client: RESTClient, _ witness: Witness, watchSeconds: Int = 290) -> Task<Void, Never> {
        let runner = ReconcileRunner(
            client: client, reconcilers: [witness], clock: ContinuousClock(), time: { Timestamp(seconds: 0) }, random: { 7 },
            watchSeconds: watchSeconds, report: { _ in })
        return Task { await runner.run() }
    }

    /// Writes a value; again if a connection from before a restart has broken, which changes nothing if the write had come through.
    private func write(_ client: RESTClient, _ name: String, _ value: Int) async throws -> String {
        let patch = ObjectPatch(.merge, ["data": ["v": .string("\(value)")]])
        while true {
            do {
                let written = try await client.patch(configMap, ObjectKey(namespace: "default", name: name), patch, part: .whole)
                return written["metadata"]?["resourceVersion"]?.string ?? ""
            } catch {
                if error.code != 503 { throw error }
                try Task.checkCancellation()
            }
        }
    }

    @Test func `over restarts of the server in the middle of a watch nothing is lost and nothing comes twice`() async throws {
        try await ForeignServer.with { server, client in
            let witness = Witness()
            let made = try await client.create(configMap, settings("c"))
            var written = [made["metadata"]?["resourceVersion"]?.string ?? ""]
            let runner = run(client, witness)
            try await witness.wait("c") { $0 == written }
            for round in 0..<3 {
                for value in 0..<5 { written.append(try await write(client, "c", round * 10 + value)) }
                await server.stop()
                try await server.start()
                // What happens before the watch is back belongs to it as well.
                for value in 5..<8 { written.append(try await write(client, "c", round * 10 + value)) }
            }
            let last = written.last
            try await witness.wait("c") { $0.last == last }
            #expect(witness.revisions(of: "c") == written)
            runner.cancel()
            await runner.value
        }
    }

    @Test func `after 410 the list brings what was missed`() async throws {
        try await ForeignServer.with { server, client in
            let witness = Witness()
            let made = try await client.create(configMap, settings("kept"))
            try await client.create(configMap, settings("removed"))
            let runner = run(client, witness)
            try await witness.wait("removed") { $0.count == 1 }
            try await witness.wait("kept") { $0.count == 1 }
            await server.stop()
            try await server.start()
            // History up to here is forgotten before the client is back, or the watch is cut off by it.
            let last = try await write(client, "kept", 1)
            try await client.delete(configMap, ObjectKey(namespace: "default", name: "removed"), Deletion())
            try await server.store.compact(to: server.store.revision)
            try await witness.wait("kept") { $0.last == last }
            try await witness.wait("removed") { $0.last == "" }
            #expect(witness.revisions(of: "removed").count == 2)
            #expect(witness.revisions(of: "kept") == [made["metadata"]?["resourceVersion"]?.string, last])
            runner.cancel()
            await runner.value
        }
    }

    @Test func `watches that end in time are followed by others, and each change comes once`() async throws {
        try await ForeignServer.with { server, client in
            let witness = Witness()
            let made = try await client.create(configMap, settings("c"))
            var written = [made["metadata"]?["resourceVersion"]?.string ?? ""]
            let runner = run(client, witness, watchSeconds: 1)
            try await witness.wait("c") { $0 == written }
            for value in 0..<40 {
                written.append(try await write(client, "c", value))
                try await Task.sleep(for: .milliseconds(75))
            }
            let last = written.last
            try await witness.wait("c") { $0.last == last }
            #expect(witness.revisions(of: "c") == written)
            runner.cancel()
            await runner.value
        }
    }
}
