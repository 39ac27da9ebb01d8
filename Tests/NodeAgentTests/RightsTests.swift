import Identity
import Network
import Resources
import Synchronization
import TestKit
import Testing

@testable import NodeAgent

#if canImport(Glibc)
    import Glibc
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a container may do on the machine: rights it gives up, files it cannot write, memory and disk its volumes may take.
@Suite(.offThePool, .enabled(if: geteuid() == 0, "only root gives up rights"), .timeLimit(.minutes(30))) struct RightsTests {
    /// What a script prints that ends by itself.
    private func output(_ world: AgentWorld, _ name: String, _ script: String, _ more: JSON, volumes: JSON = []) async throws -> String {
        var spec = shell(script, restartPolicy: "Never", more)
        spec["volumes"] = volumes
        try await world.apply(name, spec)
        let pod = try await world.wait(name, "ended") { ["Succeeded", "Failed"].contains($0.phase) }
        let log = try await world.logs(name)
        return log.isEmpty ? pod.first.text : log
    }

    @Test func `a process gives up capabilities, keeps one as another user, and gets no rights by files`() async throws {
        try await AgentWorld.with { world in
            let script = "grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status | tr -d '\\t' | tr '\\n' ' '"
            let bare = try await output(
                world, "bare", script, ["securityContext": ["capabilities": ["drop": ["ALL"]], "allowPrivilegeEscalation": false]])
            #expect(bare == "CapEff:0000000000000000 CapBnd:0000000000000000 NoNewPrivs:1 ")
            let one = try await output(
                world, "one", script,
                ["securityContext": ["runAsUser": 65534, "capabilities": ["drop": ["ALL"], "add": ["NET_BIND_SERVICE"]]]])
            #expect(one == "CapEff:0000000000000400 CapBnd:0000000000000400 NoNewPrivs:0 ")
            let less = try await output(world, "less", script, ["securityContext": ["capabilities": ["drop": ["CAP_NET_RAW"]]]])
            // NET_RAW is 13.
            let bits = UInt64(less.split(separator: " ").first?.dropFirst("CapEff:".count) ?? "", radix: 16) ?? 0
            #expect(bits != 0 && bits & 1 << 13 == 0, "\(less)")
        }
    }

    @Test func `a command beside a container has no more rights than the container`() async throws {
        try await AgentWorld.with { world in
            let bare: JSON = ["securityContext": ["capabilities": ["drop": ["ALL"]], "allowPrivilegeEscalation": false]]
            try await world.apply("bare", shell("sleep 1000", restartPolicy: "Always", bare))
            try await world.wait("bare", "ran") { $0.isTrue("Ready") }
            let query = ExecQuery(command: ["grep", "-E", "CapEff|NoNewPrivs", "/proc/self/status"])
            let ran = try await world.call(.exec(PodTarget(namespace: "default", pod: "bare"), query))
            #expect(ran.out == "CapEff:\t0000000000000000\nNoNewPrivs:\t1\n")
        }
    }

    @Test func `a capability that is none is refused with its name`() async throws {
        try await AgentWorld.with { world in
            try await world.apply("odd", shell("true", restartPolicy: "Never", ["securityContext": ["capabilities": ["add": ["FLY"]]]]))
            let pod = try await world.wait("odd", "was refused") {
                $0.first["state"]?["waiting"]?["reason"] == "CreateContainerConfigError"
            }
            #expect(pod.first["state"]?["waiting"]?["message"]?.string?.contains("\"FLY\" is no capability") == true)
        }
    }

    @Test func `with a read-only root only the container's folder and its volumes are written`() async throws {
        try await AgentWorld.with { world in
            let mark = "/tmp/skerry-root-\(UInt64.random(in: 0 ... .max))"
            let text = try await output(
                world, "closed",
                "echo a > own && echo own; echo b > /data/x && echo volume; (echo c > \(mark)) 2>/dev/null || echo closed; (echo d > /ro/x) 2>/dev/null || echo kept",
                [
                    "securityContext": ["readOnlyRootFilesystem": true],
                    "volumeMounts": [["name": "v", "mountPath": "/data"], ["name": "v", "mountPath": "/ro", "readOnly": true]],
                ], volumes: [["name": "v", "emptyDir": [:]]])
            #expect(text == "own\nvolume\nclosed\nkept\n")
            #expect(access(mark, F_OK) != 0)
            rmdir("/ro")
        }
    }

    @Test func `a volume in memory holds what it may and no more, and is gone with its Pod`() async throws {
        try await AgentWorld.with { world in
            var spec = shell(
                "stat -f -c %T /mem; head -c 100000 /dev/zero > /mem/a && echo fits; head -c 3000000 /dev/zero > /mem/b 2>/dev/null || echo full; sleep 1000",
                ["volumeMounts": [["name": "m", "mountPath": "/mem"]]])
            spec["volumes"] = [["name": "m", "emptyDir": ["medium": "Memory", "sizeLimit": "1Mi"]]]
            try await world.apply("memory", spec)
            let pod = try await world.wait("memory", "ran") { $0.isTrue("Ready") }
            var log = ""
            for _ in 0..<500 where !log.hasSuffix("full\n") {
                log = try await world.logs("memory")
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(log == "tmpfs\nfits\nfull\n")
            let uid = pod["metadata"]?["uid"]?.string ?? ""
            let place = "\(world.folder.path)/node/pods/\(uid)/volumes/m"
            #expect(SystemFiles.isMountPoint(place))
            try await world.delete("memory", graceSeconds: 1)
            try await world.waitUntilGone("memory")
            for _ in 0..<500 where SystemFiles.mode(place) != nil { try await Task.sleep(for: .milliseconds(10)) }
            #expect(SystemFiles.mode(place) == nil)
            rmdir("/mem")
        }
    }

    @Test func `what a folder takes is counted up to just beyond a limit, links not followed`() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/skerry-usage-\(UInt64.random(in: 0 ... .max))"
        try SystemFiles.makeFolder(folder + "/deep/er")
        defer { SystemFiles.remove(folder) }
        try Data(repeating: 1, count: 100_000).write(to: URL(filePath: folder + "/deep/er/file"))
        symlink("/", folder + "/deep/everything")
        let usage = SystemFiles.usage(folder, upTo: 1 << 30)
        #expect((100_000..<200_000).contains(usage))
        #expect(SystemFiles.usage(folder, upTo: 10) > 10)
    }

    @Test func `a container's errors come apart from its output to who is attached`() async throws {
        try await AgentWorld.with { world in
            try await world.apply(
                "both", shell("read line; echo out; echo err >&2; sleep 1000", ["stdin": true, "stdinOnce": true]))
            try await world.wait("both", "was ready") { $0.isTrue("Ready") }
            var query = AttachQuery()
            query.stdin = true
            let stream = try await LocalCalls(node: AgentWorld.node, handler: world.agent.calls).open(
                .attach(PodTarget(namespace: "default", pod: "both"), query), on: AgentWorld.node)
            try await stream.send(.data(.stdin, Array("go\n".utf8)))
            var texts: [CallChannel: String] = [:]
            while texts[.stdout] == nil || texts[.stderr] == nil, let frame = try await stream.receive() {
                if case .data(let channel, let bytes) = frame, !bytes.isEmpty {
                    texts[channel, default: ""] += String(decoding: bytes, as: UTF8.self)
                }
            }
            #expect(texts == [.stdout: "out\n", .stderr: "err\n"])
            stream.close(nil)
        }
    }

    @Test func `a program that reads to the end of its input ends with the first who was attached`() async throws {
        try await AgentWorld.with { world in
            try await world.apply("once", shell("cat > /dev/null; echo over", restartPolicy: "Never", ["stdin": true, "stdinOnce": true]))
            try await world.wait("once", "was ready") { $0.isTrue("Ready") }
            var query = AttachQuery()
            query.stdin = true
            let stream = try await LocalCalls(node: AgentWorld.node, handler: world.agent.calls).open(
                .attach(PodTarget(namespace: "default", pod: "once"), query), on: AgentWorld.node)
            _ = try await stream.receive()
            try await stream.send(.data(.stdin, Array("some\n".utf8)))
            stream.close(nil)
            try await world.wait("once", "succeeded") { $0.phase == "Succeeded" }
        }
    }
}

