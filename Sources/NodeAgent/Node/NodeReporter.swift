import Resources

/// Keeps the node's object true: registers it, writes its status when something changes and every five minutes.
struct NodeReporter: Sendable {
    /// Time from look to look.
    private static let period: Duration = .seconds(10)
    private static let retryPeriod: Duration = .seconds(2)

    private let configuration: NodeAgent.Configuration
    private let plan: NodeStatusPlan

    init(_ configuration: NodeAgent.Configuration) {
        self.configuration = configuration
        plan = NodeStatusPlan(
            name: configuration.nodeName, address: configuration.address, labels: configuration.labels,
            capacity: configuration.facts.capacity, allocatable: configuration.facts.allocatable, nodeInfo: configuration.facts.nodeInfo)
    }

    func run() async {
        while !Task.isCancelled {
            var wait = Self.period
            do { try await report() } catch {
                if Task.isCancelled { return }
                configuration.report("node \(plan.name): writing its status: \(error.message)")
                wait = Self.retryPeriod
            }
            try? await Task.sleep(for: wait)
        }
    }

    private func report() async throws(APIStatus) {
        let facts = configuration.facts
        let conditions = await Threads.run { facts.conditions() }
        let key = ObjectKey(name: plan.name)
        let node = try await self.node(key)
        if let change = plan.labelChange(node) {
            _ = try await configuration.client.patch(.node, key, ObjectPatch(.merge, change, fieldManager: "kubelet"), part: .whole)
        }
        if let change = plan.statusChange(node, conditions, now: configuration.now().time) {
            _ = try await configuration.client.patch(.node, key, ObjectPatch(.merge, change, fieldManager: "kubelet"), part: .status)
        }
    }

    private func node(_ key: ObjectKey) async throws(APIStatus) -> JSON {
        do { return try await configuration.client.get(.node, key) } catch {
            guard error.code == 404 else { throw error }
            return try await configuration.client.create(.node, plan.newNode())
        }
    }
}

/// Renews the node's Lease, where no hub does.
struct LeaseRenewer: Sendable {
    private static let period: Duration = .seconds(10)
    private static let durationSeconds: Int64 = 40

    private let configuration: NodeAgent.Configuration

    init(_ configuration: NodeAgent.Configuration) { self.configuration = configuration }

    func run() async {
        while !Task.isCancelled {
            do { try await renew() } catch {
                if Task.isCancelled { return }
                configuration.report("node \(configuration.nodeName): renewing its lease: \(error.message)")
            }
            try? await Task.sleep(for: Self.period)
        }
    }

    private func renew() async throws(APIStatus) {
        let key = ObjectKey(namespace: "kube-node-lease", name: configuration.nodeName)
        let time = String(configuration.now().time.text.dropLast()) + ".000000Z"
        let spec: JSON = [
            "holderIdentity": .string(configuration.nodeName), "leaseDurationSeconds": .integer(Self.durationSeconds),
            "renewTime": .string(time),
        ]
        do {
            _ = try await configuration.client.patch(
                .lease, key, ObjectPatch(.merge, ["spec": spec], fieldManager: "kubelet"), part: .whole)
        } catch {
            guard error.code == 404 else { throw error }
            try await configuration.client.create(
                .lease,
                [
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": ["name": .string(key.name), "namespace": .string(key.namespace)], "spec": spec,
                ])
        }
    }
}
