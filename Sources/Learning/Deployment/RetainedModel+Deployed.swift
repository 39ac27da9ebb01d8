extension RetainedModel {
    /// The model as it is sent to edges, with its corrections for sites and persons: networks and biases in half precision, and hashes in
    /// place of names.
    ///
    /// - Parameter version: which model this is, for people.
    /// - Throws: `AdapterError` for corrections that no file can hold.
    package func deployed(featureNames: [String], classNames: [String], version: String) throws(AdapterError) -> DeployedModel {
        var tables: [String: AdapterTable] = [:]
        for layer in adapters { tables[layer.attribute] = try AdapterTable(layer.biases) }
        return DeployedModel(
            featureNames: featureNames, classNames: classNames, version: version,
            model: BlendedModel(
                trees: model.trees, networks: model.networks.map { $0.roundedToHalf() ?? $0 }, networkShare: model.networkShare),
            sites: tables["site"], persons: tables["person"])
    }
}
