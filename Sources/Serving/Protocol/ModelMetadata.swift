package import Inference
package import Resources

/// What the Open Inference Protocol says of a model.
package enum ModelMetadata {
    /// `GET /v2/models/N`; sizes that vary are -1.
    package static func json(
        name: String, versions: [String], inputs: [TensorSpec], outputs: [TensorSpec], parameters: JSON? = nil
    ) -> JSON {
        var json: JSON = [
            "name": .string(name), "versions": .array(versions.map { .string($0) }), "platform": "onnx",
            "inputs": .array(inputs.map(tensor)), "outputs": .array(outputs.map(tensor)),
        ]
        if let parameters { json["parameters"] = parameters }
        return json
    }

    private static func tensor(_ spec: TensorSpec) -> JSON {
        let sizes = spec.isShaped ? spec.shape.map { Int64($0 ?? -1) } : [-1]
        return [
            "name": .string(spec.name), "datatype": .string(spec.type.oip), "shape": .array(sizes.map { .integer($0) }),
        ]
    }
}
