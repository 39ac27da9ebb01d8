import APIServer
import Network
import Resources
import Synchronization
import TestKit
import Testing

@Suite(.offThePool) struct WorkloadTests {
    private let pods = "/api/v1/namespaces/default/pods"

    private func addNode(_ api: TestAPI, _ name: String, cpu: String = "4", labels: JSON = [:], taints: JSON = []) async throws {
        _ = try await api.create(
            "/api/v1/nodes",
            [
                "metadata": ["name": .string(name), "labels": labels], "spec": ["taints": taints],
                "status": [
                    "allocatable": ["cpu": .string(cpu), "memory": "4Gi", "pods": "10"],
                    "conditions": [["type": "Ready", "status": "True"], ["type": "Other", "status": "False"]],
                ],
            ])
    }

    private func add(_ api: TestAPI, _ name: String, _ change: (inout JSON) -> Void = { _ in }) async throws {
        var object = pod(name)
        var spec = object["spec"]!
        change(&spec)
        object["spec"] = spec
        _ = try await api.create(pods, object)
    }

    private func node(_ api: TestAPI, _ name: String) async throws -> String {
        try await api.send("GET", "\(pods)/\(name)").json["spec"]?["nodeName"]?.string ?? ""
    }

    private func requests(_ cpu: String) -> (inout JSON) -> Void {
        { $0["containers"] = [["name": "c", "image": "x", "resources": ["requests": ["cpu": .string(cpu)]]]] }
    }

    @Test func `Pods go where labels, taints and room allow`() async throws {
        let api = try await TestAPI()
        try await addNode(api, "big", cpu: "8")
        try await addNode(api, "edge", labels: ["zone": "a"], taints: [["key": "edge", "value": "yes", "effect": "NoSchedule"]])
        let toleration: JSON = [["key": "edge", "operator": "Exists"]]
        try await add(api, "plain")
        try await add(api, "bound") {
            $0["nodeSelector"] = ["zone": "a"]
            $0["tolerations"] = toleration
        }
        try await add(api, "affine") {
            $0["tolerations"] = toleration
            $0[path: ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"]] = [
                ["matchExpressions": [["key": "zone", "operator": "In", "values": ["a", "b"]]]]
            ]
        }
        try await add(api, "refused") { $0["nodeSelector"] = ["zone": "a"] }
        try await add(api, "huge", requests("9"))
        await Upkeep(service: api.service).pass()
        #expect(try await node(api, "plain") == "big")
        #expect(try await node(api, "bound") == "edge")
        #expect(try await node(api, "affine") == "edge")
        #expect(try await node(api, "refused") == "")
        let condition = try await api.send("GET", "\(pods)/huge").json["status"]?["conditions"]?.array?.first
        #expect(condition?["reason"] == "Unschedulable")
        #expect(condition?["message"]?.string?.hasPrefix("0/2 nodes are available: ") == true)
        #expect(condition?["message"]?.string?.contains("1 Insufficient cpu") == true)
    }

    @Test func `a node is filled no further than it has room, and others share the load`() async throws {
        let api = try await TestAPI()
        try await addNode(api, "a", cpu: "2")
        try await addNode(api, "b", cpu: "2")
        for index in 0..<5 { try await add(api, "p\(index)", requests("900m")) }
        await Upkeep(service: api.service).pass()
        var counts: [String: Int] = [:]
        for index in 0..<5 { counts[try await node(api, "p\(index)"), default: 0] += 1 }
        #expect(counts == ["a": 2, "b": 2, "": 1])
    }

