/// Bounds how many runs of models compute at once, over processes too.
package protocol RunPermits: Sendable {
    /// Waits until a run may compute.
    ///
    /// - Returns: what is given back by `end`; nil where nothing was free for too long.
    func begin() -> RunPermit?
    /// The run is over. To be called once for each permit.
    func end(_ permit: RunPermit)
    /// What a run waits at most, for people.
    var secondsMax: Int { get }
}

/// A run that may compute. What the numbers mean is its giver's business.
package struct RunPermit: Sendable {
    /// Its giver's.
    package let numbers: (Int32, Int32, Int32)

    package init(_ first: Int, _ second: Int, _ third: Int) {
        numbers = (Int32(truncatingIfNeeded: first), Int32(truncatingIfNeeded: second), Int32(truncatingIfNeeded: third))
    }
}
