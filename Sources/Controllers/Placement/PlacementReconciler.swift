import Reconciliation
import Resources

/// All Pods that wait for a node, at once: each takes room that the next must not count on.
struct PlacementReconciler: PlannedReconciler {
    let client: any ObjectClient
    let name = PlacementPlan.scheduler
    let kinds = ReconcilerKinds.these([.pod, .node])

    let indexes: [any ViewIndex] = [NodeRoom()]

    private static let everything = ReconcileItem(.pod, ObjectKey(name: "waiting"))

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        // Whoever begins to wait is looked at then.
        if change.kind == .node, view.index(NodeRoom.self)?.waiting.isEmpty ?? false { return [] }
        if change.kind == .node { return Self.room(change.old) == Self.room(change.new) ? [] : [Self.everything] }
        let isWaiting = change.new.map { PodFacts.nodeName($0) == nil && PodFacts.isActive($0) } ?? false
        // A Pod that ends or goes leaves room.
        let leftRoom = change.old.map { !PodFacts.hasEnded($0) } ?? false && (change.new.map(PodFacts.hasEnded) ?? true)
        return isWaiting || leftRoom ? [Self.everything] : []
    }

    /// What of a node decides about Pods; its heartbeats don't.
    private static func room(_ node: JSON?) -> JSON? {
        node.map { node in
            var room: JSON = ["labels": .object(node.labels), "taints": .array(NodeFit.taints(node))]
            for key in ["allocatable", "capacity"] { room[key] = node["status"]?[key] }
            return room
        }
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        let room = view.index(NodeRoom.self) ?? NodeRoom().reading(view, [.pod])
        if room.waiting.isEmpty { return ObjectPlan() }
        return PlacementPlan.plan(nodes: view.all(.node), room: room, now: now) { view[.pod, $0] }
    }
}
