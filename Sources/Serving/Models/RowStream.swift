package import Inference

/// Rows as texts under the names of columns.
package struct RowTable: Sendable, Equatable {
    /// Names, in order.
    package var columns: [String]
    /// One text a column each.
    package var rows: [[String]]
    /// Where each row stood in its stream, counted from 1.
    package var lines: [Int]

    /// Nothing is checked.
    package init(columns: [String], rows: [[String]], lines: [Int]) { (self.columns, self.rows, self.lines) = (columns, rows, lines) }
}

/// Answers rows of streams elsewhere than on the loop's thread, where more than the model has a word in them.
package struct LaterRows: Sendable {
    /// Rows by the names of a table's columns.
    package var table: @Sendable (RowTable) async throws(ServingRefusal) -> RowTable
    /// Inputs of the model, one or more rows; answered by its outputs, which nobody else keeps.
    package var tensors: @Sendable ([NamedTensor]) async throws(ServingRefusal) -> [NamedTensor]

    /// Answers by two closures.
    package init(
        table: @escaping @Sendable (RowTable) async throws(ServingRefusal) -> RowTable,
        tensors: @escaping @Sendable ([NamedTensor]) async throws(ServingRefusal) -> [NamedTensor]
    ) { (self.table, self.tensors) = (table, tensors) }
}

/// `infer-stream`: a row a line, answered while more arrive; memory is bounded by a block of rows.
///
/// CSV (`text/csv`) has a header of columns; JSON lines (`application/x-ndjson`, `application/jsonl`, `application/json`) are objects of values by name.
/// Names are the model's inputs; an input of several numbers a row is a list, in CSV the columns `NAME.0`, `NAME.1`, … Rows of other columns go to
/// whoever understands tables. Answers are lines of the same form. Where more than the model has a word in the answers (`later`), blocks are answered
/// elsewhere, one after the other, and the body waits for them.
final class RowStream: LoopStream {
    /// Rows of a block.
    private static let blockRows = 256
    private static let lineBytesMax = 1 << 20
    private static let fieldsMax = 4096
    typealias Ask = ((any ServedEngine) throws(ServingRefusal) -> [[Tensor]]) throws(ServingRefusal) -> [[NamedTensor]]

    let contentType: String
    private let isCSV: Bool
    private let ask: Ask
    private let tables: ((RowTable) throws -> RowTable)?
    private let later: LaterRows?
    private var deferred: [Block] = []
    private var line: [UInt8] = []
    private var quotes = 0
    private var lineNumber = 0
    private var header: [String]?
    private var hasSaidHeader = false
    private var block: [(line: Int, bytes: [UInt8])] = []

    /// Rows that are answered elsewhere. Tensors are used by one task at a time, hence unchecked.
    private enum Block: @unchecked Sendable {
        case table(RowTable)
        case tensors([[NamedTensor]])
    }

    /// - Parameter later: answers all rows in place of `ask` and `tables`, which then only tell the model's inputs.
    init(
        contentType: String, ask: @escaping Ask, tables: ((RowTable) throws -> RowTable)?, later: LaterRows? = nil
    ) throws(ServingRefusal) {
        switch contentType {
        case "text/csv", "application/csv": isCSV = true
        case "application/x-ndjson", "application/jsonl", "application/json", "application/json-lines", "": isCSV = false
        default:
            throw ServingRefusal(415, "Content-Type \"\(contentType)\" is no stream of rows; text/csv and application/x-ndjson are taken")
        }
        self.contentType = isCSV ? "text/csv" : "application/x-ndjson"
        (self.ask, self.tables, self.later) = (ask, tables, later)
    }

    func consume(_ bytes: UnsafeRawBufferPointer, output: inout [UInt8]) throws(ServingRefusal) {
        for byte in bytes {
            if isCSV, byte == 0x22 { quotes += 1 }
            // A line break within quotes belongs to a field.
            guard byte == 0x0a, !isCSV || quotes % 2 == 0 else {
                guard line.count < Self.lineBytesMax else {
                    throw ServingRefusal(400, "line \(lineNumber + 1) has more than \(Self.lineBytesMax) bytes")
                }
                line.append(byte)
                continue
            }
            try endLine(&output)
        }
        // What is here is answered before more is waited for.
        try answerBlock(&output)
    }

    func finish(output: inout [UInt8]) throws(ServingRefusal) {
        if !line.isEmpty {
            guard !isCSV || quotes % 2 == 0 else { throw ServingRefusal(400, "line \(lineNumber + 1) ends within quotes") }
            try endLine(&output)
        }
        try answerBlock(&output)
    }

    private func endLine(_ output: inout [UInt8]) throws(ServingRefusal) {
        lineNumber += 1
        quotes = 0
        if line.last == 0x0d { line.removeLast() }
        defer { line.removeAll(keepingCapacity: true) }
        guard !line.isEmpty else { return }
        if isCSV, header == nil {
            let names = try CSVLine.fields(line, lineNumber, max: Self.fieldsMax)
            guard Set(names).count == names.count else { throw ServingRefusal(400, "line 1: a column occurs twice") }
            header = names
            return
        }
        block.append((lineNumber, line))
        if block.count >= Self.blockRows { try answerBlock(&output) }
    }

