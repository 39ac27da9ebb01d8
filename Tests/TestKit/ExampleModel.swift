package import Learning

/// A small deployed model of every part: trees, networks, sites and persons.
package enum ExampleModel {
    package static let names = ["air_temperature", "humidity", "season"]
    package static let classes = ["cooler", "no change", "warmer"]
    package static let sites = ["A", "B", "C", "D"]
    package static let persons = ["A/1", "B/7"]

    /// Rows of which every second cell is missing.
    package static func rows(_ count: Int, seed: UInt64 = 5) -> FeatureMatrix {
        var features = FeatureMatrix(columnNames: names)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<count {
            features.append((0..<3).map { _ in Bool.random(using: &generator) ? .random(in: -2..<2, using: &generator) : .nan })
        }
        return features
    }

    package static func trees() -> TreeEnsemble {
        var ensemble = TreeEnsemble(featureCount: 3, baseMargins: [0.25, 0, -0.25])
        for index in 0..<6 {
            let step = Float(index)
            ensemble.append(
                target: index % 2, round: index / 2,
                nodes: [
                    .split(feature: index % 3, threshold: step / 3 - 1, left: 1, right: 2, missingGoesLeft: index % 2 == 0), .leaf(step),
                    .split(feature: 1, threshold: 0.5, left: 3, right: 4, missingGoesLeft: false), .leaf(-step), .leaf(0.5),
                ])
        }
        return ensemble
    }

    package static func network(seed: UInt64) -> DenseNetwork {
        var generator = SeededGenerator(seed: seed)
        func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in .random(in: -1..<1, using: &generator) } }
        let inputs = DenseInputs(
            columnNames: names, filled: [0.1, 0.2, 0.3], means: [0, 0.5, -0.5], scales: [0.5, 1, 2], clipBound: 1.5,
            indicatorColumns: [0, 2])
        return DenseNetwork(
            inputs: inputs, hiddenWeights: numbers(20), hiddenBiases: numbers(4), outputWeights: numbers(12), outputBiases: numbers(3))
    }

    /// Biases that differ by key.
    package static func biases(_ keys: [String], seed: UInt64) -> BiasTable {
        let rows = keys.indices.flatMap { index in Array(repeating: index, count: 20 + index) }
        return BiasTable(
            logits: [Double](repeating: 0, count: rows.count * 3), labels: rows.map { ($0 + Int(seed)) % 3 }, keys: rows.map { keys[$0] },
            classCount: 3, lambda: 5)
    }

    package static func model(networks: Int = 2, sites hasSites: Bool = true, persons hasPersons: Bool = true) throws -> DeployedModel {
        let blend = BlendedModel(trees: trees(), networks: (0..<networks).map { network(seed: UInt64($0)) }, networkShare: 0.35)
        return DeployedModel(
            featureNames: names, classNames: classes, version: "test 1", model: blend,
            sites: hasSites ? try AdapterTable(biases(sites, seed: 0)) : nil,
            persons: hasPersons ? try AdapterTable(biases(persons, seed: 1)) : nil)
    }
}
