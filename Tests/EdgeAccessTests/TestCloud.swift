import APIServer
import EdgeAccess
import Identity
import Network
import Resources
import Storage
import Synchronization
import TestKit

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A cloud on loopback with TLS, doors and a clock that is set; it can be stopped and started again on the same port.
final class TestCloud: Sendable {
    /// Shows the real time and what it is ahead of it. TLS knows the real time only.
    final class Clock: Sendable {
        let ahead = Atomic<Int64>(0)
        var now: Int64 { Int64(Date().timeIntervalSince1970) + ahead.load(ordering: .relaxed) }
    }

    let folder = try! TemporaryFolder()
    let clock: Clock
    /// Of the edges.
    let edgeClock = Clock()
    let authority: Authority
    let service: ObjectService
    let artifacts: ArtifactStore
    let client: ServiceClient
    private let api: Interposed
    private let http: Mutex<HTTPServer>
    let port: Int

    /// Answers requests unless a test answers first.
    final class Interposed: HTTPResponder {
        let api: APIServer
        let answer = Mutex<@Sendable (HTTPRequest, APIServer) async -> HTTPResponse?>({ _, _ in nil })
        init(_ api: APIServer) { self.api = api }
        func respond(to request: HTTPRequest) async -> HTTPResponse {
            if let answer = await answer.withLock({ $0 })(request, api) { return answer }
            return await api.respond(to: request)
        }
    }

    init(_ policy: JoinDoor.Policy = .init()) async throws {
        let clock = Clock()
        self.clock = clock
        authority = try Authority.make(name: "test", now: Date())
        service = try ObjectService(
            store: try RevisionStore(.memory),
            environment: APIEnvironment(now: { Timestamp(seconds: clock.now) }, random: { UInt64.random(in: 0 ... .max) }))
        try await InitialObjects.make(in: service)
        artifacts = try ArtifactStore(folder: folder.path + "/artifacts", now: { clock.now })
        client = ServiceClient(service, user: User(name: "test", groups: ["system:masters"]))
        api = Interposed(
            APIServer(
                service: service, tokens: try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM()), programVersion: "test",
                doors: [
                    try JoinDoor(client: client, authority: authority, policy: policy, now: service.environment.now),
                    ArtifactDoor(service: service, store: artifacts),
                ]))
        let started = try await Self.serve(authority, api, ports: KeptPort.choices())
        port = started.port
        http = Mutex(started)
    }

    private static func serve(_ authority: Authority, _ api: Interposed, ports: [Int]) async throws -> HTTPServer {
        let issued = try authority.issueServer(names: ["localhost"], addresses: [[127, 0, 0, 1]], now: Date(), validFor: 86400)
        return try await HTTPServer.start(
            host: "127.0.0.1", anyOf: ports,
            tls: TLSIdentity(chainPEM: issued.certificatePEM, keyPEM: issued.keyPEM, trustedPEM: authority.certificatePEM),
            patience: .seconds(30), responder: api)
    }

    /// Answers requests that it does not leave to the cloud by nil.
    func interpose(_ answer: @escaping @Sendable (HTTPRequest, APIServer) async -> HTTPResponse?) { api.answer.withLock { $0 = answer } }

    func stop() async { await http.withLock { $0 }.stop(grace: .zero) }

    /// Serves at the same address again.
    func restart() async throws {
        let started = try await Self.serve(authority, api, ports: [port])
        http.withLock { $0 = started }
    }

    func token(node: String? = nil, ttl: Int64 = 3600, port: Int? = nil, authority: String? = nil) async throws -> String {
        let secret = JoinSecret(bytes: (0..<JoinSecret.byteCount).map { _ in UInt8.random(in: 0...255) })
        try await JoinTokens(client).create(JoinGrant(hash: secret.hash, node: node, expiresAt: clock.now + ttl), now: clock.now)
        return try JoinToken(
            authority: authority ?? self.authority.fingerprint, host: "127.0.0.1", port: port ?? self.port, secret: secret
        ).text
    }

    /// Lines that edges have said.
    let reports = Mutex<[String]>([])

    var environment: EdgeMembership.Environment {
        EdgeMembership.Environment(
            now: { [edgeClock] in edgeClock.now }, report: { [self] line in reports.withLock { $0.append(line) } }, userAgent: "test")
    }

    func enter(_ folder: String, token: String? = nil, name: String? = nil, host: String = "machine") async throws(EdgeAccessError)
        -> EdgeMembership
    {
        try await EdgeMembership.enter(folder: folder, token: token, name: name, hostName: host, environment)
    }

    /// Asks the API with an edge's certificate; nil if it cannot be reached.
    func status(_ membership: EdgeMembership, _ path: String) async throws -> Int? {
        let http = try PooledHTTPClient(host: "127.0.0.1", port: port, trust: membership.trust)
        let answer = try? await http.send(HTTPRequest(method: "GET", path: path, headers: ["Host": "localhost"]))
        await http.close()
        return answer?.status
    }

    /// Lets a node read a file.
    func name(_ digest: ArtifactDigest, for node: String) async throws {
        try await client.create(
            .pod,
            [
                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string("p-\(digest.hex.prefix(8))"), "namespace": "default"],
                "spec": [
                    "nodeName": .string(node),
                    "containers": [["name": "c", "image": "x", "env": [["name": "M", "value": .string("\(digest)")]]]],
                ],
            ])
    }
}