/// Probes of scheme HTTPS, to a server whose certificate nobody knows.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct SecureProbeTests {
    private struct Answering: HTTPResponder {
        let asked: Asked
        func respond(to request: HTTPRequest) async -> HTTPResponse {
            asked.requests.withLock { $0.append("\(request.path)?\(request.query) \(request.headers["x-probe"] ?? "")") }
            return HTTPResponse(status: request.path == "/well" ? 204 : 503)
        }
    }

    private final class Asked: Sendable { let requests = Mutex<[String]>([]) }

    private struct Probes: SecureProbes {
        func status(
            host: String, port: Int, target: String, headers: [(String, String)], timeout: Duration
        ) async throws(ProbeFailure) -> Int {
            do {
                return try await PooledHTTPClient.statusFromAnybody(
                    host: host, port: port, target: target, headers: headers, timeout: timeout)
            } catch { throw ProbeFailure("\(error)") }
        }
    }

    @Test func `a server over TLS is asked whoever it is, and its status decides`() async throws {
        let authority = try Authority.make(name: "test", now: Date())
        let issued = try authority.issueServer(names: ["other.example"], addresses: [], now: Date(), validFor: 3600)
        let asked = Asked()
        let server = try await HTTPServer.start(
            host: "127.0.0.1", port: 0,
            tls: TLSIdentity(chainPEM: issued.certificatePEM, keyPEM: issued.keyPEM, trustedPEM: authority.certificatePEM),
            responder: Answering(asked: asked))
        let world = try await AgentWorld()
        try await world.startAgent()
        let container = ContainerSpec(["name": "c"], isInit: false)
        let id = ContainerID(pod: "p", container: "c", attempt: 0)
        func run(_ path: String, _ secure: (any SecureProbes)?) async -> HandlerRunner.Result {
            let get: JSON = [
                "path": .string(path), "port": .integer(Int64(server.port)), "scheme": "HTTPS",
                "httpHeaders": [["name": "X-Probe", "value": "yes"]],
            ]
            return await HandlerRunner(runtime: world.runtime, address: "127.0.0.1", secure: secure)
                .run(.httpGet(HTTPGet(get)), container, id, timeout: .seconds(20))
        }
        let (well, ill, nobody) = (await run("/well?a=1", Probes()), await run("/ill", Probes()), await run("/well", nil))
        #expect(well.isSuccess, "\(well.message)")
        #expect(ill.message == "HTTP probe failed with statuscode: 503")
        #expect(!nobody.isSuccess && nobody.message.contains("not made here"))
        #expect(asked.requests.withLock { $0 } == ["/well?a=1 yes", "/ill? yes"])
        await server.stop()
        let closed = await run("/well", Probes())
        #expect(!closed.isSuccess && closed.message.hasPrefix("Get \"https://127.0.0.1:"))
        try await world.end()
    }
}
