import Synchronization

/// A place for the tree that a schema's reference names, written once and asked for every field of every object that comes in: by two plain
/// loads, where `AtomicLazyReference` calls functions that are not specialised.
///
/// Unchecked: `tree` is written by whoever has taken `stage` from empty to taken, before it is ready, and only read afterwards.
final class FoundTree: @unchecked Sendable {
    private static let empty: UInt64 = 0
    private static let taken: UInt64 = .max
    /// Empty, taken, or the catalog whose tree it is.
    private let stage = Atomic<UInt64>(empty)
    private var tree: Schema?

    /// Nil unless the tree of that very catalog is here.
    ///
    /// - Precondition: no catalog has the number 0 or the greatest there is.
    func tree(in catalog: UInt64) -> Schema? { stage.load(ordering: .acquiring) == catalog ? tree : nil }

    /// Keeps the first tree it is given.
    func note(_ tree: Schema, of catalog: UInt64) {
        guard stage.compareExchange(expected: Self.empty, desired: Self.taken, ordering: .acquiringAndReleasing).exchanged else { return }
        self.tree = tree
        stage.store(catalog, ordering: .releasing)
    }
}
