import APIServer
import EdgeAccess
import Identity
import Network
import Resources
import Synchronization
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// True the first time.
final class Lost: Sendable {
    private let wasAsked = Atomic(false)
    func first() -> Bool { !wasAsked.exchange(true, ordering: .relaxed) }
}

@Suite(.offThePool) struct EdgeMembershipTests {
    @Test func `an edge joins by a token once, and starts without it, without the cloud too`() async throws {
        let cloud = try await TestCloud()
        let folder = try TemporaryFolder()
        let joined = try await cloud.enter(folder.path, token: try await cloud.token())
        #expect(joined.identity.node == "machine")
        #expect(try await cloud.status(joined, "/api/v1/nodes/machine") == 200)
        #expect(try await cloud.status(joined, "/api/v1/nodes/other") == 403)
        var facts = stat()
        #expect(stat(folder.path + "/identity.json", &facts) == 0 && facts.st_mode & 0o777 == 0o600)
        await cloud.stop()
        let again = try await cloud.enter(folder.path)
        #expect(again.identity == joined.identity)
        try await cloud.restart()
        #expect(try await cloud.status(again, "/api/v1/nodes/machine") == 200)
        await cloud.stop()
    }

    @Test func `the name is the one that is given, the token's, or the machine's`() async throws {
        let cloud = try await TestCloud()
        for (node, name, expected) in [(nil, "given", "given"), ("bound", nil, "bound"), (nil, nil, "machine"), ("both", "both", "both")] {
            let folder = try TemporaryFolder()
            let token = try await cloud.token(node: node)
            #expect(try await cloud.enter(folder.path, token: token, name: name).identity.node == expected)
        }
        await cloud.stop()
    }

    /// Every way that joining fails says which it is, and what to do.
    @Test func `each failure to join is told apart`() async throws {
        let cloud = try await TestCloud()
        let other = try await TestCloud()
        func failure(_ token: String?, name: String? = "n1", code: EdgeAccessError.Code, _ word: String) async throws {
            let folder = try TemporaryFolder()
            do throws(EdgeAccessError) {
                _ = try await cloud.enter(folder.path, token: token, name: name)
                Issue.record("joined in spite of \(word)")
            } catch {
                #expect(error.code == code && error.description.contains(word), "\(error.code): \(error)")
                #expect(!error.description.contains(token?.suffix(32) ?? "no token"), "the secret is in the error")
            }
        }
        try await failure(nil, code: .unusable, "skerry token create")
        try await failure("K1.x", code: .unusable, "dots")
        try await failure(try await cloud.token(), name: "N_1", code: .unusable, "--name")
        // The address is of a cloud that another authority stands behind.
        try await failure(
            try await other.token(port: cloud.port), code: .untrusted, "not the cloud that made the token")
        try await failure(
            try await other.token(port: cloud.port, authority: cloud.authority.fingerprint), code: .refused(status: 401),
            "no such join token")
        try await failure(try await cloud.token(node: "n2"), code: .refused(status: 403), "is for node \"n2\"")
        let used = try await cloud.token()
        let first = try TemporaryFolder()
        _ = try await cloud.enter(first.path, token: used, name: "n0")
        try await failure(used, code: .refused(status: 403), "used by node \"n0\"")
        try await failure(try await cloud.token(), name: "n0", code: .refused(status: 409), "already")
        let expired = try await cloud.token(ttl: 60)
        cloud.clock.ahead.store(61, ordering: .relaxed)
        try await failure(expired, code: .refused(status: 403), "expired")
        let unreachable = try await cloud.token()
        await cloud.stop()
        try await failure(unreachable, code: .unreachable, "127.0.0.1:\(cloud.port)")
        await other.stop()
    }

    /// A server in the middle that has another authority gets neither the token nor the key.
    @Test func `a server that is not the one that the token names is sent no token`() async throws {
        let cloud = try await TestCloud()
        let thief = try await TestCloud()
        thief.interpose { request, _ in
            thief.reports.withLock { $0.append("\(request.method) \(request.path) \(String(decoding: request.body, as: UTF8.self))") }
            return request.path == "/join/v1/authority"
                ? HTTPResponse(
                    status: 200, body: .bytes(Array((cloud.authority.certificatePEM + thief.authority.certificatePEM).utf8))) : nil
        }
        let folder = try TemporaryFolder()
        let token = try await cloud.token(port: thief.port)
        await #expect(throws: EdgeAccessError.self) { try await thief.enter(folder.path, token: token) }
        #expect(thief.reports.withLock { $0 } == ["GET /join/v1/authority "])
        await cloud.stop()
        await thief.stop()
    }

