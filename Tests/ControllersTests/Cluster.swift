import Controllers
import Reconciliation
import Resources
import TestKit

/// A cluster of controllers, a server in memory and nodes whose agents do what agents do.
struct Cluster {
    var simulation: Simulation
    /// Nodes whose agents live.
    var alive: Set<String> = []

    var server: MemoryServer { simulation.server }

    init(seed: UInt64 = 1, namespaces: [String] = ["default", "kube-node-lease"]) async throws {
        simulation = Simulation(seed: seed) { ClusterControllers.all($0) }
        simulation.faults = .none
        for name in namespaces { try await simulation.server.create(.namespace, ["metadata": ["name": .string(name)]]) }
    }

    // MARK: Nodes

    mutating func addNode(_ name: String, cpu: String = "4", pods: Int64 = 110, labels: JSON = [:], taints: [JSON] = []) async throws {
        var spec: JSON = [:]
        if !taints.isEmpty { spec["taints"] = .array(taints) }
        let node = try await server.create(.node, ["metadata": ["name": .string(name), "labels": labels], "spec": spec])
        var new = node
        new["status"] = [
            "allocatable": ["cpu": .string(cpu), "memory": "8Gi", "pods": .integer(pods)], "conditions": [ready("True")],
        ]
        try await server.updateStatus(.node, new)
        alive.insert(name)
        await beat()
    }

    private func ready(_ status: String) -> JSON {
        [
            "type": "Ready", "status": .string(status), "reason": "KubeletReady", "message": "the agent is ready",
            "lastTransitionTime": .string(server.now.text), "lastHeartbeatTime": .string(server.now.text),
        ]
    }

    /// Every living agent renews its lease and says that its node is well.
    func beat() async {
        for name in alive.sorted() {
            let key = ObjectKey(namespace: "kube-node-lease", name: name)
            let spec: JSON = ["holderIdentity": .string(name), "renewTime": .string(server.now.text), "leaseDurationSeconds": 40]
            if (try? await server.patch(.lease, key, ObjectPatch(.merge, ["spec": spec]), part: .whole)) == nil {
                _ = try? await server.create(
                    .lease, ["metadata": ["namespace": "kube-node-lease", "name": .string(name)], "spec": spec])
            }
        }
    }

    /// What the agents see: statuses of Pods and nodes that are not as they should be.
    ///
    /// - Returns: whether they had anything to do.
    func runAgents() async -> Bool {
        var hasActed = false
        await beat()
        for node in server.all(.node) where alive.contains(node["metadata"]?["name"]?.string ?? "") {
            guard node["status"]?["conditions"]?.array?.first(where: { $0["type"] == "Ready" })?["status"] == "Unknown" else { continue }
            var new = node
            new[path: ["status", "conditions"]] = [ready("True")]
            hasActed = (try? await server.updateStatus(.node, new)) != nil || hasActed
        }
        for pod in server.all(.pod) where alive.contains(pod["spec"]?["nodeName"]?.string ?? "") {
            hasActed = await run(pod) || hasActed
        }
        return hasActed
    }

    private func run(_ pod: JSON) async -> Bool {
        if pod["metadata"]?["deletionTimestamp"] != nil {
            return (try? await server.delete(.pod, ObjectKey(pod), Deletion(gracePeriodSeconds: 0))) != nil
        }
        let image = pod["spec"]?["containers"]?.array?.first?["image"]?.string ?? ""
        let isReady = pod["status"]?["conditions"]?.array?.contains { $0["type"] == "Ready" && $0["status"] == "True" } ?? false
        let phase = pod["status"]?["phase"]?.string
        if phase == "Failed" || phase == "Succeeded" { return false }
        let wanted = image.hasPrefix("failing") ? "Failed" : "Running"
        let shouldBeReady = wanted == "Running" && !image.hasPrefix("broken")
        guard phase != wanted || isReady != shouldBeReady else { return false }
        var new = pod
        new["status"] = [
            "phase": .string(wanted), "conditions": [ready(shouldBeReady ? "True" : "False")],
            "containerStatuses": [["name": "main", "restartCount": 0, "ready": .bool(shouldBeReady)]],
        ]
        return (try? await server.updateStatus(.pod, new)) != nil
    }

    // MARK: Time

