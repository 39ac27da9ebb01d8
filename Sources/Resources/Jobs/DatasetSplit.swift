/// Which rows of a range are for training and which for judging: by lot, but the same for everybody who knows the seed.
///
/// The places 0..<n are shuffled by Fisher and Yates with SplitMix64: for i from n-1 down to 1, place i changes with place `next() % (i + 1)`.
/// The first floor(trainProb · n) of the shuffled places train; inside each part rows keep their order.
package enum DatasetSplit {
    /// What of a range is wanted.
    package enum Part: String, Sendable, Hashable, CaseIterable { case train, eval, all }

    /// Rows of a range that is divided; 64 MB of places.
    package static let rowsMax = 1 << 24

    /// Whether each place belongs to a part.
    ///
    /// - Parameters:
    ///   - count: rows of the range, 0 to `rowsMax`.
    ///   - trainShare: 0 to 1.
    /// - Returns: `count` values.
    package static func members(of part: Part, count: Int, trainShare: Double, seed: UInt64) -> [Bool] {
        precondition((0...rowsMax).contains(count), "a range of \(count) rows cannot be divided")
        guard part != .all else { return Array(repeating: true, count: count) }
        let trainCount = Int((min(1, max(0, trainShare)) * Double(count)).rounded(.down))
        var places = (0..<UInt32(count)).map { $0 }
        var lots = Lots(state: seed)
        for index in stride(from: count - 1, to: 0, by: -1) { places.swapAt(index, Int(lots.next() % UInt64(index + 1))) }
        var members = Array(repeating: part == .eval, count: count)
        for place in places[..<trainCount] { members[Int(place)] = part == .train }
        return members
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    private struct Lots {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }
}
