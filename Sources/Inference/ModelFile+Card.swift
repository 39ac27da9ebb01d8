package import Learning

extension ModelFile {
    /// Whether a card tells the truth of this file: digest, inputs, outputs, order of features and classes, version.
    ///
    /// - Throws: `ModelCardError.otherFile` naming the first difference.
    package func check(against card: ModelCard) throws {
        try card.check(bytes)
        let names = try TabularPredictor.names(signature)
        func compare<Value: Equatable>(_ what: String, _ told: Value, _ found: Value) throws {
            guard told == found else { throw ModelCardError.otherFile(file: card.file, what: what, card: "\(told)", found: "\(found)") }
        }
        try compare("inputs", card.inputs.map { "\($0.name) \($0.form)" }, signature.inputs.map { "\($0.name) \($0)" })
        try compare("outputs", card.outputs.map { "\($0.name) \($0.form)" }, signature.outputs.map { "\($0.name) \($0)" })
        try compare("features", card.features.map(\.name), names.features)
        try compare("classes", card.classes, names.classes)
        try compare("version", card.version, signature.metadata["version"] ?? "")
    }
}