    /// Lets everything happen until nothing is left to do.
    ///
    /// - Parameter check: asked after every single step.
    mutating func rest(quietSeconds: Int64 = 150, _ check: ((MemoryServer) -> Void)? = nil) async -> Bool {
        let copy = self
        return await simulation.settle(quietSeconds: quietSeconds) { simulation in
            check?(simulation.server)
            return await copy.runAgents()
        }
    }

    /// Steps one at a time, agents in between, so that a check sees every state on the way.
    mutating func run(steps: Int, _ check: (MemoryServer) -> Void) async {
        for _ in 0..<steps {
            let isIdle = await !simulation.step()
            check(server)
            if isIdle, await !runAgents() { simulation.advance(seconds: 5) }
            check(server)
        }
    }

    // MARK: Objects

    func template(_ image: String, app: String = "web", _ change: (inout JSON) -> Void = { _ in }) -> JSON {
        var template: JSON = [
            "metadata": ["labels": ["app": .string(app)]], "spec": ["containers": [["name": "main", "image": .string(image)]]],
        ]
        change(&template)
        return template
    }

    @discardableResult
    func makeDeployment(_ name: String = "web", replicas: Int64 = 3, image: String = "app:1", spec: JSON = [:]) async throws -> JSON {
        var full: JSON = [
            "replicas": .integer(replicas), "selector": ["matchLabels": ["app": .string(name)]], "template": template(image, app: name),
        ]
        for (key, value) in spec.object ?? [:] { full[key] = value }
        return try await server.create(
            .deployment, ["metadata": ["name": .string(name), "namespace": "default"], "spec": full])
    }

    @discardableResult
    func makeDaemonSet(_ name: String = "agent", image: String = "app:1", spec: JSON = [:]) async throws -> JSON {
        var full: JSON = ["selector": ["matchLabels": ["app": .string(name)]], "template": template(image, app: name)]
        for (key, value) in spec.object ?? [:] { full[key] = value }
        return try await server.create(.daemonSet, ["metadata": ["name": .string(name), "namespace": "default"], "spec": full])
    }

    @discardableResult
    func makePod(_ name: String, _ spec: JSON = [:], labels: JSON = [:], owners: [JSON] = []) async throws -> JSON {
        var full: JSON = ["containers": [["name": "main", "image": "app:1"]]]
        for (key, value) in spec.object ?? [:] { full[key] = value }
        var metadata: JSON = ["name": .string(name), "namespace": "default", "labels": labels]
        if !owners.isEmpty { metadata["ownerReferences"] = .array(owners) }
        return try await server.create(.pod, ["metadata": metadata, "spec": full])
    }

    func patch(_ kind: ResourceKind, _ name: String, _ body: JSON) async throws {
        _ = try await server.patch(
            kind, ObjectKey(namespace: kind.isNamespaced ? "default" : "", name: name), ObjectPatch(.merge, body), part: .whole)
    }

    func setImage(_ kind: ResourceKind, _ name: String, _ image: String) async throws {
        try await patch(kind, name, ["spec": ["template": ["spec": ["containers": [["name": "main", "image": .string(image)]]]]]])
    }

    func find(_ kind: ResourceKind, _ name: String) -> JSON? {
        server.find(kind, ObjectKey(namespace: kind.isNamespaced ? "default" : "", name: name))
    }

    /// Pods that run or will.
    func active() -> [JSON] {
        server.all(.pod).filter {
            $0["metadata"]?["deletionTimestamp"] == nil && !["Failed", "Succeeded"].contains($0["status"]?["phase"]?.string)
        }
    }

    func images() -> [String] { active().compactMap { $0["spec"]?["containers"]?.array?.first?["image"]?.string }.sorted() }

    /// Reasons of the Events about an object, with their messages.
    func events(_ name: String) -> [String] {
        server.all(.event).filter { $0["involvedObject"]?["name"]?.string == name }
            .map { "\($0["reason"]?.string ?? ""): \($0["message"]?.string ?? "")" }
    }

    func condition(_ kind: ResourceKind, _ name: String, _ type: String) -> String? {
        find(kind, name)?["status"]?["conditions"]?.array?.first { $0["type"]?.string == type }
            .map { "\($0["status"]?.string ?? "") \($0["reason"]?.string ?? "")" }
    }

    func owner(_ object: JSON, blocks: Bool = false) -> JSON {
        [
            "apiVersion": object["apiVersion"] ?? "", "kind": object["kind"] ?? "", "name": object["metadata"]?["name"] ?? "",
            "uid": object["metadata"]?["uid"] ?? "", "blockOwnerDeletion": .bool(blocks),
        ]
    }
}
