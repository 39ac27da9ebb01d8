import CVectors

/// Turns a graph into steps, if every one of its operators is known here in the form in which it is used.
struct CompiledModelMaker {
    /// Why a graph is left to ONNX Runtime.
    struct Unknown: Error { var reason: String }

    private(set) var trees: [CompiledTrees] = []
    private(set) var steps: [CompiledModel.Step] = []
    private(set) var slots: [CompiledModel.Place] = []
    private(set) var dictionaries: [CompiledModel.Dictionary] = []
    /// 32-bit floats.
    private(set) var constants: [Float] = []
    private(set) var indices: [Int32] = []
    private(set) var betweenCount = 0
    /// Numbers of all matrices: beyond this, rows gain more from being computed together than from being computed here.
    private static let matrixNumbersMax = 1 << 16
    private var matrixNumbers = 0
    /// Keys of dictionaries by the input that is looked up; for rows to try.
    private(set) var keys: [Int: [Int]] = [:]

    /// What a name stands for: a row's value of one kind.
    private struct Value {
        enum Kind: Equatable { case floats, flags, whole }
        var slot: Int
        var kind: Kind
        /// Numbers a row.
        var width: Int
        /// Dimensions, that of the rows included: 1 or 2.
        var rank: Int
        /// Of a whole number: all that it can be; nil where that is not known.
        var bounds: ClosedRange<Int64>?
    }

    /// One side of an operator: a row's value, or constants that fit it.
    private struct Side {
        var slot: Int
        /// 0: one number for all.
        var stride: Int
        var value: Value?
    }

    private var graph: Graph
    private var values: [String: Value] = [:]
    private var constantSlots: [String: Int] = [:]
    private var outputNames: [String: Int] = [:]

    /// - Throws: `Unknown`.
    init(_ graph: Graph, _ signature: ModelSignature) throws(Unknown) {
        self.graph = graph
        for (index, input) in signature.inputs.enumerated() {
            let kind: Value.Kind
            switch input.type {
            case .float: kind = .floats
            case .int64: kind = .whole
            default: throw Unknown(reason: "input \"\(input.name)\" is \(input)")
            }
            guard input.isOfRows, input.shape[0] == nil, input.shape.count <= 2, kind == .floats || input.width == 1 else {
                throw Unknown(reason: "input \"\(input.name)\" is \(input)")
            }
            values[input.name] = Value(slot: slot(.input(index)), kind: kind, width: input.width, rank: input.shape.count)
        }
        for (index, output) in signature.outputs.enumerated() { outputNames[output.name] = index }
        for node in graph.nodes { try add(node) }
        for output in signature.outputs {
            guard let value = values[output.name], output.isOfRows, output.shape[0] == nil, value.rank == output.shape.count,
                value.width == output.width, output.type == (value.kind == .whole ? .int64 : .float), value.kind != .flags,
                slots[value.slot] == .output(outputNames[output.name]!)
            else { throw Unknown(reason: "output \"\(output.name)\" is \(output)") }
        }
    }

    private mutating func slot(_ place: CompiledModel.Place) -> Int {
        slots.append(place)
        return slots.count - 1
    }

    /// Memory for a name that a node gives.
    private mutating func define(_ node: Graph.Node, _ kind: Value.Kind, _ width: Int, _ rank: Int, output: Int = 0) throws(Unknown) -> Int
    {
        guard node.outputs.count > output, width > 0 else { throw Unknown(reason: "\(node.operation) gives nothing") }
        let name = node.outputs[output]
        let place = name.isEmpty ? nil : outputNames[name].map { CompiledModel.Place.output($0) }
        let slot = slot(place ?? between(width))
        guard values.updateValue(Value(slot: slot, kind: kind, width: width, rank: rank), forKey: name) == nil || name.isEmpty else {
            throw Unknown(reason: "\"\(name)\" is given twice")
        }
        return slot
    }

    private mutating func between(_ floats: Int) -> CompiledModel.Place {
        // Behind each some room, for steps that write whole vectors.
        defer { betweenCount += (floats + 15) / 16 * 8 }
        return .between(betweenCount)
    }