    private func answerBlock(_ output: inout [UInt8]) throws(ServingRefusal) {
        guard !block.isEmpty else { return }
        let rows = block
        block.removeAll(keepingCapacity: true)
        if later != nil { return deferred.append(try isCSV ? deferredBlock(csv: rows) : deferredBlock(json: rows)) }
        if isCSV { try answer(csv: rows, &output) } else { try answer(json: rows, &output) }
    }

    // MARK: - Answered elsewhere

    func takeDeferred() -> (@Sendable () async -> LoopPart)? {
        guard let later, !deferred.isEmpty else { return nil }
        let (blocks, isCSV, hasSaidHeader) = (deferred, isCSV, hasSaidHeader)
        deferred = []
        self.hasSaidHeader = true
        return {
            var (bytes, hasSaidHeader): ([UInt8], Bool) = ([], hasSaidHeader)
            do throws(ServingRefusal) {
                for block in blocks {
                    switch block {
                    case .table(let table): Self.say(try await later.table(table), isCSV, &hasSaidHeader, &bytes)
                    case .tensors(let rows):
                        for row in rows { try Self.say(try await later.tensors(row), isCSV, &hasSaidHeader, &bytes) }
                    }
                }
                return LoopPart(bytes)
            } catch { return LoopPart(bytes, failure: error) }
        }
    }

    private func deferredBlock(csv lines: [(line: Int, bytes: [UInt8])]) throws(ServingRefusal) -> Block {
        let table = try table(csv: lines)
        let inputs = try inputs()
        guard Self.isOf(inputs, table) else { return .table(table) }
        return .tensors(try ColumnPlaces(table.columns, inputs).requests(table).map { Self.named($0, inputs) })
    }

    private func deferredBlock(json lines: [(line: Int, bytes: [UInt8])]) throws(ServingRefusal) -> Block {
        let inputs = try inputs()
        if let table = try Self.table(lines), !Self.isOf(inputs, table) { return .table(table) }
        let rows = try lines.map { (number, bytes) throws(ServingRefusal) in try JSONRow.tensors(bytes, number, inputs) }
        // One question for all, where rows of the model are alike.
        let isTogether = inputs.indices.allSatisfy { place in
            inputs[place].isShaped && inputs[place].shape.first == .some(nil) && rows.allSatisfy { $0[place].shape == rows[0][place].shape }
                && rows[0][place].shape.first == 1
        }
        guard isTogether else { return .tensors(rows.map { Self.named($0, inputs) }) }
        return .tensors([Self.named(inputs.indices.map { place in Tensor(stacking: rows.map { $0[place] }) }, inputs)])
    }

    private static func named(_ tensors: [Tensor], _ inputs: [TensorSpec]) -> [NamedTensor] {
        zip(inputs, tensors).map { NamedTensor($0.name, $1) }
    }

    /// The model's, at this moment.
    private func inputs() throws(ServingRefusal) -> [TensorSpec] {
        var inputs: [TensorSpec] = []
        _ = try ask { (engine) throws(ServingRefusal) in
            inputs = engine.inputs
            return []
        }
        return inputs
    }

    private static func isOf(_ inputs: [TensorSpec], _ table: RowTable) -> Bool {
        table.columns.contains { column in inputs.contains { $0.name == column || column.hasPrefix($0.name + ".") } }
    }

    // MARK: - CSV

    private func table(csv lines: [(line: Int, bytes: [UInt8])]) throws(ServingRefusal) -> RowTable {
        let columns = header ?? []
        var rows: [[String]] = []
        for (number, bytes) in lines {
            let fields = try CSVLine.fields(bytes, number, max: Self.fieldsMax)
            guard fields.count == columns.count else {
                throw ServingRefusal(400, "line \(number) has \(fields.count) fields, the header \(columns.count)")
            }
            rows.append(fields)
        }
        return RowTable(columns: columns, rows: rows, lines: lines.map(\.line))
    }

    private func answer(csv lines: [(line: Int, bytes: [UInt8])], _ output: inout [UInt8]) throws(ServingRefusal) {
        let table = try table(csv: lines)
        if let tables, let answer = try understood(table, tables) { return Self.say(answer, isCSV, &hasSaidHeader, &output) }
        let answers = try ask { (engine) throws(ServingRefusal) in try ColumnPlaces(table.columns, engine.inputs).requests(table) }
        for answer in answers { try Self.say(answer, isCSV, &hasSaidHeader, &output) }
    }

    /// - Returns: nil where the columns are inputs of the model.
    private func understood(_ table: RowTable, _ tables: (RowTable) throws -> RowTable) throws(ServingRefusal) -> RowTable? {
        if Self.isOf(try inputs(), table) { return nil }
        do {
            return try tables(table)
        } catch let refusal as ServingRefusal {
            throw refusal
        } catch {
            throw ServingRefusal(400, "\(error)")
        }
    }