    @Test func `a silent node is unknown and closed, and open again once it speaks`() async throws {
        let api = try await TestAPI()
        try await addNode(api, "n")
        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        func renew(_ seconds: Int64) -> JSON { ["spec": ["renewTime": .string(Timestamp(seconds: TestAPI.start.seconds + seconds).text)]] }
        var lease = renew(0)
        lease["metadata"] = ["name": "n"]
        _ = try await api.create(leases, lease)
        let upkeep = Upkeep(service: api.service)
        api.clock.seconds.store(30, ordering: .relaxed)
        await upkeep.pass()
        func state() async throws -> (String?, Int) {
            let node = try await api.send("GET", "/api/v1/nodes/n").json
            return (node["status"]?["conditions"]?.array?.first?["status"]?.string, node["spec"]?["taints"]?.array?.count ?? 0)
        }
        #expect(try await state() == ("True", 0))
        api.clock.seconds.store(41, ordering: .relaxed)
        await upkeep.pass()
        #expect(try await state() == ("Unknown", 2))
        try await add(api, "waiting")
        await upkeep.pass()
        #expect(try await node(api, "waiting") == "")
        _ = try await api.send("PATCH", leases + "/n", renew(42), type: "application/merge-patch+json")
        _ = try await api.send(
            "PATCH", "/api/v1/nodes/n/status", ["status": ["conditions": [["type": "Ready", "status": "True"]]]],
            type: "application/merge-patch+json")
        for _ in 0..<2 { await upkeep.pass() }
        #expect(try await state() == ("True", 0))
        #expect(try await node(api, "waiting") == "n")
    }

    private let deployments = "/apis/apps/v1/namespaces/default/deployments"

