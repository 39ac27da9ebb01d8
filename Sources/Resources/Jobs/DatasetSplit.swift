/// Which rows of a data set are for training and which for judging: by lot, but the same for everybody who knows the seed, and whatever range
/// is looked at. A row that has been trained on is never judged on later, when the range has grown.
///
/// The lot of row r, counted from 0, is the output of SplitMix64 (Steele, Lea and Flood 2014) for the state seed + (r + 1) · 0x9E3779B97F4A7C15;
/// its upper 53 bits as a fraction of 2^53 are below the share of rows that train, or not.
package struct DatasetSplit: Sendable, Hashable {
    /// What of a range is wanted.
    package enum Part: String, Sendable, Hashable, CaseIterable { case train, eval, all }

    /// What is wanted.
    package var part: Part
    /// Share of the rows that train, 0 to 1.
    package var trainShare: Double
    /// Another seed divides otherwise.
    package var seed: UInt64

    /// Nothing is checked: a share beyond 0 and 1 counts as the nearer of them.
    package init(_ part: Part, trainShare: Double, seed: UInt64) {
        self.part = part
        self.trainShare = trainShare
        self.seed = seed
    }

    /// Whether a row belongs to the part.
    ///
    /// - Parameter row: its place in the data set, from 0.
    package func contains(_ row: Int64) -> Bool {
        switch part {
        case .all: true
        case .train: isTrained(row)
        case .eval: !isTrained(row)
        }
    }

    private func isTrained(_ row: Int64) -> Bool {
        var z = seed &+ UInt64(bitPattern: row &+ 1) &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        return Double(z >> 11) * 0x1p-53 < trainShare
    }
}
