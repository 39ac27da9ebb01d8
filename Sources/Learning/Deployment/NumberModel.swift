/// A model that estimates a number, as it is sent to an edge: trees over named inputs.
package struct NumberModel: Sendable, Equatable {
    /// Columns of the features, in order.
    package let featureNames: [String]
    /// The label's column.
    package let valueName: String
    /// Which model this is, for people.
    package let version: String
    /// With one target.
    package let trees: TreeEnsemble

    /// Traps unless the trees have one target and as many features as there are names, each of one line.
    package init(featureNames: [String], valueName: String, version: String, trees: TreeEnsemble) {
        precondition(featureNames.count == trees.featureCount && trees.targetCount == 1, "one name a feature, one target")
        precondition((featureNames + [valueName]).allSatisfy { !$0.contains("\n") && !$0.isEmpty }, "names are of one line")
        (self.featureNames, self.valueName, self.version, self.trees) = (featureNames, valueName, version, trees)
    }

    /// One number a row, in the label's unit.
    ///
    /// - Parameter features: with the columns `featureNames`.
    package func estimates(_ features: FeatureMatrix) -> [Float] {
        precondition(features.columnNames == featureNames, "the model was made for other columns")
        return trees.margins(features: features)
    }
}
