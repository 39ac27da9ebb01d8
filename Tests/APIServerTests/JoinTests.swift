import APIServer
import Identity
import Network
import Resources
import Synchronization
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite(.offThePool) struct JoinTests {
    /// A cloud with its door, and a machine that wants in.
    struct Scene {
        let api: TestAPI
        let tokens: JoinTokens

        init() async throws {
            api = try await TestAPI { parts in
                [try JoinDoor(client: parts.client, authority: parts.authority, now: parts.service.environment.now)]
            }
            tokens = JoinTokens(ServiceClient(api.service, user: User(name: "test", groups: ["system:masters"])))
        }

        var now: Int64 { api.service.environment.now().seconds }

        /// A token as it is handed over.
        func token(node: String? = nil, ttl: Int64 = 3600) async throws -> JoinToken {
            let secret = JoinSecret(bytes: (0..<JoinSecret.byteCount).map { _ in UInt8.random(in: 0...255) })
            try await tokens.create(JoinGrant(hash: secret.hash, node: node, expiresAt: now + ttl), now: now)
            return try JoinToken(authority: api.authority.fingerprint, host: "cloud", port: 7443, secret: secret)
        }

        /// Posts to the door as a stranger, or with a certificate.
        func post(_ part: String, _ body: JSON, as certificate: [UInt8]? = nil) async throws -> TestAPI.Answer {
            try await api.send("POST", "/join/v1" + part, body, as: .some(certificate))
        }

        func join(_ token: JoinToken, _ node: String, key: String = SigningRequest.newKeyPEM()) async throws -> TestAPI.Answer {
            try await post(
                "",
                ["token": .string(token.text), "node": .string(node), "request": .string(try SigningRequest.make(node: node, keyPEM: key))])
        }

        /// DER of the certificate in an answer.
        func certificate(_ answer: TestAPI.Answer) throws -> [UInt8] { try Self.der(answer.json["certificate"]?.string ?? "") }

        static func der(_ pem: String) throws -> [UInt8] {
            Base64.decode(pem.split(separator: "\n").filter { !$0.hasPrefix("-") }.joined()) ?? []
        }

        func isLetIn(_ certificate: [UInt8], _ node: String) async throws -> Bool {
            let answer = try await api.send("GET", "/api/v1/nodes/\(node)", as: certificate)
            #expect([200, 401].contains(answer.status), "\(answer.status) \(answer.message)")
            return answer.status == 200
        }

        func renewal(_ node: String = "n1", key: String = SigningRequest.newKeyPEM()) throws -> JSON {
            ["request": .string(try SigningRequest.make(node: node, keyPEM: key))]
        }
    }

    @Test func `a token and a key become a node whose certificate is let in`() async throws {
        let scene = try await Scene()
        let answer = try await scene.join(try await scene.token(), "n1")
        #expect(answer.status == 201, "\(answer.message)")
        #expect(answer.json["node"] == "n1")
        #expect(answer.json["authority"]?.string == scene.api.authority.certificatePEM)
        let certificate = try scene.certificate(answer)
        #expect(try await scene.isLetIn(certificate, "n1"))
        let node = try await scene.api.send("GET", "/api/v1/nodes/n1")
        #expect(NodeIdentityRecord(node.json).certificate == (try NodeCertificate(der: certificate).fingerprint))
        #expect(node.json["metadata"]?["labels"]?["kubernetes.io/hostname"] == "n1")
        // What `kubectl get nodes` shows as its role.
        #expect(node.json["metadata"]?["labels"]?["node-role.kubernetes.io/edge"] == "")
    }

    @Test func `the authority is told to strangers, and is what tokens name`() async throws {
        let scene = try await Scene()
        let answer = try await scene.api.send("GET", "/join/v1/authority", as: .some(nil))
        #expect(answer.status == 200)
        _ = try PinnedAuthority(pem: String(decoding: answer.bytes, as: UTF8.self), expecting: scene.api.authority.fingerprint)
    }

    /// KubeEdge signs whatever subject the CSR has, for any token of the fleet.
    @Test func `a request that names another node gets the name that was admitted`() async throws {
        let scene = try await Scene()
        let key = SigningRequest.newKeyPEM()
        let answer = try await scene.post(
            "",
            [
                "token": .string(try await scene.token(node: "n1").text),
                "request": .string(try SigningRequest.make(node: "other", keyPEM: key)),
            ])
        #expect(answer.status == 201)
        #expect(try NodeCertificate(der: try scene.certificate(answer)).node == "n1")
        let other = try await scene.join(try await scene.token(node: "n2"), "n3")
        #expect(other.status == 403 && other.message.contains("for node \"n2\""), "\(other.message)")
    }

    @Test func `a token admits one machine, and the same one again`() async throws {
        let scene = try await Scene()
        let token = try await scene.token()
        let key = SigningRequest.newKeyPEM()
        let first = try await scene.join(token, "n1", key: key)
        #expect(first.status == 201)
        let thief = try await scene.join(token, "n2")
        #expect(thief.status == 403 && thief.message.contains("used by node \"n1\""), "\(thief.message)")
        #expect(try await scene.join(token, "n1").status == 403)
        // The answer was lost: the same key gets the same certificate.
        let again = try await scene.join(token, "n1", key: key)
        #expect(again.status == 200)
        #expect(again.json["certificate"] == first.json["certificate"])
        #expect(try await scene.isLetIn(try scene.certificate(again), "n1"))
    }

    @Test func `of many machines that join with one token at once one gets in`() async throws {
        let scene = try await Scene()
        let token = try await scene.token()
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<12 { group.addTask { try await scene.join(token, "n\(number)").status } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses.filter { $0 == 201 }.count == 1, "\(statuses)")
        #expect(statuses.filter { $0 == 403 }.count == 11, "\(statuses)")
        #expect(try await scene.api.send("GET", "/api/v1/nodes").json["items"]?.array?.count == 1)
    }

    @Test func `a token that is unknown, expired, revoked or of another cloud admits nobody`() async throws {
        let scene = try await Scene()
        let other = try await Scene()
        #expect(try await scene.join(try await other.token(), "n1").status == 401)
        let made = try await scene.token()
        let unknown = try JoinToken(
            authority: made.authority, host: "cloud", port: 1, secret: JoinSecret(bytes: Array(repeating: 7, count: 16)))
        #expect(try await scene.join(unknown, "n1").status == 401)
        try await scene.tokens.revoke(made.secret.id)
        #expect(try await scene.join(made, "n1").status == 401)
        let short = try await scene.token(ttl: 60)
        scene.api.clock.seconds.store(60, ordering: .relaxed)
        let expired = try await scene.join(short, "n1")
        #expect(expired.status == 403 && expired.message.contains("expired"), "\(expired.message)")
        #expect(try await scene.api.send("GET", "/api/v1/nodes/n1").status == 404)
    }

    @Test func `a name that is there is given away only by a token made for it, and the machine before is out`() async throws {
        let scene = try await Scene()
        let old = try scene.certificate(try await scene.join(try await scene.token(), "n1"))
        let token = try await scene.token()
        let taken = try await scene.join(token, "n1")
        #expect(taken.status == 409 && taken.message.contains("token create --node n1"), "\(taken.message)")
        // The token was not used up by it.
        #expect(try await scene.join(token, "n2").status == 201)
        let new = try await scene.join(try await scene.token(node: "n1"), "n1")
        #expect(new.status == 201, "\(new.message)")
        #expect(try await scene.isLetIn(try scene.certificate(new), "n1"))
        #expect(try await !scene.isLetIn(old, "n1"))
    }

    @Test func `a removed node is out at once and does not come back by what it has`() async throws {
        let scene = try await Scene()
        let token = try await scene.token()
        let key = SigningRequest.newKeyPEM()
        let certificate = try scene.certificate(try await scene.join(token, "n1", key: key))
        #expect(try await scene.api.send("DELETE", "/api/v1/nodes/n1").status == 200)
        #expect(try await !scene.isLetIn(certificate, "n1"))
        #expect(try await scene.post("/renewal", try scene.renewal(), as: certificate).status == 401)
        #expect(try await scene.post("/confirmation", [:], as: certificate).status == 401)
        // Its own token, with its own key, within the token's life.
        #expect(try await scene.join(token, "n1", key: key).status == 403)
        #expect(try await scene.api.send("POST", "/api/v1/nodes", ["metadata": ["name": "n1"]], as: certificate).status == 401)
        // A Node of that name that somebody makes lets nobody in.
        _ = try await scene.api.create("/api/v1/nodes", ["metadata": ["name": "n1"]])
        #expect(try await !scene.isLetIn(certificate, "n1"))
    }

    @Test func `a renewed certificate replaces the one before as soon as it is confirmed`() async throws {
        let scene = try await Scene()
        let first = try scene.certificate(try await scene.join(try await scene.token(), "n1"))
        let answer = try await scene.post("/renewal", try scene.renewal(), as: first)
        #expect(answer.status == 201, "\(answer.message)")
        let second = try scene.certificate(answer)
        // Until then both are let in: the answer might have been lost.
        #expect(try await scene.isLetIn(first, "n1"))
        #expect(try await scene.isLetIn(second, "n1"))
        for _ in 0..<2 { #expect(try await scene.post("/confirmation", [:], as: second).status == 200) }
        #expect(try await scene.isLetIn(second, "n1"))
        // A copy that was made before is worth nothing.
        #expect(try await !scene.isLetIn(first, "n1"))
        #expect(try await scene.post("/renewal", try scene.renewal(), as: first).status == 401)
    }

    @Test func `a renewal whose answer is lost is asked for again`() async throws {
        let scene = try await Scene()
        let first = try scene.certificate(try await scene.join(try await scene.token(), "n1"))
        let lost = try scene.certificate(try await scene.post("/renewal", try scene.renewal(), as: first))
        let second = try scene.certificate(try await scene.post("/renewal", try scene.renewal(), as: first))
        #expect(try await scene.post("/confirmation", [:], as: second).status == 200)
        #expect(try await !scene.isLetIn(lost, "n1"))
        #expect(try await scene.isLetIn(second, "n1"))
    }

    @Test func `an expired certificate is renewed by its key for a year, as long as its node is there`() async throws {
        let scene = try await Scene()
        let key = SigningRequest.newKeyPEM()
        let joined = try await scene.join(try await scene.token(), "n1", key: key)
        let pem = joined.json["certificate"]?.string ?? ""
        let authority = scene.api.authority.fingerprint
        func renew(_ signer: String, cloud: String = authority, node: String = "n1") async throws -> TestAPI.Answer {
            var body = try scene.renewal(node)
            body["certificate"] = .string(pem)
            body["proof"] = .string(
                try NodeCertificate.renewalProof(body["request"]?.string ?? "", authority: cloud, keyPEM: signer))
            return try await scene.post("/renewal", body)
        }
        let end = try NodeCertificate(pem: pem).validUntil - TestAPI.start.seconds
        scene.api.clock.seconds.store(end + 365 * 86400, ordering: .relaxed)
        let late = try await renew(key)
        #expect(late.status == 401 && late.message.contains("too long ago"), "\(late.message)")
        scene.api.clock.seconds.store(end + 365 * 86400 - 1, ordering: .relaxed)
        #expect(try await renew(SigningRequest.newKeyPEM()).status == 401)
        #expect(try await renew(key, cloud: String(repeating: "0", count: 64)).status == 401)
        // Whatever the request says, the node is that of the certificate.
        let answer = try await renew(key, node: "other")
        #expect(answer.status == 201, "\(answer.message)")
        let renewed = try scene.certificate(answer)
        #expect(try NodeCertificate(der: renewed).node == "n1")
        #expect(try await scene.post("/confirmation", [:], as: renewed).status == 200)
        #expect(try await renew(key).status == 401)
    }

    @Test func `a certificate of another authority proves nothing, whatever its name`() async throws {
        let scene = try await Scene()
        let other = try await Scene()
        _ = try await scene.join(try await scene.token(), "n1")
        let key = SigningRequest.newKeyPEM()
        let foreign = try await other.join(try await other.token(), "n1", key: key)
        var body = try scene.renewal()
        body["certificate"] = foreign.json["certificate"]
        body["proof"] = .string(
            try NodeCertificate.renewalProof(
                body["request"]?.string ?? "", authority: scene.api.authority.fingerprint, keyPEM: key))
        #expect(try await scene.post("/renewal", body).status == 401)
        #expect(try await scene.post("/confirmation", [:], as: try scene.certificate(foreign)).status == 401)
        #expect(try await scene.post("/confirmation", [:]).status == 401)
        #expect(try await scene.post("/confirmation", [:], as: try scene.api.admin()).status == 401)
    }

    @Test func `a node cannot change what is recorded of its certificate`() async throws {
        let scene = try await Scene()
        let certificate = try scene.certificate(try await scene.join(try await scene.token(), "n1"))
        let copy = String(repeating: "a", count: 64)
        for body: JSON in [
            ["metadata": ["annotations": NodeIdentityRecord(certificate: copy).annotations]],
            ["metadata": ["annotations": ["identity.skerry.io/next-certificate": .string(copy)]]],
            ["metadata": ["annotations": .null]], ["metadata": ["annotations": ["identity.skerry.io/certificate": .null]]],
        ] {
            for path in ["/api/v1/nodes/n1", "/api/v1/nodes/n1/status"] {
                let answer = try await scene.api.send("PATCH", path, body, type: "application/merge-patch+json", as: certificate)
                let record = NodeIdentityRecord(try await scene.api.send("GET", "/api/v1/nodes/n1").json)
                #expect(record.accepts(try NodeCertificate(der: certificate).fingerprint) && record.next == nil, "\(answer.status) \(body)")
            }
        }
        let labels: JSON = ["metadata": ["labels": ["zone": "a"]]]
        #expect(
            try await scene.api.send("PATCH", "/api/v1/nodes/n1", labels, type: "application/merge-patch+json", as: certificate).status
                == 200)
    }

    /// CVE-2022-31075: the signing of CSRs read bodies without a limit.
    @Test func `what is too large, no JSON, or names unknown fields is refused before it is used`() async throws {
        let scene = try await Scene()
        let token = try await scene.token()
        let request = try SigningRequest.make(node: "n1", keyPEM: SigningRequest.newKeyPEM())
        let large = try await scene.api.send(
            "POST", "/join/v1", raw: Array(repeating: 0x20, count: (64 << 10) + 1), as: .some(nil))
        #expect(large.status == 413)
        for (body, word): (JSON, String) in [
            ([:], "token is empty"), ([1, 2], "expected an object"), (["token": 1], "\"token\""),
            (["token": .string(token.text)], "signing request"),
            (["token": .string(token.text), "request": "x", "usages": ["server auth"]], "\"usages\""),
            (["token": .string(token.text), "request": .string(String(repeating: "x", count: 20_000))], "16384"),
            (["token": .string(token.text), "node": "../x", "request": .string(request)], "../x"),
            (["token": .string(token.text), "node": "N1", "request": .string(request)], "\"N1\""),
            (["token": .string(token.text), "hostName": "a b", "request": .string(request)], "\"a b\""),
        ] {
            let answer = try await scene.post("", body)
            #expect([400, 422].contains(answer.status) && answer.message.contains(word), "\(answer.status) \(answer.message)")
        }
        let text = try await scene.api.send("POST", "/join/v1", raw: Array("{".utf8), as: .some(nil))
        #expect(text.status == 400)
        #expect(try await scene.api.send("GET", "/join/v1", as: .some(nil)).status == 405)
        #expect(try await scene.api.send("GET", "/join/v1/x", as: .some(nil)).status == 404)
        #expect(try await scene.join(token, "n1").status == 201)
    }

    @Test func `an address that is refused too often must wait, and others need not`() async throws {
        let scene = try await Scene()
        let token = try await scene.token()
        func attempt(_ secret: UInt8, from peer: String) async throws -> HTTPResponse {
            let guess = try JoinToken(
                authority: token.authority, host: "cloud", port: 1, secret: JoinSecret(bytes: Array(repeating: secret, count: 16)))
            let body: JSON = [
                "token": .string(guess.text), "node": "n1",
                "request": .string(try SigningRequest.make(node: "n1", keyPEM: SigningRequest.newKeyPEM())),
            ]
            return await scene.api.server.respond(
                to: HTTPRequest(method: "POST", path: "/join/v1", body: body.bytes(), peer: "[IPv4]\(peer):4711"))
        }
        var statuses: [Int] = []
        for number in 0..<25 { statuses.append(try await attempt(UInt8(number), from: "192.0.2.1").status) }
        #expect(statuses == Array(repeating: 401, count: 20) + Array(repeating: 429, count: 5), "\(statuses)")
        #expect(try await attempt(9, from: "192.0.2.1").headers["retry-after"] == "10")
        #expect(try await attempt(9, from: "192.0.2.2").status == 401)
        scene.api.clock.seconds.store(10, ordering: .relaxed)
        #expect(try await attempt(9, from: "192.0.2.1").status == 401)
        #expect(try await attempt(9, from: "192.0.2.1").status == 429)
    }

    @Test func `a node that renews without end must wait`() async throws {
        let scene = try await Scene()
        let certificate = try scene.certificate(try await scene.join(try await scene.token(), "n1"))
        var statuses: [Int] = []
        for _ in 0..<12 { statuses.append(try await scene.post("/renewal", try scene.renewal(), as: certificate).status) }
        #expect(statuses == Array(repeating: 201, count: 10) + [429, 429], "\(statuses)")
    }

    @Test func `tokens are kept as hashes in Secrets, listed, revoked and forgotten after their time`() async throws {
        let scene = try await Scene()
        let token = try await scene.token(node: "n1", ttl: 60)
        _ = try await scene.token(ttl: 7200)
        let stored = String(decoding: try await scene.api.send("GET", "/api/v1/namespaces/kube-system/secrets").bytes, as: UTF8.self)
        #expect(!stored.contains(String(token.text.suffix(32))))
        #expect(!stored.contains(Base64.encode(Array(token.text.suffix(32).utf8))))
        #expect(stored.contains("join-token-\(token.secret.id)"))
        #expect(try await scene.tokens.list().map(\.node).contains("n1"))
        await #expect(throws: APIStatus.self) { try await scene.tokens.revoke("0000000000") }
        await #expect(throws: APIStatus.self) { try await scene.tokens.revoke("../default") }
        #expect(try await scene.tokens.removeExpired(now: scene.now + 60) == 1)
        #expect(try await scene.tokens.list().count == 1)
        for grant in [
            JoinGrant(hash: token.secret.hash, node: "N", expiresAt: scene.now + 60),
            JoinGrant(hash: token.secret.hash, node: nil, expiresAt: scene.now),
            JoinGrant(hash: token.secret.hash, node: nil, expiresAt: scene.now + 31 * 86400),
        ] {
            await #expect(throws: APIStatus.self) { try await scene.tokens.create(grant, now: scene.now) }
        }
    }

    @Test func `a Secret that somebody labels as a token is none`() async throws {
        let scene = try await Scene()
        let token = try await scene.token()
        _ = try await scene.api.create(
            "/api/v1/namespaces/kube-system/secrets",
            ["metadata": ["name": "join-token-x", "labels": ["skerry.io/join-token": "true"]], "data": ["hash": "AA=="]])
        #expect(try await scene.tokens.list().map(\.id) == [token.secret.id])
    }

    @Test func `the audit log says which token and node, and neither secret nor key`() async throws {
        let lines = Lines()
        let api = try await TestAPI()
        let client = ServiceClient(api.service, user: User(name: "test", groups: ["system:masters"]))
        let server = APIServer(
            service: api.service, tokens: try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM()), programVersion: "test",
            audit: AuditLog { lines.append($0) },
            doors: [try JoinDoor(client: client, authority: api.authority, now: api.service.environment.now)])
        let secret = JoinSecret(bytes: Array(repeating: 9, count: 16))
        let now = api.service.environment.now().seconds
        try await JoinTokens(client).create(JoinGrant(hash: secret.hash, node: nil, expiresAt: now + 60), now: now)
        let token = try JoinToken(authority: api.authority.fingerprint, host: "cloud", port: 1, secret: secret)
        let body: JSON = [
            "token": .string(token.text), "node": "n1",
            "request": .string(try SigningRequest.make(node: "n1", keyPEM: SigningRequest.newKeyPEM())),
        ]
        let answer = await server.respond(to: HTTPRequest(method: "POST", path: "/join/v1", body: body.bytes()))
        #expect(answer.status == 201)
        let text = String(decoding: lines.all, as: UTF8.self)
        #expect(text.contains("\"join.skerry.io/node\":\"n1\"") && text.contains(secret.id), "\(text)")
        #expect(!text.contains(String(token.text.suffix(32))) && !text.contains("CERTIFICATE"))
    }
}

/// Lines of an audit log.
private final class Lines: Sendable {
    private let bytes = Mutex<[UInt8]>([])
    var all: [UInt8] { bytes.withLock { $0 } }
    func append(_ line: [UInt8]) { bytes.withLock { $0 += line } }
}
