#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Why a filter cannot be used: its name, or a parameter.
package struct FilterError: Error, Equatable, CustomStringConvertible {
    /// One sentence: the parameter, the value found, the remedy.
    package var description: String
}

/// What a small model says of one row: one probability a class, or the score of each thing it has detected.
package enum SmallAnswer: Sendable, Equatable {
    /// Sum to 1, within rounding.
    case classes([Float])
    /// From 0 to 1 each; empty where nothing was detected.
    case detections([Float])
}

/// How hard a row is for a small model, as one number, and from which number on a large one is worth asking: Sedna's filters with its
/// parameters and formulas, and some of ours.
package struct HardExampleFilter: Sendable, Equatable {
    /// How hardness is measured; it grows with how hard a row is.
    package enum Rule: Sendable, Equatable {
        case edgeOnly, cloudOnly
        /// Sedna's `Random`: a lot, whatever the row.
        case random
        /// Sedna's `Threshold`: 1 − mean score.
        case meanScore
        /// Sedna's `CrossEntropy`: entropy over that of knowing nothing.
        case entropy
        /// Sedna's `IBT`: the share of scores that are no more than `box`.
        case weakScores(box: Double)
        /// 1 − the lead of the first class over the second.
        case margin
        /// 1 − the first class's probability, once the shares are made as sure as they are right by a temperature.
        case confidence(temperature: Double)
        /// How far the lead lies below the limit of the class that is said; `other` is that of classes which have none.
        case perClass([String: Double], other: Double)
        /// What asking is expected to be worth, learned from the answers so far: see `LearnedGain`.
        case learnedGain
    }

    /// How hardness is measured.
    package let rule: Rule
    /// Rows at least as hard are handed on; nil where the budget alone decides.
    package let threshold: Double?

    /// Names that jobs may give, Sedna's first, with the parameters each takes beside the budget's, and their ranges. `*`: any other name, that of
    /// a class.
    package static let known: [String: [String: ClosedRange<Double>]] = [
        "Threshold": ["threshold": 0...1], "CrossEntropy": ["threshold_cross_entropy": 0...1],
        "IBT": ["threshold_img": 0...1, "threshold_box": 0...1], "Random": ["random_ratio": 0...1], "CloudOnly": [:], "EdgeOnly": [:],
        "Margin": ["threshold_margin": 0...1], "Confidence": ["threshold_confidence": 0...1, "temperature": 0.01...100],
        "PerClass": ["*": 0...1], "LearnedGain": ["threshold_gain": 0...1],
    ]

    /// - Parameters:
    ///   - name: a key of `known`.
    ///   - parameters: as texts, which is how Sedna's jobs have them; those of the budget are left to it.
    /// - Throws: `FilterError` naming the parameter and what it may be.
    package init(name: String, parameters: [String: String]) throws(FilterError) {
        guard let ranges = Self.known[name] else {
            throw FilterError(description: "HEM_NAME=\(name.prefix(40)): known are \(Self.known.keys.sorted().joined(separator: ", "))")
        }
        var numbers: [String: Double] = [:]
        for (key, text) in parameters.sorted(by: { $0.key < $1.key }) where !UploadBudget.parameters.keys.contains(key) {
            guard let range = ranges[key] ?? ranges["*"] else {
                let words = (ranges.keys.sorted() + UploadBudget.parameters.keys.sorted()).joined(separator: ", ")
                throw FilterError(description: "HEM_PARAMETERS: \(name) takes no \"\(key.prefix(40))\"; known are \(words)")
            }
            guard let number = Double(text), range.contains(number) else {
                throw FilterError(
                    description:
                        "HEM_PARAMETERS: \(key) is \"\(text.prefix(40))\"; give a number from \(range.lowerBound) to \(range.upperBound)")
            }
            numbers[key] = number
        }
        (rule, threshold) = Self.made(name, numbers, hasBudget: parameters.keys.contains { UploadBudget.budgets.contains($0) })
    }

    private static func made(_ name: String, _ numbers: [String: Double], hasBudget: Bool) -> (Rule, Double?) {
        // With a budget and no limit of its own a filter hands on what the budget bears.
        func limit(_ key: String, _ usual: Double) -> Double? { numbers[key] ?? (hasBudget ? nil : usual) }
        switch name {
        case "EdgeOnly": return (.edgeOnly, .infinity)
        case "CloudOnly": return (.cloudOnly, hasBudget ? nil : 0)
        case "Random": return (.random, limit("random_ratio", 0.3).map { 1 - $0 })
        case "Threshold": return (.meanScore, limit("threshold", 0.5).map { 1 - $0 })
        case "CrossEntropy": return (.entropy, limit("threshold_cross_entropy", 0.5).map { 1 - $0 })
        case "IBT": return (.weakScores(box: numbers["threshold_box"] ?? 0.5), limit("threshold_img", 0.5).map { 1 - $0 })
        case "Confidence":
            return (.confidence(temperature: numbers["temperature"] ?? 1), limit("threshold_confidence", 0.6).map { 1 - $0 })
        case "PerClass":
            var limits = numbers
            let other = limits.removeValue(forKey: "*") ?? 0.2
            return (.perClass(limits, other: other), hasBudget ? nil : 0)
        case "LearnedGain": return (.learnedGain, limit("threshold_gain", 0.05))
        default: return (.margin, limit("threshold_margin", 0.2).map { 1 - $0 })
        }
    }

    /// How hard a row is; the larger the harder, at most 1. What cannot be measured, as where nothing was detected, is not hard.
    ///
    /// - Parameters:
    ///   - lot: drawn evenly from 0..<1, for the rule that wants one.
    ///   - classNames: in the order of the shares, for rules by class.
    ///   - gain: what `LearnedGain` expects, for the rule that wants it.
    package func hardness(of answer: SmallAnswer, lot: Double, classNames: [String] = [], gain: Double = 0) -> Double {
        switch rule {
        case .edgeOnly: return 0
        case .cloudOnly: return 1
        case .random: return lot
        case .learnedGain: return gain
        case .meanScore:
            let scores = Self.scores(answer)
            return scores.isEmpty ? 0 : 1 - scores.reduce(0, +) / Double(scores.count)
        case .weakScores(let box):
            let scores = Self.scores(answer)
            return scores.isEmpty ? 0 : Double(scores.count { $0 <= box }) / Double(scores.count)
        case .entropy, .margin, .confidence, .perClass:
            guard case .classes(let shares) = answer, shares.count > 1 else { return 0 }
            return Self.hardness(of: shares, rule, classNames)
        }
    }

    /// A class that is said counts as one detection.
    private static func scores(_ answer: SmallAnswer) -> [Double] {
        switch answer {
        case .detections(let scores): scores.map(Double.init)
        case .classes(let shares): shares.max().map { [Double($0)] } ?? []
        }
    }

    private static func hardness(of shares: [Float], _ rule: Rule, _ classNames: [String]) -> Double {
        switch rule {
        case .entropy: return SmallAnswer.entropyShare(shares)
        case .confidence(let temperature):
            let powers = shares.map { pow(Double($0), 1 / temperature) }
            return 1 - (powers.max() ?? 0) / max(powers.reduce(0, +), .leastNormalMagnitude)
        case .perClass(let limits, let other):
            let first = shares.indices.max { shares[$0] < shares[$1] }!
            let limit = first < classNames.count ? limits[classNames[first]] ?? other : other
            return limit - SmallAnswer.lead(shares)
        default: return 1 - SmallAnswer.lead(shares)
        }
    }
}

extension SmallAnswer {
    /// Of the largest share over the second, 0 to 1.
    static func lead(_ shares: [Float]) -> Double {
        var first: Float = 0, second: Float = 0
        for share in shares {
            if share > first { (first, second) = (share, first) } else if share > second { second = share }
        }
        return Double(first - second)
    }

    /// Entropy over that of equal shares, 0 to 1; 0 for one class alone.
    static func entropyShare(_ shares: [Float]) -> Double {
        guard shares.count > 1 else { return 0 }
        return shares.reduce(0.0) { $1 > 0 ? $0 - Double($1) * log(Double($1)) : $0 } / log(Double(shares.count))
    }
}
