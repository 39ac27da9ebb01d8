import Identity
import Resources
import Storage
import Synchronization

/// Which certificates of nodes hold at the moment, as their Nodes say.
///
/// A Node is read when its revision is another than that of the last look, so a deleted Node ends its certificate with the next request.
final class NodeIdentities: Sendable {
    /// Nodes that are remembered; at this many the memory begins anew.
    private static let countMax = 100_000
    private static let definition = BuiltInKinds.all.first { $0.kind == "Node" }!
    private let store: RevisionStore
    private let known = Mutex<[String: (revision: Int64, record: NodeIdentityRecord)]>([:])

    init(_ store: RevisionStore) { self.store = store }

    /// Whether a node may show a certificate now.
    func accepts(node: String, fingerprint: String) -> Bool { record(node)?.accepts(fingerprint) ?? false }

    /// Nil for a node that is not there, or whose object cannot be read.
    private func record(_ node: String) -> NodeIdentityRecord? {
        guard let value = store.get(Self.definition.collection, Self.definition.key(namespace: "", name: node)) else {
            known.withLock { _ = $0.removeValue(forKey: node) }
            return nil
        }
        if let found = known.withLock({ $0[node] }), found.revision == value.revision { return found.record }
        guard let object = try? ObjectBytes.decode(value) else { return nil }
        let record = NodeIdentityRecord(object)
        known.withLock { known in
            if known.count >= Self.countMax { known = [:] }
            known[node] = (value.revision, record)
        }
        return record
    }
}
