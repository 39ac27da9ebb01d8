/// Element types that are served, by ONNX's numbers (`TensorProto.DataType`).
package enum ElementType: Int, Sendable, CaseIterable {
    case float = 1
    case uint8 = 2
    case int8 = 3
    case uint16 = 4
    case int16 = 5
    case int32 = 6
    case int64 = 7
    case string = 8
    case bool = 9
    case float16 = 10
    case double = 11
    case uint32 = 12
    case uint64 = 13
    case bfloat16 = 16

    /// Bytes of an element; 0 for texts, which have any length.
    package var byteCount: Int {
        switch self {
        case .string: 0
        case .uint8, .int8, .bool: 1
        case .uint16, .int16, .float16, .bfloat16: 2
        case .float, .int32, .uint32: 4
        case .int64, .uint64, .double: 8
        }
    }
}

/// An input or output of a model.
package struct TensorSpec: Sendable, Equatable, CustomStringConvertible {
    /// What an output is made of; inputs are tensors.
    package enum Form: Sendable, Equatable {
        case tensor
        /// A list of maps, one a row, as classifiers emit them (ONNX's ZipMap); answered as two tensors: the values, shape [rows, keys], under
        /// the output's name, and the keys, shape [keys], under the name with `.keys`.
        case maps(keys: ElementType)
        /// A list of tensors of one number of dimensions, as classifiers of several labels emit them (ONNX's SequenceConstruct); answered as two
        /// tensors: the items behind each other under the output's name, shape [items, …], the sizes of the largest, NaN (of whole numbers: 0, of
        /// texts: none) where an item is smaller, and the sizes of each, shape [items, dimensions], under the name with `.sizes`.
        case list
    }

    /// As the graph calls it; requests and answers are found by it.
    package let name: String
    /// The only element type accepted; nothing is converted. Of maps: of their values.
    package let type: ElementType
    /// One entry a dimension; nil: any count. Of maps: [nil, nil]; of lists: of an item.
    package let shape: [Int?]
    /// Whether the file says the number of dimensions; `shape` is empty where it does not.
    package let isShaped: Bool
    /// What it is made of.
    package let form: Form

    /// Made from a file, and to say what a model should have.
    package init(name: String, type: ElementType, shape: [Int?], isShaped: Bool = true, form: Form = .tensor) {
        self.name = name
        self.type = type
        self.shape = shape
        self.isShaped = isShaped
        self.form = form
    }

    /// Type and shape, for example `float[N, 68]`.
    package var description: String {
        let list = isShaped ? shape.map { $0.map(String.init) ?? "N" }.joined(separator: ", ") : "..."
        if case .maps(let keys) = form { return "maps of \(keys) to \(type)" }
        return form == .list ? "list of \(type)[\(list)]" : "\(type)[\(list)]"
    }

    /// Values a row; 1 for each dimension of unknown size.
    package var width: Int { shape.dropFirst().reduce(1) { $0 * ($1 ?? 1) } }

    /// Whether a row has one size: numbers with a first dimension, and no other of unknown size.
    package var isOfRows: Bool { form == .tensor && type != .string && !shape.isEmpty && shape.dropFirst().allSatisfy { $0 != nil } }

    /// Whether a tensor of a request fits: the same number of dimensions, each of the size that is fixed.
    package func fits(_ found: [Int]) -> Bool {
        !isShaped || (found.count == shape.count && zip(found, shape).allSatisfy { $1 == nil || $0 == $1 })
    }
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