    private mutating func constant(_ floats: [Float]) -> Int {
        while constants.count % 16 != 0 { constants.append(0) }
        defer { constants += floats }
        return slot(.constant(constants.count))
    }

    private func row(_ node: Graph.Node, _ index: Int, _ kind: Value.Kind) throws(Unknown) -> Value {
        guard index < node.inputs.count, let value = values[node.inputs[index]], value.kind == kind else {
            throw Unknown(reason: "\(node.operation) has \"\(index < node.inputs.count ? node.inputs[index] : "")\" as input \(index)")
        }
        return value
    }

    private func known(_ node: Graph.Node, _ index: Int) throws(Unknown) -> Graph.Constant {
        guard index < node.inputs.count, let found = graph.constants[node.inputs[index]] else {
            throw Unknown(reason: "input \(index) of \(node.operation) is no constant")
        }
        return found
    }

    /// A value, or constants of one row.
    private mutating func side(_ node: Graph.Node, _ index: Int, width: Int, rank: Int) throws(Unknown) -> Side {
        let name = index < node.inputs.count ? node.inputs[index] : ""
        if let value = values[name] {
            guard value.kind == .floats, value.width == width, value.rank == rank else {
                throw Unknown(reason: "\(node.operation) stretches \"\(name)\"")
            }
            return Side(slot: value.slot, stride: 1, value: value)
        }
        let found = try known(node, index)
        guard found.floats.count == found.count,
            found.count == 1 && found.shape.count <= rank
                || found.count == width && rank == 2
                    && (found.shape == [width] || found.shape == [1, width])
        else { throw Unknown(reason: "\(node.operation) stretches \"\(name)\"") }
        return Side(slot: constant(name, found.floats), stride: found.count == 1 ? 0 : 1, value: nil)
    }

    private mutating func constant(_ name: String, _ floats: [Float]) -> Int {
        if let known = constantSlots[name] { return known }
        let made = constant(floats)
        constantSlots[name] = made
        return made
    }

    private func version(_ domain: String = "") -> Int { graph.versions[domain] ?? 0 }

    // MARK: - Operators

    private mutating func add(_ node: Graph.Node) throws(Unknown) {
        guard !node.attributes.values.contains(where: \.isOther) else { throw Unknown(reason: "\(node.operation) holds a graph") }
        if node.domain == "ai.onnx.ml" { return try addOfTables(node) }
        // Older operators differ in what they are told, and how.
        guard version() >= 13 else { throw Unknown(reason: "its operators are of version \(version()); 13 and newer are compiled") }
        switch node.operation {
        case "Identity": try addIdentity(node)
        case "IsNaN":
            let value = try row(node, 0, .floats)
            try append(node, .missing, value, .flags)
        case "Where": try addWhere(node)
        case "Add", "Sub", "Mul", "Div": try addArithmetic(node)
        case "Sum": try addSum(node)
        case "Clip": try addClip(node)
        case "Relu": try append(node, .rectify, try row(node, 0, .floats), .floats)
        case "Gather": try addGather(node)
        case "Cast": try addCast(node)
        case "Concat": try addConcat(node)
        case "Gemm", "MatMul": try addProduct(node)
        case "Softmax":
            let value = try row(node, 0, .floats)
            guard value.rank == 2, [1, -1].contains(node.int("axis", default: -1)), value.width <= 16, skerry_has_fused() != 0 else {
                throw Unknown(reason: "Softmax of \(value.width) numbers")
            }
            try append(node, .softmax, value, .floats)
        case "ArgMax":
            let value = try row(node, 0, .floats)
            guard value.rank == 2, [1, -1].contains(node.int("axis", default: 0)), node.int("select_last_index", default: 0) == 0 else {
                throw Unknown(reason: "ArgMax of another axis")
            }
            let out = try define(node, .whole, 1, node.int("keepdims", default: 1) == 0 ? 1 : 2)
            steps.append(CompiledModel.Step(code: .largest, out: out, a: value.slot, count: value.width))
        default: throw Unknown(reason: "the operator \(node.operation)")
        }
    }

