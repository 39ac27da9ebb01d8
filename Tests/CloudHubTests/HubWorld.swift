import APIServer
import CloudHub
import EdgeHub
import HubProtocol
import Identity
import Resources
import Storage
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The embedded API in memory with a hub on it, and edges that dial it through memory.
final class HubWorld: Sendable {
    let service: ObjectService
    let admin: ServiceClient
    let hub: CloudHub
    let messages = Mutex<[String]>([])
    private let running = Mutex<[Task<Void, Never>]>([])

    /// - Parameter renewsTogether: Leases are renewed by the server's own way; else each is patched as its node.
    init(renewsTogether: Bool = true, _ change: (inout CloudHub.Limits) -> Void = { _ in }) async throws {
        let environment = APIEnvironment(now: { Self.time() }, random: { UInt64.random(in: 0 ... .max) })
        service = try ObjectService(store: try RevisionStore(.memory), environment: environment)
        try await InitialObjects.make(in: service)
        admin = ServiceClient(service, user: User(name: "admin", groups: ["system:masters"]))
        var limits = CloudHub.Limits()
        limits.tick = .milliseconds(20)
        limits.leaseInterval = .milliseconds(100)
        limits.workers = 4
        change(&limits)
        let service = service
        let renewal: CloudHub.LeaseRenewal = { await service.renewLeases(of: $0, manager: AuthorizedClient.nodeManager) }
        hub = CloudHub(
            client: admin, nodeClient: { AuthorizedClient.node($0, service) }, renewal: renewsTogether ? renewal : nil,
            environment: Self.environment { _ in }, limits: limits)
        let hub = hub
        running.withLock { $0.append(Task { await hub.run() }) }
    }

    deinit { for task in running.withLock({ $0 }) { task.cancel() } }

    private static func time() -> Timestamp { Timestamp(seconds: Int64(Date().timeIntervalSince1970)) }

    static func environment(_ report: @escaping @Sendable (String) -> Void) -> HubEnvironment {
        let start = ContinuousClock.now
        return HubEnvironment(
            elapsed: { .now - start }, sleep: { try? await Task.sleep(for: $0) }, now: { time() },
            random: { UInt64.random(in: 0 ... .max) },
            report: report)
    }

    /// An edge with a store in memory, or in a file.
    func edge(
        _ node: String, _ location: SQLiteLocation = .memory, key: [UInt8] = [UInt8](repeating: 7, count: 32),
        calls: (any NodeCallHandler)? = nil
    ) throws -> TestEdge {
        let store = try EdgeStore(location, key: NodeKey(key)!, random: { UInt64.random(in: 0 ... .max) })
        let edge = TestEdge(
            node: node,
            hub: try EdgeHub(
                store: store, program: "test",
                environment: Self.environment { [weak self] text in
                    self?.messages.withLock { $0.append(text) }
                }), dialer: MemoryDialer(node: node, hub: hub), calls: calls)
        return edge
    }

    // MARK: Objects

    static func pod(_ name: String, node: String, settings: String? = nil, secret: String? = nil) -> JSON {
        var spec: JSON = ["nodeName": .string(node), "containers": [["name": "c", "image": "x"]]]
        var volumes: [JSON] = []
        if let settings { volumes.append(["name": "a", "configMap": ["name": .string(settings)]]) }
        if let secret { volumes.append(["name": "b", "secret": ["secretName": .string(secret)]]) }
        if !volumes.isEmpty { spec["volumes"] = .array(volumes) }
        return ["apiVersion": "v1", "kind": "Pod", "metadata": ["namespace": "default", "name": .string(name)], "spec": spec]
    }

    @discardableResult
    func create(_ kind: ResourceKind, _ object: JSON) async throws -> JSON { try await admin.create(kind, object, part: .whole) }

    static func key(_ name: String) -> ObjectKey { ObjectKey(namespace: "default", name: name) }

    /// The node's own object, as joining makes it.
    func makeNode(_ name: String) async throws { try await create(.node, ["metadata": ["name": .string(name)]]) }
}

/// An edge's hub with its loop, which can be ended and its link cut.
final class TestEdge: Sendable {
    let node: String
    let hub: EdgeHub
    let dialer: MemoryDialer
    private let task: Task<Void, Never>

    init(node: String, hub: EdgeHub, dialer: MemoryDialer, calls: (any NodeCallHandler)?) {
        self.node = node
        self.hub = hub
        self.dialer = dialer
        task = Task { await hub.run(dialer, calls: calls) }
    }

    deinit { task.cancel() }

    /// Ends the process, so to say.
    func stop() async {
        task.cancel()
        await task.value
    }

    func synced() async throws { try await eventually { await self.hub.status.isSynced } }
}

/// Links through memory, that can be cut.
final class MemoryDialer: LinkDialer {
    private struct State {
        var isDown = false
        var link: MemoryLink?
        var dialCount = 0
    }

    private let node: String
    private let hub: CloudHub
    private let state = Mutex(State())

    init(node: String, hub: CloudHub) {
        self.node = node
        self.hub = hub
    }

    var dialCount: Int { state.withLock { $0.dialCount } }

    func setDown(_ isDown: Bool) {
        let link = state.withLock { state -> MemoryLink? in
            state.isDown = isDown
            return isDown ? state.link : nil
        }
        link?.close()
    }

    func dial(_ peer: any LinkPeer) async throws(LinkError) -> any Link {
        let isDown = state.withLock { state in
            state.dialCount += 1
            return state.isDown
        }
        if isDown { throw LinkError("no way to the cloud") }
        let (far, near) = MemoryLink.pair()
        far.connect(hub.accept(node: node, far))
        near.connect(peer)
        state.withLock { $0.link = near }
        return near
    }
}

struct NeverHappened: Error {}

/// Waits until something is so; the suite's time limit ends what never is.
func eventually(_ isSo: @Sendable () async throws -> Bool) async throws {
    while try await !isSo() {
        if Task.isCancelled { throw NeverHappened() }
        try await Task.sleep(for: .milliseconds(2))
    }
}
