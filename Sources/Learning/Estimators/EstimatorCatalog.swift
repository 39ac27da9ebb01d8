/// An estimator that can be chosen by name, and how it is made from parameters.
package struct EstimatorMaker: Sendable {
    /// Chosen by it, case counts; usually the type's name.
    package let name: String
    /// Names of the parameters it reads.
    package let parameters: [String]
    let make: @Sendable (StageParameters) throws(StageError) -> any Estimator

    /// Made once for each way of learning and put into an `EstimatorCatalog`; only parameters named here reach `make`, their values
    /// unchecked.
    package init(
        _ name: String, parameters: [String] = [], make: @escaping @Sendable (StageParameters) throws(StageError) -> any Estimator
    ) {
        (self.name, self.parameters, self.make) = (name, parameters, make)
    }
}

/// All estimators that can be chosen by name. Adding one: CONTRIBUTING.md, "Add an estimator".
package struct EstimatorCatalog: Sendable {
    private let makers: [EstimatorMaker]

    /// - Parameter added: makers beside the built-in ones; one of the same name replaces.
    package init(adding added: [EstimatorMaker] = []) {
        makers = Self.builtIn.filter { old in !added.contains { $0.name == old.name } } + added
    }

    /// In order.
    package var names: [String] { makers.map(\.name).sorted() }

    /// Makes the estimator that a text such as `NearestCentres:{"shrinkage": 5}` names.
    ///
    /// - Throws: `StageError`, naming what is known.
    package func estimator(_ text: String) throws(StageError) -> any Estimator {
        let parameters = try StageParameters(text: text)
        guard let maker = makers.first(where: { $0.name == parameters.stage }) else {
            throw .unknownStage(kind: "estimator", name: parameters.stage, known: names)
        }
        try parameters.refuseStrays(maker.parameters)
        return try maker.make(parameters)
    }

    private static let builtIn = [
        EstimatorMaker("NearestCentres", parameters: ["shrinkage"]) { parameters throws(StageError) in
            NearestCentres(shrinkage: Float(try parameters.number("shrinkage", default: 5, in: 0...1e6)))
        }
    ]
}
