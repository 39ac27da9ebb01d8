package import Learning

/// A loaded `NumberModel`. One thread at a time may use it.
package final class NumberPredictor {
    /// Columns of a request, in order; from the model's metadata.
    package let featureNames: [String]
    /// What is estimated; from the model's metadata.
    package let valueName: String
    /// Which model this is, for people; from the model's metadata, may be empty.
    package let version: String
    /// Its session, for others who ask it with memory of their own.
    package let session: InferenceSession

    /// Whether a file says that it estimates a number.
    package static func isNumber(_ signature: ModelSignature) -> Bool { signature.metadata["value"] != nil }

    /// - Throws: what the session throws; `.missingInput`, `.missingOutput`, `.wrongTensor`, `.unsupportedModel` for a model of another form.
    package init(_ runtime: ONNXRuntime, _ file: ModelFile) throws(InferenceError) {
        let signature = file.signature
        featureNames = (signature.metadata["features"] ?? "").split(separator: "\n").map(String.init)
        guard !featureNames.isEmpty, Set(featureNames).count == featureNames.count, let value = signature.metadata["value"] else {
            throw .unsupportedModel(reason: "its metadata does not name its features and its value")
        }
        valueName = value
        version = signature.metadata["version"] ?? ""
        let wanted = [
            TensorSpec(name: "features", type: .float, shape: [nil, featureNames.count]),
            TensorSpec(name: "value", type: .float, shape: [nil, 1]),
        ]
        guard let input = signature.input("features"), signature.inputs.count == 1 else {
            throw .missingInput(name: "features", found: signature.inputs.map(\.name))
        }
        guard let output = signature.output("value") else { throw .missingOutput(name: "value", found: signature.outputs.map(\.name)) }
        for (found, expected) in zip([input, output], wanted) where found != expected {
            throw .wrongTensor(name: found.name, expected: "\(expected)", found: "\(found)")
        }
        session = try InferenceSession(runtime, file)
    }

    /// One number a row. Blocks.
    ///
    /// - Throws: `.wrongTensor` for other columns than the model's.
    package func predict(_ features: FeatureMatrix) throws(InferenceError) -> [Float] {
        guard features.columnNames == featureNames else {
            throw .wrongTensor(name: "features", expected: "\(featureNames)", found: "\(features.columnNames)")
        }
        var values: [Float] = []
        for start in stride(from: 0, to: features.rowCount, by: TabularPredictor.blockRows) {
            let part = features.rows(Array(start..<min(start + TabularPredictor.blockRows, features.rowCount)))
            let tensors = try session.tensors(rows: part.rowCount)
            _ = tensors.floats("features").update(fromContentsOf: part.values)
            try session.run(tensors)
            values.append(contentsOf: tensors.floats("value"))
        }
        return values
    }
}
