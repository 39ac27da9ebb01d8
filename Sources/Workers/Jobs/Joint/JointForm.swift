import Inference
import Learning
import Resources
import Serving
import Storage

/// How rows came to an edge worker, and so how its large model is asked about them. Pure.
enum JointForm {
    /// Columns of a table, by their names.
    case table(TextTable)
    /// Numbers as a model of a table takes them in the end.
    case features(ModelRows)
    /// Inputs of a model that knows no columns, all outputs of the small one, rows and keys of maps, and which of these has the share of each class;
    /// nil where they tell what was detected.
    case tensors([NamedTensor], outputs: [NamedTensor], shares: Int?)
    /// Inputs of one row, and all outputs of a small model that has detected things in it, however many. The large model may find more.
    case whole([NamedTensor], outputs: [NamedTensor])

    /// Forms that a large model may refuse by themselves: its inputs may be others.
    enum Kind: Sendable, Hashable, CaseIterable { case columns, tensors }

    /// What a large model said.
    struct Answer {
        /// Row by row; 1 for each row in which things were detected.
        var probabilities: [Float]
        /// In the order of the small model's; none for tables.
        var outputs: [NamedTensor] = []
    }

    /// Bytes of a question; more rows are asked about by several.
    static let questionBytesMax = 2 << 20

    var kind: Kind { if case .table = self { .columns } else { .tensors } }

    /// The small model's, copied: others are put into them.
    var outputs: [NamedTensor] {
        switch self {
        case .table, .features: []
        case .tensors(_, let outputs, _), .whole(_, let outputs): outputs
        }
    }

    /// Whether one row is small enough to be asked about.
    var isAskable: Bool { rowBytes <= Self.questionBytesMax }

    private var rowBytes: Int {
        switch self {
        case .table: 0
        case .features(let rows): rows.features.columnCount * 4
        case .tensors(let inputs, _, _): inputs.reduce(0) { $0 + $1.tensor.byteCount / max($1.tensor.shape.first ?? 1, 1) }
        case .whole(let inputs, _): inputs.reduce(0) { $0 + $1.tensor.byteCount }
        }
    }

    /// Rows in parts of one question each.
    func questions(about rows: [Int]) -> [ArraySlice<Int>] {
        let count = max(1, rowBytes == 0 ? rows.count : Self.questionBytesMax / rowBytes)
        return stride(from: 0, to: rows.count, by: count).map { rows[$0..<min($0 + count, rows.count)] }
    }

    // MARK: Question

    /// A request of the Open Inference Protocol: JSON, and tensors of numbers as bytes behind it.
    func question(about rows: [Int], without label: String) -> [UInt8] {
        switch self {
        case .table(let table): Self.question(table.rows(rows), without: label)
        case .features(let all): Self.question(Self.inputs(all.rows(rows)), outputs: ["probabilities", "class"])
        case .tensors(let inputs, let outputs, _):
            Self.question(inputs.map { NamedTensor($0.name, $0.tensor.rows(rows)) }, outputs: outputs.map(\.name))
        case .whole(let inputs, let outputs): Self.question(inputs, outputs: outputs.map(\.name))
        }
    }

    private static func question(_ table: TextTable, without label: String) -> [UInt8] {
        let shape: JSON = [.integer(Int64(table.count))]
        let inputs = table.columns.enumerated().filter { $0.element != label }.map { place, name -> JSON in
            ["name": .string(name), "datatype": "BYTES", "shape": shape, "data": .array(table.rows.map { .string($0[place]) })]
        }
        return JSON.object(["inputs": .array(inputs), "outputs": [["name": "probabilities"], ["name": "class"]]]).bytes()
    }

    private static func inputs(_ rows: ModelRows) -> [NamedTensor] {
        let features = Tensor(type: .float, shape: [rows.count, rows.features.columnCount])
        for (place, value) in rows.features.values.enumerated() { features.values(as: Float.self)[place] = value }
        var inputs = [NamedTensor("features", features)]
        for (name, words) in [("site", rows.sites), ("person", rows.persons), ("task", rows.tasks.map { $0.isEmpty ? nil : $0 })]
        where words.contains(where: { $0 != nil }) {
            inputs.append(NamedTensor(name, Tensor(texts: words.map { Array(($0 ?? "").utf8) }, shape: [rows.count])))
        }
        return inputs
    }

    private static func question(_ inputs: [NamedTensor], outputs: [String]) -> [UInt8] {
        let parts = inputs.map { ($0, BinaryTensor.bytes($0.tensor)) }
        let list = parts.map { input, bytes -> JSON in
            [
                "name": .string(input.name), "datatype": .string(input.tensor.type.oip),
                "shape": .array(input.tensor.shape.map { .integer(Int64($0)) }),
                "parameters": ["binary_data_size": .integer(Int64(bytes.count))],
            ]
        }
        let head: JSON = ["inputs": .array(list), "outputs": .array(outputs.map { ["name": .string($0)] })]
        return head.bytes() + parts.flatMap(\.1)
    }