    private func deployment(_ replicas: JSON, image: JSON = "one", strategy: JSON = ["type": "RollingUpdate"]) -> JSON {
        [
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "d"],
            "spec": [
                "replicas": replicas, "selector": ["matchLabels": ["app": "d"]], "strategy": strategy,
                "template": ["metadata": ["labels": ["app": "d"]], "spec": ["containers": [["name": "c", "image": image]]]],
            ],
        ]
    }

    private func all(_ api: TestAPI) async throws -> [JSON] { try await api.send("GET", pods).json["items"]?.array ?? [] }

    private func images(_ api: TestAPI) async throws -> [String] {
        try await all(api).compactMap { $0["spec"]?["containers"]?.array?.first?["image"]?.string }.sorted()
    }

    private func makeReady(_ api: TestAPI) async throws {
        for pod in try await all(api) {
            _ = try await api.send(
                "PATCH", "\(pods)/\(pod["metadata"]?["name"]?.string ?? "")/status",
                ["status": ["phase": "Running", "conditions": [["type": "Ready", "status": "True"]]]], type: "application/merge-patch+json")
        }
    }

    @Test func `a Deployment keeps its number, up and down`() async throws {
        let api = try await TestAPI()
        let upkeep = Upkeep(service: api.service)
        _ = try await api.create(deployments, deployment(3))
        for _ in 0..<2 { await upkeep.pass() }
        #expect(try await all(api).count == 3)
        let victim = try await all(api)[0]["metadata"]?["name"]?.string ?? ""
        _ = try await api.send("DELETE", "\(pods)/\(victim)")
        for _ in 0..<2 { await upkeep.pass() }
        #expect(try await all(api).count == 3)
        try await makeReady(api)
        await upkeep.pass()
        let status = try await api.send("GET", deployments + "/d").json["status"]
        #expect(status?["availableReplicas"] == 3)
        #expect(status?["observedGeneration"] == 1)
        _ = try await api.send("PATCH", deployments + "/d/scale", ["spec": ["replicas": 1]], type: "application/merge-patch+json")
        for _ in 0..<2 { await upkeep.pass() }
        #expect(try await all(api).count == 1)
        _ = try await api.send("DELETE", deployments + "/d")
        for _ in 0..<2 { await upkeep.pass() }
        #expect(try await all(api).isEmpty)
    }

    @Test func `a rolling update never has fewer ready Pods, nor more Pods, than it may`() async throws {
        let api = try await TestAPI()
        let upkeep = Upkeep(service: api.service)
        let strategy: JSON = ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": 1, "maxUnavailable": 1]]
        _ = try await api.create(deployments, deployment(4, strategy: strategy))
        for _ in 0..<2 { await upkeep.pass() }
        try await makeReady(api)
        let changed = deployment(4, image: "two", strategy: strategy)
        _ = try await api.send("PATCH", deployments + "/d", ["spec": changed["spec"]!], type: "application/merge-patch+json")
        for _ in 0..<20 {
            await upkeep.pass()
            let now = try await all(api)
            #expect(now.count <= 5)
            #expect(now.count { $0["status"]?["phase"] == "Running" } >= 3)
            try await makeReady(api)
        }
        #expect(try await images(api) == ["two", "two", "two", "two"])
        let conditions = try await api.send("GET", deployments + "/d").json["status"]?["conditions"]?.array ?? []
        #expect(conditions.contains { $0["reason"] == "NewReplicaSetAvailable" })
    }

    @Test func `recreation ends every old Pod before it makes a new one`() async throws {
        let api = try await TestAPI()
        let upkeep = Upkeep(service: api.service)
        _ = try await api.create(deployments, deployment(2, strategy: ["type": "Recreate"]))
        for _ in 0..<2 { await upkeep.pass() }
        let changed = deployment(2, image: "two", strategy: ["type": "Recreate"])
        _ = try await api.send("PATCH", deployments + "/d", ["spec": changed["spec"]!], type: "application/merge-patch+json")
        for _ in 0..<4 {
            await upkeep.pass()
            #expect(Set(try await images(api)).count <= 1)
        }
        #expect(try await images(api) == ["two", "two"])
    }

    @Test func `a DaemonSet has one Pod on each node it fits`() async throws {
        let api = try await TestAPI()
        let upkeep = Upkeep(service: api.service)
        try await addNode(api, "a", labels: ["role": "edge"])
        try await addNode(api, "b", labels: ["role": "edge"])
        try await addNode(api, "c")
        _ = try await api.create(
            "/apis/apps/v1/namespaces/default/daemonsets",
            [
                "metadata": ["name": "ds"],
                "spec": [
                    "selector": ["matchLabels": ["x": "y"]],
                    "template": [
                        "metadata": ["labels": ["x": "y"]],
                        "spec": ["nodeSelector": ["role": "edge"], "containers": [["name": "c", "image": "i"]]],
                    ],
                ],
            ])
        for _ in 0..<2 { await upkeep.pass() }
        func nodes() async throws -> [String] { try await all(api).compactMap { $0["spec"]?["nodeName"]?.string }.sorted() }
        #expect(try await nodes() == ["a", "b"])
        _ = try await api.send("PATCH", "/api/v1/nodes/c", ["metadata": ["labels": ["role": "edge"]]], type: "application/merge-patch+json")
        _ = try await api.send("PATCH", "/api/v1/nodes/a", ["metadata": ["labels": ["role": .null]]], type: "application/merge-patch+json")
        for _ in 0..<2 { await upkeep.pass() }
        // The Pod of `a` has time to end: its node deletes it.
        let ending = try await all(api).filter { $0["metadata"]?["deletionTimestamp"] != nil }
        #expect(ending.compactMap { $0["spec"]?["nodeName"]?.string } == ["a"])
        #expect(try await nodes() == ["a", "b", "c"])
        let status = try await api.send("GET", "/apis/apps/v1/namespaces/default/daemonsets/ds").json["status"]
        #expect(status?["desiredNumberScheduled"] == 2)
    }

    @Test(arguments: [
        ("500m", 0.5), ("2", 2), ("1.5", 1.5), ("1Ki", 1024), ("2Gi", 2_147_483_648), ("1e3", 1000), ("3E", 3e18), ("4n", 4e-9),
    ])
    func `quantities are read as Kubernetes writes them`(text: String, value: Double) {
        #expect(Quantity(text)?.value == value)
    }

    @Test(arguments: ["", "x", "1x", "1.2.3", "Ki", "--1", "1 Gi", "∞"])
    func `text that is no quantity is none`(text: String) {
        #expect(Quantity(text) == nil)
    }
}
