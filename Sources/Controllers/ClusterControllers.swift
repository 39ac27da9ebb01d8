package import Reconciliation
package import Resources

/// The controllers that every cluster has. They run beside the embedded API only: a real Kubernetes brings its own.
package enum ClusterControllers {
    /// All of them, speaking to the server through a client that may do everything.
    ///
    /// - Parameter nodeGraceSeconds: a node that has not been heard of for so long counts as silent; from 1.
    package static func all(_ client: any ObjectClient, nodeGraceSeconds: Int64 = 40) -> [any Reconciler] {
        [
            GarbageReconciler(client: client), NamespaceReconciler(client: client),
            NodeLifecycleReconciler(client: client, rules: NodeLifecyclePlan(graceSeconds: nodeGraceSeconds)),
            PlacementReconciler(client: client), DeploymentReconciler(client: client), ReplicaSetReconciler(client: client),
            DaemonSetReconciler(client: client), ServiceAccountReconciler(client: client), RoleAggregationReconciler(client: client),
            EventExpiry(client: client),
        ]
    }
}

/// The controllers of our own kinds, which run beside the embedded API and beside any Kubernetes.
package enum OwnControllers {
    /// All of them.
    ///
    /// - Parameters:
    ///   - recorder: the knowledge base; without one rounds wait to be recorded.
    ///   - notary: signs versions of models; without one they stay as they are.
    ///   - cutter: makes nodes' parts of models; without one they are the whole.
    package static func all(
        _ client: any ObjectClient, recorder: (any KnowledgeRecorder)? = nil, notary: (any ModelNotary)? = nil,
        cutter: (any ModelCutter)? = nil
    ) -> [any Reconciler] {
        let jobs: [any Reconciler] = [
            JobReconciler.incremental(client), JobReconciler.lifelong(client), JointInferenceReconciler(client: client),
            ModelServingReconciler(client: client), ModelCutReconciler(client: client, cutter: cutter, notary: notary),
        ]
        let seals: [any Reconciler] = notary.map { [ModelSealReconciler(client: client, notary: $0)] } ?? []
        return jobs + seals + (recorder.map { [KnowledgeReconciler(client: client, recorder: $0)] } ?? [])
    }
}
