import APIServer
import Network
import Resources
import TestKit
import Testing

@testable import NodeAgent

#if canImport(Glibc)
    import Glibc
#endif

@Suite(.offThePool) struct AgentTests {
    @Test func `a Pod that is applied runs as a process, is ready, and is gone with its process when it is deleted`() async throws {
        try await AgentWorld.with { world in
            try await world.apply("web", shell("echo hello; exec sleep 1000"))
            let pod = try await world.wait("web", "was ready") { $0.isTrue("Ready") }
            #expect(pod.phase == "Running")
            #expect(pod.first["containerID"]?.string?.hasPrefix("process://") == true)
            let uid = try #require(pod["metadata"]?["uid"]?.string)
            let start = try #require(ShimRecords.start(in: world.runtime.folder(ContainerID(pod: uid, container: "c", attempt: 0))))
            #expect(start.program.isAlive)
            try await world.delete("web")
            try await world.waitUntilGone("web")
            #expect(!start.program.isAlive)
            #expect(try await world.events("web").sorted() == ["Created", "Killing", "Started"])
        }
    }

    @Test func `a container that crashes is started again and says how it ended`() async throws {
        try await AgentWorld.with { world in
            try await world.apply("bad", shell("echo life; exit 3"))
            let pod = try await world.wait("bad", "waited") { $0.first["state"]?["waiting"]?["reason"] == "CrashLoopBackOff" }
            #expect(pod.first["restartCount"] == 1)
            #expect(pod.first["lastState"]?["terminated"]?["exitCode"] == 3)
            #expect(pod.first["lastState"]?["terminated"]?["reason"] == "Error")
            #expect(try await world.logs("bad", .with(previous: true)) == "life\n")
        }
    }

    @Test func `a Pod that is to run once succeeds, and the signal that ends another is told exactly`() async throws {
        try await AgentWorld.with { world in
            try await world.apply("once", shell("echo out; echo err >&2", restartPolicy: "Never"))
            try await world.apply("dies", shell("kill -s SEGV $$$$", restartPolicy: "Never"))
            try await world.wait("once", "succeeded") { $0.phase == "Succeeded" }
            let dead = try await world.wait("dies", "failed") { $0.phase == "Failed" }
            #expect(dead.first["state"]?["terminated"]?["exitCode"] == 139)
            #expect(dead.first["state"]?["terminated"]?["signal"] == 11)
            #expect(Set(try await world.logs("once").split(separator: "\n")) == ["out", "err"])
        }
    }

    @Test func `a program that is not there is a start error with its name`() async throws {
        try await AgentWorld.with { world in
            try await world.apply(
                "none", ["restartPolicy": "Never", "containers": [["name": "c", "image": "x", "command": ["no-such-program"]]]])
            let pod = try await world.wait("none", "failed") { $0.phase == "Failed" }
            #expect(pod.first["state"]?["terminated"]?["reason"] == "StartError")
            #expect(pod.first["state"]?["terminated"]?["message"] == "exec: \"no-such-program\": executable file not found in $PATH")
        }
    }

    @Test func `an image without a command waits and says in a condition what to do`() async throws {
        try await AgentWorld.with { world in
            try await world.apply("image", ["containers": [["name": "c", "image": "nginx:1.27"]]])
            let pod = try await world.wait("image", "waited") { $0.first["state"]?["waiting"]?["reason"] == "ErrImagePull" }
            let message = pod["status"]?["conditions"]?.array?.first { $0["type"] == "ContainersReady" }?["message"]?.string ?? ""
            #expect(message.contains("nginx:1.27") && message.contains("give the container a command"))
        }
    }

    @Test func `a Pod that waits for minutes costs its node nothing meanwhile`() async throws {
        try await AgentWorld.with { world in
            try await world.apply("image", ["containers": [["name": "c", "image": "nginx:1.27"]]])
            try await world.wait("image", "waited") { $0.first["state"]?["waiting"]?["reason"] == "ErrImagePull" }
            world.clock.goForward(.seconds(600))
            // Whatever falls due by it is done.
            try await Task.sleep(for: .seconds(1))
            let before = world.clock.asked
            try await Task.sleep(for: .seconds(2))
            let asked = world.clock.asked - before
            #expect(asked < 50, "the agent has asked for the time \(asked) times while nothing was to do")
        }
    }

