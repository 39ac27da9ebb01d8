#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A window over the newest numbers that is as long as they have one mean; memory grows with the logarithm of its length.
///
/// Source: A. Bifet, R. Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007. Event for event as `river.drift.ADWIN`.
package struct ADWIN: DriftDetector, Equatable {
    /// Sum and squared deviation of 2^row numbers.
    private struct Bucket: Equatable {
        var total: Double
        var variance: Double
    }

    /// How sure a change must be: the chance that there is none.
    package let delta: Double
    private let clock: Int
    private let bucketsMax: Int
    private let windowMin: Double
    private let grace: Int
    /// Oldest bucket first in each row; the rows by size.
    private var rows: [[Bucket]] = [[]]
    private var total = 0.0
    private var variance = 0.0
    /// Numbers in the window.
    package private(set) var width = 0
    private var tick = 0

    /// river's parameters and defaults.
    ///
    /// - Parameters:
    ///   - clock: the window is looked at with every so many numbers.
    ///   - bucketsMax: of a size; more are joined.
    ///   - windowMin: the least part that is compared.
    ///   - grace: nothing is looked at before so many numbers.
    package init(delta: Double = 0.002, clock: Int = 32, bucketsMax: Int = 5, windowMin: Int = 5, grace: Int = 10) {
        precondition(delta > 0 && delta < 1 && clock > 0 && bucketsMax > 1 && windowMin > 0)
        (self.delta, self.clock, self.bucketsMax, self.windowMin, self.grace) = (delta, clock, bucketsMax, Double(windowMin), grace)
    }

    /// Mean of the window; 0 while it is empty.
    package var mean: Double { width == 0 ? 0 : total / Double(width) }

    package mutating func update(_ value: Double) -> Bool {
        insert(value)
        compress()
        tick += 1
        guard tick % clock == 0, width > grace else { return false }
        var isChanged = false
        while cutsOldest() { isChanged = true }
        if isChanged {
            self = ADWIN(delta: delta, clock: clock, bucketsMax: bucketsMax, windowMin: Int(windowMin), grace: grace)
        }
        return isChanged
    }

    private mutating func insert(_ value: Double) {
        rows[0].append(Bucket(total: value, variance: 0))
        width += 1
        if width > 1 {
            let before = Double(width) - 1, difference = value - total / before
            variance += before * difference * difference / Double(width)
        }
        total += value
    }

    private mutating func compress() {
        var row = 0
        while row < rows.count, rows[row].count == bucketsMax + 1 {
            if row + 1 == rows.count { rows.append([]) }
            let size = Self.size(row), (one, two) = (rows[row][0], rows[row][1])
            let difference = one.total / size - two.total / size
            rows[row + 1].append(
                Bucket(
                    total: one.total + two.total,
                    variance: one.variance + two.variance + size * size * difference * difference / (size + size)))
            rows[row].removeFirst(2)
            if rows[row + 1].count <= bucketsMax { break }
            row += 1
        }
    }

    private static func size(_ row: Int) -> Double { Double(1 << row) }

    /// Compares every older part of the window with the rest; at the first that differs the oldest bucket goes.
    private mutating func cutsOldest() -> Bool {
        var (old, new, oldTotal, newTotal) = (0.0, Double(width), 0.0, total)
        for row in rows.indices.reversed() {
            for (place, bucket) in rows[row].enumerated() {
                let size = Self.size(row)
                (old, new, oldTotal, newTotal) = (old + size, new - size, oldTotal + bucket.total, newTotal - bucket.total)
                if row == 0, place == rows[row].count - 1 { return false }
                if new >= windowMin, old >= windowMin, differs(old, new, oldTotal / old - newTotal / new) {
                    dropOldest()
                    return true
                }
            }
        }
        return false
    }

    private func differs(_ old: Double, _ new: Double, _ difference: Double) -> Bool {
        let prime = log(2 * log(Double(width)) / delta)
        let reciprocal = 1 / (old - windowMin + 1) + 1 / (new - windowMin + 1)
        let limit = (2 * reciprocal * (variance / Double(width)) * prime).squareRoot() + 2.0 / 3 * prime * reciprocal
        return abs(difference) > limit
    }

    private mutating func dropOldest() {
        let row = rows.count - 1, size = Self.size(row), bucket = rows[row].removeFirst()
        width -= Int(size)
        total -= bucket.total
        let difference = bucket.total / size - total / Double(width)
        variance -= bucket.variance + size * Double(width) * difference * difference / (size + Double(width))
        if rows[row].isEmpty, rows.count > 1 { rows.removeLast() }
    }
}