    // MARK: Answer

    /// Nil for an answer of other rows, classes or outputs.
    func read(_ body: [UInt8], _ count: Int, _ classNames: [String]) -> Answer? {
        guard let found = try? InferReply.read(body) else { return nil }
        switch self {
        case .table, .features:
            guard let values = found.first(where: { $0.name == "probabilities" })?.tensor, values.type == .float,
                let words = found.first(where: { $0.name == "class" })?.tensor.words, values.count == count * classNames.count,
                words.count == count
            else { return nil }
            let shares = Array(values.values(as: Float.self))
            let probabilities = ClassProbabilities(classCount: classNames.count, values: shares)
            // The same number of classes in another order would be other classes.
            guard shares.allSatisfy(\.isFinite),
                (0..<count).allSatisfy({ classNames[probabilities.predictedClass(row: $0)] == words[$0] })
            else { return nil }
            return Answer(probabilities: shares)
        case .tensors(_, let outputs, let place):
            var mine: [NamedTensor] = []
            let keys = outputs.namesBesideRows
            for output in outputs {
                guard let tensor = found.first(where: { $0.name == output.name })?.tensor, tensor.type == output.tensor.type,
                    // Maps of other keys would be of other classes.
                    keys.contains(output.name)
                        ? tensor.isSame(as: output.tensor) : tensor.shape == [count] + output.tensor.shape.dropFirst()
                else { return nil }
                mine.append(NamedTensor(output.name, tensor))
            }
            guard let place else { return Answer(probabilities: Self.ones(count), outputs: mine) }
            guard let shares = ClassShares.all(of: mine[place].tensor), shares.count == count * classNames.count else { return nil }
            return Answer(probabilities: shares, outputs: mine)
        case .whole(_, let outputs):
            var mine: [NamedTensor] = []
            for output in outputs {
                guard let tensor = found.first(where: { $0.name == output.name })?.tensor, tensor.type == output.tensor.type,
                    tensor.shape.count == output.tensor.shape.count
                else { return nil }
                mine.append(NamedTensor(output.name, tensor))
            }
            guard Detections(rowCount: 1, mine) != nil else { return nil }
            return Answer(probabilities: Self.ones(count), outputs: mine)
        }
    }

    private static func ones(_ count: Int) -> [Float] { [Float](repeating: 1, count: count) }

    /// Puts rows of some outputs in the place of others.
    func put(_ found: [NamedTensor], at rows: [Int], into outputs: inout [NamedTensor]) {
        guard !found.isEmpty else { return }
        if case .whole = self { return outputs = found }
        let keys = outputs.namesBesideRows
        outputs = zip(outputs, found).map { mine, theirs in
            keys.contains(mine.name) ? mine : NamedTensor(mine.name, mine.tensor.replacing(rows, by: theirs.tensor))
        }
    }

    // MARK: Which row it is

    /// By what a row is known again when its label comes.
    func key(_ row: Int, _ label: String) -> String {
        switch self {
        case .table(let table): return Self.key(table.columns, table.rows[row], label)
        case .features(let rows): return Self.key(Self.inputs(rows.rows([row])), 0)
        case .tensors(let inputs, _, _): return Self.key(inputs, row)
        case .whole: return ""
        }
    }

    static func key(_ columns: [String], _ fields: [String], _ label: String) -> String {
        zip(columns, fields).filter { $0.0 != label }.sorted { $0.0 < $1.0 }.map { "\($0.0)=\($0.1)" }.joined(separator: "\n")
    }

    private static func key(_ inputs: [NamedTensor], _ row: Int) -> String {
        var bytes: [UInt8] = []
        for input in inputs.sorted(by: { $0.name < $1.name }) {
            bytes += Array(input.name.utf8) + [0]
            bytes += BinaryTensor.bytes(input.tensor.rows([row]))
        }
        return ArtifactDigest(of: bytes).hex
    }
}

extension Tensor {
    fileprivate var byteCount: Int { type == .string ? texts.reduce(0) { $0 + $1.count + 4 } : count * type.byteCount }

    /// Texts, or whole numbers as texts; nil of others.
    var words: [String]? {
        switch type {
        case .string: texts.map { String(decoding: $0, as: UTF8.self) }
        case .int64: values(as: Int64.self).map { "\($0)" }
        case .int32: values(as: Int32.self).map { "\($0)" }
        default: nil
        }
    }

    /// A copy with some rows of another tensor.
    fileprivate func replacing(_ rows: [Int], by other: Tensor) -> Tensor {
        if type == .string {
            var texts = texts
            for (place, row) in rows.enumerated() {
                texts.replaceSubrange(row * width..<(row + 1) * width, with: other.texts[place * width..<(place + 1) * width])
            }
            return Tensor(texts: texts, shape: shape)
        }
        let made = copied, size = width * type.byteCount
        for (place, row) in rows.enumerated() where size > 0 {
            (made.bytes.baseAddress! + row * size).copyMemory(from: other.bytes.baseAddress! + place * size, byteCount: size)
        }
        return made
    }
}
