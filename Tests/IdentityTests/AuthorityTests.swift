import Identity
import SwiftASN1
import Testing
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct AuthorityTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)

    private func der(_ pem: String) throws -> [UInt8] { try PEMDocument(pemString: pem).derBytes }

    @Test func `a user's certificate tells name and groups`() throws {
        let authority = try Authority.make(name: "test", now: now)
        let issued = try authority.issueUser(name: "alice", groups: ["a", "b"], now: now, validFor: 3600)
        #expect(CertificateUsers().user(try der(issued.certificatePEM)) == User(name: "alice", groups: ["a", "b", "system:authenticated"]))
    }

    @Test func `neither the authority nor a server is a user`() throws {
        let authority = try Authority.make(name: "system:masters", now: now)
        #expect(CertificateUsers().user(try der(authority.certificatePEM)) == nil)
        let server = try authority.issueServer(names: ["localhost"], addresses: [[127, 0, 0, 1]], now: now, validFor: 3600)
        #expect(CertificateUsers().user(try der(server.certificatePEM)) == nil)
        #expect(CertificateUsers().user([1, 2, 3]) == nil)
    }

    @Test func `an authority is the same after it was kept, and refuses a key that is not its own`() throws {
        let authority = try Authority.make(name: "test", now: now)
        let kept = try Authority(certificatePEM: authority.certificatePEM, keyPEM: authority.keyPEM)
        #expect(kept.fingerprint == authority.fingerprint)
        #expect(authority.fingerprint.count == 64)
        let other = try Authority.make(name: "test", now: now)
        #expect(throws: IdentityError.self) { try Authority(certificatePEM: authority.certificatePEM, keyPEM: other.keyPEM) }
        #expect(throws: IdentityError.self) { try Authority(certificatePEM: "nonsense", keyPEM: authority.keyPEM) }
    }

    @Test func `no certificate outlives its authority`() throws {
        let authority = try Authority.make(name: "test", now: now)
        let issued = try authority.issueUser(name: "a", groups: [], now: now, validFor: 1e10)
        let own = try Certificate(pemEncoded: authority.certificatePEM)
        #expect(try Certificate(pemEncoded: issued.certificatePEM).notValidAfter == own.notValidAfter)
    }
}

@Suite struct ServiceTokensTests {
    @Test func `a token that is bound to a Pod says so`() throws {
        let tokens = try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM())
        var bound = claims
        bound.pod = ServiceTokens.BoundPod(name: "web", uid: "u-1")
        #expect(tokens.read(try tokens.sign(bound), now: claims.issuedAt) == bound)
        #expect(tokens.read(try tokens.sign(claims), now: claims.issuedAt)?.pod == nil)
    }

    private let claims = ServiceTokens.Claims(
        namespace: "ns", account: "sa", accountUID: "uid", audiences: ["a"], issuedAt: 1000, expiresAt: 2000, id: "id")

    @Test func `a token tells its claims while it is valid`() throws {
        let tokens = try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM())
        let token = try tokens.sign(claims)
        #expect(tokens.read(token, now: 1500) == claims)
        #expect(tokens.read(token, now: 999) == nil)
        #expect(tokens.read(token, now: 2000) == nil)
    }

    @Test func `a token that was changed, or signed by another key, or not at all, is nothing`() throws {
        let tokens = try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM())
        let token = try tokens.sign(claims)
        // Known from here on: another's claims under this signature stay nothing.
        #expect(tokens.read(token, now: 1500) == claims)
        let parts = token.split(separator: ".").map(String.init)
        let other = try ServiceTokens(keyPEM: ServiceTokens.newKeyPEM()).sign(claims)
        // {"alg":"none"}
        let unsigned = "eyJhbGciOiJub25lIn0"
        for text in [
            "", ".", "..", other, "\(parts[0]).\(parts[1]).", "\(parts[0]).\(parts[1])", "\(unsigned).\(parts[1]).",
            "\(unsigned).\(parts[1]).\(parts[2])",
            "\(parts[0]).\(parts[1].dropLast())A.\(parts[2])", token + "." + parts[2], String(repeating: "a", count: 20_000),
        ] {
            #expect(tokens.read(text, now: 1500) == nil, "\(text.prefix(80))")
        }
    }
}