    private mutating func append(_ node: Graph.Node, _ code: CompiledModel.Step.Code, _ value: Value, _ kind: Value.Kind) throws(Unknown) {
        let out = try define(node, kind, value.width, value.rank)
        steps.append(CompiledModel.Step(code: code, out: out, a: value.slot, count: value.width))
    }

    private mutating func addIdentity(_ node: Graph.Node) throws(Unknown) {
        try append(node, .copy, try row(node, 0, .floats), .floats)
    }

    private mutating func addWhere(_ node: Graph.Node) throws(Unknown) {
        let condition = try row(node, 0, .flags)
        let yes = try side(node, 1, width: condition.width, rank: condition.rank)
        let no = try side(node, 2, width: condition.width, rank: condition.rank)
        let out = try define(node, .floats, condition.width, condition.rank)
        steps.append(
            CompiledModel.Step(
                code: .choose, out: out, a: yes.slot, b: no.slot, c: condition.slot, count: condition.width, strideA: yes.stride,
                strideB: no.stride))
    }

    private mutating func addArithmetic(_ node: Graph.Node) throws(Unknown) {
        let codes: [String: CompiledModel.Step.Code] = ["Add": .add, "Sub": .subtract, "Mul": .multiply, "Div": .divide]
        guard node.inputs.count == 2, let first = node.inputs.compactMap({ values[$0] }).first else {
            throw Unknown(reason: "\(node.operation) of constants")
        }
        let (a, b) = (
            try side(node, 0, width: first.width, rank: first.rank), try side(node, 1, width: first.width, rank: first.rank)
        )
        let out = try define(node, .floats, first.width, first.rank)
        steps.append(
            CompiledModel.Step(
                code: codes[node.operation]!, out: out, a: a.slot, b: b.slot, count: first.width, strideA: a.stride, strideB: b.stride))
    }

    /// From the left, as ONNX Runtime adds.
    private mutating func addSum(_ node: Graph.Node) throws(Unknown) {
        guard let first = node.inputs.compactMap({ values[$0] }).first else { throw Unknown(reason: "Sum of constants") }
        var sides: [Side] = []
        for index in node.inputs.indices { sides.append(try side(node, index, width: first.width, rank: first.rank)) }
        let out = try define(node, .floats, first.width, first.rank)
        guard sides.count > 1 else {
            guard sides[0].stride == 1 else { throw Unknown(reason: "Sum of constants") }
            return steps.append(CompiledModel.Step(code: .copy, out: out, a: sides[0].slot, count: first.width))
        }
        for (index, side) in sides.enumerated().dropFirst() {
            let before = index == 1 ? sides[0] : Side(slot: out, stride: 1, value: nil)
            steps.append(
                CompiledModel.Step(
                    code: .add, out: out, a: before.slot, b: side.slot, count: first.width, strideA: before.stride, strideB: side.stride))
        }
    }

    private mutating func addClip(_ node: Graph.Node) throws(Unknown) {
        let value = try row(node, 0, .floats)
        func bound(_ index: Int, _ other: Float) throws(Unknown) -> Float {
            guard index < node.inputs.count, !node.inputs[index].isEmpty else { return other }
            let found = try known(node, index)
            guard found.floats.count == 1, !found.floats[0].isNaN else { throw Unknown(reason: "Clip to something else than a number") }
            return found.floats[0]
        }
        let (low, high) = (try bound(1, -.greatestFiniteMagnitude), try bound(2, .greatestFiniteMagnitude))
        let out = try define(node, .floats, value.width, value.rank)
        steps.append(CompiledModel.Step(code: .clip, out: out, a: value.slot, count: value.width, low: low, high: high))
    }

