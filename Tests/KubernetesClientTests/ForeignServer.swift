import APIServer
import Identity
import KubernetesClient
import Network
import Resources
import Storage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A Kubernetes server on loopback with TLS and a store in a folder of its own; it can be stopped and started again on the same port.
actor ForeignServer {
    nonisolated let authority: Authority
    nonisolated let folder: String
    private let tokens: ServiceTokens
    /// Nil while the server is stopped, so that its lock on the store's file is gone.
    private var running: (store: RevisionStore, service: ObjectService, http: HTTPServer)?
    nonisolated let port: Int

    init() async throws {
        folder = FileManager.default.temporaryDirectory.path + "/skerry-foreign-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        authority = try Authority.make(name: "foreign", now: Date())
        tokens = try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM())
        let running = try await Self.serve(folder, authority, tokens, ports: KeptPort.choices())
        port = running.http.port
        try await InitialObjects.make(in: running.service)
        self.running = running
    }

    var store: RevisionStore { running!.store }
    var service: ObjectService { running!.service }

    private static func serve(
        _ folder: String, _ authority: Authority, _ tokens: ServiceTokens, ports: [Int]
    ) async throws -> (store: RevisionStore, service: ObjectService, http: HTTPServer) {
        let store = try RevisionStore(.file(folder + "/objects.db"))
        let service = try ObjectService(
            store: store,
            environment: APIEnvironment(
                now: { Timestamp(seconds: Int64(Date().timeIntervalSince1970)) }, random: { UInt64.random(in: 0 ... .max) }))
        let issued = try authority.issueServer(names: ["localhost"], addresses: [[127, 0, 0, 1]], now: Date(), validFor: 3600)
        let server = APIServer(service: service, tokens: tokens, programVersion: "test")
        let http = try await HTTPServer.start(
            host: "127.0.0.1", anyOf: ports,
            tls: TLSIdentity(chainPEM: issued.certificatePEM, keyPEM: issued.keyPEM, trustedPEM: authority.certificatePEM),
            patience: .seconds(30), responder: server)
        return (store, service, http)
    }

    func stop() async {
        guard let was = running else { return }
        await was.http.stop(grace: .zero)
        was.store.close()
        running = nil
    }

    func start() async throws {
        while running == nil {
            // The last streams of the server before may still be about to let go of its store.
            do {
                running = try await Self.serve(folder, authority, tokens, ports: [port])
            } catch RevisionError.inUse(_) {
                try await Task.sleep(for: .milliseconds(10))
            }
        }
    }

    func end() async {
        await stop()
        try? FileManager.default.removeItem(atPath: folder)
    }

    func sign(_ claims: ServiceTokens.Claims) throws -> String { try tokens.sign(claims) }

    nonisolated func reader() -> FileReader { { path in Array(try Data(contentsOf: URL(filePath: path))) } }

    /// What speaks to this server as the owner of a certificate.
    nonisolated func access(user: String = "admin", groups: [String] = ["system:masters"]) throws -> ClusterAccess {
        let issued = try authority.issueUser(name: user, groups: groups, now: Date(), validFor: 3600)
        var trust = TLSTrust()
        trust.trustedPEM = authority.certificatePEM
        trust.chainPEM = issued.certificatePEM
        trust.keyPEM = issued.keyPEM
        return ClusterAccess(host: "127.0.0.1", port: port, trust: trust, origin: "test")
    }

    /// What speaks to this server with a token only.
    nonisolated func access(token: TokenSource) -> ClusterAccess {
        var trust = TLSTrust()
        trust.trustedPEM = authority.certificatePEM
        return ClusterAccess(host: "127.0.0.1", port: port, trust: trust, token: token, origin: "test")
    }

    nonisolated func client(_ access: ClusterAccess? = nil, limits: HTTPClientLimits = HTTPClientLimits()) throws -> RESTClient {
        try RESTClient(access ?? self.access(), userAgent: "skerry-tests/1", limits: limits, read: reader())
    }

    /// Runs a body with a server and its administrator's client; both end with it.
    static func with(_ body: (ForeignServer, RESTClient) async throws -> Void) async throws {
        let server = try await ForeignServer()
        let client = try server.client()
        let result: Result<Void, any Error>
        do {
            try await body(server, client)
            result = .success(())
        } catch { result = .failure(error) }
        await client.close()
        await server.end()
        try result.get()
    }
}

let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")

func settings(_ name: String, _ data: JSON = ["a": "1"], labels: JSON = [:]) -> JSON {
    [
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": ["name": .string(name), "namespace": "default", "labels": labels], "data": data,
    ]
}

/// The status that a body throws; a test that gets none fails by throwing.
func refusal<Value>(_ body: () async throws(APIStatus) -> Value) async throws -> APIStatus {
    let value: Value
    do { value = try await body() } catch { return error }
    throw NotRefused(text: "\(value)")
}

struct NotRefused: Error { let text: String }