    // MARK: - Answers

    private static func say(_ table: RowTable, _ isCSV: Bool, _ hasSaidHeader: inout Bool, _ output: inout [UInt8]) {
        guard isCSV else {
            for row in table.rows { append(row, of: table.columns, to: &output) }
            return
        }
        if !hasSaidHeader { CSVLine.append(table.columns, to: &output) }
        hasSaidHeader = true
        for row in table.rows { CSVLine.append(row, to: &output) }
    }

    private static func append(_ row: [String], of columns: [String], to output: inout [UInt8]) {
        output.append(0x7b)
        for (index, field) in row.enumerated() {
            if index > 0 { output.append(0x2c) }
            JSONBytes.append(columns[index], to: &output)
            output.append(0x3a)
            JSONBytes.append(field, to: &output)
        }
        output += [0x7d, 0x0a]
    }

    private static func say(
        _ outputs: [NamedTensor], _ isCSV: Bool, _ hasSaidHeader: inout Bool, _ bytes: inout [UInt8]
    ) throws(ServingRefusal) {
        if isCSV { try say(csv: outputs, &hasSaidHeader, &bytes) } else { say(json: outputs, &bytes) }
    }

    private static func say(json outputs: [NamedTensor], _ output: inout [UInt8]) {
        let beside = outputs.namesBesideRows, ofRows = outputs.filter { !beside.contains($0.name) }
        let count = ofRows.first?.tensor.shape.first ?? 1
        guard count > 1, ofRows.allSatisfy({ $0.tensor.shape.first == count }) else { return say(line: outputs, &output) }
        for row in 0..<count {
            say(line: outputs.map { beside.contains($0.name) ? $0 : NamedTensor($0.name, $0.tensor.rows([row])) }, &output)
        }
    }

    private static func say(line outputs: [NamedTensor], _ output: inout [UInt8]) {
        output.append(0x7b)
        for (index, part) in outputs.enumerated() {
            if index > 0 { output.append(0x2c) }
            JSONBytes.append(part.name, to: &output)
            output.append(0x3a)
            JSONBytes.append(nested: part.tensor, to: &output)
        }
        output += [0x7d, 0x0a]
    }

    private static func say(
        csv outputs: [NamedTensor], _ hasSaidHeader: inout Bool, _ bytes: inout [UInt8]
    ) throws(ServingRefusal) {
        let beside = outputs.namesBesideRows, ofRows = outputs.filter { !beside.contains($0.name) }
        let count = ofRows.first?.tensor.shape.first ?? 1
        let parts = ofRows.filter { $0.tensor.shape.first == count }
        guard !parts.isEmpty else { throw ServingRefusal(400, "the model's outputs have no rows; ask for JSON lines") }
        if !hasSaidHeader {
            CSVLine.append(
                parts.flatMap { part in
                    let width = part.tensor.shape.dropFirst().reduce(1, *)
                    return part.tensor.shape.count <= 1 || width == 1 ? [part.name] : (0..<width).map { "\(part.name).\($0)" }
                }, to: &bytes)
        }
        hasSaidHeader = true
        for row in 0..<count {
            var isFirst = true
            for part in parts {
                for text in part.tensor.texts(row: row) {
                    if !isFirst { bytes.append(0x2c) }
                    isFirst = false
                    CSVLine.append(field: text, to: &bytes)
                }
            }
            bytes.append(0x0a)
        }
    }

    // MARK: - JSON lines

    private func answer(json lines: [(line: Int, bytes: [UInt8])], _ output: inout [UInt8]) throws(ServingRefusal) {
        if let tables, let table = try Self.table(lines), let answer = try understood(table, tables) {
            return Self.say(answer, isCSV, &hasSaidHeader, &output)
        }
        let answers = try ask { (engine) throws(ServingRefusal) in
            try lines.map { (number, bytes) throws(ServingRefusal) in try JSONRow.tensors(bytes, number, engine.inputs) }
        }
        for answer in answers { try Self.say(answer, isCSV, &hasSaidHeader, &output) }
    }

    /// Lines whose values are all texts, numbers or null, with the same names; nil for others.
    private static func table(_ lines: [(line: Int, bytes: [UInt8])]) throws(ServingRefusal) -> RowTable? {
        var (columns, rows): ([String]?, [[String]]) = (nil, [])
        for (number, bytes) in lines {
            guard let row = try JSONRow.fields(bytes, number, max: fieldsMax) else { return nil }
            let names = row.map(\.name)
            if columns == nil { columns = names }
            guard columns == names else {
                throw ServingRefusal(400, "line \(number) has other names than the lines before it; give every line the same, in one order")
            }
            rows.append(row.map(\.value))
        }
        return RowTable(columns: columns ?? [], rows: rows, lines: lines.map(\.line))
    }
}
