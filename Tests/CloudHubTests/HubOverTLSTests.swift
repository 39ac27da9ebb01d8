import APIServer
import CloudHub
import EdgeHub
import HubProtocol
import Identity
import Network
import Resources
import Storage
import Synchronization
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Answers `/hub/v1` for whoever shows a node's certificate of the authority; keeps the links, to cut them.
private final class HubResponder: HTTPResponder {
    private let hub: CloudHub
    private let users = CertificateUsers()
    let links = Mutex<[any Link]>([])

    init(_ hub: CloudHub) { self.hub = hub }

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        guard let certificate = request.certificate, let node = users.user(certificate)?.nodeName else { return HTTPResponse(status: 403) }
        var response = HTTPResponse(status: 101)
        response.upgradeLimits = WebSocketLink.limits
        response.upgrade = LinkUpgrade { [hub, self] link in
            links.withLock { $0.append(link) }
            return hub.accept(node: node, link)
        }
        return response
    }
}

/// Opens no link before it is told to; answers everything else at once.
private final class HeldResponder: HTTPResponder {
    private struct State {
        var isOpen = false
        var askedCount = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    var askedCount: Int { state.withLock { $0.askedCount } }

    func respond(to request: HTTPRequest) async -> HTTPResponse {
        guard request.path == "/hub/v1" else { return HTTPResponse(status: 200) }
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                state.askedCount += 1
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
        var response = HTTPResponse(status: 101)
        response.upgrade = LinkUpgrade { _ in RawLink() }
        return response
    }

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}

@Suite(.timeLimit(.minutes(30))) struct HubOverTLSTests {
    private static func trust(_ authority: Authority, _ name: String, _ groups: [String], pinned: Authority? = nil) throws -> TLSTrust {
        let issued = try authority.issueUser(name: name, groups: groups, now: Date(), validFor: 3600)
        var trust = TLSTrust()
        trust.trustedPEM = (pinned ?? authority).certificatePEM
        trust.chainPEM = issued.certificatePEM
        trust.keyPEM = issued.keyPEM
        return trust
    }

    private func serving(_ world: HubWorld, _ authority: Authority) async throws -> (HTTPServer, HubResponder) {
        let responder = HubResponder(world.hub)
        return (try await Self.serving(responder, authority), responder)
    }

    private static func serving(_ responder: any HTTPResponder, _ authority: Authority) async throws -> HTTPServer {
        let issued = try authority.issueServer(names: ["localhost"], addresses: [[127, 0, 0, 1]], now: Date(), validFor: 3600)
        let identity = TLSIdentity(chainPEM: issued.certificatePEM, keyPEM: issued.keyPEM, trustedPEM: authority.certificatePEM)
        return try await HTTPServer.start(host: "127.0.0.1", port: 0, tls: identity, responder: responder)
    }

    @Test func `over TLS a change reaches the edge and a report the API, and a cut link is resumed without a resync`() async throws {
        let world = try await HubWorld()
        try await world.makeNode("edge-1")
        let authority = try Authority.make(name: "test", now: Date())
        let (server, responder) = try await serving(world, authority)
        let trust = try Self.trust(authority, "system:node:edge-1", ["system:nodes"])
        let client = WebSocketLink.client(host: "127.0.0.1", port: server.port) { trust }
        let store = try EdgeStore(.memory, key: NodeKey(NodeKey.newBytes())!, random: { UInt64.random(in: 0 ... .max) })
        let edge = try EdgeHub(store: store, program: "test", environment: HubWorld.environment { _ in })
        let task = Task { await edge.run(WebSocketDialer(client, path: "/hub/v1")) }
        try await world.create(.pod, HubWorld.pod("web", node: "edge-1"))
        try await eventually { (try? await edge.get(.pod, HubWorld.key("web"))) != nil }
        for round in 1...3 {
            var pod = try await edge.get(.pod, HubWorld.key("web"))
            pod[path: ["status", "message"]] = .string("round \(round)")
            try await edge.updateStatus(.pod, pod)
            try await eventually {
                try await world.admin.get(.pod, HubWorld.key("web"))["status"]?["message"]?.string == "round \(round)"
            }
            _ = try await world.admin.patch(
                .pod, HubWorld.key("web"), ObjectPatch(.merge, ["metadata": ["labels": ["round": .string("\(round)")]]]), part: .whole)
            try await eventually { try await edge.get(.pod, HubWorld.key("web"))["metadata"]?["labels"]?["round"]?.string == "\(round)" }
            // A large object goes through as well as a small one.
            let links = responder.links.withLock { links in
                defer { links = [] }
                return links
            }
            #expect(!links.isEmpty || round > 1)
            for link in links { link.close() }
        }
        try await eventually { await edge.status.isSynced }
        task.cancel()
        await task.value
        await client.close()
        await server.stop()
    }

    /// What the far end of a call gives back of bytes that are sent while it answers.
    private static func echoed(_ hub: CloudHub, _ bytes: [UInt8]) async throws -> [UInt8] {
        let stream = try await hub.open(.portForward(PodTarget(namespace: "default", pod: "web"), port: 1), on: "edge-1")
        _ = try await stream.receive()
        return try await withThrowingTaskGroup(of: [UInt8].self) { group in
            group.addTask {
                try await stream.send(.data(.stdin, bytes))
                try await stream.send(.end(.stdin))
                return []
            }
            group.addTask {
                var answer: [UInt8] = []
                while let frame = try await stream.receive() { if case .data(_, let part) = frame { answer += part } }
                return answer
            }
            return try await group.reduce([]) { $0 + $1 }
        }
    }

    @Test func `calls beside each other carry more than any window both ways, and the link stays`() async throws {
        let world = try await HubWorld()
        try await world.makeNode("edge-1")
        let authority = try Authority.make(name: "test", now: Date())
        let (server, _) = try await serving(world, authority)
        let trust = try Self.trust(authority, "system:node:edge-1", ["system:nodes"])
        let client = WebSocketLink.client(host: "127.0.0.1", port: server.port) { trust }
        let store = try EdgeStore(.memory, key: NodeKey(NodeKey.newBytes())!, random: { UInt64.random(in: 0 ... .max) })
        let edge = try EdgeHub(store: store, program: "test", environment: HubWorld.environment { _ in })
        let task = Task { await edge.run(WebSocketDialer(client, path: "/hub/v1"), calls: Echo()) }
        try await eventually { await edge.status.isSynced }
        // The cloud sends from many tasks and from its connections' thread: what overtakes ends the link.
        let sent = (0..<4).map { seed in (0..<2_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ seed) } }
        let answers = try await withThrowingTaskGroup(of: (Int, [UInt8]).self) { group in
            for (number, bytes) in sent.enumerated() { group.addTask { (number, try await Self.echoed(world.hub, bytes)) } }
            return try await group.reduce(into: [Int: [UInt8]]()) { $0[$1.0] = $1.1 }
        }
        for (number, bytes) in sent.enumerated() {
            let isSame = answers[number] == bytes
            #expect(isSame, "call \(number): \(answers[number]?.count ?? 0) bytes")
        }
        let status = await edge.status
        #expect(status.isConnected)
        task.cancel()
        await task.value
        await client.close()
        await server.stop()
    }

