/// An ONNX file that was read without loading it (onnx/onnx, onnx.proto): whole, self-contained, of bounded size, without known harm.
///
/// What is refused: files that end early; tensors kept in other files (a path chosen by the model's maker); tensors that claim more elements
/// than they bring; functions, which can multiply without bound; operators outside ONNX; trees that leave their own lists.
package struct ModelFile: Sendable {
    /// The whole file, as given to ONNX Runtime.
    package let bytes: [UInt8]
    /// Inputs, outputs and metadata of the outermost graph.
    package let signature: ModelSignature

    /// - Throws: `.fileTooLarge`, `.malformedFile`, `.hostileFile`, `.unsupportedModel`.
    package init(_ bytes: [UInt8], limits: ModelLimits = .edge) throws(InferenceError) {
        guard bytes.count <= limits.bytes else { throw .fileTooLarge(bytes: bytes.count, limit: limits.bytes) }
        var screen = ModelScreen(limits: limits)
        signature = try screen.read(bytes)
        self.bytes = bytes
    }
}

/// One reading of a file.
private struct ModelScreen {
    let limits: ModelLimits
    private var nodeCount = 0
    private static let domains: Set<String> = ["", "ai.onnx", "ai.onnx.ml"]

    init(limits: ModelLimits) { self.limits = limits }

    mutating func read(_ bytes: [UInt8]) throws(InferenceError) -> ModelSignature {
        var reader = ProtobufReader(bytes[...])
        var graph: ArraySlice<UInt8>?
        var metadata: [String: String] = [:]
        var (hasVersion, hasOperators) = (false, false)
        while let field = try reader.next() {
            switch field.number {
            case 1: hasVersion = true
            case 7:
                // Other readers would join them to one that nobody has looked at.
                guard graph == nil else { throw .hostileFile(reason: "it holds several graphs") }
                graph = try field.bytes("the graph")
            case 8: hasOperators = true
            case 14:
                let (key, value) = try pair(try field.bytes("the metadata"))
                metadata[key] = value
            case 20: throw .hostileFile(reason: "it holds training steps")
            case 25: throw .hostileFile(reason: "it defines functions of its own")
            default: break
            }
        }
        guard hasVersion, hasOperators, let graph else {
            throw .malformedFile(reason: "it has no \(hasVersion ? graph == nil ? "graph" : "operator version" : "format version")")
        }
        let (inputs, outputs) = try read(graph: graph, depth: 0)
        guard !inputs.isEmpty, !outputs.isEmpty else { throw .unsupportedModel(reason: "it has no \(inputs.isEmpty ? "input" : "output")") }
        return ModelSignature(inputs: inputs, outputs: outputs, metadata: metadata)
    }

    private func pair(_ bytes: ArraySlice<UInt8>) throws(InferenceError) -> (String, String) {
        var reader = ProtobufReader(bytes)
        var (key, value) = ("", "")
        while let field = try reader.next() {
            if field.number == 1 { key = try field.text("a key of the metadata") }
            if field.number == 2 { value = try field.text("metadata \"\(key)\"") }
        }
        return (key, value)
    }

    private mutating func read(graph: ArraySlice<UInt8>, depth: Int) throws(InferenceError) -> ([TensorSpec], [TensorSpec]) {
        guard depth <= limits.depth else { throw .hostileFile(reason: "graphs nested more than \(limits.depth) deep") }
        var reader = ProtobufReader(graph)
        var (inputs, outputs): ([TensorSpec], [TensorSpec]) = ([], [])
        var nodes: [ArraySlice<UInt8>] = []
        var constants: Set<String> = []
        while let field = try reader.next() {
            switch field.number {
            case 1: nodes.append(try field.bytes("a node"))
            case 5: constants.insert(try read(tensor: try field.bytes("an initializer")).name)
            // Names of a subgraph's inputs and outputs are of no concern to a caller.
            case 11 where depth == 0: inputs.append(try read(input: try field.bytes("an input")))
            case 12 where depth == 0: outputs.append(try read(value: try field.bytes("an output")))
            case 15: throw .unsupportedModel(reason: "it holds sparse tensors")
            default: break
            }
            guard max(inputs.count, outputs.count) <= limits.tensors else {
                throw .hostileFile(reason: "more than \(limits.tensors) inputs or outputs")
            }
        }
        for node in nodes { try read(node: node, inputs: inputs, depth: depth) }
        // Files of old versions list their constants among the inputs.
        inputs.removeAll { constants.contains($0.name) }
        return (inputs, outputs)
    }

    private func read(input: ArraySlice<UInt8>) throws(InferenceError) -> TensorSpec {
        let spec = try read(value: input)
        guard spec.form == .tensor else { throw .unsupportedModel(reason: "its input \"\(spec.name)\" is no tensor but \(spec)") }
        return spec
    }

