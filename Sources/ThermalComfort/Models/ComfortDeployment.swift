package import Learning

extension RetainedModel {
    /// The model as it is sent to edges, with its corrections for sites and persons: networks and biases in half precision.
    ///
    /// - Parameters:
    ///   - version: which model this is, for people.
    ///   - featureSet: what it was trained on.
    ///   - hasSites, hasPersons: whether it asks for site and person.
    /// - Throws: `AdapterError`.
    package func deployed(
        version: String, featureSet: ComfortFeatureSet = .physics, hasSites: Bool = true, hasPersons: Bool = true
    ) throws(AdapterError) -> DeployedModel {
        let networks = model.networks.map { $0.roundedToHalf() ?? $0 }
        return DeployedModel(
            featureNames: featureSet.columnNames, classNames: Preference.allCases.map(\.word), version: version,
            model: BlendedModel(trees: model.trees, networks: networks, networkShare: model.networkShare),
            sites: try table(of: "site", isWanted: hasSites), persons: try table(of: "person", isWanted: hasPersons))
    }

    private func table(of attribute: String, isWanted: Bool) throws(AdapterError) -> AdapterTable? {
        guard isWanted, let layer = adapters.first(where: { $0.attribute == attribute }) else { return nil }
        return try AdapterTable(layer.biases)
    }

    /// Shape [rows, classes]: margins before anything is rounded for deployment, with the corrections of sites and persons that are wanted.
    package func margins(_ rows: ComfortRows, featureSet: ComfortFeatureSet = .physics, hasSites: Bool, hasPersons: Bool) -> [Double] {
        var margins = model.margins(rows.features(featureSet)).map(Double.init)
        let tasks = rows.tasks
        for layer in adapters {
            if layer.attribute == "site", hasSites { layer.biases.apply(to: &margins, keys: tasks.sites) }
            if layer.attribute == "person", hasPersons { layer.biases.apply(to: &margins, keys: tasks.persons) }
        }
        return margins
    }
}
