import Learning

extension NumberModel {
    /// The model as an ONNX file.
    ///
    /// Input: `features` float[N, features] (NaN: missing). Output: `value` float[N, 1]. Names of features, one a line, the label and the
    /// version are in the metadata.
    package func onnx() -> [UInt8] {
        var graph = ONNXGraph()
        graph.input("features", .float, width: featureNames.count)
        graph.node("Identity", [graph.add(trees, features: "features")], "value")
        graph.output("value", .float, width: 1)
        return graph.model(
            name: "skerry",
            metadata: [("features", featureNames.joined(separator: "\n")), ("value", valueName), ("version", version)])
    }
}
