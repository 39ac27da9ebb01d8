import Controllers
import KubernetesClient
import Reconciliation
import Resources
import TestKit
import Testing

/// The controllers of a cluster, pointed at a server over the network that has none of its own.
@Suite(.offThePool, .timeLimit(.minutes(30))) struct ForeignControllersTests {
    private static let deployment: JSON = [
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web", "namespace": "default"],
        "spec": [
            "replicas": 3, "selector": ["matchLabels": ["app": "web"]],
            "template": ["metadata": ["labels": ["app": "web"]], "spec": ["containers": [["name": "c", "image": "x"]]]],
        ],
    ]

    /// Looks again and again until a condition holds.
    private func wait(_ condition: () async throws -> Bool) async throws {
        while try await !condition() {
            try Task.checkCancellation()
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    @Test func `a deployment is rolled out, and what it owns goes with it`() async throws {
        try await ForeignServer.with { _, client in
            let runner = ReconcileRunner(
                client: client, reconcilers: ClusterControllers.all(client), clock: ContinuousClock(),
                time: { Timestamp(seconds: 1_800_000_000) },
                random: { 7 }, report: { _ in })
            let task = Task { await runner.run() }
            try await client.create(.deployment, Self.deployment)
            try await wait { try await client.list(.pod, ListQuery(labelSelector: "app=web")).items.count == 3 }
            for pod in try await client.list(.pod, ListQuery()).items {
                // A patch, because controllers write to these Pods as well.
                let ready: JSON = ["status": ["phase": "Running", "conditions": [["type": "Ready", "status": "True"]]]]
                _ = try await client.patch(.pod, ObjectKey(pod), ObjectPatch(.merge, ready), part: .status)
            }
            let key = ObjectKey(Self.deployment)
            try await wait { try await client.get(.deployment, key)["status"]?["readyReplicas"] == 3 }
            try await client.delete(.deployment, key, Deletion(propagation: .foreground, gracePeriodSeconds: 0))
            try await wait {
                let deployments = try await client.list(.deployment, ListQuery()).items
                let sets = try await client.list(.replicaSet, ListQuery()).items
                return deployments.isEmpty && sets.isEmpty
            }
            task.cancel()
            await task.value
        }
    }
}
