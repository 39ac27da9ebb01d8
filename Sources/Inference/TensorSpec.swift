/// An input or output of a model.
package struct TensorSpec: Sendable, Equatable, CustomStringConvertible {
    /// Element types that are served, by ONNX's numbers (`TensorProto.DataType`).
    package enum ElementType: Int, Sendable {
        case float = 1
        case int64 = 7

        var byteCount: Int { self == .float ? 4 : 8 }
    }

    /// As the graph calls it; requests and answers are found by it.
    package let name: String
    /// The only element type accepted; nothing is converted.
    package let type: ElementType
    /// One entry a dimension; nil: any count, the same for all inputs and outputs (rows).
    package let shape: [Int?]

    /// Made from a file, and to say what a model should have.
    package init(name: String, type: ElementType, shape: [Int?]) {
        self.name = name
        self.type = type
        self.shape = shape
    }

    /// Type and shape, for example `float[N, 68]`.
    package var description: String { "\(type)[\(shape.map { $0.map(String.init) ?? "N" }.joined(separator: ", "))]" }

    /// Values a row.
    package var width: Int { shape.dropFirst().reduce(1) { $0 * ($1 ?? 1) } }
}

/// What a model takes, gives and says of itself.
package struct ModelSignature: Sendable, Equatable {
    /// In the file's order; one or more.
    package let inputs: [TensorSpec]
    /// In the file's order; one or more.
    package let outputs: [TensorSpec]
    /// Free text that its maker wrote into the file.
    package let metadata: [String: String]

    /// Made by `ModelFile`, which has checked the sizes.
    package init(inputs: [TensorSpec], outputs: [TensorSpec], metadata: [String: String] = [:]) {
        self.inputs = inputs
        self.outputs = outputs
        self.metadata = metadata
    }

    /// By its exact name; nil without one.
    package func input(_ name: String) -> TensorSpec? { inputs.first { $0.name == name } }
    /// By its exact name; nil without one.
    package func output(_ name: String) -> TensorSpec? { outputs.first { $0.name == name } }
}

/// What a model file may hold.
package struct ModelLimits: Sendable {
    /// Size of the whole file; checked before it is read.
    package var bytes: Int
    /// Operators, those of subgraphs included.
    package var nodes = 20_000
    /// Elements of one tensor.
    package var elements = 1 << 26
    /// Subgraphs in subgraphs.
    package var depth = 4
    /// Inputs, and outputs.
    package var tensors = 64
    /// Size of one dimension of an input or output.
    package var dimension = 1 << 20
    /// Dimensions of one input or output.
    package var rank = 8

    /// All but the size of the file as for an edge.
    package init(bytes: Int) { self.bytes = bytes }

    /// For models on an edge: 64 MiB.
    package static let edge = ModelLimits(bytes: 64 << 20)
}