    @Test func `a DaemonSet's Pod made for a container engine waits, says why, and keeps no other Pod from running`() async throws {
        try await AgentWorld.with { world in
            // As network plugins have it: no command, mounts of the machine, its network, another program of the kernel's.
            try await world.apply(
                "plugin",
                [
                    "hostNetwork": true, "priorityClassName": "system-node-critical", "tolerations": [["operator": "Exists"]],
                    "containers": [
                        [
                            "name": "plugin", "image": "docker.io/calico/node:v3.27.0", "securityContext": ["privileged": true],
                            "ports": [["containerPort": 9099, "hostPort": 9099]],
                            "livenessProbe": ["httpGet": ["path": "/liveness", "port": 9099], "periodSeconds": 1, "failureThreshold": 1],
                        ]
                    ],
                ])
            try await world.apply("web", shell("sleep 1000"))
            try await world.wait("web", "ran") { $0.isTrue("Ready") }
            let plugin = try await world.wait("plugin", "said why") { $0.first["state"]?["waiting"]?["message"] != nil }
            #expect(plugin.phase == "Pending")
            #expect(plugin.first["restartCount"] == 0)
            #expect(plugin.first["state"]?["waiting"]?["message"]?.string?.contains("docker.io/calico/node:v3.27.0") == true)
            let node = try await world.client.get(.node, ObjectKey(name: AgentWorld.node))
            #expect(node.isTrue("Ready"))
        }
    }

    /// CVE-2026-62371, CVE-2026-62182: fields of objects were put into lines for a shell.
    @Test func `words of a Pod and of what it names reach its program as they are, and no shell`() async throws {
        try await AgentWorld.with { world in
            let trace = "/tmp/skerry-test-trace-\(UInt64.random(in: 0 ... .max))"
            let words = ["$(touch \(trace))", "`touch \(trace)`", "; touch \(trace)", "| touch \(trace) #", "'\"\n touch \(trace)\n"]
            let all = words.joined(separator: " ")
            try await world.client.create(
                .configMap,
                [
                    "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "config", "namespace": "default"],
                    "data": ["key": .string(all)],
                ])
            let asked: JSON = ["exec": ["command": .array(["/usr/bin/test", "-n"].map { .string($0) } + [.string(all)])]]
            func container(_ name: String, _ command: [String]) -> JSON {
                [
                    "name": .string(name), "image": .string(words[1]), "command": .array(command.map { .string($0) }),
                    "env": [["name": "KEY", "valueFrom": ["configMapKeyRef": ["name": "config", "key": "key"]]]],
                    "lifecycle": ["postStart": asked],
                ]
            }
            try await world.apply(
                "words",
                [
                    "restartPolicy": "Never", "initContainers": [container("args", ["/usr/bin/printf", "%s"] + words)],
                    "containers": [container("env", ["/usr/bin/printenv", "KEY"])],
                ])
            try await world.wait("words", "succeeded") { $0.phase == "Succeeded" }
            #expect(try await world.logs("words", container: "args") == words.joined())
            #expect(try await world.logs("words", container: "env") == all + "\n")
            #expect(access(trace, F_OK) != 0)
        }
    }

    @Test func `init containers run in order, and share volumes with the others`() async throws {
        try await AgentWorld.with { world in
            let mount: JSON = [["name": "v", "mountPath": "/tmp/skerry-test-volume"]]
            func container(_ name: String, _ script: String) -> JSON {
                ["name": .string(name), "image": "x", "command": ["/bin/sh", "-c", .string(script)], "volumeMounts": mount]
            }
            try await world.apply(
                "order",
                [
                    "restartPolicy": "Never", "volumes": [["name": "v", "emptyDir": [:]]],
                    "initContainers": [
                        container("one", "echo one >> /tmp/skerry-test-volume/log"),
                        container("two", "echo two >> /tmp/skerry-test-volume/log"),
                    ], "containers": [container("c", "cat /tmp/skerry-test-volume/log")],
                ])
            let pod = try await world.wait("order", "succeeded") { $0.phase == "Succeeded" }
            #expect(pod.isTrue("Initialized"))
            #expect(try await world.logs("order") == "one\ntwo\n")
            #expect(SystemFiles.names("/tmp/skerry-test-volume") == [], "the machine's own folder is not written to")
        }
    }

