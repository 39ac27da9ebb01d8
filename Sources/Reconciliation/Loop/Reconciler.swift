package import Resources

/// What a reconciler is called with: an object that may have to be brought a step closer to what it should be. It need not exist.
package struct ReconcileItem: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Of the object.
    package let kind: ResourceKind
    /// Of the object.
    package let key: ObjectKey

    /// There may be no such object.
    package init(_ kind: ResourceKind, _ key: ObjectKey) {
        self.kind = kind
        self.key = key
    }

    /// `pods default/web-1`.
    package var description: String { "\(kind) \(key)" }

    /// By kind, then by key.
    package static func < (left: ReconcileItem, right: ReconcileItem) -> Bool {
        (left.kind.description, left.kind.version, left.key) < (right.kind.description, right.kind.version, right.key)
    }
}

/// When to look at an item again that has been looked at without failure.
package enum Requeue: Sendable, Equatable {
    /// When something changes.
    case done
    case after(Duration)
}

/// The writes that a look at an item has led to. May be stopped at any line; the next look then finds what is left to do.
package typealias ReconcileWork = @Sendable () async throws(APIStatus) -> Requeue

/// Brings objects closer to what they should be: looks at the world, never at what happened.
///
/// A reconciler keeps nothing between two looks, may be killed at any line and run again, and may see a world that is some time old.
package protocol Reconciler: Sendable {
    /// For messages: `replicaset-controller`.
    var name: String { get }
    /// What it sees. Nothing is reconciled before all of these kinds have been listed.
    var kinds: ReconcilerKinds { get }
    /// What it wants kept of the objects it sees, empty; each type is kept once for all reconcilers.
    var indexes: [any ViewIndex] { get }

    /// The items that a change may concern.
    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem]

    /// Decides what is to be done for an item. Pure but for the returned work, which alone may speak to a server; it should keep only
    /// what it needs of the view.
    ///
    /// - Parameter now: the time of the day.
    func reconcile(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ReconcileWork
}

extension Reconciler {
    package var indexes: [any ViewIndex] { [] }
}

/// Which kinds a reconciler sees.
package enum ReconcilerKinds: Sendable, Equatable {
    case these([ResourceKind])
    /// Every kind the server has, also those it learns later.
    case every
}
