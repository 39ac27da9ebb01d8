/// Compares the newest numbers with some that are drawn out of those before, by the test of Kolmogorov and Smirnov: any change of the
/// distribution, not of the mean alone.
///
/// Source: C. Raab, M. Heusinger, F.-M. Schleif, "Reactive soft prototype computing for concept drift streams", Neurocomputing 416 (2020).
/// Event for event as `river.drift.KSWIN` when it is given the words of Python's generator.
package struct KSWIN<Words: WordSource>: DriftDetector {
    private let alpha: Double
    private let windowCount: Int
    private let newestCount: Int
    private let first: Words
    private var words: Words
    private var window: [Double] = []
    private var isFresh = false

    /// river's parameters and defaults.
    ///
    /// - Parameters:
    ///   - words: lots; begun anew after each change, as river does.
    ///   - alpha: how sure a change must be: the chance that there is none.
    ///   - windowCount: numbers that are kept; at least twice `newestCount`.
    ///   - newestCount: numbers on either side of the comparison.
    package init(_ words: Words, alpha: Double = 0.005, windowCount: Int = 100, newestCount: Int = 30) {
        precondition(alpha > 0 && alpha < 1 && newestCount > 0 && windowCount >= 2 * newestCount)
        (self.alpha, self.windowCount, self.newestCount, first, self.words) = (alpha, windowCount, newestCount, words, words)
    }

    package mutating func update(_ value: Double) -> Bool {
        if isFresh { (words, window, isFresh) = (first, [], false) }
        window.append(value)
        if window.count > windowCount { window.removeFirst() }
        guard window.count >= windowCount else { return false }
        let older = positions().map { window[$0] }
        let newest = Array(window.suffix(newestCount))
        let distance = Self.distance(older, newest)
        isFresh = Self.chance(distance, newestCount) <= alpha && distance > 0.1
        return isFresh
    }

    /// Different positions among the older numbers, as `random.sample` of Python draws them out of few.
    private mutating func positions() -> [Int] {
        let count = windowCount - newestCount
        var pool = Array(0..<count)
        return (0..<newestCount).map { drawn in
            let place = words.below(count - drawn)
            defer { pool[place] = pool[count - drawn - 1] }
            return pool[place]
        }
    }

    /// The largest difference of the shares of numbers up to a value.
    static func distance(_ one: [Double], _ other: [Double]) -> Double {
        let (one, other) = (one.sorted(), other.sorted())
        var (i, j, largest) = (0, 0, 0.0)
        while i < one.count, j < other.count {
            let value = min(one[i], other[j])
            while i < one.count, one[i] <= value { i += 1 }
            while j < other.count, other[j] <= value { j += 1 }
            largest = max(largest, abs(Double(i) / Double(one.count) - Double(j) / Double(other.count)))
        }
        return largest
    }

    /// The chance that two samples of `count` numbers from one distribution lie at least so far apart: exact, by counting paths.
    static func chance(_ distance: Double, _ count: Int) -> Double {
        let height = Int((distance * Double(count)).rounded(.toNearestOrEven))
        guard height > 0 else { return 1 }
        var sum = 0.0
        for k in stride(from: count / height, through: 0, by: -1) {
            var part = 1.0
            for i in 0..<height { part = Double(count - k * height - i) * part / Double(count + k * height + i + 1) }
            sum = part * (1 - sum)
        }
        return min(1, 2 * sum)
    }
}

/// Random words of 32 bits.
package protocol WordSource: Sendable {
    /// The next 32 bits.
    mutating func nextWord() -> UInt32
}

extension WordSource {
    /// A number from 0 to below the bound, without a bias: as many high bits as it has, again while that is too much.
    fileprivate mutating func below(_ bound: Int) -> Int {
        let bits = Int.bitWidth - bound.leadingZeroBitCount
        while true {
            let value = Int(nextWord() >> UInt32(32 - bits))
            if value < bound { return value }
        }
    }
}

extension SeededGenerator: WordSource {
    /// The high half of the next 64 bits.
    package mutating func nextWord() -> UInt32 { UInt32(truncatingIfNeeded: next() >> 32) }
}