    @Test func `ConfigMaps and Secrets come as files and variables, and what is missing is waited for`() async throws {
        try await AgentWorld.with { world in
            try await world.client.create(
                .configMap,
                [
                    "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "config", "namespace": "default"],
                    "data": ["key": "value"],
                ])
            var spec = shell(
                "cat /tmp/skerry-test-config/key; echo; stat -L -c %a /tmp/skerry-test-secret/token; echo $TOKEN $POD; exec sleep 1000",
                [
                    "volumeMounts": [
                        ["name": "config", "mountPath": "/tmp/skerry-test-config", "readOnly": true],
                        ["name": "secret", "mountPath": "/tmp/skerry-test-secret"],
                    ],
                    "env": [
                        ["name": "TOKEN", "valueFrom": ["secretKeyRef": ["name": "late", "key": "token"]]],
                        ["name": "POD", "valueFrom": ["fieldRef": ["fieldPath": "metadata.name"]]],
                    ],
                ])
            spec["volumes"] = [["name": "config", "configMap": ["name": "config"]], ["name": "secret", "secret": ["secretName": "late"]]]
            try await world.apply("files", spec)
            try await world.wait("files", "said what is missing") {
                $0.first["state"]?["waiting"]?["message"]?.string?.contains("secret \"late\" not found") == true
            }
            try await world.client.create(
                .secret,
                [
                    "apiVersion": "v1", "kind": "Secret", "metadata": ["name": "late", "namespace": "default"],
                    "data": ["token": "c2VjcmV0"],
                ])
            try await world.wait("files", "was ready") { $0.isTrue("Ready") }
            var printed = ""
            for _ in 0..<500 where printed.split(separator: "\n").count < 3 {
                printed = try await world.logs("files")
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(printed == "value\n600\nsecret files\n")
        }
    }

    @Test func `a readiness probe holds readiness back, and a liveness probe ends what is dead`() async throws {
        try await AgentWorld.with { world in
            func probe(_ test: String) -> JSON {
                ["exec": ["command": ["/bin/sh", "-c", .string(test)]], "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 5]
            }
            try await world.apply(
                "probed",
                shell(
                    "touch alive; trap 'exit 0' TERM; while true; do sleep 0.05; done",
                    ["readinessProbe": probe("test -e ready"), "livenessProbe": probe("test -e alive")]))
            let pod = try await world.wait("probed", "ran") { $0.first["started"] == true }
            #expect(!pod.isTrue("Ready"))
            let id = ContainerID(pod: pod["metadata"]?["uid"]?.string ?? "", container: "c", attempt: 0)
            let work = "\(world.runtime.folder(id))/work"
            close(open("\(work)/ready", O_CREAT | O_WRONLY, 0o644))
            try await world.wait("probed", "was ready") { $0.isTrue("Ready") }
            unlink("\(work)/alive")
            let again = try await world.wait("probed", "was started again") { $0.first["restartCount"] == 1 }
            #expect(again.first["lastState"]?["terminated"]?["exitCode"] == 0)
            #expect(Set(try await world.events("probed")).isSuperset(of: ["Unhealthy", "Killing"]))
        }
    }

    @Test func `a startup probe holds the others back, HTTP makes ready or not, and a port that is closed ends the container`() async throws
    {
        try await AgentWorld.with { world in
            let port = Int64(KeptPort.choices()[0])
            let script = """
                import http.server, os, threading, time
                server = http.server.ThreadingHTTPServer(("127.0.0.1", \(port)), http.server.SimpleHTTPRequestHandler)
                threading.Thread(target=server.serve_forever, daemon=True).start()
                open("ready", "w").close()
                while not os.path.exists("deaf"): time.sleep(0.05)
                server.shutdown()
                server.server_close()
                time.sleep(1000)
                """
            func probe(_ handler: String, _ more: JSON, failures: Int64 = 1) -> JSON {
                [.init(handler): more, "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": .integer(failures)]
            }
            try await world.apply(
                "probed",
                [
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        [
                            "name": "c", "image": "none", "command": ["python3", "-c", .string(script)],
                            "startupProbe": probe("exec", ["command": ["test", "-e", "begun"]], failures: 10_000),
                            "readinessProbe": probe("httpGet", ["path": "/ready", "port": .integer(port), "host": "127.0.0.1"]),
                            "livenessProbe": probe("tcpSocket", ["port": .integer(port), "host": "127.0.0.1"]),
                        ]
                    ],
                ])
            try await world.wait(forEvent: "Unhealthy", about: "probed")
            let pod = try await world.wait("probed", "ran") { $0.first["state"]?["running"] != nil }
            #expect(pod.first["started"] == false && !pod.isTrue("Ready") && pod.first["restartCount"] == 0)
            let id = ContainerID(pod: pod["metadata"]?["uid"]?.string ?? "", container: "c", attempt: 0)
            let work = "\(world.runtime.folder(id))/work"
            close(open("\(work)/begun", O_CREAT | O_WRONLY, 0o644))
            try await world.wait("probed", "had started and was ready") { $0.first["started"] == true && $0.isTrue("Ready") }
            unlink("\(work)/ready")
            try await world.wait("probed", "was not ready, and ran") { !$0.isTrue("Ready") && $0.first["restartCount"] == 0 }
            close(open("\(work)/deaf", O_CREAT | O_WRONLY, 0o644))
            try await world.wait("probed", "was started again") { $0.first["restartCount"] == 1 }
        }
    }

    @Test func `a gRPC probe asks for the health of its service`() async throws {
        try await AgentWorld.with { world in
            let port = KeptPort.choices()[0]
            // A server that answers whatever it is asked by the status that stands in a file: 1 serves, 2 does not.
            let script = """
                import socket
                listening = socket.create_server(("127.0.0.1", \(port)))
                while True:
                    connection, _ = listening.accept()
                    asked = b""
                    while b"shop" not in asked:
                        more = connection.recv(4096)
                        if not more: break
                        asked += more
                    status = bytes([int(open("status").read())])
                    connection.sendall(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 2, 8]) + status)
                    connection.close()
                """
            try await world.apply(
                "grpc",
                [
                    "containers": [
                        [
                            "name": "c", "image": "x",
                            "command": ["/bin/sh", "-c", "echo 2 > status; exec python3 -c \"$0\"", .string(script)],
                            "readinessProbe": [
                                "grpc": ["port": .integer(Int64(port)), "service": "shop"], "periodSeconds": 1, "timeoutSeconds": 30,
                            ],
                        ]
                    ]
                ])
            let pod = try await world.wait("grpc", "ran") { $0.first["started"] == true }
            try await world.wait(forEvent: "Unhealthy", about: "grpc")
            let unready = try await world.pod("grpc")
            #expect(!unready.isTrue("Ready"))
            let id = ContainerID(pod: pod["metadata"]?["uid"]?.string ?? "", container: "c", attempt: 0)
            let status = open("\(world.runtime.folder(id))/work/status", O_WRONLY | O_TRUNC)
            #expect(SystemFiles.write(Array("1".utf8), to: status))
            close(status)
            try await world.wait("grpc", "was ready") { $0.isTrue("Ready") }
        }
    }

    @Test func `a container that is told to end may finish its work, and its hook runs before`() async throws {
        try await AgentWorld.with { world in
            let file = "\(world.folder.path)/said"
            try await world.apply(
                "polite",
                shell(
                    "trap 'echo bye >> \(file); exit 0' TERM; touch \(file).up; while true; do sleep 0.05; done",
                    ["lifecycle": ["preStop": ["exec": ["command": ["/bin/sh", "-c", .string("echo hook >> \(file)")]]]]]))
            try await world.wait("polite", "was ready") { $0.isTrue("Ready") && SystemFiles.mode("\(file).up") != nil }
            try await world.delete("polite")
            try await world.waitUntilGone("polite")
            #expect(SystemFiles.text(file) == "hook\nbye\n")
        }
    }

    @Test func `a container that uses more memory than its limit is ended and says OOMKilled`() async throws {
        try await AgentWorld.with { world in
            // Where the kernel gives no control groups the limit is one on data, and no end is told from another.
            if world.runtime.groups.form == .none { return }
            try await world.apply(
                "hungry", shell("exec tail /dev/zero", restartPolicy: "Never", ["resources": ["limits": ["memory": "32Mi"]]]))
            let pod = try await world.wait("hungry", "failed") { $0.phase == "Failed" }
            #expect(pod.first["state"]?["terminated"]?["reason"] == "OOMKilled")
            #expect(pod.first["state"]?["terminated"]?["exitCode"] == 137)
        }
    }

    @Test func `a process runs as the user that is asked for`() async throws {
        try await AgentWorld.with { world in
            guard geteuid() == 0 else { return }
            try await world.apply(
                "user",
                shell(
                    "id -u; id -g; touch here && echo wrote", restartPolicy: "Never",
                    ["securityContext": ["runAsUser": 12345, "runAsGroup": 54321]]))
            try await world.wait("user", "succeeded") { $0.phase == "Succeeded" }
            #expect(try await world.logs("user") == "12345\n54321\nwrote\n")
        }
    }

    @Test func `an agent that comes after another finds its containers running and restarts none`() async throws {
        let world = try await AgentWorld()
        try await world.startAgent()
        try await world.apply("stays", shell("exec sleep 1000"))
        let before = try await world.wait("stays", "was ready") { $0.isTrue("Ready") }
        try await world.stopAgent()
        try await world.apply("new", shell("exec sleep 1000"))
        try await world.startAgent()
        try await world.wait("new", "was ready") { $0.isTrue("Ready") }
        let after = try await world.pod("stays")
        #expect(after.first["restartCount"] == 0)
        #expect(after.first["state"] == before.first["state"])
        try await world.delete("stays")
        try await world.waitUntilGone("stays")
        try await world.end()
    }

    @Test func `an end that nobody watched is seen by the next agent`() async throws {
        let world = try await AgentWorld()
        try await world.startAgent()
        let file = "\(world.folder.path)/go"
        try await world.apply("ends", shell("while ! test -e \(file); do sleep 0.05; done; exit 7", restartPolicy: "Never"))
        let pod = try await world.wait("ends", "ran") { $0.phase == "Running" }
        let folder = world.runtime.folder(ContainerID(pod: pod["metadata"]?["uid"]?.string ?? "", container: "c", attempt: 0))
        try await world.stopAgent()
        close(open(file, O_CREAT | O_WRONLY, 0o644))
        while ShimRecords.exit(in: folder) == nil { try await Task.sleep(for: .milliseconds(10)) }
        try await world.startAgent()
        let ended = try await world.wait("ends", "failed") { $0.phase == "Failed" }
        #expect(ended.first["state"]?["terminated"]?["exitCode"] == 7)
        try await world.end()
    }

    @Test func `after everything was killed, Pods of the last life come back without a server`() async throws {
        let world = try await AgentWorld()
        try await world.startAgent()
        try await world.apply("back", shell("exec sleep 1000"))
        let pod = try await world.wait("back", "was ready") { $0.isTrue("Ready") }
        let uid = pod["metadata"]?["uid"]?.string ?? ""
        let start = try #require(ShimRecords.start(in: world.runtime.folder(ContainerID(pod: uid, container: "c", attempt: 0))))
        try await world.stopAgent()
        kill(pid_t(start.shim.id), SIGKILL)
        while start.program.isAlive { try await Task.sleep(for: .milliseconds(5)) }
        try await world.startAgent(client: UnreachableClient())
        let next = world.runtime.folder(ContainerID(pod: uid, container: "c", attempt: 1))
        while ShimRecords.start(in: next)?.program.isAlive != true { try await Task.sleep(for: .milliseconds(10)) }
        try await world.stopAgent()
        try await world.startAgent()
        let again = try await world.wait("back", "was counted") { $0.first["restartCount"] == 1 && $0.isTrue("Ready") }
        #expect(again.first["lastState"]?["terminated"]?["reason"] == "Unknown")
        try await world.end()
    }

    @Test func `what was deleted while no agent looked is ended by the next`() async throws {
        let world = try await AgentWorld()
        try await world.startAgent()
        try await world.apply("orphan", shell("exec sleep 1000"))
        let pod = try await world.wait("orphan", "was ready") { $0.isTrue("Ready") }
        let id = ContainerID(pod: pod["metadata"]?["uid"]?.string ?? "", container: "c", attempt: 0)
        let start = try #require(ShimRecords.start(in: world.runtime.folder(id)))
        try await world.stopAgent()
        try await world.delete("orphan", graceSeconds: 0)
        try await world.startAgent()
        while start.program.isAlive { try await Task.sleep(for: .milliseconds(10)) }
        try await world.end()
    }

    @Test func `two Pods cannot have one port of the machine`() async throws {
        try await AgentWorld.with { world in
            let port: JSON = ["ports": [["containerPort": 18080, "hostPort": 18080]]]
            try await world.apply("first", shell("exec sleep 1000", port))
            try await world.wait("first", "ran") { $0.phase == "Running" }
            try await world.apply("second", shell("exec sleep 1000", port))
            let pod = try await world.wait("second", "was refused") { $0.phase == "Failed" }
            #expect(pod["status"]?["reason"] == "NodePorts")
        }
    }

    @Test func `the node is registered with its facts and beats`() async throws {
        try await AgentWorld.with { world in
            let key = ObjectKey(name: AgentWorld.node)
            var node: JSON = .null
            for _ in 0..<1000 where node["status"]?["conditions"] == nil {
                node = (try? await world.client.get(.node, key)) ?? .null
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(node["metadata"]?["labels"]?["kubernetes.io/os"] == "linux")
            #expect(node["status"]?["capacity"]?["cpu"] != nil)
            #expect(node["status"]?["nodeInfo"]?["containerRuntimeVersion"] == "process://test")
            #expect(node.isTrue("Ready"))
            let lease = ObjectKey(namespace: "kube-node-lease", name: AgentWorld.node)
            for _ in 0..<1000 {
                if (try? await world.client.get(.lease, lease)) != nil { return }
                try await Task.sleep(for: .milliseconds(10))
            }
            Issue.record("no lease was made")
        }
    }
}

@Suite(.offThePool) struct CallTests {
    @Test func `a log is read from its end, since a time, with times, and up to a limit`() async throws {
        try await AgentWorld.with { world in
            try await world.apply("log", shell("for i in 1 2 3 4 5; do echo line $i; done; printf tail", restartPolicy: "Never"))
            try await world.wait("log", "succeeded") { $0.phase == "Succeeded" }
            #expect(try await world.logs("log") == "line 1\nline 2\nline 3\nline 4\nline 5\ntail")
            #expect(try await world.logs("log", .with(tailLines: 2)) == "line 4\nline 5\ntail")
            #expect(try await world.logs("log", .with(tailLines: 0)) == "")
            #expect(try await world.logs("log", .with(limitBytes: 8)) == "line 1\nl")
            #expect(try await world.logs("log", .with(sinceTime: "2100-01-01T00:00:00Z")) == "")
            #expect(try await world.logs("log", .with(sinceSeconds: 3600)).hasPrefix("line 1"))
            let stamped = try await world.logs("log", .with(timestamps: true))
            let unstamped = stamped.split(separator: "\n").filter { Timestamp(String($0.prefix { $0 != " " })) == nil }
            #expect(stamped.contains("line 1") && unstamped == [], "\(stamped)")
            await #expect(throws: APIStatus.self) { try await world.logs("log", .with(previous: true)) }
        }
    }

    @Test func `a log that is followed ends with its container and misses nothing, also when files rotate`() async throws {
        let lines = LogCursorFixture.lines
        let world = try await AgentWorld()
        try await world.startAgent()
        let file = "\(world.folder.path)/go"
        try await world.apply(
            "follow",
            shell(
                "while ! test -e \(file); do sleep 0.02; done; i=0; while [ $i -lt \(lines) ]; do i=$((i+1)); echo line $i; done",
                restartPolicy: "Never"))
        try await world.wait("follow", "ran") { $0.phase == "Running" }
        async let followed = world.logs("follow", .with(follows: true))
        close(open(file, O_CREAT | O_WRONLY, 0o644))
        let text = try await followed
        #expect(text == (1...lines).map { "line \($0)\n" }.joined())
        try await world.end()
    }

    @Test func `a command runs beside the container with its folder, variables and exit status`() async throws {
        try await AgentWorld.with { world in
            try await world.apply("exec", shell("touch mark; exec sleep 1000", ["env": [["name": "WORD", "value": "spoken"]]]))
            let pod = try await world.wait("exec", "was ready") { $0.isTrue("Ready") }
            let id = ContainerID(pod: pod["metadata"]?["uid"]?.string ?? "", container: "c", attempt: 0)
            while SystemFiles.mode("\(world.runtime.folder(id))/work/mark") == nil { try await Task.sleep(for: .milliseconds(5)) }
            let target = PodTarget(namespace: "default", pod: "exec")
            let ran = try await world.call(
                .exec(target, ExecQuery(command: ["/bin/sh", "-c", "echo $WORD; ls mark; echo no >&2; exit 4"])))
            #expect(ran.out == "spoken\nmark\n")
            #expect(ran.err == "no\n")
            #expect(ran.status["details"]?["causes"]?.array?.first?["message"] == "4")
            var reading = ExecQuery(command: ["cat"])
            reading.stdin = true
            let echoed = try await world.call(.exec(target, reading), input: [.data(.stdin, Array("to and fro".utf8)), .end(.stdin)])
            #expect(echoed.out == "to and fro")
            #expect(echoed.status["status"] == "Success")
            let silent = try await world.call(
                .exec(target, ExecQuery(command: ["/bin/sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 3"])))
            // It ends when it exits, not when it closes its output.
            #expect(silent.status["details"]?["causes"]?.array?.first?["message"] == "3")
            var terminal = ExecQuery(command: ["/bin/sh", "-c", "test -t 0 && echo terminal"])
            terminal.tty = true
            #expect(try await world.call(.exec(target, terminal)).out == "terminal\r\n")
            await #expect(throws: APIStatus.self) { try await world.call(.exec(target, ExecQuery(command: ["no-such-program"]))) }
        }
    }

    @Test func `a container that reads is written to by who is attached`() async throws {
        try await AgentWorld.with { world in
            try await world.apply(
                "attach",
                shell("while read line; do echo got $line; [ $line = end ] && exit 0; done", restartPolicy: "Never", ["stdin": true]))
            try await world.wait("attach", "was ready") { $0.isTrue("Ready") }
            var query = AttachQuery()
            query.stdin = true
            let stream = try await LocalCalls(node: AgentWorld.node, handler: world.agent.calls).open(
                .attach(PodTarget(namespace: "default", pod: "attach"), query), on: AgentWorld.node)
            try await stream.send(.data(.stdin, Array("one\n".utf8)))
            var text = ""
            while !text.contains("got one"), let frame = try await stream.receive() {
                if case .data(.stdout, let bytes) = frame { text += String(decoding: bytes, as: UTF8.self) }
            }
            #expect(text == "got one\n")
            try await stream.send(.data(.stdin, Array("end\n".utf8)))
            try await world.wait("attach", "succeeded") { $0.phase == "Succeeded" }
        }
    }

    @Test func `a port of a Pod is reached, and one where nobody listens is refused`() async throws {
        try await AgentWorld.with { world in
            let listener = try Listener()
            try await world.apply("port", shell("exec sleep 1000"))
            try await world.wait("port", "was ready") { $0.isTrue("Ready") }
            let target = PodTarget(namespace: "default", pod: "port")
            async let answered: Void = Threads.run { listener.answerOnce("pong") }
            let got = try await world.call(
                .portForward(target, port: listener.port), input: [.data(.stdin, Array("ping".utf8)), .end(.stdin)])
            await answered
            #expect(got.out == "pong ping")
            await #expect(throws: APIStatus.self) { try await world.call(.portForward(target, port: 1)) }
        }
    }
}

private enum LogCursorFixture {
    static let lines = 20_000
}

/// Answers one connection with a word and what it was sent.
private final class Listener: Sendable {
    let descriptor: Int32
    let port: Int

    init() throws {
        let listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> Bool in
                bind(listening, address, size) == 0 && listen(listening, 1) == 0 && getsockname(listening, address, &size) == 0
            }
        }
        #expect(bound)
        descriptor = listening
        port = Int(UInt16(bigEndian: address.sin_port))
    }

