import Resources
import TestKit
import Testing

@Suite(.offThePool) struct DeploymentTests {
    private func cluster(nodes: Int = 3, seed: UInt64 = 1) async throws -> Cluster {
        var cluster = try await Cluster(seed: seed)
        for index in 0..<nodes { try await cluster.addNode("n\(index)") }
        return cluster
    }

    private func status(_ cluster: Cluster, _ field: String) -> Int64? {
        cluster.find(.deployment, "web")?["status"]?[field]?.integer
    }

    @Test func `a new Deployment gets its Pods and says what rollout status waits for`() async throws {
        var cluster = try await cluster()
        try await cluster.makeDeployment()
        #expect(await cluster.rest())
        #expect(cluster.images() == ["app:1", "app:1", "app:1"])
        for field in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
            #expect(status(cluster, field) == 3, "\(field)")
        }
        #expect(status(cluster, "observedGeneration") == cluster.find(.deployment, "web")?["metadata"]?["generation"]?.integer)
        #expect(status(cluster, "unavailableReplicas") == nil)
        #expect(cluster.condition(.deployment, "web", "Available") == "True MinimumReplicasAvailable")
        #expect(cluster.condition(.deployment, "web", "Progressing") == "True NewReplicaSetAvailable")
        let set = try #require(cluster.server.all(.replicaSet).first)
        let name = set["metadata"]?["name"]?.string ?? ""
        #expect(set["metadata"]?["annotations"]?["deployment.kubernetes.io/revision"] == "1")
        #expect(cluster.find(.deployment, "web")?["metadata"]?["annotations"]?["deployment.kubernetes.io/revision"] == "1")
        #expect(cluster.events("web") == ["ScalingReplicaSet: Scaled up replica set \(name) from 0 to 3"])
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `a rolling update stays within its surge and its minimum at every step`(seed: UInt64) async throws {
        for (surge, unavailable) in [(1, 0), (0, 1), (2, 1)] as [(Int64, Int64)] {
            var cluster = try await cluster(seed: seed)
            try await cluster.makeDeployment(
                replicas: 5,
                spec: ["strategy": ["rollingUpdate": ["maxSurge": .integer(surge), "maxUnavailable": .integer(unavailable)]]])
            #expect(await cluster.rest())
            try await cluster.setImage(.deployment, "web", "app:2")
            var most = 0
            var fewest = Int.max
            await cluster.run(steps: 3000) { server in
                let pods = server.all(.pod).filter { $0["metadata"]?["deletionTimestamp"] == nil }
                most = max(most, pods.count)
                fewest = min(
                    fewest,
                    pods.count { $0["status"]?["conditions"]?.array?.contains { $0["type"] == "Ready" && $0["status"] == "True" } ?? false }
                )
            }
            #expect(await cluster.rest())
            #expect(cluster.images() == Array(repeating: "app:2", count: 5))
            #expect(most <= 5 + Int(surge) && most > 4, "surge \(surge): \(most) Pods")
            #expect(fewest >= 5 - Int(unavailable), "unavailable \(unavailable): \(fewest) ready")
        }
    }

    @Test func `a template that is taken up again uses its old ReplicaSet, which becomes the newest revision`() async throws {
        var cluster = try await cluster()
        try await cluster.makeDeployment()
        #expect(await cluster.rest())
        let first = cluster.server.all(.replicaSet)[0]["metadata"]?["name"]?.string ?? ""
        try await cluster.setImage(.deployment, "web", "app:2")
        #expect(await cluster.rest())
        try await cluster.setImage(.deployment, "web", "app:1")
        #expect(await cluster.rest())
        #expect(cluster.server.all(.replicaSet).count == 2)
        let annotations = cluster.find(.replicaSet, first)?["metadata"]?["annotations"]
        #expect(annotations?["deployment.kubernetes.io/revision"] == "3")
        #expect(annotations?["deployment.kubernetes.io/revision-history"] == "1")
        #expect(cluster.find(.deployment, "web")?["metadata"]?["annotations"]?["deployment.kubernetes.io/revision"] == "3")
        #expect(cluster.images() == ["app:1", "app:1", "app:1"])
    }

    @Test func `a paused Deployment does not roll but scales, and goes on when it is resumed`() async throws {
        var cluster = try await cluster()
        try await cluster.makeDeployment()
        #expect(await cluster.rest())
        try await cluster.patch(.deployment, "web", ["spec": ["paused": true]])
        try await cluster.setImage(.deployment, "web", "app:2")
        try await cluster.patch(.deployment, "web", ["spec": ["replicas": 4]])
        #expect(await cluster.rest())
        #expect(cluster.images() == ["app:1", "app:1", "app:1", "app:1"])
        #expect(cluster.condition(.deployment, "web", "Progressing") == "Unknown DeploymentPaused")
        try await cluster.patch(.deployment, "web", ["spec": ["paused": .null]])
        #expect(await cluster.rest())
        #expect(cluster.images() == ["app:2", "app:2", "app:2", "app:2"])
        #expect(cluster.condition(.deployment, "web", "Progressing") == "True NewReplicaSetAvailable")
    }

