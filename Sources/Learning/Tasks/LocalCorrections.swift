#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What a node makes of a handful of labels by itself: a bias for each site, and on top for each person, added to what the model that serves
/// says. The model stays as it is, and the labels stay where they are.
package struct LocalCorrections: Sendable, Equatable {
    /// A labelled row and what the model says of it.
    package struct Example: Sendable, Equatable {
        /// One probability a class, of the model without local corrections.
        package var shares: [Float]
        /// The true class.
        package var label: Int
        /// Nil where rows name no site: all such rows of the node are one.
        package var site: String?
        /// Nil where anonymous.
        package var person: String?
        /// The model has a correction of its own for the site: it is trusted further.
        package var isKnownSite: Bool

        /// Nothing is checked before a fit.
        package init(shares: [Float], label: Int, site: String?, person: String?, isKnownSite: Bool) {
            (self.shares, self.label, self.site, self.person, self.isKnownSite) = (shares, label, site, person, isKnownSite)
        }
    }

    /// Pull to 0 of a person's bias, rows.
    static let personLambda = 5.0
    /// Of a site that the model never saw: as of a new city, `NewCityService.biasLambda`.
    static let newSiteLambda = 8.0
    /// Parts in which labels are judged by the others.
    static let foldsMax = 5
    /// With fewer labels nothing can be judged: the pull to 0 has to do.
    static let judgedMin = 10

    /// Numbers of one bias.
    package let classCount: Int
    /// Labels they were fitted on.
    package let labelCount: Int
    /// How much lower the log-loss of labels is with corrections that were fitted without them, in nats a label; nil for fewer than 10.
    package let gain: Double?
    private let sites: BiasTable
    private let persons: BiasTable

    /// Fitted on all examples; corrections that do not help labels which they were not fitted on are left out.
    package init(_ examples: [Example], classCount: Int) {
        precondition(examples.allSatisfy { $0.shares.count == classCount && (0..<classCount).contains($0.label) }, "one share a class")
        (self.classCount, labelCount) = (classCount, examples.count)
        gain = examples.count < Self.judgedMin ? nil : Self.gain(examples, classCount)
        (sites, persons) =
            (gain ?? 0) < 0 ? (BiasTable(classCount: classCount), BiasTable(classCount: classCount)) : Self.fit(examples, classCount)
    }

    /// Sites with a bias of their own here; rows without a site count as one.
    package var siteCount: Int { sites.biases.count }

    /// Shape [rows, classes] in and out; rows of other sites and persons stay as they are, to the bit.
    package func corrected(_ found: ClassProbabilities, sites siteKeys: [String?], persons personKeys: [String?]) -> ClassProbabilities {
        precondition(found.classCount == classCount && siteKeys.count == found.rowCount && personKeys.count == found.rowCount)
        var values = found.values
        for row in 0..<found.rowCount {
            let biases = [sites.biases[siteKeys[row] ?? ""], personKeys[row].flatMap { persons.biases[$0] }].compactMap { $0 }
            if biases.isEmpty { continue }
            var logits = Self.logits(Array(values[row * classCount..<(row + 1) * classCount]))
            for bias in biases { for k in 0..<classCount { logits[k] += bias[k] } }
            for (k, share) in softmax(logits).enumerated() { values[row * classCount + k] = Float(share) }
        }
        return ClassProbabilities(classCount: classCount, values: values)
    }

    // MARK: Fitting

    private static func fit(_ examples: [Example], _ classCount: Int) -> (sites: BiasTable, persons: BiasTable) {
        var logits = examples.flatMap { Self.logits($0.shares) }
        let labels = examples.map(\.label), keys = examples.map { Optional($0.site ?? "") }
        var biases: [String: [Double]] = [:]
        for (isKnown, lambda) in [(true, PartialPooling.siteLambda), (false, newSiteLambda)] {
            let own = examples.indices.map { examples[$0].isKnownSite == isKnown ? keys[$0] : nil }
            biases.merge(BiasTable(logits: logits, labels: labels, keys: own, classCount: classCount, lambda: lambda).biases) { $1 }
        }
        let sites = BiasTable(classCount: classCount, biases: biases)
        sites.apply(to: &logits, keys: keys)
        let persons = BiasTable(
            logits: logits, labels: labels, keys: examples.map(\.person), classCount: classCount, lambda: personLambda)
        return (sites, persons)
    }

    /// Each part of the labels by corrections of the other parts.
    private static func gain(_ examples: [Example], _ classCount: Int) -> Double {
        let folds = min(foldsMax, examples.count)
        var sum = 0.0
        for fold in 0..<folds {
            let fitted = fit(examples.indices.filter { $0 % folds != fold }.map { examples[$0] }, classCount)
            for example in stride(from: fold, to: examples.count, by: folds).map({ examples[$0] }) {
                let before = logits(example.shares)
                var after = before
                fitted.sites.apply(to: &after, keys: [example.site ?? ""])
                fitted.persons.apply(to: &after, keys: [example.person])
                sum += log(softmax(after)[example.label]) - log(softmax(before)[example.label])
            }
        }
        return sum / Double(examples.count)
    }

    private static func logits(_ shares: [Float]) -> [Double] { shares.map { log(max(Double($0), 1e-9)) } }
}
