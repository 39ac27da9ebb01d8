/// The outermost graph of a screened file, with the values of its constants.
struct Graph {
    /// Versions of operators, by domain.
    var versions: [String: Int] = [:]
    /// In the file's order, which is one in which they can be computed.
    var nodes: [Node] = []
    /// By name.
    var constants: [String: Constant] = [:]

    /// An operator.
    struct Node {
        var operation = ""
        var domain = ""
        /// Empty for one that is left out.
        var inputs: [String] = []
        var outputs: [String] = []
        var attributes: [String: Attribute] = [:]

        func int(_ name: String, default value: Int) -> Int { attributes[name]?.int ?? value }
        func float(_ name: String, default value: Float) -> Float { attributes[name]?.float ?? value }
        func ints(_ name: String) -> [Int] { attributes[name]?.ints ?? [] }
        func text(_ name: String, default value: String) -> String { attributes[name]?.text ?? value }
    }

    /// What an operator is told; whatever of it was given.
    struct Attribute {
        var int: Int?
        var float: Float?
        var text: String?
        var ints: [Int] = []
        var floats: [Float] = []
        var texts: [String] = []
        var tensor: Constant?
        /// A graph, or something else that is not read.
        var isOther = false
    }

    /// A tensor of the file. Numbers of 16 and 32 bits as floats, whole ones as such; others have no values here.
    struct Constant {
        var type = 0
        var shape: [Int] = []
        var floats: [Float] = []
        var ints: [Int] = []
        var name = ""
    }
}

extension Graph {
    /// - Parameter file: screened: every size in it is bounded.
    init(_ file: ModelFile) throws(InferenceError) {
        var reader = ProtobufReader(file.bytes[...])
        while let field = try reader.next() {
            switch field.number {
            case 7: try read(graph: try field.bytes("the graph"))
            case 8:
                var (domain, version) = ("", 0)
                var fields = ProtobufReader(try field.bytes("an operator version"))
                while let field = try fields.next() {
                    if field.number == 1 { domain = try field.text("a domain") }
                    if field.number == 2 { version = try field.int("an operator version") }
                }
                versions[domain == "ai.onnx" ? "" : domain] = version
            default: break
            }
        }
    }

    private mutating func read(graph: ArraySlice<UInt8>) throws(InferenceError) {
        var reader = ProtobufReader(graph)
        while let field = try reader.next() {
            switch field.number {
            case 1: nodes.append(try Node(try field.bytes("a node")))
            case 5:
                let constant = try Constant(try field.bytes("an initializer"))
                constants[constant.name] = constant
            default: break
            }
        }
    }
}

extension Graph.Node {
    init(_ bytes: ArraySlice<UInt8>) throws(InferenceError) {
        self.init()
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: inputs.append(try field.text("the input of a node"))
            case 2: outputs.append(try field.text("the output of a node"))
            case 4: operation = try field.text("an operator")
            case 5:
                let (name, attribute) = try Graph.Attribute.named(try field.bytes("an attribute"))
                attributes[name] = attribute
            case 7: domain = try field.text("a domain")
            default: break
            }
        }
        if domain == "ai.onnx" { domain = "" }
    }
}

extension Graph.Attribute {
    static func named(_ bytes: ArraySlice<UInt8>) throws(InferenceError) -> (String, Self) {
        var (name, found) = ("", Self())
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: name = try field.text("the name of an attribute")
            case 2: if case .fixed32(let bits) = field.value { found.float = Float(bitPattern: bits) }
            case 3: found.int = try field.int("attribute \(name)")
            case 4: found.text = String(validating: try field.bytes("attribute \(name)"), as: UTF8.self)
            case 5: found.tensor = try Graph.Constant(try field.bytes("attribute \(name)"))
            case 7: try field.append(to: &found.floats)
            case 8: try field.append(to: &found.ints, "attribute \(name)")
            case 9: found.texts.append(try field.text("attribute \(name)"))
            case 6, 10, 11, 22, 23: found.isOther = true
            default: break
            }
        }
        return (name, found)
    }
}

extension Graph.Constant {
    init(_ bytes: ArraySlice<UInt8>) throws(InferenceError) {
        self.init()
        var raw: ArraySlice<UInt8>?
        var halves: [Int] = []
        var reader = ProtobufReader(bytes)
        while let field = try reader.next() {
            switch field.number {
            case 1: try field.append(to: &shape, "a dimension")
            case 2: type = try field.int("an element type")
            case 4: try field.append(to: &floats)
            case 5: try field.append(to: &halves, "a tensor")
            case 7: try field.append(to: &ints, "a tensor")
            case 8: name = try field.text("the name of a tensor")
            case 9: raw = try field.bytes("a tensor")
            default: break
            }
        }
        switch ElementType(rawValue: type) {
        case .float: if let raw { floats = Self.numbers(raw, UInt32.self).map { Float(bitPattern: $0) } }
        case .float16:
            let bits = raw.map { Self.numbers($0, UInt16.self) } ?? halves.map { UInt16(truncatingIfNeeded: $0) }
            floats = bits.map { Float(Float16(bitPattern: $0)) }
        case .int64: if let raw { ints = Self.numbers(raw, Int64.self).map { Int($0) } }
        case .int32: ints = raw.map { Self.numbers($0, Int32.self).map { Int($0) } } ?? halves
        case .uint8: ints = raw.map { $0.map { Int($0) } } ?? halves
        default: (floats, ints) = ([], [])
        }
    }

    /// Little-endian numbers, in the file's order.
    private static func numbers<Number: FixedWidthInteger>(_ raw: ArraySlice<UInt8>, _: Number.Type) -> [Number] {
        raw.withUnsafeBytes { bytes in
            (0..<bytes.count / MemoryLayout<Number>.size).map {
                Number(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Number>.size, as: Number.self))
            }
        }
    }

    /// Elements that the shape claims.
    var count: Int { shape.reduce(1, *) }
}

extension ProtobufReader.Field {
    /// Adds one float, or all of a packed field.
    func append(to numbers: inout [Float]) throws(InferenceError) {
        switch value {
        case .fixed32(let bits): numbers.append(Float(bitPattern: bits))
        case .bytes(let packed):
            guard packed.count % 4 == 0 else { throw .malformedFile(reason: "a list of floats has \(packed.count) bytes") }
            packed.withUnsafeBytes { bytes in
                for place in stride(from: 0, to: bytes.count, by: 4) {
                    numbers.append(Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self))))
                }
            }
        default: throw .malformedFile(reason: "a float is no 32-bit number")
        }
    }
}
