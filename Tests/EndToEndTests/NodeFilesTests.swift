import Network
import Resources
import Storage
import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What lies on a node itself: its own copy of objects, its disk, models that no registry vouches for.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct NodeFilesTests {
    private static let small = "models/thermal-comfort/comfort-small.onnx"
    private static let large = "models/thermal-comfort/comfort.onnx"

    private static func done(_ line: String, _ folder: String) async -> String {
        let result = await Edge.skerry(line.split(separator: " ").map(String.init), in: folder).wait()
        #expect(result.status == 0, "skerry \(line): \(result.error)")
        return result.output
    }

    private static func pod(_ name: String, _ script: String, node: String) -> String {
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: \(name)}
        spec:
          nodeName: \(node)
          terminationGracePeriodSeconds: 1
          containers: [{name: main, image: none, command: [/bin/sh, -c, "\(script)"]}]

        """
    }

    @Test func `a cloud whose own node's copy is damaged sets it aside, serves, and begins no Pod again`() async throws {
        let folder = try Cloud.newFolder()
        var cloud = try await Cloud.start(in: folder, node: true)
        try cloud.write("pod.yaml", Self.pod("web", "echo life >> \(folder)/lives; exec sleep 100000", node: "cloud-0"))
        #expect(await cloud.kubectl("apply -f \(folder)/pod.yaml").status == 0)
        #expect(await cloud.kubectl("wait pod/web --for=condition=Ready --timeout=60s").status == 0)
        await cloud.stop()
        let damaged = Data(repeating: 0xff, count: 40_000)
        for end in ["", "-wal"] { try damaged.write(to: URL(filePath: "\(folder)/node/edge.db\(end)")) }
        cloud = try await Cloud.start(in: folder, node: true)
        try await Edge.until("it says what it does: \(cloud.program.error)") { cloud.program.error.contains("edge.db is damaged") }
        #expect(FileManager.default.fileExists(atPath: "\(folder)/node/edge.db.damaged"))
        // The node is at work again: it begins another Pod, and ends this one.
        try cloud.write("next.yaml", Self.pod("next", "exec sleep 100000", node: "cloud-0"))
        #expect(await cloud.kubectl("apply -f \(folder)/next.yaml").status == 0)
        let ready = await cloud.kubectl("wait pod/next pod/web --for=condition=Ready --timeout=60s")
        #expect(ready.status == 0, "\(ready.error)")
        #expect(try String(contentsOf: URL(filePath: "\(folder)/lives"), encoding: .utf8) == "life\n", "the Pod web was begun again")
        #expect(await cloud.kubectl("delete pod web next --timeout=60s").status == 0)
        await cloud.stop()
        try FileManager.default.removeItem(atPath: folder)
    }

    #if os(Linux)
        @Test(.enabled(if: geteuid() == 0, "mounting a small file system needs root"))
        func `an edge whose disk is full when it starts waits for room`() async throws {
            try await Cloud.with { cloud in
                let place = cloud.folder + "/edge"
                try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
                guard mount("tmpfs", place, "tmpfs", 0, "size=16m") == 0 else {
                    try Test.cancel("this machine gives root no right to mount")
                }
                defer { umount2(place, Int32(MNT_DETACH)) }
                await (try await Edge.join(cloud)).stop()
                let filler = open(place + "/filler", O_WRONLY | O_CREAT, 0o600)
                let piece = [UInt8](repeating: 1, count: 4096)
                while write(filler, piece, piece.count) > 0 {}
                close(filler)
                let program = Edge.skerry(["edge", "--data-dir", place, "--listen", "127.0.0.1:0"], in: cloud.folder)
                try await Edge.until("it waits: \(program.error)") { program.error.contains("is full") }
                #expect(!program.error.contains("--server="))
                unlink(place + "/filler")
                try await Edge.until("it serves: \(program.error)") { program.error.contains("--server=") }
                program.signal(SIGTERM)
                let ended = await program.wait()
                #expect(ended.status == 0, "\(ended.error)")
                // One that is to end does, while it waits too.
                let again = open(place + "/filler", O_WRONLY | O_CREAT, 0o600)
                while write(again, piece, piece.count) > 0 {}
                close(again)
                let other = Edge.skerry(["edge", "--data-dir", place, "--listen", "127.0.0.1:0"], in: cloud.folder)
                try await Edge.until("it waits: \(other.error)") { other.error.contains("is full") }
                other.signal(SIGTERM)
                let second = await other.wait()
                #expect(second.status == 0, "\(second.error)")
            }
        }
    #endif

    private static func waiting(_ edge: Edge, _ cloud: Cloud, _ pod: String) async -> String {
        await cloud.kubectl([
            edge.server, "get", "pod", pod, "-n", "skerry-local", "-o", "jsonpath={.status.containerStatuses[0].state.waiting}",
        ]).output
    }

    @Test func `where a cluster demands signatures, a node loads a file of its own only with one, without a cloud too`() async throws {
        let folder = try Cloud.newFolder()
        let cloud = try await Cloud.start(in: folder)
        let edge = try await Edge.join(cloud)
        _ = await Self.done("model push \(Self.small) --name comfort", folder)
        try await Edge.until("a signature") { await Edge.skerry(["model", "verify", "comfort"], in: folder).wait().status == 0 }
        _ = await Self.done("model pull comfort --to \(folder)/copy", folder)
        #expect(await Self.done("model keys demand all", folder) == "nodes load nothing unsigned\n")
        try await Edge.until("the node to know") {
            await cloud.kubectl("\(edge.server) get configmap model-signing-keys -n kube-system -o yaml").output.contains(
                "models.skerry.io/signatures: required")
        }
        cloud.program.signal(SIGKILL)
        _ = await cloud.program.wait()

        #expect(await edge.verb("deploy \(Self.small) --name bare").status == 0)
        #expect(await edge.verb("deploy \(Self.large) --name other --signature \(folder)/copy/model.sig").status == 0)
        #expect(await edge.verb("deploy \(folder)/copy/model.onnx --name proven").status == 0)
        try await Edge.until("a signed model to run: \(edge.program.error)") {
            await edge.verb("status -o json").output.contains("\"Running\"")
        }
        var words = ""
        try await Edge.until("an unsigned one to be refused: \(words)") {
            words = await Self.waiting(edge, cloud, "bare")
            return words.contains("ModelRefused") && words.contains("it is not signed")
        }
        try await Edge.until("one with another's signature to be refused: \(words)") {
            words = await Self.waiting(edge, cloud, "other")
            return words.contains("ModelRefused") && words.contains("do not load it")
        }
        let port = try #require(edge.server.split(separator: ":").last.flatMap { Int($0) })
        let client = try PooledHTTPClient(host: "127.0.0.1", port: port, trust: nil)
        try await Edge.until("the signed model at the node's port") {
            (try? await client.send(HTTPRequest(method: "GET", path: "/v2/models/proven/ready")))?.status == 200
        }
        let bare = try await client.send(HTTPRequest(method: "GET", path: "/v2/models/bare/ready"))
        #expect(bare.status == 404)
        await client.close()
        for pod in ["bare", "other", "proven"] { #expect(await edge.verb("remove \(pod)").status == 0) }
        try await Edge.until("no Pods") { await !edge.verb("status -o json").output.contains("skerry-local") }
        await edge.stop()
        try FileManager.default.removeItem(atPath: folder)
    }

    @Test func `a Model that demands a signature is not served from a path without one, and its event says why`() async throws {
        try await Cloud.with(node: true) { cloud in
            _ = await Self.done("model push \(Self.small) --name comfort", cloud.folder)
            try await Edge.until("a signature") { await Edge.skerry(["model", "verify", "comfort"], in: cloud.folder).wait().status == 0 }
            _ = await Self.done("model pull comfort --to \(cloud.folder)/copy", cloud.folder)
            try FileManager.default.createDirectory(atPath: "\(cloud.folder)/models", withIntermediateDirectories: false)
            try FileManager.default.copyItem(atPath: "\(cloud.folder)/copy/model.onnx", toPath: "\(cloud.folder)/models/rooms.onnx")
            try cloud.write(
                "model.yaml",
                """
                apiVersion: sedna.io/v1alpha1
                kind: Model
                metadata: {name: rooms}
                spec: {url: \(cloud.folder)/models/rooms.onnx, format: onnx, nodes: [cloud-0], signature: required}
                """)
            #expect(await cloud.kubectl("apply -f \(cloud.folder)/model.yaml").status == 0)
            try await Edge.until("an event") {
                await cloud.kubectl("get events --field-selector reason=ModelRefused").output.contains("it is not signed")
            }
            #expect(await cloud.kubectl("get daemonset rooms-serve -o jsonpath={.status.numberReady}").output != "1")
            try FileManager.default.copyItem(
                atPath: "\(cloud.folder)/copy/model.sig", toPath: "\(cloud.folder)/models/rooms.onnx.sig")
            try await Edge.until("the model to be served") {
                await cloud.kubectl("get daemonset rooms-serve -o jsonpath={.status.numberReady}").output == "1"
            }
            #expect(await cloud.kubectl("delete model rooms").status == 0)
            try await Edge.until("no Pod") { await cloud.kubectl("get pods -o name").output.isEmpty }
        }
    }
}