    deinit { close(descriptor) }

    func answerOnce(_ word: String) {
        let connection = accept(descriptor, nil, nil)
        let got = SystemFiles.read(descriptor: connection, bytesMax: 1024) ?? []
        _ = SystemFiles.write(Array("\(word) ".utf8) + got, to: connection)
        close(connection)
    }
}

/// A server that cannot be reached.
private struct UnreachableClient: ObjectClient {
    private let failure = APIStatus(code: 503, reason: "ServiceUnavailable", message: "no route")
    func kinds() async throws(APIStatus) -> [ResourceKind] { throw failure }
    func get(_ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON { throw failure }
    func list(_ kind: ResourceKind, _ query: Resources.ListQuery) async throws(APIStatus) -> ObjectList { throw failure }
    func watch(_ kind: ResourceKind, _ query: WatchQuery) async throws(APIStatus) -> ObjectWatch { throw failure }
    func create(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON { throw failure }
    func update(_ kind: ResourceKind, _ object: JSON, part: ObjectPart) async throws(APIStatus) -> JSON { throw failure }
    func patch(_ kind: ResourceKind, _ key: ObjectKey, _ patch: Resources.ObjectPatch, part: ObjectPart) async throws(APIStatus) -> JSON {
        throw failure
    }
    func delete(_ kind: ResourceKind, _ key: ObjectKey, _ deletion: Deletion) async throws(APIStatus) { throw failure }
}
