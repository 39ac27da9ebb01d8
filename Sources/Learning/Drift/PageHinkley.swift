/// Sums how far numbers lie from their mean, and tells when the sum has gone far from its least or greatest value.
///
/// Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954). Event for event as `river.drift.PageHinkley`.
package struct PageHinkley: DriftDetector, Equatable {
    /// Which changes are told of.
    package enum Direction: Sendable, Equatable { case up, down, both }

    private let direction: Direction
    private let countMin: Int
    private let delta: Double
    private let threshold: Double
    private let alpha: Double
    private var count = 0
    private var mean = 0.0
    private var sums = (increase: 0.0, decrease: 0.0)
    private var least = Double.infinity
    private var greatest = -1.0

    /// river's parameters and defaults.
    ///
    /// - Parameters:
    ///   - countMin: nothing is told before so many numbers.
    ///   - delta: changes up to this size are borne.
    ///   - threshold: how far a sum must go.
    ///   - alpha: how much of the sums stays with each number.
    package init(
        _ direction: Direction = .both, countMin: Int = 30, delta: Double = 0.005, threshold: Double = 50, alpha: Double = 1 - 0.0001
    ) {
        (self.direction, self.countMin, self.delta, self.threshold, self.alpha) = (direction, countMin, delta, threshold, alpha)
    }

    /// The same parameters and numbers.
    package static func == (one: PageHinkley, other: PageHinkley) -> Bool {
        one.direction == other.direction && one.countMin == other.countMin && one.delta == other.delta && one.threshold == other.threshold
            && one.alpha == other.alpha && one.count == other.count && one.mean == other.mean && one.sums == other.sums
            && one.least == other.least && one.greatest == other.greatest
    }

    package mutating func update(_ value: Double) -> Bool {
        count += 1
        mean += 1 / Double(count) * (value - mean)
        let deviation = value - mean
        sums = (alpha * sums.increase + deviation - delta, alpha * sums.decrease + deviation + delta)
        least = min(least, sums.increase)
        greatest = max(greatest, sums.decrease)
        guard count >= countMin else { return false }
        let isUp = sums.increase - least > threshold, isDown = greatest - sums.decrease > threshold
        let isChanged =
            switch direction {
            case .up: isUp
            case .down: isDown
            case .both: isUp || isDown
            }
        if isChanged { self = PageHinkley(direction, countMin: countMin, delta: delta, threshold: threshold, alpha: alpha) }
        return isChanged
    }
}
