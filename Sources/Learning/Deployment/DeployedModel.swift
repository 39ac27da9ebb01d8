/// What is sent to an edge and asked there: one model for all tasks, and a bias for each known site and person.
///
/// margins = model(features) + bias(site) + bias(person); probabilities = softmax(margins). The ONNX file written from it computes the same.
package struct DeployedModel: Sendable, Equatable {
    /// Bound on features and classes, far above any table here.
    package static let namesMax = 4096

    /// Columns of the features, in order.
    package let featureNames: [String]
    /// In the order of the probabilities; two or more.
    package let classNames: [String]
    /// Which model this is, for people: a round, a date, a digest.
    package let version: String
    /// Trees and networks without anybody's bias.
    package let model: BlendedModel
    /// Nil where the model does not ask for the site.
    package let sites: AdapterTable?
    /// Nil where the model does not ask for the person.
    package let persons: AdapterTable?

    /// - Parameter featureNames: as many as the model has features; no name may contain a line feed, nor a class name.
    package init(
        featureNames: [String], classNames: [String], version: String, model: BlendedModel, sites: AdapterTable? = nil,
        persons: AdapterTable? = nil
    ) {
        precondition(featureNames.count == model.trees.featureCount, "one name a feature")
        precondition(classNames.count == model.classCount && classNames.count > 1, "one name a class")
        precondition(featureNames.count <= Self.namesMax && classNames.count <= Self.namesMax, "at most \(Self.namesMax) names")
        precondition((featureNames + classNames).allSatisfy { !$0.contains("\n") && !$0.isEmpty }, "names are of one line")
        precondition(model.networks.allSatisfy { $0.inputs.columnNames == featureNames }, "networks and trees see the same features")
        precondition([sites, persons].allSatisfy { $0.map { $0.classCount == classNames.count } ?? true }, "one bias a class")
        self.featureNames = featureNames
        self.classNames = classNames
        self.version = version
        self.model = model
        self.sites = sites
        self.persons = persons
    }

    /// Shape [rows, classes], row-major, before softmax.
    ///
    /// - Parameters:
    ///   - features: with the columns `featureNames`.
    ///   - sites, persons: one key a row; nil and unknown keys correct nothing. Nil for all: no row has one.
    package func margins(features: FeatureMatrix, sites keys: [String?]? = nil, persons names: [String?]? = nil) -> [Float] {
        precondition(features.columnNames == featureNames, "the model was made for other columns")
        var result = model.margins(features)
        for (table, keys) in [(sites, keys), (persons, names)] {
            guard let table, let keys else { continue }
            precondition(keys.count == features.rowCount, "one key a row")
            for (row, key) in keys.enumerated() {
                for (k, bias) in table.bias(of: key).enumerated() { result[row * classNames.count + k] += bias }
            }
        }
        return result
    }

    /// Softmax of the margins.
    package func predict(features: FeatureMatrix, sites: [String?]? = nil, persons: [String?]? = nil) -> ClassProbabilities {
        ClassProbabilities(classCount: classNames.count, logits: margins(features: features, sites: sites, persons: persons))
    }
}

extension DeployedModel: Predictor {
    /// For rows of unknown sites and persons.
    package func predict(_ features: FeatureMatrix) -> ClassProbabilities { predict(features: features) }
}

extension DenseNetwork {
    /// The network with its weights rounded to half precision: half the bytes in a model file, which then computes with the same weights.
    ///
    /// - Returns: nil when a weight lies outside ±65504.
    package func roundedToHalf() -> DenseNetwork? {
        func halves(_ values: [Float]) -> [Float] { values.map { Float(Float16($0)) } }
        let (hidden, output) = (halves(hiddenWeights), halves(outputWeights))
        guard (hidden + output).allSatisfy(\.isFinite) else { return nil }
        return DenseNetwork(
            inputs: inputs, hiddenWeights: hidden, hiddenBiases: hiddenBiases, outputWeights: output, outputBiases: outputBiases)
    }
}
