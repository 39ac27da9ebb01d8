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

/// A Pod at an edge, as people see it: through the cloud, and on the node itself while the cloud is away.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct EdgeTests {
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
          terminationGracePeriodSeconds: 5
          containers:
            - name: web
              image: none
              command: [/bin/sh, -c, "echo $GREETING; exec sleep 1000"]
              env: [{name: GREETING, valueFrom: {configMapKeyRef: {name: words, key: greeting}}}]
        """

    static func until(_ what: String, _ isSo: () async throws -> Bool) async throws { try await Edge.until(what, isSo) }

    /// Starts an edge and waits until it shows its objects; also the address where it does.
    static func edge(_ cloud: Cloud, _ options: [String] = []) async throws -> (ServingProgram, server: String) {
        let edge = try await Edge.start(cloud.folder, options)
        return (edge.program, edge.server)
    }

    @Test func `a Pod runs at an edge, is called from the cloud, and outlives cloud and agent`() async throws {
        let folder = try Cloud.newFolder()
        let first = try await Cloud.start(in: folder)
        let port = try #require(first.program.error.split(separator: "127.0.0.1:").dropFirst().first?.prefix { $0.isNumber })
        let agent = try await Edge.join(first)
        try first.write("pod.yaml", Self.pod)
        #expect(await first.kubectl("apply -f \(folder)/pod.yaml").status == 0)
        let ready = await first.kubectl("wait pod/web --for=condition=Ready --timeout=60s")
        #expect(ready.status == 0, "\(ready.error) \(agent.program.error)")
        #expect(await first.kubectl("logs web").output == "hello\n")
        let ran = await first.kubectl(["exec", "web", "--", "/bin/sh", "-c", "echo out; exit 3"])
        #expect(ran.output == "out\n" && ran.status == 3, "\(ran.error)")
        #expect(await first.kubectl("get node e1 -o jsonpath={.status.conditions[?(@.type==\"Ready\")].status}").output == "True")
        let conditions = await first.kubectl("get node e1 -o jsonpath={.status.conditions[*].type}").output.split(separator: " ")
        #expect(
            Set(conditions).isSuperset(of: ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure", "OnnxRuntimeReady", "TrainingReady"]),
            "\(conditions)")

        let container = ".status.containerStatuses[0]"
        let state = "get pod web -o jsonpath={.status.phase},{\(container).containerID},{\(container).restartCount}"
        let before = await first.kubectl(state).output
        #expect(before.hasPrefix("Running,") && before.hasSuffix(",0"), "\(before)")
        first.program.signal(SIGKILL)
        _ = await first.program.wait()
        await agent.kill()

        let again = try await Edge.start(folder)
        let server = again.server
        #expect(server == agent.server, "workers that outlive their agent report where it listened")
        try await Edge.until("the same Pod on the node: \(before)") { await first.kubectl("\(server) \(state)").output == before }
        #expect(await first.kubectl("\(server) get configmap words -o jsonpath={.data.greeting}").output == "hello")
        #expect(await first.kubectl("\(server) delete pod web").error.contains("send changes to the cloud"))

        let second = try await Cloud.start(in: folder, port: Int(port)!)
        try await Edge.until("the link again, and the Pod as it was: \(before)") { await second.kubectl(state).output == before }
        let gone = await second.kubectl("delete pod web --timeout=60s")
        #expect(gone.status == 0, "\(gone.error)")
        await again.stop()
        await second.stop()
        try FileManager.default.removeItem(atPath: folder)
    }
}
