extension ModelFile {
    /// The same model with the corrections of some sites and persons alone: whoever else it knows is unknown to the result, and every answer for
    /// those that are kept is the same to the bit. Other bytes stay as they are; equal files and keys give equal bytes.
    ///
    /// A correction is known by its form, as `DeployedModel.onnx()` writes it: a LabelEncoder of the input, and rows of biases in half precision.
    ///
    /// - Parameter keys: hashes to be kept, by the model's input; inputs that are not named are left whole.
    /// - Returns: the file.
    /// - Throws: `.unsupportedModel` for corrections of another form, `.malformedFile`.
    package func keeping(_ keys: [String: Set<UInt32>]) throws(InferenceError) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        try Self.copy(bytes[...], into: &result) { (field, result) throws(InferenceError) in
            guard field.number == 7 else { return false }
            var graph: [UInt8] = []
            try AdapterCut(keys).cut(try field.bytes("the graph"), into: &graph)
            Self.append(7, graph, to: &result)
            return true
        }
        return result
    }

    /// Copies a message field by field, but for those that somebody has written otherwise.
    fileprivate static func copy(
        _ message: ArraySlice<UInt8>, into result: inout [UInt8],
        besides replaced: (ProtobufReader.Field, inout [UInt8]) throws(InferenceError) -> Bool
    ) throws(InferenceError) {
        var reader = ProtobufReader(message)
        var start = reader.position
        while let field = try reader.next() {
            if try !replaced(field, &result) { result += message[start..<reader.position] }
            start = reader.position
        }
    }

    fileprivate static func append(_ number: UInt64, _ content: some Collection<UInt8>, to result: inout [UInt8]) {
        varint(number << 3 | 2, to: &result)
        varint(UInt64(content.count), to: &result)
        result += content
    }

    fileprivate static func varint(_ value: UInt64, to result: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            result.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        result.append(UInt8(rest))
    }
}

/// Takes corrections out of a graph.
private struct AdapterCut {
    /// What a node says that matters here.
    private struct Node {
        var inputs: [String] = []
        var operation = ""
        var lists: [String: [Int]] = [:]
    }

    /// Rows of the table that stay, from 0 for whoever is unknown.
    private struct Kept {
        var keys: [Int]
        var rows: [Int]
        /// Rows of the table as it is.
        var count: Int
    }

    let keys: [String: Set<UInt32>]

    init(_ keys: [String: Set<UInt32>]) { self.keys = keys }

    func cut(_ graph: ArraySlice<UInt8>, into result: inout [UInt8]) throws(InferenceError) {
        let kept = try kept(graph)
        try ModelFile.copy(graph, into: &result) { (field, result) throws(InferenceError) in
            switch field.number {
            case 1:
                let bytes = try field.bytes("a node")
                let node = try Self.read(bytes)
                guard node.operation == "LabelEncoder", let input = node.inputs.first, let kept = kept[input] else { return false }
                var content: [UInt8] = []
                try Self.write(bytes, keeping: kept.keys, into: &content)
                ModelFile.append(1, content, to: &result)
                return true
            case 5:
                let bytes = try field.bytes("an initializer")
                let name = try Self.name(of: bytes)
                guard name.hasSuffix(Self.biases), let kept = kept[String(name.dropLast(Self.biases.count))] else { return false }
                var content: [UInt8] = []
                try Self.write(bytes, name, keeping: kept, into: &content)
                ModelFile.append(5, content, to: &result)
                return true
            default: return false
            }
        }
    }

    private static let biases = "_biases"

    private static func other(_ input: String) -> InferenceError {
        .unsupportedModel(reason: "the corrections of input \"\(input)\" have another form than ours, and cannot be cut")
    }

    // MARK: Reading

