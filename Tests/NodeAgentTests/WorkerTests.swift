import APIServer
import Resources
import Storage
import Synchronization
import TestKit
import Testing

@testable import NodeAgent

#if canImport(Glibc)
    import Glibc
#endif

/// An interpreter for small programs; nil where none is installed.
private let python: String? = {
    let folders = getenv("PATH").map { String(cString: $0) } ?? ""
    let all = ["/usr/bin", "/usr/local/bin"] + folders.split(separator: ":").map(String.init)
    return all.map { "\($0)/python3" }.first { access($0, X_OK) == 0 }
}()

/// Workers as real processes that report to a real agent over HTTP.
@Suite(.offThePool, .enabled(if: python != nil, "python3 is not installed")) struct WorkerTests {
    /// What every worker here begins with: `post` returns the status and the message of the answer.
    private static let preamble = """
        import json, os, sys, time, urllib.request, urllib.error
        name = os.environ["WORKER_NAME"]
        def send(body, worker=name):
            url = os.environ["LC_SERVER"] + "/sedna/workers/" + worker + "/info"
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})) as answer:
                    return answer.status, json.load(answer)["Message"]
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)["Message"]
        def post(**body):
            body = {"name": name, "namespace": "default", "ownerName": "job", "ownerKind": "incrementallearningjob", "kind": "train", **body}
            return send(json.dumps(body).encode())
        def leave(path, data):
            with open(path, "wb") as file: file.write(data)
        model = bytes([0x08, 0x08, 0x3A, 0x03, 1, 2, 3])

        """
    private static let model: [UInt8] = [0x08, 0x08, 0x3A, 0x03, 1, 2, 3]
    private static let labels: JSON = [WorkerContract.workerLabel: "true", WorkerContract.roundLabel: "1"]
    private static let out = "/tmp/skerry-test-out"

    private func spec(_ script: String, restartPolicy: String = "Never") -> JSON {
        [
            "restartPolicy": .string(restartPolicy), "terminationGracePeriodSeconds": 1,
            "containers": [
                [
                    "name": "c", "image": "x", "command": [.string(python!), "-u", "-c", .string(Self.preamble + script)],
                    "volumeMounts": [["name": "out", "mountPath": .string(Self.out)]],
                ]
            ], "volumes": [["name": "out", "emptyDir": [:]]],
        ]
    }

    private func condition(_ pod: JSON) -> JSON? {
        pod["status"]?["conditions"]?.array?.first { $0["type"]?.string == WorkerContract.condition }
    }

    private func reason(_ pod: JSON) -> String { condition(pod)?["reason"]?.string ?? "" }

    @Test func `a worker reports its progress, leaves a model, and its Pod says so with the digest`() async throws {
        try await AgentWorld.with(takesReports: true) { world in
            try await world.apply(
                "train-1",
                spec(
                    """
                    print(post(status="running", progress={"done": 1, "total": 3, "unit": "rounds"}))
                    while not os.path.exists("/tmp/skerry-test-out/go"): time.sleep(0.02)
                    leave("/tmp/skerry-test-out/model.onnx", model)
                    print(post(status="completed", results=[{"format": "onnx", "url": "/tmp/skerry-test-out/model.onnx", "metrics": {"accuracy": 0.61, "precision": [0.6, 0.7]}}]))
                    """), labels: Self.labels)
            let running = try await world.wait("train-1", "ran") { reason($0) == "Running" }
            #expect(condition(running)?["status"] == "Unknown")
            #expect(WorkerState(running)?.report.progress == .init(done: 1, total: 3, unit: "rounds"))
            let uid = try #require(running["metadata"]?["uid"]?.string)
            close(open("\(world.runtime.volumeFolder(uid, "out"))/go", O_CREAT | O_WRONLY, 0o644))
            let done = try await world.wait("train-1", "completed") { reason($0) == "Completed" && $0.phase == "Succeeded" }
            #expect(condition(done)?["status"] == "True")
            let state = try #require(WorkerState(done))
            let digest = ArtifactDigest(of: Self.model)
            #expect(state.report.results.map(\.digest) == [digest.description])
            #expect(state.report.results.map(\.size) == [7])
            #expect(state.report.results[0].metrics["accuracy"] == .decimal("0.61"))
            #expect(world.artifacts.size(digest) == 7)
            #expect(try await world.logs("train-1") == "(200, 'OK')\n(200, 'OK')\n")
            try await world.wait(forEvent: "WorkerCompleted", about: "train-1")
        }
    }

    @Test func `a Pod that is no worker is told nothing`() async throws {
        try await AgentWorld.with(takesReports: true) { world in
            try await world.apply("plain", shell("echo [$LC_SERVER$WORKER_NAME]", restartPolicy: "Never"))
            try await world.wait("plain", "ended") { $0.phase == "Succeeded" }
            #expect(try await world.logs("plain") == "[]\n")
        }
    }

    @Test func `every lie is refused with a sentence that names it`() async throws {
        let zeros = "sha256:" + String(repeating: "0", count: 64)
        let file = "\(Self.out)/model.onnx"
        let lies: [(name: String, script: String, words: String)] = [
            (
                "digest",
                "leave('\(file)', model); post(status='completed', results=[{'format': 'onnx', 'url': '\(file)', 'digest': '\(zeros)'}])",
                "reported was \(zeros)"
            ),
            ("missing", "post(status='completed', results=[{'format': 'onnx', 'url': '\(file)'}])", "\(file): there is no such file"),
            (
                "link", "os.symlink('/etc/hostname', '\(file)'); post(status='completed', results=[{'format': 'csv', 'url': '\(file)'}])",
                "\(file): a symbolic link stands in the way"
            ),
            (
                "outside", "post(status='completed', results=[{'format': 'csv', 'url': '/etc/hostname'}])",
                "/etc/hostname: lies in none of the container's volumes"
            ),
            (
                "nan",
                "leave('\(file)', model); print(post(status='completed', results=[{'format': 'onnx', 'url': '\(file)', 'metrics': {'accuracy': float('nan')}}]))",
                "results[0].metrics.accuracy"
            ),
            (
                "pickle", "leave('\(file)', b'\\x80\\x04.'); post(status='completed', results=[{'format': 'onnx', 'url': '\(file)'}])",
                "is no ONNX model"
            ),
            ("empty", "leave('\(file)', b''); post(status='completed', results=[{'format': 'onnx', 'url': '\(file)'}])", "it is empty"),
        ]
        try await AgentWorld.with(takesReports: true) { world in
            for lie in lies { try await world.apply(lie.name, spec(lie.script), labels: Self.labels) }
            for lie in lies {
                let pod = try await world.wait(lie.name, "was refused") { reason($0) == "Refused" }
                #expect(condition(pod)?["status"] == "False")
                let words = WorkerState(pod)?.report.message ?? ""
                #expect(words.contains(lie.words), "\(lie.name): \(words)")
                #expect(WorkerState(pod)?.report.results == [])
                try await world.wait(forEvent: "WorkerRefused", about: lie.name)
            }
            try await world.wait("nan", "ended") { ["Succeeded", "Failed"].contains($0.phase) }
            #expect(try await world.logs("nan").contains("(400, 'results[0].metrics.accuracy"))
            #expect(world.artifacts.count == 0, "nothing of a lie is kept")
        }
    }

    @Test func `floods, strangers and huge bodies are turned away with a reason`() async throws {
        try await AgentWorld.with(takesReports: true) { world in
            try await world.apply(
                "loud",
                spec(
                    """
                    print(send(b'{"status":"running"}', "loud-0123456789abcdef"))
                    print(send(b'{"status":"running","name":"other-0123456789abcdef"}'))
                    print(send(b' ' * (300 << 10)))
                    print(post(status="winning"))
                    refused = []
                    for number in range(5000):
                        answer = post(status="running", progress={"done": number})
                        if answer[0] == 429: refused.append(answer)
                        if len(refused) > 20: break
                    print(len(refused) > 20, refused[0])
                    print(post(status="completed"))
                    print(post(status="running"))
                    """), labels: Self.labels)
            let pod = try await world.wait("loud", "completed") { reason($0) == "Completed" && $0.phase == "Succeeded" }
            #expect(condition(pod)?["status"] == "True")
            let lines = try await world.logs("loud").split(separator: "\n").map(String.init)
            try #require(lines.count == 7)
            #expect(lines[0].hasPrefix("(404, ") && lines[0].contains("no worker of this node goes by the name \"loud-"))
            #expect(lines[1].hasPrefix("(400, ") && lines[1].contains("expected that of the path"))
            #expect(lines[2].hasPrefix("(413, ") && lines[2].contains("262144"))
            #expect(lines[3].hasPrefix("(400, ") && lines[3].contains("winning"))
            #expect(lines[4].hasPrefix("True (429, ") && lines[4].contains("worker loud reports more than 10 times a second"))
            #expect(lines[5] == "(200, 'OK')")
            #expect(lines[6].hasPrefix("(409, ") && lines[6].contains("last word"))
        }
    }

    @Test func `a life that begins anew has another name, and what it says counts`() async throws {
        try await AgentWorld.with(takesReports: true) { world in
            try await world.apply(
                "again",
                spec(
                    """
                    first = not os.path.exists("/tmp/skerry-test-out/first")
                    leave("/tmp/skerry-test-out/" + ("first" if first else "second"), name.encode())
                    print(post(status="failed" if first else "completed", message="the first time"))
                    sys.exit(1 if first else 0)
                    """, restartPolicy: "OnFailure"), labels: Self.labels)
            let done = try await world.wait("again", "completed") { reason($0) == "Completed" && $0.phase == "Succeeded" }
            let uid = try #require(done["metadata"]?["uid"]?.string)
            let out = world.runtime.volumeFolder(uid, "out")
            let names = ["first", "second"].compactMap { SystemFiles.text("\(out)/\($0)") }
            #expect(names.count == 2 && names[0] != names[1])
            let isRight = names.allSatisfy { $0.hasPrefix("again-") && $0.utf8.count == "again-".utf8.count + 16 }
            #expect(isRight, "\(names)")
            try await world.wait(forEvent: "WorkerFailed", about: "again")
        }
    }

    @Test func `an agent that is killed goes on with what was reported to the one before it`() async throws {
        let world = try await AgentWorld(takesReports: true)
        // Nobody takes files to the cloud at first.
        try await world.startAgent(send: { digest throws(NodeFilesError) in throw NodeFilesError("the cloud cannot be reached") })
        try await world.apply(
            "train-2",
            spec(
                """
                leave("/tmp/skerry-test-out/model.onnx", model)
                print(post(status="completed", results=[{"format": "onnx", "url": "/tmp/skerry-test-out/model.onnx"}]))
                """), labels: Self.labels)
        try await world.apply(
            "slow",
            spec(
                """
                print(post(status="running", progress={"done": 1}))
                while not os.path.exists("/tmp/skerry-test-out/go"): time.sleep(0.02)
                print(post(status="completed"))
                """), labels: Self.labels)
        let waiting = try await world.wait("train-2", "was held up") {
            condition($0)?["message"]?.string?.contains("cannot be reached") == true
        }
        #expect(reason(waiting) == "Publishing" && condition(waiting)?["status"] == "Unknown")
        #expect(WorkerState(waiting)?.report.results[0].digest == ArtifactDigest(of: Self.model).description)
        let slow = try await world.wait("slow", "ran") { reason($0) == "Running" }
        try await world.stopAgent()
        let sent = Mutex<[ArtifactDigest]>([])
        try await world.startAgent(send: { digest throws(NodeFilesError) in sent.withLock { $0.append(digest) } })
        try await world.wait("train-2", "completed") { reason($0) == "Completed" }
        let digests = sent.withLock { $0 }
        #expect(digests == [ArtifactDigest(of: Self.model)])
        let uid = try #require(slow["metadata"]?["uid"]?.string)
        close(open("\(world.runtime.volumeFolder(uid, "out"))/go", O_CREAT | O_WRONLY, 0o644))
        try await world.wait("slow", "completed") { reason($0) == "Completed" && $0.phase == "Succeeded" }
        #expect(try await world.logs("slow") == "(200, 'OK')\n(200, 'OK')\n")
        try await world.end()
    }

    // MARK: Volumes of files

    private func store(_ world: AgentWorld, _ text: String) throws -> ArtifactDigest {
        let bytes = Array(text.utf8)
        let digest = ArtifactDigest(of: bytes)
        try world.artifacts.append(bytes, to: digest, at: 0, of: Int64(bytes.count))
        return digest
    }

    @Test func `files by digest are there before the Pod starts, and what is missing is named`() async throws {
        try await AgentWorld.with { world in
            let (one, two) = (try store(world, "one"), ArtifactDigest(of: Array("two".utf8)))
            var spec = shell(
                "cat /tmp/skerry-test-files/a /tmp/skerry-test-files/b; stat -c %a /tmp/skerry-test-files/a", restartPolicy: "Never",
                ["volumeMounts": [["name": "files", "mountPath": "/tmp/skerry-test-files"]]])
            spec["volumes"] = [WorkerContract.Volume.files.volume("files", ["a": one.description, "b": two.description])]
            try await world.apply("files", spec)
            try await world.wait("files", "waited") {
                let message = $0.first["state"]?["waiting"]?["message"]?.string ?? ""
                return $0.first["state"]?["waiting"]?["reason"] == "ContainerCreating"
                    && message.contains("waiting for file \"b\", artifact \(two)")
            }
            try await world.wait(forEvent: "FailedMount", about: "files")
            _ = try store(world, "two")
            try await world.wait("files", "ended") { $0.phase == "Succeeded" }
            #expect(try await world.logs("files") == "onetwo444\n")
            try await world.apply(
                "stranger",
                [
                    "containers": [["name": "c", "image": "x", "command": ["true"]]],
                    "volumes": [["name": "v", "csi": ["driver": "nfs.csi.k8s.io"]]],
                ])
            try await world.wait("stranger", "waited") {
                $0.first["state"]?["waiting"]?["message"]?.string?.contains(
                    "nfs.csi.k8s.io not found in the list of registered CSI drivers") == true
            }
        }
    }

    @Test func `a model's volume shows the version that serves, and the next one at once`() async throws {
        try await AgentWorld.with { world in
            let digests = try ["one", "two"].map { try store(world, $0) }
            let key = ObjectKey(namespace: "default", name: "m")
            try await world.client.create(
                .model,
                [
                    "apiVersion": "sedna.io/v1alpha1", "kind": "Model", "metadata": ["name": "m", "namespace": "default"],
                    "spec": ["url": "/models/m.onnx", "format": "onnx"],
                ])
            var spec = shell("exec sleep 1000", ["volumeMounts": [["name": "model", "mountPath": "/tmp/skerry-test-model"]]])
            spec["volumes"] = [WorkerContract.Volume.model.volume("model", ["model": "m"])]
            try await world.apply("infer", spec)
            try await world.wait("infer", "waited") {
                $0.first["state"]?["waiting"]?["message"]?.string?.contains(
                    "(spec.url: /models/m.onnx), and this volume shows versions of the registry") == true
            }
            func serve(_ version: Int64) async throws {
                let versions: [JSON] = digests.enumerated().map {
                    ["version": .integer(Int64($0.offset + 1)), "digest": .string($0.element.description)]
                }
                let status: JSON = ["status": ["versions": .array(versions), "serving": .integer(version)]]
                _ = try await world.client.patch(.model, key, ObjectPatch(.merge, status), part: .status)
            }
            try await serve(1)
            let pod = try await world.wait("infer", "was ready") { $0.isTrue("Ready") }
            let folder = world.runtime.volumeFolder(try #require(pod["metadata"]?["uid"]?.string), "model")
            #expect(SystemFiles.text("\(folder)/model.onnx") == "one")
            try await serve(2)
            var config: JSON?
            for _ in 0..<3000 where config?["model_config"]?["version"] != 2 {
                config = SystemFiles.read("\(folder)/model_config.json").flatMap { try? JSONParser.parse($0) }
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(config?["model_config"]?["version"] == 2 && config?["model_config"]?["model_path"] == "model.onnx")
            #expect(SystemFiles.text("\(folder)/model.onnx") == "two", "the model is there before the file that tells of it")
        }
    }
}
