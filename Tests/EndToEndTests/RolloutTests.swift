import TestKit
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What unmodified kubectl does over time: roll out, look back, go back, empty a node. A loop stands in for the node's agent: it reports
/// Pods as running and lets those go that are to end.
@Suite(.offThePool, .enabled(if: Cloud.kubectl != nil, "kubectl is not installed"), .timeLimit(.minutes(30))) struct RolloutTests {
    private static let manifest = """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web}
        spec:
          replicas: 2
          selector: {matchLabels: {app: web}}
          template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: "x:1"}]}}
        ---
        apiVersion: v1
        kind: Node
        metadata: {name: n1}
        """

    private static let room = #"{"cpu":"8","memory":"8Gi","pods":"100"}"#

    /// Has the node say that it is ready, with room for Pods; a heartbeat.
    private static func beat(_ cloud: Cloud) async -> Int32 {
        let moment = Date().ISO8601Format()
        let ready = #"[{"type":"Ready","status":"True","lastHeartbeatTime":"\#(moment)"}]"#
        let status = #"{"status":{"capacity":\#(room),"allocatable":\#(room),"conditions":\#(ready)}}"#
        return await cloud.kubectl(["patch", "node", "n1", "--subresource=status", "--type=merge", "-p", status]).status
    }

    /// Keeps the node alive, marks every Pod that has a node as running and ready, and deletes those that are being deleted.
    private static func tend(_ cloud: Cloud) async {
        let running = #"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#
        while !Task.isCancelled {
            _ = await beat(cloud)
            let template = #"jsonpath={range .items[*]}{.metadata.name}={.spec.nodeName}={.metadata.deletionTimestamp}{"\n"}{end}"#
            let pods = await cloud.kubectl(["get", "pods", "-l", "app=web", "-o", template])
            for line in pods.output.split(separator: "\n") {
                let parts = line.split(separator: "=", omittingEmptySubsequences: false)
                // Not yet its node's business.
                guard parts.count == 3, !parts[1].isEmpty else { continue }
                if parts[2].isEmpty {
                    _ = await cloud.kubectl("patch pod \(parts[0]) --subresource=status --type=merge -p \(running)")
                } else {
                    _ = await cloud.kubectl("delete pod \(parts[0]) --grace-period=0 --force")
                }
            }
        }
    }

    @Test func `a deployment is rolled out, looked back on and taken back, and its node is drained`() async throws {
        try await Cloud.with { cloud in
            try cloud.write("web.yaml", Self.manifest)
            #expect(await cloud.kubectl("apply -f \(cloud.folder)/web.yaml").status == 0)
            #expect(await Self.beat(cloud) == 0)
            let agent = Task { await Self.tend(cloud) }
            func image() async -> String {
                await cloud.kubectl("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}").output
            }
            func rolledOut() async -> Bool {
                let status = await cloud.kubectl("rollout status deployment/web --timeout=60s")
                return status.status == 0 && status.output.contains("successfully rolled out")
            }
            #expect(await rolledOut())
            #expect(await cloud.kubectl("set image deployment/web c=x:2").status == 0)
            #expect(await rolledOut())
            let history = await cloud.kubectl("rollout history deployment/web").output
            #expect(history.contains("\n1 ") && history.contains("\n2 "), "\(history)")
            #expect(await cloud.kubectl("rollout undo deployment/web").output.contains("rolled back"))
            #expect(await rolledOut())
            #expect(await image() == "x:1")
            #expect(await cloud.kubectl("rollout restart deployment/web").status == 0)
            #expect(await rolledOut())
            let drain = await cloud.kubectl("drain n1 --force --timeout=60s")
            #expect(drain.status == 0 && drain.output.contains("evicted") && drain.output.contains("drained"), "\(drain)")
            #expect(await cloud.kubectl("get node n1").output.contains("SchedulingDisabled"))
            #expect(await cloud.kubectl("get pods -l app=web --field-selector spec.nodeName=n1 -o name").output == "")
            agent.cancel()
            await agent.value
        }
    }
}
