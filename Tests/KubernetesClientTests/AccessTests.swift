import Identity
import KubernetesClient
import Network
import Resources
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Answers every request with a version.
private struct Greeting: HTTPResponder {
    func respond(to request: HTTPRequest) async -> HTTPResponse {
        HTTPResponse(status: 200, body: .bytes(Array(#"{"gitVersion":"v1"}"#.utf8)))
    }
}

@Suite(.offThePool) struct AccessTests {
    /// A service account that may do everything, and a token for it, asked for as any client would.
    private func token(_ server: ForeignServer, _ client: RESTClient) async throws -> String {
        let account = try await client.get(.serviceAccount, ObjectKey(namespace: "default", name: "default"))
        let binding = ResourceKind(
            group: "rbac.authorization.k8s.io", version: "v1", kind: "ClusterRoleBinding", plural: "clusterrolebindings",
            isNamespaced: false)
        _ = try? await client.create(
            binding,
            [
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": ["name": "all"],
                "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"],
                "subjects": [["kind": "ServiceAccount", "name": "default", "namespace": "default"]],
            ])
        return try await server.token(account)
    }

    @Test func `a token is shown, and of no use once its account is gone`() async throws {
        try await ForeignServer.with { server, admin in
            let client = try server.client(server.access(token: .fixed(try await token(server, admin))))
            #expect(try await client.list(.node, ListQuery()).items.isEmpty)
            try await admin.delete(.serviceAccount, ObjectKey(namespace: "default", name: "default"), Deletion())
            let refused = try await refusal { () async throws(APIStatus) in try await client.list(.node, ListQuery()) }
            #expect(refused.code == 401 && refused.reason == "Unauthorized")
            await client.close()
        }
    }

    @Test func `a token that is renewed in its file is used at once`() async throws {
        try await ForeignServer.with { server, admin in
            let path = server.folder + "/token"
            try "stale\n".write(toFile: path, atomically: true, encoding: .utf8)
            let client = try server.client(server.access(token: .file(path: path)))
            let stale = try await refusal { () async throws(APIStatus) in try await client.list(.node, ListQuery()) }
            #expect(stale.code == 401)
            try (try await token(server, admin) + "\n").write(toFile: path, atomically: true, encoding: .utf8)
            #expect(try await client.list(.node, ListQuery()).items.isEmpty)
            try FileManager.default.removeItem(atPath: path)
            let unreadable = try await refusal { () async throws(APIStatus) in try await client.list(.node, ListQuery()) }
            #expect(unreadable.code == 503 && unreadable.message.contains(path))
            await client.close()
        }
    }

    @Test func `a client without rights is told so`() async throws {
        try await ForeignServer.with { server, _ in
            let client = try server.client(server.access(user: "nobody", groups: []))
            let refused = try await refusal { () async throws(APIStatus) in try await client.list(.node, ListQuery()) }
            #expect(refused.code == 403 && refused.message.contains("nobody"))
            await client.close()
        }
    }

    @Test func `a server whose certificate another authority has signed is not spoken to`() async throws {
        try await ForeignServer.with { server, _ in
            var access = server.access(token: .fixed("secret"))
            access.trust?.trustedPEM = try Authority.make(name: "foreign", now: Date()).certificatePEM
            let client = try server.client(access)
            let refused = try await refusal { () async throws(APIStatus) in try await client.list(.node, ListQuery()) }
            #expect(refused.code == 503 && refused.message.contains("certificate-authority-data"), "\(refused)")
            await client.close()
        }
    }

    @Test func `a server whose certificate is for another name is not spoken to`() async throws {
        try await ForeignServer.with { server, _ in
            let issued = try server.authority.issueServer(names: ["right.example"], addresses: [], now: Date(), validFor: 3600)
            let other = try await HTTPServer.start(
                host: "127.0.0.1", port: 0,
                tls: TLSIdentity(chainPEM: issued.certificatePEM, keyPEM: issued.keyPEM, trustedPEM: server.authority.certificatePEM),
                responder: Greeting())
            for (name, isRight) in [("", false), ("wrong.example", false), ("right.example", true)] {
                var access = try server.access()
                access.port = other.port
                access.trust?.serverName = name
                let client = try server.client(access)
                let answer = try? await client.version()
                #expect((answer == "v1") == isRight, "\(name)")
                if !isRight {
                    let refused = try await refusal { () async throws(APIStatus) in try await client.version() }
                    #expect(refused.code == 503 && refused.message.contains("certificate"), "\(refused)")
                }
                await client.close()
            }
            await other.stop(grace: .zero)
        }
    }

    @Test func `a certificate must bear the name or address that tls-server-name asks for, not the one that was dialled`() async throws {
        try await ForeignServer.with { server, _ in
            let issued = try server.authority.issueServer(
                names: ["*.right.example"], addresses: [[127, 0, 0, 1], [10, 0, 0, 5]], now: Date(), validFor: 3600)
            let other = try await HTTPServer.start(
                host: "127.0.0.1", port: 0,
                tls: TLSIdentity(chainPEM: issued.certificatePEM, keyPEM: issued.keyPEM, trustedPEM: server.authority.certificatePEM),
                responder: Greeting())
            for (name, isRight) in [
                ("", true), ("127.0.0.1", true), ("10.0.0.5", true), ("10.0.0.6", false), ("::1", false), ("wrong.example", false),
                ("a.right.example", true), ("A.RIGHT.example.", true), ("a.b.right.example", false), ("right.example", false),
            ] {
                var access = try server.access()
                access.port = other.port
                access.trust?.serverName = name
                let client = try server.client(access)
                let answer: Result<String, APIStatus>
                do throws(APIStatus) { answer = .success(try await client.version()) } catch { answer = .failure(error) }
                switch answer {
                case .success: #expect(isRight, "\(name)")
                case .failure(let refused):
                    #expect(!isRight && refused.message.contains("not for \(name)") && refused.message.contains("10.0.0.5"), "\(refused)")
                }
                await client.close()
            }
            await other.stop(grace: .zero)
        }
    }

    @Test func `a certificate that is renewed in its file is shown from the next request on`() async throws {
        try await ForeignServer.with { server, _ in
            var access = try server.access(user: "anne", groups: ["system:masters"])
            let files = CertificateFiles(chainPath: "\(server.folder)/client.crt", keyPath: "\(server.folder)/client.key")
            access.certificateFiles = files
            func write(_ text: String, _ path: String) throws { try text.write(to: URL(filePath: path), atomically: true, encoding: .utf8) }
            try write(access.trust!.chainPEM, files.chainPath)
            try write(access.trust!.keyPEM, files.keyPath)
            let client = try server.client(access)
            let review = ResourceKind(
                group: "authentication.k8s.io", version: "v1", kind: "SelfSubjectReview", plural: "selfsubjectreviews", isNamespaced: false)
            func name() async throws(APIStatus) -> String? {
                let answer = try await client.create(review, ["apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"])
                return answer["status"]?["userInfo"]?["username"]?.string
            }
            #expect(try await name() == "anne")
            let renewed = try server.authority.issueUser(name: "anne-2", groups: ["system:masters"], now: Date(), validFor: 3600)
            try write(renewed.certificatePEM, files.chainPath)
            // The key is not there yet: what was holds.
            #expect(try await name() == "anne")
            try write(renewed.keyPEM, files.keyPath)
            #expect(try await name() == "anne-2")
            #expect(client.connectionCount == 1)
            await client.close()
        }
    }

    @Test func `a token made for another service is refused`() async throws {
        try await ForeignServer.with { server, client in
            let account = try await client.get(.serviceAccount, ObjectKey(namespace: "default", name: "default"))
            for (audience, isTaken) in [("elsewhere", false), (ServiceTokens.issuer, true)] {
                let token = try await server.token(account, audiences: [audience])
                let stranger = try server.client(server.access(token: .fixed(token)))
                let refused = try await refusal { () async throws(APIStatus) in try await stranger.list(.node, ListQuery()) }
                // Who is known is told what it may not.
                #expect(refused.code == (isTaken ? 403 : 401), "\(refused)")
                await stranger.close()
            }
        }
    }

    @Test func `a server that does not run is named`() async throws {
        let server = try await ForeignServer()
        let client = try server.client()
        await server.end()
        let refused = try await refusal { () async throws(APIStatus) in try await client.list(.node, ListQuery()) }
        #expect(refused.code == 503 && refused.message.contains("https://127.0.0.1:\(server.port)"), "\(refused)")
        await client.close()
    }
}

extension ForeignServer {
    /// A token of a service account, good for an hour.
    func token(_ account: JSON, audiences: [String] = [ServiceTokens.issuer]) throws -> String {
        let now = Int64(Date().timeIntervalSince1970)
        return try sign(
            ServiceTokens.Claims(
                namespace: "default", account: "default", accountUID: account["metadata"]?["uid"]?.string ?? "",
                audiences: audiences, issuedAt: now, expiresAt: now + 3600, id: "1"))
    }
}