    private mutating func addGather(_ node: Graph.Node) throws(Unknown) {
        let axis = node.int("axis", default: 0)
        if let number = node.inputs.count == 2 ? values[node.inputs[1]] : nil {
            let table = try known(node, 0)
            guard axis == 0, number.kind == .whole, number.rank == 1, table.shape.count == 2, table.floats.count == table.count,
                let bounds = number.bounds, bounds.lowerBound >= 0, bounds.upperBound < table.shape[0]
            else { throw Unknown(reason: "Gather of numbers that may not be there") }
            let from = constant(node.inputs[0], table.floats)
            let out = try define(node, .floats, table.shape[1], 2)
            return steps.append(CompiledModel.Step(code: .rows, out: out, a: from, b: number.slot, count: table.shape[1]))
        }
        let columns = try known(node, 1)
        guard let value = values[node.inputs[0]], value.kind != .whole, value.rank == 2, axis == 1 || axis == -1,
            columns.shape.count == 1, columns.ints.count == columns.count, columns.count > 0,
            columns.ints.allSatisfy({ -value.width..<value.width ~= $0 })
        else { throw Unknown(reason: "Gather of other columns") }
        let out = try define(node, value.kind, columns.count, 2)
        steps.append(CompiledModel.Step(code: .columns, out: out, a: value.slot, count: columns.count, table: indices.count))
        indices += columns.ints.map { Int32($0 < 0 ? $0 + value.width : $0) }
    }

    private mutating func addCast(_ node: Graph.Node) throws(Unknown) {
        guard node.int("to", default: 0) == ElementType.float.rawValue, node.inputs.count == 1 else {
            throw Unknown(reason: "Cast to type \(node.int("to", default: 0))")
        }
        if let value = values[node.inputs[0]], value.kind != .whole {
            return try append(node, .copy, value, .floats)
        }
        // Halves are read as floats already.
        let found = try known(node, 0)
        guard found.floats.count == found.count, let name = node.outputs.first else { throw Unknown(reason: "Cast of other numbers") }
        graph.constants[name] = found
    }

    private mutating func addConcat(_ node: Graph.Node) throws(Unknown) {
        guard [1, -1].contains(node.int("axis", default: 0)) else { throw Unknown(reason: "Concat of another axis") }
        var parts: [Value] = []
        for index in node.inputs.indices {
            let value = try row(node, index, .floats)
            guard value.rank == 2 else { throw Unknown(reason: "Concat of another axis") }
            parts.append(value)
        }
        let out = try define(node, .floats, parts.reduce(0) { $0 + $1.width }, 2)
        var first = 0
        for part in parts {
            steps.append(CompiledModel.Step(code: .copy, out: out, a: part.slot, count: part.width, table: first))
            first += part.width
        }
    }

    private mutating func addProduct(_ node: Graph.Node) throws(Unknown) {
        let (value, matrix) = (try row(node, 0, .floats), try known(node, 1))
        let isGemm = node.operation == "Gemm"
        let isTurned = isGemm && node.int("transB", default: 0) != 0
        guard skerry_has_fused() != 0, value.rank == 2, matrix.shape.count == 2, matrix.floats.count == matrix.count,
            node.int("transA", default: 0) == 0, matrix.shape[isTurned ? 1 : 0] == value.width
        else { throw Unknown(reason: "\(node.operation) of other matrices, or a processor without fused steps") }
        let (depth, count) = (value.width, matrix.shape[isTurned ? 0 : 1])
        matrixNumbers += matrix.count
        guard matrixNumbers <= Self.matrixNumbersMax else {
            throw Unknown(reason: "matrices of more than \(Self.matrixNumbersMax) numbers")
        }
        let width = (count + 15) / 16 * 16
        var laid = [Float](repeating: 0, count: depth * width)
        for k in 0..<depth {
            for column in 0..<count { laid[k * width + column] = matrix.floats[isTurned ? column * depth + k : k * count + column] }
        }
        var added: Side?
        if isGemm, node.inputs.count > 2, !node.inputs[2].isEmpty {
            added = try side(node, 2, width: count, rank: 2)
            guard added?.value == nil, added?.stride == 1, node.float("beta", default: 1) == 1 else {
                throw Unknown(reason: "Gemm with another sum")
            }
        }
        let scratch = slot(between(width)), from = constant(laid)
        let out = try define(node, .floats, count, 2)
        steps.append(
            CompiledModel.Step(
                code: .product, out: out, a: value.slot, b: from, c: added?.slot ?? 0, count: count, strideC: added == nil ? 0 : 1,
                depth: depth, width: width, factor: isGemm ? node.float("alpha", default: 1) : 1, scratch: scratch))
    }

