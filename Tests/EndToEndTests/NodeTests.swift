import Resources
import TestKit
import Testing

#if canImport(Glibc)
    import Glibc
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A cloud with its own node, as a person uses it with kubectl.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed")) struct NodeTests {
    /// A Pod that prints, reads a ConfigMap and stays.
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
          terminationGracePeriodSeconds: 5
          containers:
            - name: web
              image: none
              command: [/bin/sh, -c, "echo $GREETING; exec sleep 1000"]
              env: [{name: GREETING, valueFrom: {configMapKeyRef: {name: words, key: greeting}}}]
        """

    private func wait(_ cloud: Cloud, _ line: String, until isSo: (String) -> Bool) async throws -> String {
        var last = ""
        for _ in 0..<600 {
            last = await cloud.kubectl(line).output
            if isSo(last) { return last }
            try await Task.sleep(for: .milliseconds(50))
        }
        Issue.record("kubectl \(line) never said what was waited for: \(last)")
        return last
    }

    @Test func `a Pod that is applied runs here: logs, commands and deletion work as in every cluster`() async throws {
        try await Cloud.with(node: true) { cloud in
            try cloud.write("pod.yaml", Self.pod)
            #expect(await cloud.kubectl("apply -f \(cloud.folder)/pod.yaml").status == 0)
            let ready = await cloud.kubectl("wait pod/web --for=condition=Ready --timeout=60s")
            #expect(ready.status == 0, "\(ready.error)")
            #expect(await cloud.kubectl("logs web").output == "hello\n")
            #expect(await cloud.kubectl("logs web --tail=1 --timestamps").output.hasSuffix("Z hello\n"))
            let ran = await cloud.kubectl(["exec", "web", "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 3"])
            #expect(ran.output == "out\n")
            #expect(ran.error.contains("err\n"))
            #expect(ran.status == 3)
            // Below 1.30 by SPDY, from then on by WebSocket.
            for client in Set([Cloud.otherKubectls.first, Cloud.otherKubectls.last].compactMap(\.self)) {
                let ran = await cloud.kubectl(["exec", "web", "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 3"], by: client)
                #expect(ran.output == "out\n" && ran.error.contains("err\n") && ran.status == 3, "\(client): \(ran)")
                try cloud.write("taken", String(repeating: "a line of a file\n", count: 20_000))
                let copied = await cloud.kubectl(["cp", "\(cloud.folder)/taken", "web:\(cloud.folder)/given"], by: client)
                #expect(copied.status == 0, "\(client): \(copied.error)")
                let (taken, given) = try (
                    String(contentsOfFile: "\(cloud.folder)/taken", encoding: .utf8),
                    String(contentsOfFile: "\(cloud.folder)/given", encoding: .utf8)
                )
                #expect(given == taken, "\(client): \(given.utf8.count) bytes")
                try FileManager.default.removeItem(atPath: "\(cloud.folder)/given")
            }
            let missing = await cloud.kubectl("logs web -c nobody")
            #expect(missing.status == 1 && missing.error.contains("container nobody is not valid for pod web"))
            #expect(await cloud.kubectl("get node cloud-0 -o jsonpath={.status.conditions[?(@.type==\"Ready\")].status}").output == "True")
            let gone = await cloud.kubectl("delete pod web --timeout=60s")
            #expect(gone.status == 0, "\(gone.error)")
        }
    }

    @Test func `Pods outlive a cloud that is killed, and the next one restarts none of them`() async throws {
        let folder = try Cloud.newFolder()
        let first = try await Cloud.start(in: folder, node: true)
        try first.write("pod.yaml", Self.pod)
        #expect(await first.kubectl("apply -f \(folder)/pod.yaml").status == 0)
        #expect(await first.kubectl("wait pod/web --for=condition=Ready --timeout=60s").status == 0)
        let container = ".status.containerStatuses[0]"
        let state = "get pod web -o jsonpath={\(container).containerID},{\(container).state.running.startedAt},{\(container).restartCount}"
        let before = await first.kubectl(state).output
        first.program.signal(SIGKILL)
        _ = await first.program.wait()
        let second = try await Cloud.start(in: folder, node: true)
        #expect(await second.kubectl("wait pod/web --for=condition=Ready --timeout=60s").status == 0)
        #expect(await second.kubectl("logs web").output == "hello\n")
        #expect(await second.kubectl(state).output == before)
        #expect(before.hasSuffix(",0"))
        #expect(await second.kubectl("delete pod web --timeout=60s").status == 0)
        await second.stop()
        try FileManager.default.removeItem(atPath: folder)
    }

    @Test func `a Deployment is rolled out on one machine, and a crash shows in kubectl`() async throws {
        try await Cloud.with(node: true) { cloud in
            let web = "\(FileManager.default.currentDirectoryPath)/examples/cloud/web.yaml"
            #expect(await cloud.kubectl("apply -f \(web)").status == 0)
            let rolled = await cloud.kubectl("rollout status deployment/web --timeout=60s")
            #expect(rolled.status == 0, "\(rolled.error)")
            let run = await cloud.kubectl(["run", "crash", "--image=none", "--command", "--", "/bin/sh", "-c", "echo why; exit 9"])
            #expect(run.status == 0)
            let line = try await wait(cloud, "get pod crash") { $0.contains("CrashLoopBackOff") }
            #expect(line.contains("0/1"))
            #expect(await cloud.kubectl("logs crash --previous").output == "why\n")
            #expect(await cloud.kubectl("describe pod crash").output.contains("Back-off restarting failed container crash"))
            #expect(await cloud.kubectl("delete deployment,pod --all --timeout=60s").status == 0)
            _ = try await wait(cloud, "get pods -o name") { $0.isEmpty }
        }
    }
}