    private func read(value: ArraySlice<UInt8>) throws(InferenceError) -> TensorSpec {
        var reader = ProtobufReader(value)
        var (name, type): (String, ArraySlice<UInt8>) = ("", [])
        while let field = try reader.next() {
            if field.number == 1 { name = try field.text("the name of an input or output") }
            if field.number == 2 { type = try field.bytes("a type") }
        }
        guard !name.isEmpty else { throw .malformedFile(reason: "an input or output has no name") }
        var types = ProtobufReader(type)
        guard let form = try types.next() else { throw .unsupportedModel(reason: "\"\(name)\" does not say its type") }
        switch form.number {
        case 1: return try read(tensorType: try form.bytes("a type"), of: name)
        case 4: return try read(sequenceType: try form.bytes("a type"), of: name)
        default: throw .unsupportedModel(reason: "\"\(name)\" is neither a tensor nor a list")
        }
    }

    private func read(tensorType: ArraySlice<UInt8>, of name: String) throws(InferenceError) -> TensorSpec {
        var (element, shape, isShaped): (Int, [Int?], Bool) = (0, [], false)
        var fields = ProtobufReader(tensorType)
        while let field = try fields.next() {
            if field.number == 1 { element = try field.int("an element type") }
            if field.number == 2 {
                isShaped = true
                shape = try read(shape: try field.bytes("a shape"), of: name)
            }
        }
        return TensorSpec(name: name, type: try type(element, of: name), shape: shape, isShaped: isShaped)
    }

    /// What ZipMap gives, a list of maps, or a list of tensors.
    private func read(sequenceType: ArraySlice<UInt8>, of name: String) throws(InferenceError) -> TensorSpec {
        var sequence = ProtobufReader(sequenceType)
        let other = InferenceError.unsupportedModel(reason: "\"\(name)\" is a list of something else than tensors, or maps to numbers")
        guard let element = try sequence.next(), element.number == 1 else { throw other }
        var item = ProtobufReader(try element.bytes("a type"))
        guard let content = try item.next() else { throw other }
        if content.number == 1 {
            let spec = try read(tensorType: try content.bytes("a type"), of: name)
            return TensorSpec(name: name, type: spec.type, shape: spec.shape, isShaped: spec.isShaped, form: .list)
        }
        guard content.number == 5 else { throw other }
        var (keys, values): (Int, TensorSpec?) = (0, nil)
        var fields = ProtobufReader(try content.bytes("a type"))
        while let field = try fields.next() {
            if field.number == 1 { keys = try field.int("the type of keys") }
            if field.number == 2 {
                var tensor = ProtobufReader(try field.bytes("the type of values"))
                guard let type = try tensor.next(), type.number == 1 else { throw other }
                values = try read(tensorType: try type.bytes("the type of values"), of: name)
            }
        }
        guard let values, let keys = ElementType(rawValue: keys), keys == .int64 || keys == .string, values.type.byteCount > 0 else {
            throw other
        }
        return TensorSpec(name: name, type: values.type, shape: [nil, nil], form: .maps(keys: keys))
    }

    private func type(_ number: Int, of name: String) throws(InferenceError) -> ElementType {
        guard let type = ElementType(rawValue: number) else {
            throw .unsupportedModel(reason: "\"\(name)\" has element type \(number); numbers of 8 to 64 bits, bool and string are served")
        }
        return type
    }

    private func read(shape: ArraySlice<UInt8>, of name: String) throws(InferenceError) -> [Int?] {
        var reader = ProtobufReader(shape)
        var result: [Int?] = []
        while let dimension = try reader.next() {
            guard dimension.number == 1 else { continue }
            guard result.count < limits.rank else { throw .hostileFile(reason: "\"\(name)\" has more than \(limits.rank) dimensions") }
            var fields = ProtobufReader(try dimension.bytes("a dimension"))
            var size: Int?
            while let field = try fields.next() {
                if field.number == 1 { size = try field.int("a dimension") }
            }
            if let size, !(1...limits.dimension).contains(size) {
                throw .hostileFile(reason: "dimension \(result.count) of \"\(name)\" is \(size); 1 to \(limits.dimension) are accepted")
            }
            result.append(size)
        }
        let count = result.reduce(1) { min($0 * ($1 ?? 1), limits.elements + 1) }
        guard count <= limits.elements else {
            throw .hostileFile(reason: "a row of \"\(name)\" has more than \(limits.elements) values")
        }
        return result
    }

