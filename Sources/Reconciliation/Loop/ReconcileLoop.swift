package import Resources

/// All reconcilers with what they see and what waits for them, without hands: a runner, or a simulation, feeds it what the server
/// answers, takes items from it and performs their work.
package struct ReconcileLoop: Sendable {
    /// In the order of their queues: an index means the same reconciler everywhere here.
    package let reconcilers: [any Reconciler]
    /// What all of them see: one mirror for each kind, however many watch it.
    package private(set) var view = ObjectView()
    private var queues: [WorkQueue<ReconcileItem>]
    /// Kinds found by discovery; nil before the first.
    private var discovered: [ResourceKind]?
    private let relistAfter: Duration
    /// Reconcilers that items have been added for.
    private var woken: Set<Int> = []
    /// Which reconcilers see a kind: asked for each change of each object.
    private var watchers: [ResourceKind: [Int]] = [:]

    /// - Parameter relistAfter: see `ObjectMirror.relistAfter`.
    package init(
        _ reconcilers: [any Reconciler], queue: WorkQueue<ReconcileItem> = WorkQueue(), relistAfter: Duration = ObjectMirror.relistAfter
    ) {
        self.reconcilers = reconcilers
        self.relistAfter = relistAfter
        queues = reconcilers.map { _ in queue }
        for index in reconcilers.flatMap(\.indexes) { view.add(index) }
        for reconciler in reconcilers {
            if case .these(let kinds) = reconciler.kinds { for kind in kinds { view.add(kind, relistAfter: relistAfter) } }
        }
    }

    /// Whether a reconciler wants to see every kind, so that the server must be asked which there are.
    package var needsDiscovery: Bool { reconcilers.contains { $0.kinds == .every } }

    /// Takes what discovery found: mirrors begin for new kinds, those of kinds that are gone end.
    package mutating func discovered(_ kinds: [ResourceKind]) {
        guard needsDiscovery, kinds != discovered else { return }
        discovered = kinds
        watchers = [:]
        var wanted = Set(kinds)
        for reconciler in reconcilers { if case .these(let fixed) = reconciler.kinds { wanted.formUnion(fixed) } }
        for kind in view.kinds where !wanted.contains(kind) { view.remove(kind) }
        for kind in kinds { view.add(kind, relistAfter: relistAfter) }
    }

    // MARK: What the server says

    /// Takes a whole list of a kind.
    package mutating func listed(_ list: ObjectList, of kind: ResourceKind, now: Duration) {
        for change in view.listed(list, of: kind, now: now) { spread(change) }
    }

    /// Takes a part of a list of a kind.
    package mutating func listed(page items: [JSON], isFirst: Bool, of kind: ResourceKind) {
        for change in view.listed(page: items, isFirst: isFirst, of: kind) { spread(change) }
    }

    /// The pages of a list of a kind have ended.
    package mutating func listedAll(of kind: ResourceKind, at version: String, now: Duration) {
        for change in view.listedAll(of: kind, at: version, now: now) { spread(change) }
    }

    /// Takes an event of a watch.
    package mutating func received(_ event: WatchEvent, of kind: ResourceKind) {
        if let change = view.received(event, of: kind) { spread(change) }
    }

    /// A watch was closed by the server.
    package mutating func ended(_ kind: ResourceKind, now: Duration, hadEvents: Bool) { view.ended(kind, now: now, hadEvents: hadEvents) }

    /// A list or watch failed.
    package mutating func failed(_ kind: ResourceKind, _ status: APIStatus, now: Duration) { view.failed(kind, status, now: now) }

    private func sees(_ reconciler: any Reconciler, _ kind: ResourceKind) -> Bool {
        switch reconciler.kinds {
        case .these(let kinds): kinds.contains(kind)
        case .every: true
        }
    }

    private mutating func watchers(of kind: ResourceKind) -> [Int] {
        if let known = watchers[kind] { return known }
        let found = reconcilers.indices.filter { sees(reconcilers[$0], kind) }
        watchers[kind] = found
        return found
    }

    private mutating func spread(_ change: ObjectChange) {
        for index in watchers(of: change.kind) {
            for item in reconcilers[index].items(for: change, in: view) { add(index, item) }
        }
    }

    // MARK: What is to be done

    /// The reconcilers that items were added for since this was asked last: nobody else need look whether there is something to do.
    package mutating func takeWoken() -> Set<Int> {
        defer { woken = [] }
        return woken
    }

    /// Whether a reconciler has seen every kind it asks for once.
    package func isSynced(_ index: Int) -> Bool {
        switch reconcilers[index].kinds {
        case .these(let kinds): view.isSynced(kinds)
        case .every: discovered.map { view.isSynced($0) } ?? false
        }
    }

    /// The next item of a reconciler and what is to be done for it; nil if nothing is due. `finish` must follow.
    package mutating func take(_ index: Int, now: Duration, time: Timestamp) -> (item: ReconcileItem, work: ReconcileWork)? {
        guard isSynced(index) else { return nil }
        if queues[index].hasDropped, queues[index].isIdle { addEverything(index) }
        guard let item = queues[index].take(now: now) else { return nil }
        return (item, reconcilers[index].reconcile(item, in: view, now: time))
    }

    /// More items than the queue holds have come: once it is empty, everything there is counts as changed.
    private mutating func addEverything(_ index: Int) {
        queues[index].forgetDropped()
        for kind in view.kinds where sees(reconcilers[index], kind) {
            for object in view.all(kind) {
                let change = ObjectChange(kind: kind, key: ObjectKey(object), old: object, new: object)
                for item in reconcilers[index].items(for: change, in: view) { queues[index].add(item) }
            }
        }
    }

    /// How the work for an item ended.
    package mutating func finish(_ index: Int, _ item: ReconcileItem, _ result: Result<Requeue, APIStatus>, now: Duration) {
        let outcome: WorkQueue<ReconcileItem>.Outcome =
            switch result {
            case .success(.done): .done
            case .success(.after(let wait)): .again(after: wait)
            case .failure(let status): .failed(atLeast: .seconds(status.retryAfterSeconds))
            }
        queues[index].finish(item, outcome, now: now)
    }

    /// Makes an item of a reconciler ready, as at a start for what no object tells of.
    package mutating func add(_ index: Int, _ item: ReconcileItem) {
        queues[index].add(item)
        woken.insert(index)
    }

    /// When the next waiting item of a reconciler is due.
    package func nextDue(_ index: Int) -> Duration? { queues[index].nextDue }

    /// Failures in a row of an item.
    package func failureCount(_ index: Int, _ item: ReconcileItem) -> Int { queues[index].failureCount(item) }

    /// Nothing is ready or at work.
    package var isIdle: Bool { queues.allSatisfy(\.isIdle) }
}
