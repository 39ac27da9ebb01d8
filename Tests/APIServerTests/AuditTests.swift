import APIServer
import Identity
import Network
import Resources
import Storage
import Synchronization
import TestKit
import Testing

@Suite(.offThePool) struct AuditTests {
    private struct Full: Error {}

    /// A server whose audit log is a list; lines are refused while `isFull`.
    private final class Audited: Sendable {
        let lines = Mutex<[JSON]>([])
        let isFull = Atomic(false)
        let api: TestAPI
        let server: APIServer
        let log: AuditLog

        init() async throws {
            api = try await TestAPI()
            let box = Box()
            log = AuditLog { bytes in try box.take(bytes) }
            server = APIServer(
                service: api.service, tokens: try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM()), programVersion: "test", audit: log)
            box.owner.withLock { $0 = self }
        }

        final class Box: Sendable {
            let owner = Mutex<Audited?>(nil)
            func take(_ bytes: [UInt8]) throws {
                guard let owner = owner.withLock({ $0 }) else { return }
                if owner.isFull.load(ordering: .relaxed) { throw Full() }
                #expect(bytes.last == 0x0a && bytes.count { $0 == 0x0a } == 1)
                let line = try JSONParser.parse(bytes)
                owner.lines.withLock { $0.append(line) }
            }
        }

        func send(_ method: String, _ path: String, _ query: String = "", _ headers: HTTPHeaders = [:], _ body: JSON? = nil) async throws
            -> HTTPResponse
        {
            var headers = headers
            headers["User-Agent"] = "kubectl/v1.32"
            if body != nil { headers["Content-Type"] = "application/json" }
            return await server.respond(
                to: HTTPRequest(
                    method: method, path: path, query: query, headers: headers, body: body?.bytes() ?? [], certificate: try api.admin(),
                    peer: "[IPv4]127.0.0.1/127.0.0.1:4711"))
        }

        var last: JSON { lines.withLock { $0.last ?? .null } }
    }

    @Test func `a request leaves one line that says who, what, where and how it ended, and no body`() async throws {
        let audited = try await Audited()
        let secret: JSON = ["metadata": ["name": "s"], "stringData": ["password": "hunter2"]]
        let response = try await audited.send("POST", "/api/v1/namespaces/default/secrets", "fieldManager=m", [:], secret)
        #expect(response.status == 201)
        let line = audited.last
        #expect(audited.lines.withLock { $0.count } == 1)
        #expect(line["kind"] == "Event" && line["apiVersion"] == "audit.k8s.io/v1" && line["level"] == "Metadata")
        #expect(line["stage"] == "ResponseComplete" && line["verb"] == "create" && line["userAgent"] == "kubectl/v1.32")
        #expect(line["requestURI"] == "/api/v1/namespaces/default/secrets?fieldManager=m")
        #expect(line["user"]?["username"] == "admin" && line["responseStatus"]?["code"] == 201)
        #expect(line["objectRef"] == ["resource": "secrets", "namespace": "default", "apiVersion": "v1"])
        #expect(line["sourceIPs"] == ["127.0.0.1"])
        #expect(line["auditID"]?.string == response.headers["audit-id"])
        #expect(line["requestReceivedTimestamp"] == "2027-01-15T08:00:00.000000Z", "\(line["requestReceivedTimestamp"] ?? .null)")
        #expect(!line.text.contains("hunter2"))
    }

    @Test func `refusals, other users and watches are told, and health is not`() async throws {
        let audited = try await Audited()
        _ = try await audited.send("GET", "/livez")
        #expect(audited.lines.withLock { $0.isEmpty })
        _ = try await audited.send("GET", "/api/v1/namespaces/default/pods/none", "", ["Impersonate-User": "bob"])
        #expect(audited.last["responseStatus"]?["code"] == 403)
        #expect(audited.last["user"]?["username"] == "admin" && audited.last["impersonatedUser"]?["username"] == "bob")
        _ = try await audited.send("GET", "/version", "", ["Authorization": "Bearer sesame.sesame.sesame"])
        #expect(audited.last["responseStatus"]?["code"] == 401 && !audited.last.text.contains("sesame"))
        let watch = try await audited.send("GET", "/api/v1/pods", "watch=true")
        #expect(audited.last["verb"] == "watch" && audited.last["stage"] == "ResponseStarted")
        if case .stream(let stream) = watch.body { stream.stop() }
        _ = try await audited.send("POST", "/api/v1/namespaces/default/pods/p/exec", "command=login&command=hunter2")
        #expect(!audited.last.text.contains("hunter2") && audited.last["objectRef"]?["subresource"] == "exec")
        _ = try await audited.send("GET", "/" + String(repeating: "x", count: 100_000))
        #expect(audited.last.text.utf8.count < 4000)
    }

    @Test func `a log that cannot be written stops no request and is counted`() async throws {
        let audited = try await Audited()
        audited.isFull.store(true, ordering: .relaxed)
        #expect(try await audited.send("GET", "/api/v1/pods").status == 200)
        #expect(audited.log.failureCount == 1)
        let metrics = try await audited.send("GET", "/metrics")
        guard case .bytes(let bytes) = metrics.body else { return #expect(Bool(false)) }
        #expect(String(decoding: bytes, as: UTF8.self).contains("skerry_audit_failures_total 1\n"))
    }
}