    /// By input, what stays.
    private func kept(_ graph: ArraySlice<UInt8>) throws(InferenceError) -> [String: Kept] {
        var found: [String: Kept] = [:]
        var reader = ProtobufReader(graph)
        while let field = try reader.next() {
            guard field.number == 1 else { continue }
            let node = try Self.read(try field.bytes("a node"))
            guard let input = node.inputs.first, let wanted = keys[input] else { continue }
            guard node.operation == "LabelEncoder", node.inputs.count == 1, found[input] == nil,
                let known = node.lists["keys_int64s"], node.lists["values_int64s"] == Array(1...max(1, known.count)), !known.isEmpty
            else { throw Self.other(input) }
            let places = known.indices.filter { key in UInt32(exactly: known[key]).map(wanted.contains) ?? false }
            // A table of nobody: whoever is unknown has no correction, and 0 is nobody's hash.
            found[input] =
                places.isEmpty
                ? Kept(keys: [0], rows: [0, 0], count: known.count + 1)
                : Kept(keys: places.map { known[$0] }, rows: [0] + places.map { $0 + 1 }, count: known.count + 1)
        }
        return found
    }

    private static func read(_ node: ArraySlice<UInt8>) throws(InferenceError) -> Node {
        var found = Node()
        var reader = ProtobufReader(node)
        while let field = try reader.next() {
            switch field.number {
            case 1: found.inputs.append(try field.text("the input of a node"))
            case 4: found.operation = try field.text("an operator")
            case 5:
                let (name, list) = try list(try field.bytes("an attribute"))
                if !list.isEmpty { found.lists[name] = list }
            default: break
            }
        }
        return found
    }

    private static func list(_ attribute: ArraySlice<UInt8>) throws(InferenceError) -> (name: String, list: [Int]) {
        var (name, list): (String, [Int]) = ("", [])
        var reader = ProtobufReader(attribute)
        while let field = try reader.next() {
            if field.number == 1 { name = try field.text("the name of an attribute") }
            if field.number == 8, name.hasSuffix("_int64s") { try field.append(to: &list, "attribute \(name)") }
        }
        return (name, list)
    }

    private static func name(of tensor: ArraySlice<UInt8>) throws(InferenceError) -> String {
        var reader = ProtobufReader(tensor)
        while let field = try reader.next() { if field.number == 8 { return try field.text("the name of a tensor") } }
        return ""
    }

    // MARK: Writing

    private static func packed(_ values: [Int]) -> [UInt8] {
        var content: [UInt8] = []
        for value in values { ModelFile.varint(UInt64(bitPattern: Int64(value)), to: &content) }
        return content
    }

    private static func write(_ node: ArraySlice<UInt8>, keeping keys: [Int], into result: inout [UInt8]) throws(InferenceError) {
        let lists = ["keys_int64s": keys, "values_int64s": Array(1...keys.count)]
        try ModelFile.copy(node, into: &result) { (field, result) throws(InferenceError) in
            guard field.number == 5 else { return false }
            let attribute = try field.bytes("an attribute")
            guard let values = lists[try list(attribute).name] else { return false }
            var content: [UInt8] = []
            var isWritten = false
            try ModelFile.copy(attribute, into: &content) { (field, content) throws(InferenceError) in
                guard field.number == 8 else { return false }
                // Packed or one by one, it is one list.
                if !isWritten { ModelFile.append(8, packed(values), to: &content) }
                isWritten = true
                return true
            }
            ModelFile.append(5, content, to: &result)
            return true
        }
    }

    private static func write(
        _ tensor: ArraySlice<UInt8>, _ name: String, keeping kept: Kept, into result: inout [UInt8]
    ) throws(InferenceError) {
        var dimensions: [Int] = []
        var reader = ProtobufReader(tensor)
        var raw: ArraySlice<UInt8>?
        while let field = try reader.next() {
            if field.number == 1 { try field.append(to: &dimensions, "a dimension") }
            if field.number == 9 { raw = try field.bytes("a tensor") }
        }
        guard dimensions.count == 2, dimensions[0] == kept.count, let raw, raw.count % kept.count == 0 else { throw other(name) }
        let width = raw.count / kept.count
        var isWritten = false
        try ModelFile.copy(tensor, into: &result) { (field, result) throws(InferenceError) in
            switch field.number {
            case 1:
                if !isWritten { ModelFile.append(1, packed([kept.rows.count, dimensions[1]]), to: &result) }
                isWritten = true
                return true
            case 9:
                let rows = kept.rows.flatMap { raw[raw.startIndex + $0 * width..<raw.startIndex + ($0 + 1) * width] }
                ModelFile.append(9, rows, to: &result)
                return true
            default: return false
            }
        }
    }
}
