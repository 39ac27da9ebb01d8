#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Learns from the large model's answers what it would say, and so where asking it is worth most: no label is needed. By how much the large
/// model's log-probabilities differ from the small one's is regressed on what the small one said and on the row's inputs (recursive least
/// squares), and what is left of it averaged for each site. What is expected then is also the better answer while nobody is asked.
/// Deterministic.
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
    /// Inputs that are looked at; of a wider table the first. Above so many classes none is.
    static let featuresMax = 96, classesMax = 32
    /// Pull to 0 of the regression, and of what is left for a site, in rows.
    static let ridge = 20.0, siteRidge = 4.0
    /// What an input counts beside what the small model says: of many inputs each knows little.
    static let inputScale = 0.1
    /// Answers before they are believed.
    static let startAnswers = 50

    private struct Site: Equatable {
        var sum: [Double]
        var count = 0.0
        var met = 0
    }

    /// Shape [inputs, classes].
    private var weights: [Double] = []
    /// Inverse of the regression's information, row-major.
    private var inverse: [Double] = []
    private var sites: [String: Site] = [:]
    /// Mean square of what was not foreseen, a class.
    private var variance = 0.15
    /// Running mean and variance of each input.
    private var means: [Double] = []
    private var squares: [Double] = []
    private var seen: [Double] = []
    /// Answers learned from.
    package private(set) var answerCount = 0

    /// Knows nothing: what it expects is a tenth of what the lead leaves open.
    package init() {}

    /// What the large model is expected to say; the small one's answer before there are enough answers.
    package func imitated(_ row: Row) -> [Float] {
        guard answerCount >= Self.startAnswers, let margins = expectedMargins(row) else { return row.shares }
        return softmax(margins).map { Float($0) }
    }

    /// What asking is expected to be worth beyond `imitated`: by how many log-odds another class may lead, 0 and up, at most 1.
    package func expected(_ row: Row) -> Double {
        guard answerCount >= Self.startAnswers, let margins = expectedMargins(row) else { return (1 - SmallAnswer.lead(row.shares)) / 20 }
        let first = margins.indices.max { margins[$0] < margins[$1] } ?? 0
        let spread = (2 * variance).squareRoot()
        var most = 0.0
        for (place, margin) in margins.enumerated() where place != first {
            // The mean of what lies above 0 of a normal distribution.
            let behind = margin - margins[first], steps = behind / max(spread, 1e-6)
            most = max(
                most, behind * 0.5 * (1 + erf(steps / 2.0.squareRoot())) + spread * exp(-steps * steps / 2) / (2 * Double.pi).squareRoot())
        }
        return min(1, max(0, most))
    }

    /// Takes an answer of the large model in; one of another number of classes is left out.
    package mutating func learn(_ row: Row, large: [Float]) {
        guard large.count == row.shares.count, large.count > 1 else { return }
        note(row.features)
        let inputs = inputs(row), classes = large.count
        if weights.count != inputs.count * classes { begin(inputs.count, classes) }
        let small = Self.margins(row.shares), target = zip(Self.margins(large), small).map { $0 - $1 }
        let left = zip(target, regressed(inputs, classes)).map { $0 - $1 }
        let error = zip(left, siteEffect(row.site, classes)).map { $0 - $1 }
        variance += (error.reduce(0) { $0 + $1 * $1 } / Double(classes) - variance) * 0.01
        update(inputs, error)
        answerCount += 1
        guard let name = row.site else { return }
        var site = sites[name] ?? Site(sum: left.map { _ in 0 })
        for k in 0..<classes { site.sum[k] += left[k] }
        (site.count, site.met) = (site.count + 1, answerCount)
        sites[name] = site
        if sites.count > Self.sitesMax, let oldest = sites.min(by: { $0.value.met < $1.value.met }) { sites[oldest.key] = nil }
    }

    // MARK: What is expected

    private func expectedMargins(_ row: Row) -> [Double]? {
        let inputs = inputs(row), classes = row.shares.count
        guard classes > 1, weights.count == inputs.count * classes else { return nil }
        let moved = zip(regressed(inputs, classes), siteEffect(row.site, classes)).map { $0 + $1 }
        return zip(Self.margins(row.shares), moved).map { $0 + $1 }
    }

    private func regressed(_ inputs: [Double], _ classes: Int) -> [Double] {
        var sums = [Double](repeating: 0, count: classes)
        for (place, input) in inputs.enumerated() where input != 0 {
            for k in 0..<classes { sums[k] += input * weights[place * classes + k] }
        }
        return sums
    }

    private func siteEffect(_ site: String?, _ classes: Int) -> [Double] {
        guard let known = site.flatMap({ sites[$0] }), known.sum.count == classes else { return [Double](repeating: 0, count: classes) }
        return known.sum.map { $0 / (known.count + Self.siteRidge) }
    }

    /// Log-probabilities less their mean.
    private static func margins(_ shares: [Float]) -> [Double] {
        let logs = shares.map { log(max(Double($0), 1e-9)) }
        let mean = logs.reduce(0, +) / Double(max(logs.count, 1))
        return logs.map { $0 - mean }
    }

    // MARK: Learning

    private mutating func begin(_ count: Int, _ classes: Int) {
        weights = [Double](repeating: 0, count: count * classes)
        sites = [:]
        inverse = [Double](repeating: 0, count: count * count)
        for place in 0..<count { inverse[place * count + place] = 1 / Self.ridge }
    }

    /// Recursive least squares.
    private mutating func update(_ inputs: [Double], _ error: [Double]) {
        let count = inputs.count, classes = error.count
        var gain = [Double](repeating: 0, count: count)
        for row in 0..<count {
            var sum = 0.0
            for column in 0..<count { sum += inverse[row * count + column] * inputs[column] }
            gain[row] = sum
        }
        let scale = 1 / (1 + zip(gain, inputs).reduce(0) { $0 + $1.0 * $1.1 })
        for row in 0..<count {
            let factor = gain[row] * scale
            for k in 0..<classes { weights[row * classes + k] += factor * error[k] }
            for column in 0..<count { inverse[row * count + column] -= factor * gain[column] }
        }
    }

    private mutating func note(_ features: [Float]) {
        let count = min(features.count, Self.featuresMax)
        if means.count != count {
            let none = [Double](repeating: 0, count: count)
            (means, squares, seen) = (none, none, none)
        }
        for place in 0..<count where features[place].isFinite {
            seen[place] += 1
            let difference = Double(features[place]) - means[place]
            means[place] += difference / seen[place]
            squares[place] += difference * (Double(features[place]) - means[place])
        }
    }

    /// 1, the small model's margins and shares, then the row's inputs, scaled and bounded.
    private func inputs(_ row: Row) -> [Double] {
        var inputs = [1.0]
        if row.shares.count <= Self.classesMax {
            inputs += Self.margins(row.shares).map { min(10, max(-10, $0)) } + row.shares.map(Double.init)
        }
        for place in means.indices {
            guard place < row.features.count, row.features[place].isFinite, seen[place] > 1, squares[place] > 0 else {
                inputs.append(0)
                continue
            }
            let scaled = (Double(row.features[place]) - means[place]) / (squares[place] / seen[place]).squareRoot()
            inputs.append(Self.inputScale * min(3, max(-3, scaled)))
        }
        return inputs
    }
}
