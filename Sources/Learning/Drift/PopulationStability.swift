#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Compares the newest numbers with the first ones by the population stability index over their tenths.
package struct PopulationStability: DriftDetector, Equatable {
    private let referenceCount: Int
    private let newestCount: Int
    private let limit: Double
    private var reference: [Double] = []
    /// Upper ends of all parts but the last.
    private var ends: [Double] = []
    private var expected: [Double] = []
    private var newest: [Double] = []

    private static let parts = 10

    /// - Parameters:
    ///   - referenceCount: numbers that say how it was: the first ones, and the first after a change.
    ///   - newestCount: numbers that say how it is.
    ///   - limit: of the index; .25 is usually called a major shift, .1 a minor one.
    package init(referenceCount: Int = 500, newestCount: Int = 200, limit: Double = 0.25) {
        precondition(referenceCount >= 2 * Self.parts && newestCount >= 2 * Self.parts && limit > 0)
        (self.referenceCount, self.newestCount, self.limit) = (referenceCount, newestCount, limit)
    }

    /// The index now; 0 until there are enough numbers.
    package var index: Double {
        guard newest.count >= newestCount, !ends.isEmpty else { return 0 }
        return Self.index(expected, shares(newest))
    }

    package mutating func update(_ value: Double) -> Bool {
        guard reference.count >= referenceCount else {
            reference.append(value)
            if reference.count == referenceCount { settle() }
            return false
        }
        newest.append(value)
        if newest.count > newestCount { newest.removeFirst() }
        guard newest.count == newestCount, index > limit else { return false }
        // The newest are still of both populations: what comes next says how it is from now on.
        (reference, newest, ends, expected) = ([], [], [], [])
        return true
    }

    private mutating func settle() {
        let sorted = reference.sorted()
        ends = (1..<Self.parts).map { sorted[$0 * sorted.count / Self.parts] }
        expected = shares(reference)
    }

    /// Half a number in each part beside those that are there, so that none is empty.
    private func shares(_ values: [Double]) -> [Double] {
        var counts = [Double](repeating: 0.5, count: Self.parts)
        for value in values { counts[ends.firstIndex { value < $0 } ?? Self.parts - 1] += 1 }
        return counts.map { $0 / (Double(values.count) + Double(Self.parts) / 2) }
    }

    private static func index(_ one: [Double], _ other: [Double]) -> Double {
        zip(one, other).reduce(0) { $0 + ($1.1 - $1.0) * log($1.1 / $1.0) }
    }
}
