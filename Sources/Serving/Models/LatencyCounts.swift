/// How long answers took: counts by size of the time, in steps of an eighth; memory does not grow.
package struct LatencyCounts: Sendable, Equatable {
    private static let buckets = 8 * 40
    private var counts = [UInt32](repeating: 0, count: buckets)
    /// Answers.
    package private(set) var count = 0
    /// Nanoseconds of all.
    package private(set) var total: UInt64 = 0

    /// None yet.
    package init() {}

    package mutating func add(_ nanoseconds: UInt64) {
        counts[Self.bucket(nanoseconds)] &+= 1
        count += 1
        total &+= nanoseconds
    }

    /// Adds those of somebody else.
    package mutating func add(_ other: LatencyCounts) {
        for index in counts.indices { counts[index] &+= other.counts[index] }
        count += other.count
        total &+= other.total
    }

    private static func bucket(_ nanoseconds: UInt64) -> Int {
        guard nanoseconds >= 8 else { return Int(nanoseconds) }
        let top = 63 - nanoseconds.leadingZeroBitCount
        return min((top - 2) * 8 + Int(nanoseconds >> UInt64(top - 3)) - 8, buckets - 1)
    }

    private static func upper(_ bucket: Int) -> UInt64 {
        guard bucket >= 8 else { return UInt64(bucket) }
        return UInt64(bucket % 8 + 9) << UInt64(bucket / 8 - 1)
    }

    /// Nanoseconds that a share of the answers took at most, an eighth too much at worst; nil without an answer.
    package func quantile(_ share: Double) -> UInt64? {
        guard count > 0 else { return nil }
        var left = Int((Double(count) * share).rounded(.up))
        for (index, number) in counts.enumerated() {
            left -= Int(number)
            if left <= 0 { return Self.upper(index) }
        }
        return Self.upper(Self.buckets - 1)
    }
}
