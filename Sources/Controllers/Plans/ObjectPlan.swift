import Reconciliation
import Resources

/// What a controller has decided: writes in the order in which they are to be made, and when to look again.
///
/// A plan may be stopped between any two steps. It is written so that the next plan, made of what the server then has, does the rest.
struct ObjectPlan: Sendable, Equatable {
    enum Step: Sendable, Equatable {
        /// Goes no further unless the object is there, is this one, and is not being deleted: asked of the server, not of the view.
        case confirm(ResourceKind, ObjectKey, uid: String)
        /// Goes no further if the server has the object.
        case confirmAbsent(ResourceKind, ObjectKey)
        /// Goes no further if the server has another revision of the object than was seen; nil for none: what is concluded from silence
        /// must not come from a view that lags behind.
        case confirmUnchanged(ResourceKind, ObjectKey, resourceVersion: String?)
        /// Done if an object of the name exists: names are derived, so it is the same, or the next plan sees that it is not.
        case create(ResourceKind, JSON)
        /// Only if the object still has the resource version it carries.
        case update(ResourceKind, JSON)
        /// Only if the object still has the resource version it carries.
        case updateStatus(ResourceKind, JSON)
        case patch(ResourceKind, ObjectKey, ObjectPatch)
        /// Done if the object is gone, or another has its name.
        case delete(ResourceKind, ObjectKey, Deletion)
        /// A `Binding`: the node of a Pod.
        case bind(JSON)
        /// Tells of the step before it; left out if that found its work already done.
        case note(EventNote)
    }

    var steps: [Step] = []
    /// Look again after so long even if nothing changes.
    var again: Duration?
    /// Look again after so long if a step went no further, for plans that nothing else asks for again once the view has caught up.
    var againIfStopped: Duration?

    init(_ steps: [Step] = [], again: Duration? = nil) {
        self.steps = steps
        self.again = again
    }

    /// Looks again after so long at the latest.
    mutating func lookAgain(afterSeconds seconds: Int64) {
        let wait = Duration.seconds(max(seconds, 1))
        again = again.map { min($0, wait) } ?? wait
    }

    /// Makes the writes.
    ///
    /// - Throws: the server's refusal of a step; the steps after it are not made.
    func perform(_ client: any ObjectClient, at now: Timestamp) async throws(APIStatus) -> Requeue {
        var hasActed = true
        for step in steps {
            switch try await Self.perform(step, hasActed, client, now) {
            case .acted: hasActed = true
            case .wasDone: hasActed = false
            case .stop: return [again, againIfStopped].compactMap { $0 }.min().map { .after($0) } ?? .done
            }
        }
        return again.map { .after($0) } ?? .done
    }

    private enum Effect { case acted, wasDone, stop }

    private static func perform(
        _ step: Step, _ hasActed: Bool, _ client: any ObjectClient, _ now: Timestamp
    ) async throws(APIStatus) -> Effect {
        switch step {
        case .confirm(let kind, let key, let uid):
            guard let object = try await find(client, kind, key) else { return .stop }
            return object["metadata"]?["uid"]?.string == uid && object["metadata"]?["deletionTimestamp"] == nil ? .acted : .stop
        case .confirmUnchanged(let kind, let key, let seen):
            let object = try await find(client, kind, key)
            return object?["metadata"]?["resourceVersion"]?.string == seen ? .acted : .stop
        case .confirmAbsent(let kind, let key): return try await find(client, kind, key) == nil ? .acted : .stop
        case .create(let kind, let object):
            do { try await client.create(kind, object) } catch {
                if error.reason == "AlreadyExists" { return .wasDone }
                // What a namespace that ends would hold is not wanted any more.
                if error.code == 403, error.message.contains("because it is being terminated") { return .stop }
                throw error
            }
            return .acted
        case .update(let kind, let object): try await client.update(kind, object)
        case .updateStatus(let kind, let object): try await client.updateStatus(kind, object)
        case .patch(let kind, let key, let patch): _ = try await client.patch(kind, key, patch, part: .whole)
        case .delete(let kind, let key, let deletion):
            do { try await client.delete(kind, key, deletion) } catch {
                if error.code == 404 || (error.code == 409 && deletion.uid != nil) { return .wasDone }
                throw error
            }
        case .bind(let binding): _ = try await client.create(.pod, binding, part: .binding)
        case .note(let note): if hasActed { await note.write(client, at: now) }
        }
        return .acted
    }

    private static func find(_ client: any ObjectClient, _ kind: ResourceKind, _ key: ObjectKey) async throws(APIStatus) -> JSON? {
        do { return try await client.get(kind, key) } catch {
            if error.code == 404 { return nil }
            throw error
        }
    }
}

extension ObjectPlan.Step {
    /// Goes no further if the server has another revision of the object than this.
    static func confirmUnchanged(_ kind: ResourceKind, _ object: JSON) -> ObjectPlan.Step {
        .confirmUnchanged(kind, ObjectKey(object), resourceVersion: object["metadata"]?["resourceVersion"]?.string)
    }

    /// The step puts a Pod on a node.
    var isBinding: Bool { if case .bind = self { true } else { false } }
}

/// A reconciler whose work is one plan made of what is seen.
protocol PlannedReconciler: Reconciler {
    var client: any ObjectClient { get }

    func plan(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ObjectPlan
}

extension PlannedReconciler {
    func reconcile(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ReconcileWork {
        let plan = plan(item, in: view, now: now)
        let client = client
        return { () async throws(APIStatus) in try await plan.perform(client, at: now) }
    }
}
