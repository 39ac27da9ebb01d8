/// How long a batch of writes waits for companions. Pure: told when a batch has ended, asked before the next one begins.
///
/// Writers who were just answered mostly write again at once. The first of them to come would get a batch, and a sync of the disk, for itself,
/// and all others the next one: so a batch waits until as many are there as were answered or had come meanwhile, though not longer after the
/// last batch than that one took. A writer alone never waits.
package struct BatchGathering: Sendable {
    /// However long the disk takes.
    package static let patienceNanosecondsMax: UInt64 = 2_000_000
    /// So many jobs begin a batch at once.
    package private(set) var wanted = 1
    private var end: UInt64 = 0

    /// For the first batch, which waits for nobody.
    package init() {}

    /// Takes note of a batch that has just ended.
    ///
    /// - Parameters:
    ///   - count: jobs of the batch.
    ///   - waiting: jobs that have come meanwhile.
    package mutating func ended(_ count: Int, tookNanoseconds: UInt64, at now: UInt64, waiting: Int) {
        wanted = count + waiting
        end = now + min(tookNanoseconds, Self.patienceNanosecondsMax)
    }

    /// Nanoseconds that the next batch may wait for more jobs; nil when it is to begin.
    package func patience(with count: Int, at now: UInt64) -> UInt64? { count < wanted && now < end ? end - now : nil }
}
