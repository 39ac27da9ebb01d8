import Reconciliation
import Resources

/// Writes into every ClusterRole with an `aggregationRule` the rules that it gathers, so that whoever reads the role sees what it grants.
struct RoleAggregationReconciler: PlannedReconciler {
    let client: any ObjectClient
    let name = "clusterrole-aggregation-controller"
    let kinds = ReconcilerKinds.these([.clusterRole])

    /// Any role may be gathered by any other, also by way of a third: there are some tens of them, all are looked at.
    private static let everything = ReconcileItem(.clusterRole, ObjectKey(name: "gathering"))

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        func grant(_ role: JSON?) -> JSON? {
            role.map { ["labels": .object($0.labels), "rules": $0["rules"] ?? [], "aggregationRule": $0["aggregationRule"] ?? .null] }
        }
        return grant(change.old) == grant(change.new) && change.old != nil ? [] : [Self.everything]
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        let roles = view.all(.clusterRole)
        let aggregation = RoleAggregation(roles)
        return ObjectPlan(
            roles.filter { RoleAggregation.gathers($0) && !$0.isBeingDeleted }.compactMap { role in
                let key = ObjectKey(role)
                let rules = JSON.array(aggregation.rules(of: key.name))
                guard rules != role["rules"] ?? [] else { return nil }
                let patch: JSON = ["metadata": ["resourceVersion": role["metadata"]?["resourceVersion"] ?? ""], "rules": rules]
                return .patch(.clusterRole, key, ObjectPatch(.merge, patch, fieldManager: name))
            })
    }
}
