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

/// `skerry cloud --kubeconfig` with doors for nodes: the objects are another server's, for which a cloud of ours stands here.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct EdgeForeignTests {
    private static let pod = """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: words}
        data: {greeting: hello}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: web}
        spec:
          nodeName: e1
          terminationGracePeriodSeconds: 1
          containers:
            - name: web
              image: none
              command: [/bin/sh, -c, "echo $GREETING; exec sleep 1000"]
              env: [{name: GREETING, valueFrom: {configMapKeyRef: {name: words, key: greeting}}}]
        """

    @Test func `an edge joins a cloud beside another Kubernetes, runs its Pod, and is out when the Node is deleted`() async throws {
        let folder = try Cloud.newFolder()
        let foreign = try await Cloud.start(in: folder)
        let beside = Edge.skerry(
            ["cloud", "--data-dir", folder + "/beside", "--kubeconfig", folder + "/admin.kubeconfig", "--listen", "127.0.0.1:0"], in: folder
        )
        var port = ""
        try await Edge.until("doors for nodes: \(beside.error)") {
            port =
                beside.error.split(separator: "nodes join by https://127.0.0.1:").dropFirst().first.map {
                    String($0.prefix { $0.isNumber })
                } ?? ""
            return !port.isEmpty
        }
        let made = await Edge.skerry(
            ["token", "create", "--node", "e1", "--cloud", "127.0.0.1:\(port)", "--authority", folder + "/beside/ca.crt"], in: folder
        ).wait()
        #expect(made.status == 0, "\(made.error)")
        let edge = try await Edge.start(folder, ["--join", String(made.output.prefix { $0 != "\n" })])
        try foreign.write("pod.yaml", Self.pod)
        #expect(await foreign.kubectl("apply -f \(folder)/pod.yaml").status == 0)
        let ready = await foreign.kubectl("wait pod/web --for=condition=Ready --timeout=60s")
        #expect(ready.status == 0, "\(ready.error) \(edge.program.error) \(beside.error)")
        try await Edge.until("what it prints: \(edge.program.error)") { await edge.verb("logs web").output == "hello\n" }
        let node = "get node e1 -o jsonpath={.status.conditions[?(@.type==\"Ready\")].status}"
        try await Edge.until("a node that is ready") { await foreign.kubectl(node).output == "True" }
        // The cloud beside goes and comes: nothing of it was the nodes' only memory.
        beside.signal(SIGTERM)
        #expect(await beside.wait().status == 0)
        let again = Edge.skerry(
            ["cloud", "--data-dir", folder + "/beside", "--kubeconfig", folder + "/admin.kubeconfig", "--listen", "127.0.0.1:\(port)"],
            in: folder)
        #expect(await foreign.kubectl("delete pod web --timeout=60s").status == 0)
        #expect(await foreign.kubectl("delete node e1").status == 0)
        try await Edge.until("a node that is out: \(edge.program.error)") { edge.program.error.contains("join again with a token") }
        await edge.stop()
        again.signal(SIGTERM)
        _ = await again.wait()
        await foreign.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}