    @Test func `a rollout that gets nowhere says so after its deadline, keeps what works, and recovers`() async throws {
        var cluster = try await cluster()
        try await cluster.makeDeployment(replicas: 4, spec: ["progressDeadlineSeconds": 120])
        #expect(await cluster.rest())
        try await cluster.setImage(.deployment, "web", "broken:1")
        #expect(await cluster.rest(quietSeconds: 400))
        #expect(cluster.condition(.deployment, "web", "Progressing") == "False ProgressDeadlineExceeded")
        #expect(cluster.condition(.deployment, "web", "Available") == "True MinimumReplicasAvailable")
        #expect(cluster.images().count { $0 == "app:1" } == 3)
        try await cluster.setImage(.deployment, "web", "app:3")
        #expect(await cluster.rest())
        #expect(cluster.images() == Array(repeating: "app:3", count: 4))
        #expect(cluster.condition(.deployment, "web", "Progressing") == "True NewReplicaSetAvailable")
    }

    @Test func `Recreate ends every old Pod before it makes a new one`() async throws {
        var cluster = try await cluster()
        try await cluster.makeDeployment(spec: ["strategy": ["type": "Recreate"]])
        #expect(await cluster.rest())
        try await cluster.setImage(.deployment, "web", "app:2")
        var isMixed = false
        await cluster.run(steps: 1500) { server in
            let images = Set(server.all(.pod).compactMap { $0["spec"]?["containers"]?.array?.first?["image"]?.string })
            isMixed = isMixed || images.count > 1
        }
        #expect(await cluster.rest())
        #expect(!isMixed)
        #expect(cluster.images() == ["app:2", "app:2", "app:2"])
    }

    @Test func `only so many old ReplicaSets are kept as the history asks`() async throws {
        var cluster = try await cluster()
        try await cluster.makeDeployment(spec: ["revisionHistoryLimit": 1])
        for version in 1...4 {
            try await cluster.setImage(.deployment, "web", "app:\(version)")
            #expect(await cluster.rest())
        }
        let revisions = cluster.server.all(.replicaSet).compactMap {
            $0["metadata"]?["annotations"]?["deployment.kubernetes.io/revision"]?.string
        }
        #expect(revisions.sorted() == ["3", "4"])
    }

    @Test func `a ReplicaSet that others made under the derived name is left alone`() async throws {
        var cluster = try await cluster()
        try await cluster.makeDeployment()
        #expect(await cluster.rest())
        let name = cluster.server.all(.replicaSet)[0]["metadata"]?["name"]?.string ?? ""
        // The Deployment goes without its ReplicaSet, which somebody then changes.
        try await cluster.server.delete(.deployment, ObjectKey(namespace: "default", name: "web"), Deletion(propagation: .orphan))
        #expect(await cluster.rest())
        #expect(cluster.server.all(.replicaSet).count == 1 && cluster.images().count == 3)
        try await cluster.patch(.replicaSet, name, ["metadata": ["labels": ["app": "other"]]])
        try await cluster.makeDeployment(replicas: 2)
        #expect(await cluster.rest())
        #expect(cluster.find(.deployment, "web")?["status"]?["collisionCount"] == 1)
        #expect(cluster.server.all(.replicaSet).count == 2)
        #expect(status(cluster, "availableReplicas") == 2)
    }

    @Test func `in the middle of a rollout, a new number is shared in proportion`() async throws {
        var cluster = try await cluster()
        try await cluster.makeDeployment(replicas: 8, spec: ["strategy": ["rollingUpdate": ["maxSurge": 2, "maxUnavailable": 2]]])
        #expect(await cluster.rest())
        try await cluster.setImage(.deployment, "web", "broken:1")
        #expect(await cluster.rest())
        // 6 old and 4 new of 10 that are allowed; of 18 allowed the old ones get 11, the new ones 7.
        #expect(cluster.images().count { $0 == "app:1" } == 6 && cluster.images().count == 10)
        try await cluster.patch(.deployment, "web", ["spec": ["replicas": 16]])
        #expect(await cluster.rest())
        let sizes = cluster.server.all(.replicaSet).compactMap { $0["spec"]?["replicas"]?.integer }.sorted()
        #expect(sizes.reduce(0, +) == 18)
        #expect(sizes == [7, 11])
    }
}