@Suite struct AccessBookTests {
    private let book: AccessBook = {
        var book = AccessBook()
        book.roles[.init(namespace: "", name: "read-pods")] = [
            AccessRule(verbs: ["get", "list"], groups: [""], resources: ["pods", "*/status"])
        ]
        book.roles[.init(namespace: "a", name: "one")] = [AccessRule(verbs: ["*"], groups: [""], resources: ["configmaps"], names: ["x"])]
        book.roles[.init(namespace: "", name: "metrics")] = [AccessRule(verbs: ["get"], paths: ["/metrics", "/debug/*"])]
        book.bindings = [
            .init(namespace: "a", name: "1", role: .init(namespace: "", name: "read-pods"), subjects: [.user("u")]),
            .init(
                namespace: "a", name: "2", role: .init(namespace: "a", name: "one"), subjects: [.serviceAccount(namespace: "b", name: "s")]),
            .init(namespace: "", name: "3", role: .init(namespace: "", name: "metrics"), subjects: [.group("g")]),
        ]
        return book
    }()

    private func may(_ user: User, _ verb: String, _ resource: String, _ namespace: String, name: String = "", subresource: String = "")
        -> Bool
    {
        book.allows(
            user, AccessRequest(verb: verb, group: "", resource: resource, subresource: subresource, name: name, namespace: namespace))
    }

    @Test func `a binding holds in its namespace, for its subjects, its verbs and its resources`() {
        let user = User(name: "u", groups: [])
        #expect(may(user, "get", "pods", "a"))
        #expect(may(user, "get", "pods", "a", subresource: "status"))
        #expect(!may(user, "get", "pods", "a", subresource: "log"))
        #expect(!may(user, "delete", "pods", "a"))
        #expect(!may(user, "get", "pods", "b"))
        #expect(!may(user, "get", "pods", ""))
        #expect(!may(User(name: "v", groups: ["u"]), "get", "pods", "a"))
        #expect(!book.allows(user, AccessRequest(verb: "get", group: "apps", resource: "pods", namespace: "a")))
    }

    @Test func `names and service accounts are matched whole`() {
        let account = User.serviceAccount(namespace: "b", name: "s", uid: "1")
        #expect(may(account, "delete", "configmaps", "a", name: "x"))
        #expect(!may(account, "delete", "configmaps", "a", name: "y"))
        #expect(!may(account, "list", "configmaps", "a"))
        #expect(!may(User(name: "s", groups: []), "get", "configmaps", "a", name: "x"))
    }

    @Test func `paths are matched whole or by their beginning`() {
        let user = User(name: "x", groups: ["g"])
        #expect(book.allows(user, AccessRequest(verb: "get", path: "/metrics")))
        #expect(book.allows(user, AccessRequest(verb: "get", path: "/debug/a/b")))
        #expect(!book.allows(user, AccessRequest(verb: "get", path: "/metrics/x")))
        #expect(!book.allows(user, AccessRequest(verb: "post", path: "/metrics")))
    }

    @Test func `only what a user may do can be granted by it`() {
        let user = User(name: "u", groups: [])
        #expect(book.covers([AccessRule(verbs: ["get"], groups: [""], resources: ["pods"])], user, in: "a"))
        #expect(book.covers([AccessRule(verbs: ["get", "list"], groups: [""], resources: ["pods", "pods/status"])], user, in: "a"))
        #expect(!book.covers([AccessRule(verbs: ["get", "watch"], groups: [""], resources: ["pods"])], user, in: "a"))
        #expect(!book.covers([AccessRule(verbs: ["*"], groups: [""], resources: ["pods"])], user, in: "a"))
        #expect(!book.covers([AccessRule(verbs: ["get"], groups: ["*"], resources: ["pods"])], user, in: "a"))
        #expect(!book.covers([AccessRule(verbs: ["get"], groups: [""], resources: ["pods"])], user, in: "b"))
        let account = User.serviceAccount(namespace: "b", name: "s", uid: "1")
        #expect(!book.covers([AccessRule(verbs: ["get"], groups: [""], resources: ["configmaps"])], account, in: "a"))
        #expect(book.covers([AccessRule(verbs: ["get"], groups: [""], resources: ["configmaps"], names: ["x"])], account, in: "a"))
        #expect(
            book.covers([AccessRule(verbs: ["*"], groups: ["*"], resources: ["*"])], User(name: "m", groups: ["system:masters"]), in: ""))
    }
}