    @Test func `an object as large as the API keeps goes over the link`() async throws {
        let world = try await HubWorld()
        try await world.makeNode("edge-1")
        let authority = try Authority.make(name: "test", now: Date())
        let (server, _) = try await serving(world, authority)
        let trust = try Self.trust(authority, "system:node:edge-1", ["system:nodes"])
        let client = WebSocketLink.client(host: "127.0.0.1", port: server.port) { trust }
        let store = try EdgeStore(.memory, key: NodeKey(NodeKey.newBytes())!, random: { UInt64.random(in: 0 ... .max) })
        let edge = try EdgeHub(store: store, program: "test", environment: HubWorld.environment { _ in })
        let task = Task { await edge.run(WebSocketDialer(client, path: "/hub/v1")) }
        let text = String(repeating: "0123456789", count: 100_000)
        try await world.create(
            NodeNeeds.configMap, ["metadata": ["namespace": "default", "name": "large"], "data": ["a": .string(text)]])
        try await world.create(.pod, HubWorld.pod("web", node: "edge-1", settings: "large"))
        try await eventually { (try? await edge.get(NodeNeeds.configMap, HubWorld.key("large")))?["data"]?["a"]?.string == text }
        task.cancel()
        await task.value
        await client.close()
        await server.stop()
    }

    @Test func `while a fleet comes back others are answered, and then the whole fleet has its links`() async throws {
        let authority = try Authority.make(name: "test", now: Date())
        let responder = HeldResponder()
        let server = try await Self.serving(responder, authority)
        let trust = try Self.trust(authority, "system:node:edge-1", ["system:nodes"])
        let nodes = WebSocketLink.client(host: "127.0.0.1", port: server.port) { trust }
        let other = try PooledHTTPClient(
            host: "127.0.0.1", port: server.port, trust: try Self.trust(authority, "admin", ["system:masters"]))
        let links = (0..<40).map { _ in Task { try await WebSocketDialer(nodes, path: "/hub/v1").dial(RawLink()) } }
        try await eventually { responder.askedCount >= 16 }
        let answer = try await other.send(HTTPRequest(method: "GET", path: "/version"))
        #expect(answer.status == 200)
        let askedCount = responder.askedCount
        #expect(askedCount < 20, "some are answered at a time, found \(askedCount)")
        responder.open()
        for link in links { try await link.value.close() }
        #expect(responder.askedCount == 40)
        await other.close()
        await nodes.close()
        await server.stop()
    }

    @Test func `who is no node, or of another authority, or looks for another cloud, gets no link and is told why`() async throws {
        let world = try await HubWorld()
        let authority = try Authority.make(name: "test", now: Date())
        let other = try Authority.make(name: "other", now: Date())
        let (server, _) = try await serving(world, authority)
        let cases: [(TLSTrust, String)] = [
            (try Self.trust(authority, "admin", ["system:masters"]), "403"),
            (try Self.trust(other, "system:node:edge-1", ["system:nodes"], pinned: authority), ""),
            (try Self.trust(authority, "system:node:edge-1", ["system:nodes"], pinned: other), ""),
        ]
        for (trust, expected) in cases {
            let client = WebSocketLink.client(host: "127.0.0.1", port: server.port) { trust }
            let failure = await #expect(throws: LinkError.self) { try await WebSocketDialer(client, path: "/hub/v1").dial(RawLink()) }
            #expect(failure?.description.contains(expected) ?? false, "\(String(describing: failure))")
            await client.close()
        }
        #expect(world.hub.connectedNodes.isEmpty)
        await server.stop()
    }
}