    // MARK: - Operators of tables

    private mutating func addOfTables(_ node: Graph.Node) throws(Unknown) {
        switch node.operation {
        case "LabelEncoder": try addLookUp(node)
        case "TreeEnsemble": try addTrees(node, TreeList(ensemble: node))
        case "TreeEnsembleRegressor":
            guard ["SUM", "AVERAGE"].contains(node.text("aggregate_function", default: "SUM")),
                node.text("post_transform", default: "NONE") == "NONE"
            else { throw Unknown(reason: "trees whose answers are joined in another way") }
            var list = TreeList(listed: node, leaves: "target", targetCount: node.int("n_targets", default: 1))
            list?.isAverage = node.text("aggregate_function", default: "SUM") == "AVERAGE"
            try addTrees(node, list)
        case "TreeEnsembleClassifier": try addClassifier(node)
        default: throw Unknown(reason: "the operator \(node.operation)")
        }
    }

    private mutating func addLookUp(_ node: Graph.Node) throws(Unknown) {
        let value = try row(node, 0, .whole)
        let (keys, values) = (node.ints("keys_int64s"), node.ints("values_int64s"))
        guard keys.count == values.count, !keys.isEmpty, node.attributes["keys_tensor"] == nil, node.attributes["values_tensor"] == nil
        else {
            throw Unknown(reason: "LabelEncoder of other types")
        }
        let other = node.int("default_int64", default: -1)
        let out = try define(node, .whole, 1, value.rank)
        self.values[node.outputs[0]]!.bounds = Int64(min(values.min()!, other))...Int64(max(values.max()!, other))
        steps.append(CompiledModel.Step(code: .lookUp, out: out, a: value.slot, count: 1, table: dictionaries.count))
        dictionaries.append(CompiledModel.Dictionary(Array(zip(keys, values)), other: other))
        if case .input(let index) = slots[value.slot] { self.keys[index, default: []] += keys }
    }

    private mutating func addTrees(_ node: Graph.Node, _ list: TreeList?) throws(Unknown) {
        let value = try row(node, 0, .floats)
        guard let list, value.rank == 2, let made = CompiledTrees(list, columns: value.width) else {
            throw Unknown(reason: "trees of another form")
        }
        let scratch = slot(between(made.scratchCount))
        let out = try define(node, .floats, made.targetCount, 2)
        steps.append(
            CompiledModel.Step(code: .trees, out: out, a: value.slot, count: made.targetCount, table: trees.count, scratch: scratch))
        trees.append(made)
    }

    /// Labels are the largest score's; scores leave as they are.
    private mutating func addClassifier(_ node: Graph.Node) throws(Unknown) {
        let value = try row(node, 0, .floats)
        let labels = node.ints("classlabels_int64s")
        guard labels.count >= 2, labels.allSatisfy({ Int32(exactly: $0) != nil }), Set(node.ints("class_ids")).count == labels.count,
            node.text("post_transform", default: "NONE") == "NONE", value.rank == 2, node.outputs.count == 2,
            let list = TreeList(listed: node, leaves: "class", targetCount: labels.count),
            let made = CompiledTrees(list, columns: value.width)
        else { throw Unknown(reason: "trees of another form") }
        let scratch = slot(between(made.scratchCount))
        let scores = try define(node, .floats, labels.count, 2, output: 1)
        let label = try define(node, .whole, 1, 1)
        steps.append(
            CompiledModel.Step(code: .trees, out: scores, a: value.slot, count: labels.count, table: trees.count, scratch: scratch))
        steps.append(CompiledModel.Step(code: .classes, out: label, a: scores, count: labels.count, table: indices.count))
        trees.append(made)
        indices += labels.map { Int32($0) }
    }
}