    private mutating func read(node: ArraySlice<UInt8>, inputs: [TensorSpec], depth: Int) throws(InferenceError) {
        nodeCount += 1
        guard nodeCount <= limits.nodes else { throw .hostileFile(reason: "more than \(limits.nodes) nodes") }
        var reader = ProtobufReader(node)
        var (first, operation, domain): (String?, String, String) = (nil, "", "")
        var attributes: [ArraySlice<UInt8>] = []
        while let field = try reader.next() {
            switch field.number {
            case 1 where first == nil: first = try field.text("the input of a node")
            case 4: operation = try field.text("an operator")
            case 5: attributes.append(try field.bytes("an attribute"))
            case 7: domain = try field.text("a domain")
            default: break
            }
        }
        guard Self.domains.contains(domain) else {
            throw .unsupportedModel(reason: "operator \(operation) of domain \"\(domain)\"; only ONNX's own operators are served")
        }
        let columns = inputs.first { $0.name == first && $0.isOfRows && $0.shape.count == 2 }?.width
        var lists = AttributeLists()
        for attribute in attributes { try read(attribute: attribute, lists: &lists, depth: depth) }
        guard domain == "ai.onnx.ml" else { return }
        switch operation {
        case "TreeEnsemble": try TreeEnsembleScreen(columns: columns, lists).finish()
        case "TreeEnsembleRegressor": try NodeListScreen(columns: columns, leaves: "target", lists).finish()
        case "TreeEnsembleClassifier": try NodeListScreen(columns: columns, leaves: "class", lists).finish()
        default: break
        }
    }

    private mutating func read(
        attribute: ArraySlice<UInt8>, lists: inout AttributeLists, depth: Int
    ) throws(InferenceError) {
        var reader = ProtobufReader(attribute)
        var name = ""
        var numbers: [Int] = []
        var (texts, floats): ([String], Int) = ([], 0)
        while let field = try reader.next() {
            switch field.number {
            case 1: name = try field.text("the name of an attribute")
            case 3: numbers.append(try field.int("attribute \(name)"))
            case 5, 10: lists.counts[name] = try read(tensor: try field.bytes("attribute \(name)")).count
            case 6, 11: _ = try read(graph: try field.bytes("attribute \(name)"), depth: depth + 1)
            case 7: if case .bytes(let packed) = field.value { floats += packed.count / 4 } else { floats += 1 }
            case 8: try field.append(to: &numbers, "attribute \(name)")
            // Modes of tree nodes; long texts are of no concern here.
            case 9: texts.append(try field.bytes("attribute \(name)").count > 32 ? "?" : try field.text("attribute \(name)"))
            case 22, 23: throw .unsupportedModel(reason: "it holds sparse tensors")
            default: break
            }
        }
        if !numbers.isEmpty { lists.ints[name] = numbers }
        if !texts.isEmpty { lists.texts[name] = texts }
        if floats > 0 { lists.counts[name] = floats }
    }

    /// - Returns: its name, and its elements.
    @discardableResult
    private func read(tensor: ArraySlice<UInt8>) throws(InferenceError) -> (name: String, count: Int) {
        var reader = ProtobufReader(tensor)
        var (dimensions, type, name): ([Int], Int, String) = ([], 0, "")
        var (raw, typed): (Int?, Int) = (nil, 0)
        while let field = try reader.next() {
            switch field.number {
            case 1: try field.append(to: &dimensions, "a dimension")
            case 2: type = try field.int("an element type")
            case 8: name = try field.text("the name of a tensor")
            case 9: raw = try field.bytes("a tensor").count
            // Lists of numbers, or of strings one field each.
            case 4, 5, 6, 7, 10, 11:
                if case .bytes(let list) = field.value { typed += max(list.count, 1) } else { typed += 1 }
            case 13: throw .hostileFile(reason: "tensor \"\(name)\" is kept in another file (external data)")
            case 14:
                if try field.int("a data location") != 0 {
                    throw .hostileFile(reason: "tensor \"\(name)\" is kept in another file (external data)")
                }
            default: break
            }
        }
        var count = 1
        for dimension in dimensions {
            let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
            guard dimension >= 0, !overflow, product <= limits.elements else {
                throw .hostileFile(
                    reason: "tensor \"\(name)\" claims the shape \(dimensions); at most \(limits.elements) elements are accepted")
            }
            count = product
        }
        if let raw {
            guard let size = Self.byteCounts[type] else { throw .unsupportedModel(reason: "tensor \"\(name)\" has element type \(type)") }
            guard raw == count * size else {
                throw .hostileFile(reason: "tensor \"\(name)\" claims the shape \(dimensions), \(count * size) bytes, and brings \(raw)")
            }
        } else if typed < count {
            throw .hostileFile(reason: "tensor \"\(name)\" claims the shape \(dimensions) and brings at most \(typed) elements")
        }
        return (name, count)
    }

    /// Bytes of an element by ONNX's numbers of types.
    private static let byteCounts = [1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2]
}
