import Identity
import Resources

/// Carries out the plans for nodes, Pods, Deployments and DaemonSets: reads the world, moves it one step.
struct WorkloadUpkeep {
    let service: ObjectService

    private static func kind(_ name: String) -> KindDefinition { BuiltInKinds.all.first { $0.kind == name }! }
    private static let nodes = kind("Node")
    private static let pods = kind("Pod")
    private static let leases = kind("Lease")
    private static let deployments = kind("Deployment")
    private static let daemonSets = kind("DaemonSet")

    private func options(_ controller: String) -> WriteOptions {
        var options = WriteOptions(user: .init(name: "system:serviceaccount:kube-system:\(controller)", groups: ["system:masters"]))
        options.fieldManager = controller
        return options
    }

    func pass() async throws(APIStatus) {
        let now = service.environment.now()
        for node in try service.all(Self.nodes) { try await check(node, now) }
        let deployments = try service.all(Self.deployments)
        let sets = try service.all(Self.daemonSets)
        var pods = try service.all(Self.pods)
        for deployment in deployments { try await step(deployment, pods, now) }
        if !sets.isEmpty {
            let nodes = try service.all(Self.nodes)
            for set in sets { try await step(set, pods, nodes, now) }
        }
        if !deployments.isEmpty || !sets.isEmpty { pods = try service.all(Self.pods) }
        try await place(pods)
    }

    /// A write that somebody else's was faster than is left to the next pass.
    private func attempt(_ body: () async throws(APIStatus) -> Void) async throws(APIStatus) {
        do {
            try await body()
        } catch  where ["NotFound", "Conflict", "AlreadyExists"].contains(error.reason) {
            return
        }
    }

    private func check(_ node: JSON, _ now: Timestamp) async throws(APIStatus) {
        let name = node["metadata"]?["name"]?.string ?? ""
        let lease = try? service.get(Self.leases, namespace: "kube-node-lease", name: name)
        guard let new = NodeLifecycle.successor(of: node, lease: lease, now: now) else { return }
        let options = options("node-controller")
        try await attempt { () throws(APIStatus) in
            if new["spec"] != node["spec"] {
                let stored = try await service.change(Self.nodes, namespace: "", name: name, part: .whole, options) {
                    (_: JSON) throws(APIStatus) in new
                }
                guard new["status"] != node["status"] else { return }
                var next = stored
                next["status"] = new["status"]
                let wanted = next
                _ = try await service.change(Self.nodes, namespace: "", name: name, part: .status, options) { (_: JSON) throws(APIStatus) in
                    wanted
                }
            } else {
                _ = try await service.change(Self.nodes, namespace: "", name: name, part: .status, options) { (_: JSON) throws(APIStatus) in
                    new
                }
            }
        }
    }

    private func place(_ pods: [JSON]) async throws(APIStatus) {
        let waiting = pods.filter { pod in
            (pod["spec"]?["nodeName"]?.string ?? "").isEmpty && pod["metadata"]?["deletionTimestamp"] == nil && !Placement.hasEnded(pod)
                && pod["spec"]?["schedulerName"]?.string ?? "default-scheduler" == "default-scheduler"
                && pod["spec"]?["schedulingGates"]?.array?.isEmpty ?? true
        }
        guard !waiting.isEmpty else { return }
        var placement = Placement(nodes: try service.all(Self.nodes), pods: pods)
        for pod in waiting.sorted(by: {
            ($0["metadata"]?["creationTimestamp"]?.string ?? "") < ($1["metadata"]?["creationTimestamp"]?.string ?? "")
        }) {
            switch placement.place(pod) {
            case .node(let node): try await bind(pod, node)
            case .none(let reason): try await explain(pod, reason)
            }
        }
    }

    private func bind(_ pod: JSON, _ node: String) async throws(APIStatus) {
        var bound = pod
        bound[path: ["spec", "nodeName"]] = .string(node)
        try await write(bound, part: .whole)
        try await explain(pod, nil)
    }

