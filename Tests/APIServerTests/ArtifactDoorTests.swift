import APIServer
import Identity
import Network
import Resources
import Storage
import Synchronization
import TestKit
import Testing

@Suite(.offThePool) struct ArtifactDoorTests {
    private static let bytes = (0..<700_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 9) }

    private struct Scene {
        let folder = try! TemporaryFolder()
        let api: TestAPI
        let digest = ArtifactDigest(of: ArtifactDoorTests.bytes)
        var path: String { "/artifacts/sha256/\(digest.hex)" }

        /// - Parameter isForeign: whether the door asks by a client, as beside a Kubernetes that somebody else runs.
        init(_ limits: ArtifactDoor.Limits = .init(), isForeign: Bool = false) async throws {
            let path = folder.path + "/artifacts"
            api = try await TestAPI { parts in
                let now = parts.service.environment.now
                let store = try ArtifactStore(folder: path, now: { now().seconds })
                let client = ServiceClient(parts.service, user: User(name: "t", groups: ["system:masters"]))
                return [
                    isForeign
                        ? ArtifactDoor(client: client, store: store, now: now, limits: limits)
                        : ArtifactDoor(service: parts.service, store: store, limits: limits)
                ]
            }
        }

        func put(
            _ range: Range<Int>? = nil, bytes: [UInt8] = ArtifactDoorTests.bytes, as certificate: [UInt8]?? = nil
        ) async throws -> TestAPI.Answer {
            let headers = range.map { [("Content-Range", "bytes \($0.lowerBound)-\($0.upperBound - 1)/\(bytes.count)")] } ?? []
            return try await api.send("PUT", path, raw: Array(bytes[range ?? 0..<bytes.count]), headers: headers, as: certificate)
        }

        func get(_ range: String? = nil, as certificate: [UInt8]?? = nil) async throws -> (
            status: Int, headers: HTTPHeaders, bytes: [UInt8]
        ) {
            let answer = try await api.send("GET", path, headers: range.map { [("Range", $0)] } ?? [], as: certificate)
            guard let stream = answer.stream else { return (answer.status, answer.headers, answer.bytes) }
            return (answer.status, answer.headers, await ArtifactDoorTests.drain(stream))
        }
    }

    /// All that a stream gives.
    private static func drain(_ stream: any HTTPBodyStream) async -> [UInt8] {
        let (rings, bell) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        stream.start { bell.yield() }
        defer { stream.stop() }
        var bytes: [UInt8] = []
        var ring = rings.makeAsyncIterator()
        while true {
            switch stream.next() {
            case .chunk(let chunk): bytes += chunk
            case .wait: await ring.next()
            case .end, .failed: return bytes
            }
        }
    }

    @Test func `a file is put in parts and got whole or by ranges`() async throws {
        let scene = try await Scene()
        let size = Self.bytes.count
        #expect(try await scene.get().status == 404)
        #expect(try await scene.put(0..<300_000).status == 202)
        let missing = try await scene.api.send("HEAD", scene.path)
        #expect(missing.status == 404 && missing.headers["upload-offset"] == "300000")
        let asked = try await scene.api.send("PUT", scene.path, raw: [], headers: [("Content-Range", "bytes */\(size)")])
        #expect(asked.status == 202 && asked.headers["upload-offset"] == "300000")
        let wrong = try await scene.put(400_000..<500_000)
        #expect(wrong.status == 409 && wrong.headers["upload-offset"] == "300000")
        #expect(try await scene.put(300_000..<size).status == 201)
        #expect(try await scene.put().status == 200)
        let whole = try await scene.get()
        #expect(whole.status == 200 && whole.bytes == Self.bytes)
        #expect(whole.headers["content-length"] == String(size))
        #expect(try await scene.api.send("HEAD", scene.path).headers["content-length"] == String(size))
        for (range, expected) in [
            ("bytes=0-0", 0..<1), ("bytes=299999-300001", 299_999..<300_002), ("bytes=500000-", 500_000..<size),
            ("bytes=-10", size - 10..<size), ("bytes=0-99999999", 0..<size), ("bytes=-99999999", 0..<size),
        ] {
            let part = try await scene.get(range)
            #expect(part.status == 206 && part.bytes == Array(Self.bytes[expected]), "\(range)")
            #expect(part.headers["content-range"] == "bytes \(expected.lowerBound)-\(expected.upperBound - 1)/\(size)")
        }
        for range in [
            "bytes=700000-", "bytes=5-4", "bytes=-0", "bytes=0-1,3-4", "bytes=-", "bytes=x-", "lines=0-1", "bytes=+1-2",
            "bytes=9223372036854775807-",
        ] {
            let answer = try await scene.get(range)
            #expect(answer.status == 416 && answer.headers["content-range"] == "bytes */\(size)", "\(range)")
        }
    }

    @Test func `where a file is cut is told to those who may read it`() async throws {
        let scene = try await Scene()
        #expect(try await scene.api.send("GET", scene.path + "/chunks").status == 404)
        #expect(try await scene.put().status == 201)
        let answer = try await scene.api.send("GET", scene.path + "/chunks")
        let chunks = try #require(FileChunks(bytes: answer.bytes))
        #expect(answer.status == 200 && chunks.size == Int64(Self.bytes.count) && chunks.chunks.count > 10)
        #expect(try await scene.api.send("GET", scene.path + "/chunks").bytes == answer.bytes)
        #expect(try await scene.api.send("PUT", scene.path + "/chunks", raw: [1]).status == 405)
        #expect(try await scene.api.send("HEAD", scene.path + "/chunks").status == 405)
        let node = try await scene.api.agent("n1")
        #expect(try await scene.api.send("GET", scene.path + "/chunks", as: .some(node)).status == 403)
    }

    @Test func `a file that is not what its name says is refused, and nothing of it is there`() async throws {
        let scene = try await Scene()
        var wrong = Self.bytes
        wrong[1] ^= 1
        #expect(try await scene.put(bytes: wrong).status == 422)
        #expect(try await scene.get().status == 404)
        for header in [
            "bytes 0-9/5", "bytes 5-4/10", "bytes 0-1/2", "bytes a-b/c", "items 0-699999/700000", "bytes 0-699999/*", "bytes */x",
        ] {
            let answer = try await scene.api.send("PUT", scene.path, raw: Self.bytes, headers: [("Content-Range", header)])
            #expect(answer.status == 400, "\(header): \(answer.status)")
        }
        #expect(try await scene.api.send("DELETE", scene.path).status == 405)
    }

    /// CVE-2026-62369: a path out of an archive was written wherever it pointed.
    @Test(arguments: [
        "/artifacts/sha256/../../objects.db", "/artifacts/sha256/%2e%2e%2fca.key", "/artifacts/sha256/..%2F..%2Fca.key",
        "/artifacts/sha256/",
        "/artifacts/sha256", "/artifacts", "/artifacts/md5/x", "/artifacts/sha256//etc/passwd", "/artifacts/sha256/parts",
        "/artifacts/sha256/" + String(repeating: "A", count: 64), "/artifacts/sha256/" + String(repeating: "a", count: 64) + "/x",
        "/artifacts/sha256/" + String(repeating: "%61", count: 64), "/artifacts/sha256/" + String(repeating: "a", count: 63) + "%00",
    ])
    func `a path that is no digest names no file, to read or to write`(path: String) async throws {
        let scene = try await Scene()
        for method in ["GET", "HEAD", "PUT"] {
            #expect(try await scene.api.send(method, path, raw: [1, 2, 3]).status == 404, "\(method) \(path)")
        }
    }

    @Test func `a node reads what its own objects name, and nothing else`() async throws {
        let scene = try await Scene()
        #expect(try await scene.put().status == 201)
        let mine = try await scene.api.agent("n1")
        let other = try await scene.api.agent("n2")
        func may(_ certificate: [UInt8]) async throws -> Bool { try await scene.get(as: certificate).status == 200 }
        #expect(try await !may(mine))
        var plain = pod("a", node: "n1")
        plain[path: ["spec", "containers"]] = [
            ["name": "c", "image": "x", "env": [["name": "MODEL", "value": .string("artifact:\(scene.digest)")]]]
        ]
        _ = try await scene.api.create("/api/v1/namespaces/default/pods", plain)
        #expect(try await may(mine))
        #expect(try await !may(other))
        // What a node writes itself gives it no right.
        let own: JSON = ["metadata": ["labels": ["x": "y"], "annotations": ["a": .string("\(scene.digest)")]]]
        #expect(
            try await scene.api.send("PATCH", "/api/v1/nodes/n2", own, type: "application/merge-patch+json", as: other).status == 200)
        #expect(try await !may(other))
        _ = try await scene.api.create("/api/v1/namespaces/default/pods", pod("b", node: "n2"))
        let status: JSON = ["status": ["message": .string("\(scene.digest)")]]
        #expect(
            try await scene.api.send(
                "PATCH", "/api/v1/namespaces/default/pods/b/status", status, type: "application/merge-patch+json", as: other
            ).status == 200)
        #expect(try await !may(other))
        // By a ConfigMap that its Pod names.
        _ = try await scene.api.create(
            "/api/v1/namespaces/default/configmaps",
            ["metadata": ["name": "models"], "data": ["serving": .string("\(scene.digest)")]])
        #expect(try await !may(other))
        var named = pod("c", node: "n2")
        named[path: ["spec", "volumes"]] = [["name": "m", "configMap": ["name": "models"]]]
        _ = try await scene.api.create("/api/v1/namespaces/default/pods", named)
        #expect(try await may(other))
        #expect(try await scene.get("bytes=0-9", as: other).bytes == Array(Self.bytes[..<10]))
    }

    @Test(arguments: [false, true])
    func `the node of a Pod that shows a Model reads the Model's files, and no other node`(isForeign: Bool) async throws {
        let scene = try await Scene(isForeign: isForeign)
        #expect(try await scene.put().status == 201)
        let (mine, other) = (try await scene.api.agent("n1"), try await scene.api.agent("n2"))
        let models = "/apis/sedna.io/v1alpha1/namespaces/default/models"
        _ = try await scene.api.create(
            models,
            [
                "apiVersion": "sedna.io/v1alpha1", "kind": "Model", "metadata": ["name": "m"],
                "spec": ["url": "/models/m.onnx", "format": "onnx"],
            ])
        let status: JSON = ["status": ["serving": 1, "versions": [["version": 1, "digest": .string("\(scene.digest)")]]]]
        let patched = try await scene.api.send("PATCH", models + "/m/status", status, type: "application/merge-patch+json")
        #expect(patched.status == 200)
        #expect(try await scene.get(as: mine).status == 403)
        var shown = pod("a", node: "n1")
        shown[path: ["spec", "volumes"]] = [WorkerContract.Volume.model.volume("m", ["model": "m"])]
        _ = try await scene.api.create("/api/v1/namespaces/default/pods", shown)
        #expect(try await scene.get(as: mine).status == 200)
        #expect(try await scene.get(as: other).status == 403)
        // A node writes nothing of a Model, lest it name a file that it wants.
        let taken = try await scene.api.send("PATCH", models + "/m/status", status, type: "application/merge-patch+json", as: mine)
        #expect(taken.status == 403)
    }

    @Test(arguments: [false, true])
    func `a dataset's node reads its file`(isForeign: Bool) async throws {
        let scene = try await Scene(isForeign: isForeign)
        #expect(try await scene.put().status == 201)
        let node = try await scene.api.agent("n1")
        var data = dataset("d")
        data[path: ["spec", "url"]] = .string("/files/\(scene.digest)")
        data[path: ["spec", "nodeName"]] = "n1"
        #expect(try await scene.get(as: node).status == 403)
        _ = try await scene.api.create(datasets, data)
        #expect(try await scene.get(as: node).status == 200)
    }

    @Test func `users need a role for the path, strangers get nothing`() async throws {
        let scene = try await Scene()
        let user = try scene.api.certificate("carol", [])
        for certificate in [Optional(user), nil] {
            #expect(try await scene.put(as: certificate).status == 403)
            #expect(try await scene.get(as: certificate).status == 403)
        }
        let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        _ = try await scene.api.create(
            roles, ["metadata": ["name": "files"], "rules": [["verbs": ["get", "put"], "nonResourceURLs": ["/artifacts/*"]]]])
        _ = try await scene.api.create(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            [
                "metadata": ["name": "files"],
                "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "files"],
                "subjects": [["apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "carol"]],
            ])
        #expect(try await scene.put(as: user).status == 201)
        #expect(try await scene.get(as: user).status == 200)
        #expect(try await scene.get(as: .some(nil)).status == 403)
    }

    @Test func `a node sends what it has made, within its budget`() async throws {
        var limits = ArtifactDoor.Limits()
        limits.nodeBytesMax = 1_000_000
        let scene = try await Scene(limits)
        let node = try await scene.api.agent("n1")
        #expect(try await scene.put(as: node).status == 201)
        let refused = try await scene.put(as: node)
        #expect(refused.status == 429 && refused.headers["retry-after"] == "86400")
        #expect(try await scene.put(as: try await scene.api.agent("n2")).status == 200)
        scene.api.clock.seconds.store(86400, ordering: .relaxed)
        #expect(try await scene.put(as: node).status == 200)
    }

    @Test(arguments: [false, true])
    func `files that no object names are removed after a week, those that are named stay`(isForeign: Bool) async throws {
        let folder = try TemporaryFolder()
        let api = try await TestAPI()
        let service = api.service
        let store = try ArtifactStore(folder: folder.path + "/artifacts", now: { service.environment.now().seconds })
        for byte: UInt8 in 1...2 { _ = try store.append([byte], to: ArtifactDigest(of: [byte]), at: 0, of: 1) }
        _ = try await api.create(
            "/api/v1/namespaces/default/configmaps",
            ["metadata": ["name": "m"], "data": ["a": .string("\(ArtifactDigest(of: [1]))")]])
        let client = ServiceClient(service, user: User(name: "t", groups: ["system:masters"]))
        let tokens = JoinTokens(client)
        let keeper =
            isForeign
            ? LeftoverKeeper(client: client, tokens: tokens, artifacts: store, now: service.environment.now, report: { _ in })
            : LeftoverKeeper(service: service, tokens: tokens, artifacts: store, report: { _ in })
        await keeper.look()
        #expect(store.count == 2)
        api.clock.seconds.store(LeftoverKeeper.artifactSeconds, ordering: .relaxed)
        await keeper.look()
        #expect(store.entries().map(\.digest) == [ArtifactDigest(of: [1])])
    }
}
