/// An ONNX graph (onnx/onnx, onnx.proto) that grows node by node and is written as a model file.
struct ONNXGraph {
    /// Element types of tensors, by ONNX's numbers (`TensorProto.DataType`).
    enum ElementType: Int { case float = 1, uint8 = 2, int64 = 7, bool = 9, float16 = 10 }

    enum Attribute {
        case int(Int)
        case float(Float)
        case ints([Int])
        case tensor(Tensor)
    }

    struct Tensor {
        var type: ElementType
        var shape: [Int]
        var content: [UInt8]

        static func floats(_ values: [Float], shape: [Int]) -> Tensor {
            Tensor(type: .float, shape: shape, content: values.flatMap(\.littleEndianBytes))
        }

        static func halves(_ values: [Float], shape: [Int]) -> Tensor {
            Tensor(type: .float16, shape: shape, content: values.flatMap { Float16($0).littleEndianBytes })
        }

        static func int64s(_ values: [Int]) -> Tensor {
            let content = values.flatMap { value in withUnsafeBytes(of: Int64(value).littleEndian) { Array($0) } }
            return Tensor(type: .int64, shape: [values.count], content: content)
        }

        static func bytes(_ values: [UInt8]) -> Tensor { Tensor(type: .uint8, shape: [values.count], content: values) }
    }

    /// Operators of ONNX itself and of its part for classical models.
    enum Domain: String { case standard = "", classical = "ai.onnx.ml" }

    /// Name of the first dimension of every input and output.
    private static let rows = "N"
    private var nodes = ProtobufWriter()
    private var initializers = ProtobufWriter()
    private var inputs = ProtobufWriter()
    private var outputs = ProtobufWriter()

    /// - Parameter width: columns; nil for one value a row.
    mutating func input(_ name: String, _ type: ElementType, width: Int?) {
        inputs.message(11) { Self.describe(&$0, name, type, width) }
    }

    mutating func output(_ name: String, _ type: ElementType, width: Int?) {
        outputs.message(12) { Self.describe(&$0, name, type, width) }
    }

    private static func describe(_ info: inout ProtobufWriter, _ name: String, _ type: ElementType, _ width: Int?) {
        info.string(1, name)
        info.message(2) { value in
            value.message(1) { tensor in
                tensor.int(1, type.rawValue)
                tensor.message(2) { shape in
                    shape.message(1) { $0.string(2, rows) }
                    if let width { shape.message(1) { $0.int(1, width) } }
                }
            }
        }
    }

    /// - Returns: `name`, for use as an input.
    @discardableResult
    mutating func constant(_ name: String, _ tensor: Tensor) -> String {
        initializers.message(5) {
            Self.write(&$0, tensor)
            $0.string(8, name)
        }
        return name
    }

    /// A constant of Floats, stored in half precision where that loses nothing.
    ///
    /// - Returns: the name of the Float value.
    mutating func weights(_ name: String, _ values: [Float], shape: [Int]) -> String {
        guard values.allSatisfy({ Float(Float16($0)) == $0 }) else { return constant(name, .floats(values, shape: shape)) }
        let stored = constant(name + "_half", .halves(values, shape: shape))
        return node("Cast", [stored], name, attributes: [("to", .int(ElementType.float.rawValue))])
    }

    private static func write(_ writer: inout ProtobufWriter, _ tensor: Tensor) {
        writer.packedInts(1, tensor.shape)
        writer.int(2, tensor.type.rawValue)
        writer.raw(9, tensor.content)
    }

    /// - Returns: `output`, for use as an input.
    @discardableResult
    mutating func node(
        _ operation: String, domain: Domain = .standard, _ inputs: [String], _ output: String, attributes: [(String, Attribute)] = []
    ) -> String {
        nodes.message(1) { node in
            for input in inputs { node.string(1, input) }
            node.string(2, output)
            node.string(4, operation)
            for (name, value) in attributes {
                node.message(5) {
                    $0.string(1, name)
                    Self.write(&$0, value)
                }
            }
            if domain != .standard { node.string(7, domain.rawValue) }
        }
        return output
    }

    /// The value and its kind (`AttributeProto.AttributeType`).
    private static func write(_ writer: inout ProtobufWriter, _ attribute: Attribute) {
        switch attribute {
        case .float(let value):
            writer.float(2, value)
            writer.int(20, 1)
        case .int(let value):
            writer.int(3, value)
            writer.int(20, 2)
        case .tensor(let value):
            writer.message(5) { write(&$0, value) }
            writer.int(20, 4)
        case .ints(let values):
            writer.packedInts(8, values)
            writer.int(20, 7)
        }
    }

    /// The whole file.
    ///
    /// Opset 17 and ai.onnx.ml 5 (the compact TreeEnsemble) need ONNX Runtime 1.18 or newer.
    func model(name: String, metadata: [(String, String)]) -> [UInt8] {
        var file = ProtobufWriter()
        file.int(1, 10)
        file.string(2, "skerry")
        file.raw(7, nodes.bytes + graphName(name) + initializers.bytes + inputs.bytes + outputs.bytes)
        for (domain, version) in [(Domain.standard, 17), (Domain.classical, 5)] {
            file.message(8) {
                $0.string(1, domain.rawValue)
                $0.int(2, version)
            }
        }
        for (key, value) in metadata {
            file.message(14) {
                $0.string(1, key)
                $0.string(2, value)
            }
        }
        return file.bytes
    }

    private func graphName(_ name: String) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.string(2, name)
        return writer.bytes
    }
}
