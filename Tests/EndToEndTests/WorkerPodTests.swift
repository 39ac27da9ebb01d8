import Storage
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

/// A worker of a job at an edge, as people see it: it reads rows of the edge's data set, reports, and leaves a file that the cloud serves.
@Suite(
    .offThePool, .enabled(if: Cloud.kubectl != nil && ServingProgram.find("python3") != nil, "kubectl or python3 is not installed"),
    .timeLimit(.minutes(30))
) struct WorkerPodTests {
    private static let script = """
        import json, os, time, urllib.request
        name = os.environ["WORKER_NAME"]
        def post(**body):
            body = {"name": name, "namespace": "default", "ownerName": "job", "ownerKind": "incrementallearningjob", "kind": "train", **body}
            url = os.environ["LC_SERVER"] + "/sedna/workers/" + name + "/info"
            urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode())).read()
        rows = open("/tmp/skerry-rows/data.csv").read().splitlines()[1:]
        post(status="running", progress={"done": 0, "total": len(rows), "unit": "rows"})
        while not os.path.exists("/tmp/skerry-go/" + os.environ["GO"]): time.sleep(0.05)
        with open("/tmp/skerry-out/sum.json", "w") as file: json.dump({"sum": sum(int(row.split(",")[0]) for row in rows)}, file)
        post(status="completed", results=[{"format": "json", "url": "/tmp/skerry-out/sum.json", "metrics": {"rows": len(rows)}}])
        """

    private static func pod(_ name: String, _ folder: String) -> String {
        """
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: \(name), labels: {jobs.skerry.io/worker: "true", jobs.skerry.io/round: "1"}}
        spec:
          nodeName: e1
          restartPolicy: Never
          containers:
            - name: worker
              image: none
              command: [python3, -c, "$(SCRIPT)"]
              env:
                - {name: SCRIPT, valueFrom: {configMapKeyRef: {name: script, key: script}}}
                - {name: GO, value: \(name)}
              volumeMounts: [{name: data, mountPath: /tmp/skerry-rows}, {name: out, mountPath: /tmp/skerry-out}, {name: go, mountPath: /tmp/skerry-go}]
          volumes:
            - {name: out, emptyDir: {}}
            - {name: go, hostPath: {path: \(folder)/go, type: Directory}}
            - name: data
              csi: {driver: datasets.skerry.io, readOnly: true, volumeAttributes: {dataset: numbers, from: "0", to: "100", part: train, trainProb: "0.5", seed: "7"}}

        """
    }

    private static func objects(_ folder: String) -> String {
        let lines = script.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)" }.joined(separator: "\n")
        return """
            apiVersion: sedna.io/v1alpha1
            kind: Dataset
            metadata: {name: numbers}
            spec: {url: \(folder)/numbers.csv, format: csv, nodeName: e1}
            ---
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: script}
            data:
              script: |
            \(lines)

            """ + pod("first", folder) + pod("second", folder)
    }

    private static let conditionPath = #"{.status.conditions[?(@.type=="jobs.skerry.io/Worker")]"#

    /// A part of the worker's condition, as kubectl shows it.
    private func condition(_ cloud: Cloud, _ pod: String, _ field: String, server: String = "") async -> String {
        var words = ["get", "pod", pod, "-o", "jsonpath=\(Self.conditionPath).\(field)}"]
        if !server.isEmpty { words.append(server) }
        return await cloud.kubectl(words).output
    }

    /// The digest that a completed worker's condition names.
    private func digest(_ cloud: Cloud, _ pod: String) async -> ArtifactDigest? {
        ArtifactDigest.named(in: Array(await condition(cloud, pod, "message").utf8)).first
    }

    @Test func `what a worker leaves at an edge is in the cloud by its digest, also when the cloud was away meanwhile`() async throws {
        let folder = try Cloud.newFolder()
        try FileManager.default.createDirectory(atPath: folder + "/go", withIntermediateDirectories: false)
        let first = try await Cloud.start(in: folder)
        let port = try #require(first.program.error.split(separator: "127.0.0.1:").dropFirst().first?.prefix { $0.isNumber })
        let tokens = await ServingProgram(
            "\(ServingProgram.builtFolder)/skerry", ["token", "create", "--node", "e1"],
            environment: ["KUBECONFIG": "\(folder)/admin.kubeconfig"], folder: folder
        ).wait()
        let (edge, server) = try await EdgeTests.edge(first, ["--join", String(tokens.output.prefix { $0 != "\n" })])
        try first.write("numbers.csv", "n,word\n" + (0..<120).map { "\($0),w\($0 % 3)\n" }.joined())
        try first.write("objects.yaml", Self.objects(folder))
        #expect(await first.kubectl("apply -f \(folder)/objects.yaml").status == 0)
        for name in ["first", "second"] {
            try await EdgeTests.until("progress of \(name): \(edge.error)") { await condition(first, name, "reason") == "Running" }
        }
        let counted = await first.kubectl("get dataset numbers -o jsonpath={.status.numberOfSamples},{.status.columns[1].distinct}")
        #expect(counted.output == "120,3")

        try first.write("go/first", "")
        let done = await first.kubectl(["wait", "pod/first", "--for=condition=jobs.skerry.io/Worker", "--timeout=60s"])
        let said = await condition(first, "first", "message")
        #expect(done.status == 0, "\(done.error) \(said)")
        let found = try #require(await digest(first, "first"))
        let file = await first.kubectl(["get", "--raw", "/artifacts/sha256/\(found.hex)"])
        #expect(ArtifactDigest(of: Array(file.output.utf8)) == found && file.output.hasPrefix("{\"sum\": "), "\(file.output) \(file.error)")

        first.program.signal(SIGKILL)
        _ = await first.program.wait()
        try first.write("go/second", "")
        try await EdgeTests.until("the edge to know that the worker is done: \(edge.error)") {
            await condition(first, "second", "reason", server: server) == "Publishing"
        }
        let second = try await Cloud.start(in: folder, port: Int(port)!)
        let late = await second.kubectl(["wait", "pod/second", "--for=condition=jobs.skerry.io/Worker", "--timeout=120s"])
        let saidLate = await condition(second, "second", "message")
        #expect(late.status == 0, "\(late.error) \(saidLate)")
        #expect(await digest(second, "second") == found, "equal rows, equal sum")
        #expect(await second.kubectl("delete pod first second --timeout=60s").status == 0)
        edge.signal(SIGTERM)
        #expect(await edge.wait().status == 0)
        await second.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}
