import Resources
import Synchronization
import TestKit
import Testing

@testable import NodeAgent

#if canImport(Glibc)
    import Glibc
#endif

/// Tokens of service accounts in a Pod's volumes: who gets which, when they are replaced, what happens while none is to be had.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct PodTokensTests {
    /// Numbers the tokens it gives; refuses while it is out of reach.
    private final class Counting: PodTokens {
        let authorityPEM = "authority"
        let server = (host: "cloud.example", port: 7443)
        let asked = Mutex<[String]>([])
        let isAway = Mutex(false)

        func token(of account: ObjectKey, _ request: JSON) async throws(APIStatus) -> JSON {
            if isAway.withLock({ $0 }) { throw APIStatus(code: 503, reason: "ServiceUnavailable", message: "away") }
            let bound = request["spec"]?["boundObjectRef"]?["name"]?.string ?? ""
            let audience = request["spec"]?["audiences"]?.array?.first?.string ?? "api"
            let count = asked.withLock { asked in
                asked.append("\(account) \(bound) \(audience)")
                return asked.count
            }
            var answer = request
            answer["status"] = ["token": .string("token-\(count)")]
            return answer
        }
    }

    @Test func `a token is replaced after four fifths of its life, and good until the end of it`() {
        var shelf = TokenShelf()
        let need = TokenNeed(["audience": "vault", "expirationSeconds": 1000])
        #expect(shelf.fresh(need, at: .zero) == nil)
        shelf.put("t", for: need, seconds: 1000, at: .seconds(5))
        #expect(shelf.fresh(need, at: .seconds(804)) == "t")
        #expect(shelf.fresh(need, at: .seconds(805)) == nil)
        #expect(shelf.valid(need, at: .seconds(1004)) == "t")
        #expect(shelf.valid(need, at: .seconds(1005)) == nil)
        #expect(shelf.fresh(TokenNeed(["audience": "other", "expirationSeconds": 1000]), at: .seconds(6)) == nil)
        // The server gives none for less.
        #expect(TokenNeed(["expirationSeconds": 5]).seconds == 600)
    }

    @Test func `a Pod is given its account where clients look for it, once, unless it asks for none or has something there`() {
        let plain: JSON = ["spec": ["containers": [["name": "a"], ["name": "b"]], "initContainers": [["name": "i"]]]]
        let added = DefaultAccount.added(to: plain)
        #expect(added["spec"]?["volumes"]?.array?.count == 1)
        for list in ["containers", "initContainers"] {
            for container in added["spec"]?[list]?.array ?? [] {
                #expect(container["volumeMounts"]?.array?.first?["mountPath"]?.string == DefaultAccount.folder)
            }
        }
        #expect(DefaultAccount.added(to: added) == added)
        let unwanted: JSON = ["spec": ["automountServiceAccountToken": false, "containers": [["name": "a"]]]]
        #expect(DefaultAccount.added(to: unwanted) == unwanted)
        let own: JSON = [
            "spec": ["containers": [["name": "a", "volumeMounts": [["name": "x", "mountPath": .string(DefaultAccount.folder)]]]]]
        ]
        #expect(DefaultAccount.added(to: own) == own)
    }

    @Test func `a container finds token, certificate, namespace and server, and an audience of its own in a projected volume`() async throws
    {
        let tokens = Counting()
        let world = try await AgentWorld()
        try await world.startAgent(tokens: tokens)
        var spec = shell(
            "cd $SKERRY_SERVICE_ACCOUNT; echo $(cat token ca.crt namespace) $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT; cat /vault/t; stat -L -c %a token; sleep 1000",
            ["volumeMounts": [["name": "vault", "mountPath": "/vault"]]])
        spec["serviceAccountName"] = "robot"
        spec["volumes"] = [
            [
                "name": "vault",
                "projected": ["sources": [["serviceAccountToken": ["path": "t", "audience": "vault", "expirationSeconds": 600]]]],
            ]
        ]
        try await world.apply("web", spec)
        try await world.wait("web", "ran") { $0.isTrue("Ready") }
        var log = ""
        for _ in 0..<500 where !log.hasSuffix("600\n") {
            log = try await world.logs("web")
            try await Task.sleep(for: .milliseconds(10))
        }
        let asked = tokens.asked.withLock { $0.sorted() }
        #expect(asked == ["default/robot web api", "default/robot web vault"])
        #expect(log.contains("authoritydefault cloud.example:7443"), "\(log)")
        #expect(log.contains("token-1") && log.contains("token-2"), "\(log)")
        try await world.end()
    }

    @Test func `without a token a Pod that asks for one waits, and one that does not runs all the same`() async throws {
        let tokens = Counting()
        tokens.isAway.withLock { $0 = true }
        let world = try await AgentWorld()
        try await world.startAgent(tokens: tokens)
        try await world.apply("plain", shell("sleep 1000"))
        try await world.wait("plain", "ran") { $0.isTrue("Ready") }
        var spec = shell("sleep 1000", ["volumeMounts": [["name": "t", "mountPath": "/t"]]])
        spec["volumes"] = [["name": "t", "projected": ["sources": [["serviceAccountToken": ["path": "t"]]]]]]
        try await world.apply("asks", spec)
        try await world.wait("asks", "said what is missing") {
            $0.first["state"]?["waiting"]?["message"]?.string?.contains("no token of service account \"default\"") == true
        }
        tokens.isAway.withLock { $0 = false }
        try await world.wait("asks", "ran") { $0.isTrue("Ready") }
        try await world.end()
    }
}