    @Test func `an answer that is lost is asked for again with the same token`() async throws {
        let cloud = try await TestCloud()
        let folder = try TemporaryFolder()
        let token = try await cloud.token()
        // The cloud has done everything, and its answer does not arrive.
        let lost = Lost()
        cloud.interpose { request, api in
            guard request.path == "/join/v1", lost.first() else { return nil }
            #expect(await api.respond(to: request).status == 201)
            return HTTPResponse(status: 503)
        }
        do throws(EdgeAccessError) {
            _ = try await cloud.enter(folder.path, token: token)
            Issue.record("joined without an answer")
        } catch { #expect(error.isRetryable, "\(error)") }
        let kept = try IdentityFile(folder: folder.path).read()
        #expect(kept?.certificatePEM == nil && kept?.keyPEM.isEmpty == false)
        let joined = try await cloud.enter(folder.path, token: token)
        #expect(joined.identity.keyPEM == kept?.keyPEM)
        await cloud.stop()
    }

    @Test func `a certificate is renewed before it ends, by another key, and the one before is void`() async throws {
        let cloud = try await TestCloud()
        let folder = try TemporaryFolder()
        let edge = try await cloud.enter(folder.path, token: try await cloud.token())
        let before = edge.identity
        let old = try await cloud.enter(folder.path)
        #expect(await edge.step() > .seconds(1))
        #expect(edge.identity == before)
        cloud.edgeClock.ahead.store(80 * 86400, ordering: .relaxed)
        _ = await edge.step()
        let after = edge.identity
        #expect(after.keyPEM != before.keyPEM && after.certificatePEM != before.certificatePEM && after.isConfirmed)
        #expect(try IdentityFile(folder: folder.path).read() == after)
        // A copy of the folder from before: neither a session nor a renewal.
        #expect(try await cloud.status(old, "/api/v1/nodes/machine") == 401)
        _ = await old.step()
        #expect(old.refusal?.isRevocation == true)
        await cloud.stop()
    }

    @Test func `a certificate that ended while the edge was away is renewed by its key`() async throws {
        var policy = JoinDoor.Policy()
        // Issued an hour back: it has ended for TLS too.
        policy.validForSeconds = -60
        let cloud = try await TestCloud(policy)
        let folder = try TemporaryFolder()
        let edge = try await cloud.enter(folder.path, token: try await cloud.token())
        let before = edge.identity
        #expect(try await cloud.status(edge, "/api/v1/nodes/machine") == nil)
        _ = await edge.step()
        #expect(edge.identity.certificatePEM != before.certificatePEM)
        #expect(cloud.reports.withLock { $0 }.contains("renewed the certificate of node machine"))
        await cloud.stop()
    }

    @Test func `a renewal that the cloud did, and a crash before it was kept, leave the edge in`() async throws {
        let cloud = try await TestCloud()
        let folder = try TemporaryFolder()
        let edge = try await cloud.enter(folder.path, token: try await cloud.token())
        cloud.edgeClock.ahead.store(80 * 86400, ordering: .relaxed)
        cloud.interpose { request, _ in request.path == "/join/v1/confirmation" ? HTTPResponse(status: 503) : nil }
        _ = await edge.step()
        #expect(!edge.identity.isConfirmed)
        cloud.interpose { _, _ in nil }
        let restarted = try await cloud.enter(folder.path)
        #expect(restarted.identity == edge.identity)
        _ = await restarted.step()
        #expect(restarted.identity.isConfirmed)
        #expect(try await cloud.status(restarted, "/api/v1/nodes/machine") == 200)
        await cloud.stop()
    }

    @Test func `a removed node stays out, and comes in again by a new token`() async throws {
        let cloud = try await TestCloud()
        let folder = try TemporaryFolder()
        let token = try await cloud.token()
        let edge = try await cloud.enter(folder.path, token: token)
        try await cloud.client.delete(.node, ObjectKey(name: "machine"), Deletion())
        #expect(try await cloud.status(edge, "/api/v1/nodes/machine") == 401)
        // What it has been doing goes on; the used token does not help.
        let used = try await cloud.enter(folder.path, token: token)
        #expect(used.identity == edge.identity)
        let again = try await cloud.enter(folder.path, token: try await cloud.token())
        #expect(again.identity.node == "machine" && again.identity != edge.identity)
        #expect(try await cloud.status(again, "/api/v1/nodes/machine") == 200)
        // A token that is not needed is not used up.
        let spare = try await cloud.token()
        #expect(try await cloud.enter(folder.path, token: spare).identity == again.identity)
        #expect(try await JoinTokens(cloud.client).list().filter { $0.use == nil }.count == 1)
        await cloud.stop()
    }

    @Test func `a folder is of one node, and one that cannot be read is told`() async throws {
        let cloud = try await TestCloud()
        let folder = try TemporaryFolder()
        _ = try await cloud.enter(folder.path, token: try await cloud.token())
        await #expect(throws: EdgeAccessError.self) { try await cloud.enter(folder.path, name: "other") }
        let path = folder.path + "/identity.json"
        for text in ["", "{}", "{\"version\":2}", String(repeating: " ", count: 70_000)] {
            let file = fopen(path, "w")
            fputs(text, file)
            fclose(file)
            do throws(EdgeAccessError) {
                _ = try await cloud.enter(folder.path)
                Issue.record("read \(text.prefix(20))")
            } catch { #expect(error.code == .storage && error.description.contains(path)) }
        }
        await cloud.stop()
    }

    @Test func `machines that joined together renew apart, between six and eight tenths of a certificate's life`() throws {
        let cloud = try Authority.make(name: "x", now: .init(timeIntervalSince1970: 1_800_000_000))
        let key = SigningRequest.newKeyPEM()
        let times = try (0..<20).map { _ -> Int64 in
            let certificate = try NodeCertificate(
                pem: try cloud.issueNode(
                    "n", try SigningRequest(pem: try SigningRequest.make(node: "n", keyPEM: key)), now: 1_800_000_000, validFor: 90 * 86400)
            )
            let plan = RenewalPlan(certificate)
            #expect(!plan.isDue(plan.renewAt - 1) && plan.isDue(plan.renewAt))
            #expect(plan.way(certificate.validUntil - 1) == .shown && plan.way(certificate.validUntil) == .proven)
            return plan.renewAt - 1_800_000_000
        }
        #expect(times.allSatisfy { (53 * 86400...73 * 86400).contains($0) }, "\(times)")
        #expect(Set(times).count > 10)
    }
}
