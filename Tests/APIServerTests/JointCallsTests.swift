import APIServer
import Resources
import Synchronization
import TestKit
import Testing

/// Which Pod a question of an edge worker goes to, and who may ask it.
@Suite(.offThePool) struct JointCallsTests {
    private static let service = ObjectKey(namespace: "default", name: "comfort")

    /// A node that answers every question by the name of its Pod and port.
    private struct Node: NodeCalls {
        func open(_ call: NodeCall, on node: String) async throws(APIStatus) -> any CallStream {
            guard case .portForward(let target, let port) = call else { throw .methodNotAllowed }
            return Answer("\(target.pod) on \(node) at \(port)")
        }
    }

    private final class Answer: CallStream {
        private let left: Mutex<[CallFrame]>

        init(_ text: String) {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n"
            left = Mutex([.data(.stdout, Array((head + text).utf8))])
        }

        func send(_ frame: CallFrame) async throws(APIStatus) {}
        func receive() async throws(APIStatus) -> CallFrame? { left.withLock { $0.isEmpty ? nil : $0.removeFirst() } }
        func close(_ failure: APIStatus?) {}
    }

    /// A client that counts how often it looks through all Pods.
    private final class CountingClient: ObjectClient {
        let base: ServiceClient
        private let count = Mutex(0)

        init(_ base: ServiceClient) { self.base = base }

        var lists: Int { count.withLock { $0 } }
        func kinds() async throws(APIStatus) -> [ResourceKind] { try await base.kinds() }
        func get(_ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON { try await base.get(kind, key) }
        func list(_ kind: ResourceKind, _ query: Resources.ListQuery) async throws(APIStatus) -> ObjectList {
            count.withLock { $0 += 1 }
            return try await base.list(kind, query)
        }
        func watch(_ kind: ResourceKind, _ query: WatchQuery) async throws(APIStatus) -> ObjectWatch { try await base.watch(kind, query) }
        func create(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
            try await base.create(kind, object, part: part)
        }
        func update(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON {
            try await base.update(kind, object, part: part)
        }
        func patch(_ kind: ResourceKind, _ key: ObjectKey, _ patch: Resources.ObjectPatch, part: ObjectPart) async throws(APIStatus) -> JSON
        {
            try await base.patch(kind, key, patch, part: part)
        }
        func delete(_ kind: ResourceKind, _ key: ObjectKey, _ deletion: Deletion) async throws(APIStatus) {
            try await base.delete(kind, key, deletion)
        }
    }

    private static func worker(_ name: String, _ type: String, on node: String) -> JSON {
        let labels: JSON = .object([
            WorkerContract.label("JointInferenceService", "name"): "comfort",
            WorkerContract.label("JointInferenceService", "worker-type"): .string(type),
        ])
        return [
            "metadata": ["name": .string(name), "namespace": "default", "labels": labels],
            "spec": [
                "nodeName": .string(node),
                "containers": [["name": "c", "image": "x", "env": [["name": "BIG_MODEL_BIND_PORT", "value": "5000"]]]],
            ],
        ]
    }

    private static func run(_ name: String, _ client: any ObjectClient) async throws {
        var pod = try await client.get(.pod, ObjectKey(namespace: "default", name: name))
        pod["status"] = ["phase": "Running"]
        try await client.updateStatus(.pod, pod)
    }

    /// The answer, or the code of the refusal.
    private static func ask(_ calls: JointCalls, by node: String?) async -> String {
        do throws(APIStatus) {
            return String(decoding: try await calls.ask(service, by: node, Array("{}".utf8)), as: UTF8.self)
        } catch { return "\(error.code)" }
    }

    @Test func `each edge of a service asks its cloud worker, and all Pods are looked through once`() async throws {
        let api = try await TestAPI()
        let client = CountingClient(TestAPI.Parts(service: api.service, authority: api.authority).client)
        let calls = JointCalls(client: client, calls: Node())
        for node in ["e1", "e2"] { try await client.create(.pod, Self.worker("comfort-edge-\(node)", "edge", on: node)) }
        #expect(await Self.ask(calls, by: "e1") == "503")
        try await client.create(.pod, Self.worker("comfort-cloud", "cloud", on: "c1"))
        #expect(await Self.ask(calls, by: "e1") == "503")
        try await Self.run("comfort-cloud", client)
        for node in ["e1", "e2", nil] { #expect(await Self.ask(calls, by: node) == "comfort-cloud on c1 at 5000") }
        let known = client.lists
        for _ in 0..<20 {
            #expect(await Self.ask(calls, by: "e1") == "comfort-cloud on c1 at 5000")
            #expect(await Self.ask(calls, by: "e2") == "comfort-cloud on c1 at 5000")
        }
        #expect(client.lists == known)
        #expect(await Self.ask(calls, by: "e3") == "403")
    }

    @Test func `a worker that has gone, or has gone elsewhere, is found again or missed`() async throws {
        let api = try await TestAPI()
        let client = TestAPI.Parts(service: api.service, authority: api.authority).client
        let calls = JointCalls(client: client, calls: Node())
        try await client.create(.pod, Self.worker("comfort-edge", "edge", on: "e1"))
        try await client.create(.pod, Self.worker("comfort-cloud", "cloud", on: "c1"))
        try await Self.run("comfort-cloud", client)
        #expect(await Self.ask(calls, by: "e1") == "comfort-cloud on c1 at 5000")
        let now = Deletion(gracePeriodSeconds: 0)
        // The same name on another node.
        try await client.delete(.pod, ObjectKey(namespace: "default", name: "comfort-cloud"), now)
        #expect(await Self.ask(calls, by: "e1") == "503")
        try await client.create(.pod, Self.worker("comfort-cloud", "cloud", on: "c2"))
        try await Self.run("comfort-cloud", client)
        #expect(await Self.ask(calls, by: "e1") == "comfort-cloud on c2 at 5000")
        try await client.delete(.pod, ObjectKey(namespace: "default", name: "comfort-edge"), now)
        #expect(await Self.ask(calls, by: "e1") == "403")
        try await client.create(.pod, Self.worker("comfort-edge", "edge", on: "e2"))
        #expect(await Self.ask(calls, by: "e1") == "403")
        #expect(await Self.ask(calls, by: "e2") == "comfort-cloud on c2 at 5000")
    }
}