    private func write(_ pod: JSON, part: ObjectService.Part) async throws(APIStatus) {
        let metadata = pod["metadata"]
        try await attempt { () throws(APIStatus) in
            _ = try await service.change(
                Self.pods, namespace: metadata?["namespace"]?.string ?? "", name: metadata?["name"]?.string ?? "", part: part,
                options("scheduler")
            ) { (_: JSON) throws(APIStatus) in pod }
        }
    }

    /// Says in the Pod's status whether it has a node, or why not.
    private func explain(_ pod: JSON, _ reason: String?) async throws(APIStatus) {
        let now = service.environment.now()
        var pod = pod
        if reason == nil {
            // The Pod was written a moment ago.
            guard
                let current = try? service.get(
                    Self.pods, namespace: pod["metadata"]?["namespace"]?.string ?? "", name: pod["metadata"]?["name"]?.string ?? "")
            else { return }
            pod = current
        }
        let old = pod["status"]?["conditions"]?.array ?? []
        var new = PodTemplates.condition(
            pod["status"], "PodScheduled", reason == nil, reason == nil ? "Scheduled" : "Unschedulable",
            .string(reason ?? "a node has been found"), now)
        new["lastUpdateTime"] = nil
        guard !old.contains(where: { $0["type"] == "PodScheduled" && $0["status"] == new["status"] && $0["message"] == new["message"] })
        else { return }
        pod[path: ["status", "conditions"]] = .array(old.filter { $0["type"] != "PodScheduled" } + [new])
        try await write(pod, part: .status)
    }

    private func step(_ deployment: JSON, _ pods: [JSON], _ now: Timestamp) async throws(APIStatus) {
        let namespace = deployment["metadata"]?["namespace"]?.string ?? ""
        let plan = DeploymentPlan(deployment, pods: pods.filter { $0["metadata"]?["namespace"]?.string == namespace }, now: now)
        let options = options("deployment-controller")
        try await delete(plan.deletions, namespace)
        for _ in 0..<plan.creations {
            let pod = PodTemplates.pod(deployment, hash: PodTemplates.hash(deployment))
            _ = try await service.create(Self.pods, namespace: namespace, pod, options)
        }
        try await report(Self.deployments, deployment, plan.status, options)
    }

    private func step(_ set: JSON, _ pods: [JSON], _ nodes: [JSON], _ now: Timestamp) async throws(APIStatus) {
        let namespace = set["metadata"]?["namespace"]?.string ?? ""
        let plan = DaemonSetPlan(set, pods: pods.filter { $0["metadata"]?["namespace"]?.string == namespace }, nodes: nodes, now: now)
        let options = options("daemon-set-controller")
        try await delete(plan.deletions, namespace)
        for node in plan.creations {
            _ = try await service.create(
                Self.pods, namespace: namespace, PodTemplates.pod(set, hash: PodTemplates.hash(set), node: node), options)
        }
        try await report(Self.daemonSets, set, plan.status, options)
    }

    private func delete(_ names: [String], _ namespace: String) async throws(APIStatus) {
        for name in names {
            try await attempt { () throws(APIStatus) in
                _ = try await service.delete(Self.pods, namespace: namespace, name: name, DeleteOptions())
            }
        }
    }

    private func report(_ definition: KindDefinition, _ owner: JSON, _ status: JSON, _ options: WriteOptions) async throws(APIStatus) {
        guard owner["status"] != status else { return }
        var new = owner
        new["status"] = status
        let wanted = new
        try await attempt { () throws(APIStatus) in
            _ = try await service.change(
                definition, namespace: owner["metadata"]?["namespace"]?.string ?? "", name: owner["metadata"]?["name"]?.string ?? "",
                part: .status, options
            ) { (_: JSON) throws(APIStatus) in wanted }
        }
    }
}
