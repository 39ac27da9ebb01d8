#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Learns from the large model's answers what asking it is worth, and for which rows: no label is needed. What an answer was worth is by how
/// much the large model's own probabilities prefer its class to the small one's; that is regressed on what the small model said, on its inputs,
/// and on the row's site. Deterministic.
package struct LearnedGain: Sendable, Equatable {
    /// A row as the small model sees it.
    package struct Row: Sendable, Equatable {
        /// The small model's, one a class.
        package var shares: [Float]
        /// The model's inputs; NaN is missing.
        package var features: [Float]
        /// Nil where rows name none.
        package var site: String?

        /// Features of one table have one length.
        package init(shares: [Float], features: [Float] = [], site: String? = nil) {
            (self.shares, self.features, self.site) = (shares, features, site)
        }
    }

    /// Sites that are remembered; the ones met longest ago go.
    static let sitesMax = 4096
    /// Inputs that are looked at; of a wider table the first.
    static let featuresMax = 96
    /// Pull of the regression to 0, and of a site's own worth to that of all, in rows.
    static let ridge = 10.0, siteRidge = 12.0
    /// Answers before the regression is trusted more than the lead.
    static let startAnswers = 50

    private struct Site: Equatable {
        var sum = 0.0
        var count = 0.0
        var met = 0
    }

    private var weights: [Double] = []
    /// Inverse of the regression's information, row-major.
    private var inverse: [Double] = []
    private var sites: [String: Site] = [:]
    /// Running mean and variance of each input.
    private var means: [Double] = []
    private var squares: [Double] = []
    private var seen: [Double] = []
    /// Answers learned from.
    package private(set) var answerCount = 0

    /// Knows nothing: what it expects is half of what the lead leaves open.
    package init() {}

    /// By how much the large model prefers its own class: 0 where both say the same.
    package static func worth(small: [Float], large: [Float]) -> Double {
        guard let mine = small.indices.max(by: { small[$0] < small[$1] }), mine < large.count, let best = large.max() else { return 0 }
        return Double(best - large[mine])
    }

    /// What asking is expected to be worth, 0 to 1.
    package func expected(_ row: Row) -> Double {
        let open = (1 - SmallAnswer.lead(row.shares)) / 2
        guard answerCount > 0, !weights.isEmpty else { return open * 0.1 }
        let inputs = inputs(row)
        guard inputs.count == weights.count else { return open * 0.1 }
        let found = zip(inputs, weights).reduce(0) { $0 + $1.0 * $1.1 } + siteEffect(row.site)
        let trust = min(1, Double(answerCount) / Double(Self.startAnswers))
        return min(1, max(0, trust * found + (1 - trust) * open * 0.1))
    }

    private func siteEffect(_ site: String?) -> Double {
        guard let known = site.flatMap({ sites[$0] }) else { return 0 }
        return known.sum / (known.count + Self.siteRidge)
    }

    /// Takes an answer of the large model in.
    package mutating func learn(_ row: Row, large: [Float]) {
        let worth = Self.worth(small: row.shares, large: large)
        note(row.features)
        let inputs = inputs(row)
        if weights.count != inputs.count { begin(inputs.count) }
        let error = worth - zip(inputs, weights).reduce(0) { $0 + $1.0 * $1.1 }
        update(inputs, error: error - siteEffect(row.site))
        answerCount += 1
        guard let site = row.site else { return }
        sites[site, default: Site()].sum += error
        sites[site]!.count += 1
        sites[site]!.met = answerCount
        if sites.count > Self.sitesMax, let oldest = sites.min(by: { $0.value.met < $1.value.met }) { sites[oldest.key] = nil }
    }

    private mutating func begin(_ count: Int) {
        weights = [Double](repeating: 0, count: count)
        inverse = [Double](repeating: 0, count: count * count)
        for place in 0..<count { inverse[place * count + place] = 1 / Self.ridge }
    }

    /// Recursive least squares.
    private mutating func update(_ inputs: [Double], error: Double) {
        let count = inputs.count
        var gain = [Double](repeating: 0, count: count)
        for row in 0..<count {
            var sum = 0.0
            for column in 0..<count { sum += inverse[row * count + column] * inputs[column] }
            gain[row] = sum
        }
        let scale = 1 / (1 + zip(gain, inputs).reduce(0) { $0 + $1.0 * $1.1 })
        for row in 0..<count {
            weights[row] += gain[row] * error * scale
            let factor = gain[row] * scale
            for column in 0..<count { inverse[row * count + column] -= factor * gain[column] }
        }
    }

    private mutating func note(_ features: [Float]) {
        let count = min(features.count, Self.featuresMax)
        if means.count != count { (means, squares, seen) = ([], [], []) }
        if means.isEmpty {
            (means, squares, seen) = (
                [Double](repeating: 0, count: count), [Double](repeating: 0, count: count), [Double](repeating: 0, count: count)
            )
        }
        for place in 0..<count where features[place].isFinite {
            seen[place] += 1
            let difference = Double(features[place]) - means[place]
            means[place] += difference / seen[place]
            squares[place] += difference * (Double(features[place]) - means[place])
        }
    }

    /// 1, lead, entropy, first share, each class's share, the lead of the class that is said, then the inputs, scaled and bounded.
    private func inputs(_ row: Row) -> [Double] {
        let lead = SmallAnswer.lead(row.shares), first = row.shares.indices.max { row.shares[$0] < row.shares[$1] } ?? 0
        var inputs = [1, 1 - lead, (1 - lead) * (1 - lead), SmallAnswer.entropyShare(row.shares)]
        if row.shares.count <= 16 {
            for (place, share) in row.shares.enumerated() {
                inputs.append(Double(share))
                inputs.append(place == first ? 1 - lead : 0)
            }
        }
        for place in means.indices {
            guard place < row.features.count, row.features[place].isFinite, seen[place] > 1, squares[place] > 0 else {
                inputs.append(0)
                continue
            }
            let scaled = (Double(row.features[place]) - means[place]) / (squares[place] / seen[place]).squareRoot()
            inputs.append(min(3, max(-3, scaled)) * (1 - lead))
        }
        return inputs
    }
}
