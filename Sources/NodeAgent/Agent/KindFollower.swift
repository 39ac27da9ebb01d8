import Reconciliation
import Resources

/// Lists and watches one kind for as long as its task lives.
struct KindFollower: Sendable {
    let kind: ResourceKind
    let client: any ObjectClient
    let now: @Sendable () -> Moment
    /// Takes a sentence for each failure that is going to be tried again.
    let report: @Sendable (String) -> Void

    /// Hands every change to `take`, one after the other.
    func run(_ take: (ObjectChange) async -> Void) async {
        var mirror = ObjectMirror(kind: kind)
        while !Task.isCancelled {
            do throws(APIStatus) {
                switch mirror.next(now: now().uptime) {
                case .wait(let wait): try? await Task.sleep(for: wait)
                case .list:
                    let list = try await client.listAll(kind, ListQuery(limit: 250))
                    for change in mirror.listed(list, now: now().uptime) { await take(change) }
                case .watch(let revision): try await watch(from: revision, &mirror, take)
                }
            } catch {
                if Task.isCancelled { return }
                mirror.failed(error, now: now().uptime)
                // A server without the kind has none of its objects.
                if ![410, 404].contains(error.code) { report("watching \(kind): \(error.message)") }
            }
        }
    }

    private func watch(
        from revision: String, _ mirror: inout ObjectMirror, _ take: (ObjectChange) async -> Void
    ) async throws(APIStatus) {
        var query = WatchQuery(from: revision)
        query.timeoutSeconds = 300
        var events = try await client.watch(kind, query).makeAsyncIterator()
        var hadEvents = false
        while let event = try await events.next() {
            hadEvents = true
            if let change = mirror.received(event) { await take(change) }
        }
        mirror.ended(now: now().uptime, hadEvents: hadEvents)
    }
}

extension ResourceKind {
    /// `sedna.io/v1alpha1`; data that lies on a node.
    static let dataset = ResourceKind(group: "sedna.io", version: "v1alpha1", kind: "Dataset", plural: "datasets")
    /// `sedna.io/v1alpha1`; the versions of a model and which of them serves.
    static let model = ResourceKind(group: "sedna.io", version: "v1alpha1", kind: "Model", plural: "models")
}
