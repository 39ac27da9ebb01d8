import Reconciliation
import Resources

/// Deletes Events an hour after they were last counted, as a real server forgets them: they are told, not kept.
struct EventExpiry: PlannedReconciler {
    static let keptSeconds: Int64 = 3600
    let client: any ObjectClient
    let name = "event-expiry"
    let kinds = ReconcilerKinds.these([.event])

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        change.new == nil ? [] : [ReconcileItem(.event, change.key)]
    }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan {
        guard let event = view[.event, item.key] else { return ObjectPlan() }
        let times = [event["series"]?.time("lastObservedTime"), event.time("lastTimestamp"), event.time("eventTime"), event.created]
        let last = times.compactMap { $0 }.max() ?? now
        let left = last.seconds + Self.keptSeconds - now.seconds
        if left > 0 { return ObjectPlan(again: .seconds(left)) }
        return ObjectPlan([
            .delete(
                .event, item.key, Deletion(uid: event.uid, resourceVersion: event["metadata"]?["resourceVersion"]?.string))
        ])
    }
}
