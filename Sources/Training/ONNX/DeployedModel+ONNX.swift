package import Learning

extension DeployedModel {
    /// The model as an ONNX file.
    ///
    /// Inputs: `features` float[N, features] (NaN: missing), and where the model has adapters `site`, `person` int64[N], a key's
    /// `AdapterTable.hash`. Outputs: `probabilities` float[N, classes], `label` int64[N], `margins` float[N, classes]. Names of features
    /// and classes, one a line, and the version are in the metadata.
    package func onnx() -> [UInt8] {
        var graph = ONNXGraph()
        graph.input("features", .float, width: featureNames.count)
        let share = model.networkShare
        // Trees without a share say nothing, and an ensemble without trees is no node.
        var parts = share == 1 ? [] : [graph.add(share == 0 ? model.trees : model.trees.scaled(by: 1 - share), features: "features")]
        for (index, group) in model.networkGroups.enumerated() {
            let weight = share / Float(model.networks.count)
            parts.append(graph.add(group, weight: weight, features: "features", prefix: "network\(index)_"))
        }
        for (name, table) in [("site", sites), ("person", persons)] {
            guard let table else { continue }
            graph.input(name, .int64, width: nil)
            if !table.hashes.isEmpty { parts.append(graph.add(table, keys: name)) }
        }
        finish(&graph, parts)
        let metadata = [
            ("features", featureNames.joined(separator: "\n")), ("classes", classNames.joined(separator: "\n")), ("version", version),
        ]
        return graph.model(name: "skerry", metadata: metadata)
    }

    private func finish(_ graph: inout ONNXGraph, _ parts: [String]) {
        let margins = graph.node(parts.count == 1 ? "Identity" : "Sum", parts, "margins")
        graph.node("Softmax", [margins], "probabilities", attributes: [("axis", .int(1))])
        graph.node("ArgMax", [margins], "label", attributes: [("axis", .int(1)), ("keepdims", .int(0))])
        graph.output("probabilities", .float, width: classNames.count)
        graph.output("label", .int64, width: nil)
        graph.output("margins", .float, width: classNames.count)
    }
}

extension BlendedModel {
    /// The networks by what they see: those with equal inputs are computed as one.
    fileprivate var networkGroups: [[DenseNetwork]] {
        var groups: [[DenseNetwork]] = []
        for network in networks {
            if let index = groups.firstIndex(where: { $0[0].inputs == network.inputs }) {
                groups[index].append(network)
            } else {
                groups.append([network])
            }
        }
        return groups
    }
}

extension ONNXGraph {
    /// Adds an adapter: hash → row of the table, 0 for unknown → biases.
    fileprivate mutating func add(_ table: AdapterTable, keys: String) -> String {
        let row = node(
            "LabelEncoder", domain: .classical, [keys], keys + "_row",
            attributes: [
                ("keys_int64s", .ints(table.hashes.map { Int($0) })), ("values_int64s", .ints(Array(1...table.hashes.count))),
                ("default_int64", .int(0)),
            ])
        let biases = [Float](repeating: 0, count: table.classCount) + table.biases
        let stored = constant(keys + "_biases", .halves(biases, shape: [table.hashes.count + 1, table.classCount]))
        let bias = node("Gather", [stored, row], keys + "_half")
        return node("Cast", [bias], keys + "_bias", attributes: [("to", .int(ElementType.float.rawValue))])
    }

    /// Adds networks of equal inputs as one network with all their hidden units; its output is their sum times `weight`.
    fileprivate mutating func add(_ networks: [DenseNetwork], weight: Float, features: String, prefix: String) -> String {
        let prepared = add(networks[0].inputs, features: features, prefix: prefix)
        let (inputCount, outputCount) = (networks[0].inputs.count, networks[0].outputCount)
        let hiddenCount = networks.map(\.hiddenCount).reduce(0, +)
        let columns = (0..<inputCount).flatMap { row in
            networks.flatMap { $0.hiddenWeights[row * $0.hiddenCount..<(row + 1) * $0.hiddenCount] }
        }
        let sums = (0..<outputCount).map { output in weight * networks.map { $0.outputBiases[output] }.reduce(0, +) }
        let hiddenWeights = weights(prefix + "w1", columns, shape: [inputCount, hiddenCount])
        let hiddenBiases = weights(prefix + "b1", networks.flatMap(\.hiddenBiases), shape: [hiddenCount])
        let outputWeights = weights(prefix + "w2", networks.flatMap(\.outputWeights), shape: [hiddenCount, outputCount])
        let outputBiases = weights(prefix + "b2", sums, shape: [outputCount])
        let hidden = node("Relu", [node("Gemm", [prepared, hiddenWeights, hiddenBiases], prefix + "sum1")], prefix + "hidden")
        return node("Gemm", [hidden, outputWeights, outputBiases], prefix + "sum2", attributes: [("alpha", .float(weight))])
    }

    /// Adds the preparation of `DenseInputs`: fill, standardise, clip, append indicators.
    private mutating func add(_ inputs: DenseInputs, features: String, prefix: String) -> String {
        let count = inputs.columnNames.count
        let missing = node("IsNaN", [features], prefix + "missing")
        let filled = node("Where", [missing, weights(prefix + "fill", inputs.filled, shape: [count]), features], prefix + "filled")
        let centred = node("Sub", [filled, weights(prefix + "means", inputs.means, shape: [count])], prefix + "centred")
        let scaled = node("Div", [centred, weights(prefix + "scales", inputs.scales, shape: [count])], prefix + "scaled")
        let low = constant(prefix + "low", .floats([-inputs.clipBound], shape: []))
        let high = constant(prefix + "high", .floats([inputs.clipBound], shape: []))
        let clipped = node("Clip", [scaled, low, high], prefix + "clipped")
        guard !inputs.indicatorColumns.isEmpty else { return clipped }
        let chosen = constant(prefix + "columns", .int64s(inputs.indicatorColumns))
        let flags = node("Gather", [missing, chosen], prefix + "flags", attributes: [("axis", .int(1))])
        let indicators = node("Cast", [flags], prefix + "indicators", attributes: [("to", .int(ElementType.float.rawValue))])
        return node("Concat", [clipped, indicators], prefix + "inputs", attributes: [("axis", .int(1))])
    }
}
