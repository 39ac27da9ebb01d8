import Inference

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// One line of CSV (RFC 4180).
enum CSVLine {
    static func fields(_ line: [UInt8], _ number: Int, max: Int) throws(ServingRefusal) -> [String] {
        var (fields, field, isQuoted, place): ([String], [UInt8], Bool, Int) = ([], [], false, 0)
        func finish() throws(ServingRefusal) {
            guard let text = String(validating: field, as: UTF8.self) else { throw ServingRefusal(400, "line \(number) is no UTF-8") }
            guard fields.count < max else { throw ServingRefusal(400, "line \(number) has more than \(max) fields") }
            fields.append(text)
            field.removeAll(keepingCapacity: true)
        }
        while place < line.count {
            let byte = line[place]
            place += 1
            if isQuoted {
                if byte != 0x22 {
                    field.append(byte)
                } else if place < line.count, line[place] == 0x22 {
                    field.append(0x22)
                    place += 1
                } else {
                    isQuoted = false
                }
            } else if byte == 0x22 {
                guard field.isEmpty else {
                    throw ServingRefusal(400, "line \(number): a quote stands within a field; double it, and quote the field")
                }
                isQuoted = true
            } else if byte == 0x2c {
                try finish()
            } else {
                field.append(byte)
            }
        }
        try finish()
        return fields
    }

    static func append(_ fields: [String], to bytes: inout [UInt8]) {
        for (index, text) in fields.enumerated() {
            if index > 0 { bytes.append(0x2c) }
            append(field: text, to: &bytes)
        }
        bytes.append(0x0a)
    }

    static func append(field: String, to bytes: inout [UInt8]) {
        guard field.utf8.contains(where: { $0 == 0x22 || $0 == 0x2c || $0 == 0x0a || $0 == 0x0d }) else {
            return bytes.append(contentsOf: field.utf8)
        }
        bytes.append(0x22)
        for byte in field.utf8 {
            if byte == 0x22 { bytes.append(0x22) }
            bytes.append(byte)
        }
        bytes.append(0x22)
    }
}

/// Which columns of a table fill which input.
struct ColumnPlaces {
    private struct Part {
        var spec: TensorSpec
        var columns: [Int]
    }

    private let parts: [Part]

    /// - Throws: naming the input whose columns are missing, or a column that fills none.
    init(_ columns: [String], _ inputs: [TensorSpec]) throws(ServingRefusal) {
        var (parts, used): ([Part], Set<Int>) = ([], [])
        for spec in inputs {
            guard spec.isShaped, spec.shape.count >= 1, spec.shape.dropFirst().allSatisfy({ $0 != nil }) else {
                throw ServingRefusal(400, "input \"\(spec.name)\" (\(spec)) has no row of a fixed size; ask with JSON lines")
            }
            let names = spec.width == 1 && !columns.contains(spec.name + ".0") ? [spec.name] : (0..<spec.width).map { "\(spec.name).\($0)" }
            var places: [Int] = []
            for name in names {
                guard let place = columns.firstIndex(of: name) else {
                    throw ServingRefusal(400, "the column \"\(name)\" of input \"\(spec.name)\" (\(spec)) is missing in line 1")
                }
                places.append(place)
            }
            used.formUnion(places)
            parts.append(Part(spec: spec, columns: places))
        }
        if let extra = columns.indices.first(where: { !used.contains($0) }) {
            throw ServingRefusal(
                400, "the column \"\(columns[extra])\" is no input of the model (known: \(inputs.map(\.name).joined(separator: ", ")))")
        }
        self.parts = parts
    }

    /// Whether rows are answered in one run.
    private var isTogether: Bool { parts.allSatisfy { $0.spec.shape[0] == nil } }

    /// All rows in one request, or a request each.
    func requests(_ table: RowTable) throws(ServingRefusal) -> [[Tensor]] {
        if isTogether { return [try tensors(table.rows, table.lines)] }
        return try zip(table.rows, table.lines).map { (row, line) throws(ServingRefusal) in try tensors([row], [line]) }
    }

    private func tensors(_ rows: [[String]], _ lines: [Int]) throws(ServingRefusal) -> [Tensor] {
        var tensors: [Tensor] = []
        for part in parts {
            let shape = [rows.count] + part.spec.shape.dropFirst().map { $0! }
            if part.spec.type == .string {
                tensors.append(Tensor(texts: rows.flatMap { row in part.columns.map { Array(row[$0].utf8) } }, shape: shape))
                continue
            }
            // Numbers by the reader of JSON: one rule for both.
            var list: [UInt8] = [0x5b]
            for (index, row) in rows.enumerated() {
                for place in part.columns {
                    if list.count > 1 { list.append(0x2c) }
                    list += try Self.number(row[place], part.spec, lines[index])
                }
            }
            list.append(0x5d)
            tensors.append(try JSONRow.read(list, part.spec, shape))
        }
        return tensors
    }

    private static func number(_ text: String, _ spec: TensorSpec, _ line: Int) throws(ServingRefusal) -> [UInt8] {
        var trimmed = text[...]
        while trimmed.first == " " { trimmed.removeFirst() }
        while trimmed.last == " " { trimmed.removeLast() }
        let isFloating = [.float, .double, .float16, .bfloat16].contains(spec.type)
        if isFloating, trimmed.isEmpty || trimmed == "NA" || trimmed == "NaN" || trimmed == "nan" { return Array("null".utf8) }
        if spec.type == .bool, trimmed == "true" || trimmed == "false" { return Array(trimmed.utf8) }
        guard let value = Double(trimmed), value.isFinite,
            trimmed.utf8.allSatisfy({ $0 &- 0x30 < 10 || [0x2b, 0x2d, 0x2e, 0x45, 0x65].contains($0) })
        else { throw ServingRefusal(400, "line \(line): \"\(text.prefix(40))\" is no number for input \"\(spec.name)\" (\(spec))") }
        // Forms that CSV has and JSON has not: +1, .5, 007.
        let isPlain =
            trimmed.utf8.first! &- 0x30 < 10 && (trimmed.utf8.first! != 0x30 || trimmed.utf8.dropFirst().first.map { $0 == 0x2e } ?? true)
        if isPlain, trimmed.utf8.last! &- 0x30 < 10 { return Array(trimmed.utf8) }
        if let whole = Int64(trimmed) { return Array("\(whole)".utf8) }
        return Array("\(value)".utf8)
    }
}

/// One line of JSON: values by the names of inputs.
enum JSONRow {
    /// - Throws: naming the line and the input.
    static func tensors(_ line: [UInt8], _ number: Int, _ inputs: [TensorSpec]) throws(ServingRefusal) -> [Tensor] {
        var found: [String: Tensor] = [:]
        try reading(line, number) { (scanner) throws(ServingRefusal) in
            try scanner.object { (scanner, key) throws(ServingRefusal) in
                guard let spec = inputs.first(where: { $0.name == key }) else {
                    throw ServingRefusal(400, "\"\(key)\" is no input of the model (known: \(inputs.map(\.name).joined(separator: ", ")))")
                }
                scanner.skipSpace()
                let start = scanner.position
                let sizes = try Self.sizes(&scanner)
                scanner.seek(start)
                let shape = spec.isShaped && sizes.count + 1 == spec.shape.count ? [1] + sizes : sizes
                guard spec.fits(shape) || shape.reduce(1, *) == 1 && spec.fits(spec.shape.map { $0 ?? 1 }) && spec.width == 1 else {
                    throw ServingRefusal(400, "\"\(key)\" has the shape \(sizes); a row of \(spec) is expected")
                }
                let fitting = spec.fits(shape) ? shape : spec.shape.map { $0 ?? 1 }
                found[key] = try Tensor.read(&scanner, type: spec.type, shape: fitting, "\"\(key)\"", bytesMax: 8 * line.count)
            }
        }
        var tensors: [Tensor] = []
        for spec in inputs {
            guard let tensor = found[spec.name] else {
                throw ServingRefusal(400, "line \(number): the input \"\(spec.name)\" (\(spec)) is missing")
            }
            tensors.append(tensor)
        }
        return tensors
    }

    /// Names and values as texts, `null` the empty one; nil where a value is a list or an object.
    static func fields(_ line: [UInt8], _ number: Int, max: Int) throws(ServingRefusal) -> [(name: String, value: String)]? {
        var (fields, isFlat): ([(name: String, value: String)], Bool) = ([], true)
        try reading(line, number) { (scanner) throws(ServingRefusal) in
            try scanner.object { (scanner, key) throws(ServingRefusal) in
                guard fields.count < max else { throw ServingRefusal(400, "more than \(max) values") }
                guard !fields.contains(where: { $0.name == key }) else { throw ServingRefusal(400, "\"\(key)\" occurs twice") }
                switch scanner.peek() {
                case 0x22: fields.append((key, String(decoding: try scanner.text(), as: UTF8.self)))
                case 0x5b, 0x7b:
                    isFlat = false
                    try scanner.skip()
                case 0x6e where scanner.takes(word: "null"): fields.append((key, ""))
                case 0x74, 0x66: fields.append((key, try scanner.bool() ? "true" : "false"))
                default: fields.append((key, String(decoding: try scanner.numberText(), as: UTF8.self)))
                }
            }
        }
        return isFlat ? fields : nil
    }

    static func read(_ list: [UInt8], _ spec: TensorSpec, _ shape: [Int]) throws(ServingRefusal) -> Tensor {
        var result: Result<Tensor, ServingRefusal>?
        list.withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            do throws(ServingRefusal) {
                result = .success(
                    try Tensor.read(&scanner, type: spec.type, shape: shape, "input \"\(spec.name)\"", bytesMax: 8 * list.count))
            } catch {
                result = .failure(error)
            }
        }
        return try result!.get()
    }

    private static func reading(
        _ line: [UInt8], _ number: Int, _ body: (inout JSONScanner) throws(ServingRefusal) -> Void
    ) throws(ServingRefusal) {
        var failure: ServingRefusal?
        line.withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            do throws(ServingRefusal) {
                try body(&scanner)
                try scanner.requireEnd()
            } catch {
                failure = ServingRefusal(error.status, "line \(number): \(error.reason)")
            }
        }
        if let failure { throw failure }
    }

    /// Sizes of lists in lists, by the first of each; empty for a value alone.
    private static func sizes(_ scanner: inout JSONScanner) throws(ServingRefusal) -> [Int] {
        guard scanner.peek() == 0x5b else {
            try scanner.skip()
            return []
        }
        var (count, inner): (Int, [Int]) = (0, [])
        try scanner.array { (scanner) throws(ServingRefusal) in
            if count == 0 { inner = try depthBounded(&scanner) } else { try scanner.skip() }
            count += 1
        }
        return [count] + inner
    }

    private static func depthBounded(_ scanner: inout JSONScanner) throws(ServingRefusal) -> [Int] {
        let start = scanner.position
        // Passing it first bounds the nesting.
        try scanner.skip()
        scanner.seek(start)
        return try sizes(&scanner)
    }
}

extension Tensor {
    /// A row's values as texts; NaN is the empty one.
    func texts(row: Int) -> [String] {
        let width = shape.dropFirst().reduce(1, *)
        return (row * width..<(row + 1) * width).map { text(at: $0) }
    }

    private func text(at index: Int) -> String {
        func floating(_ value: some BinaryFloatingPoint & CustomStringConvertible) -> String { value.isNaN ? "" : value.description }
        switch type {
        case .float: return floating(values(as: Float.self)[index])
        case .double: return floating(values(as: Double.self)[index])
        case .float16: return floating(Float(Float16(bitPattern: values(as: UInt16.self)[index])))
        case .bfloat16: return floating(BrainFloat.value(values(as: UInt16.self)[index]))
        case .int8: return "\(values(as: Int8.self)[index])"
        case .int16: return "\(values(as: Int16.self)[index])"
        case .int32: return "\(values(as: Int32.self)[index])"
        case .int64: return "\(values(as: Int64.self)[index])"
        case .uint8: return "\(values(as: UInt8.self)[index])"
        case .uint16: return "\(values(as: UInt16.self)[index])"
        case .uint32: return "\(values(as: UInt32.self)[index])"
        case .uint64: return "\(values(as: UInt64.self)[index])"
        case .bool: return values(as: UInt8.self)[index] == 0 ? "false" : "true"
        case .string: return String(decoding: texts[index], as: UTF8.self)
        }
    }
}

extension JSONBytes {
    /// A tensor of one row as the lists that its shape has, without the row itself.
    static func append(nested tensor: Tensor, to bytes: inout [UInt8]) {
        let shape = tensor.shape.first == 1 ? Array(tensor.shape.dropFirst()) : tensor.shape
        if shape.count == 1 { return append(values: tensor, to: &bytes) }
        var flat: [UInt8] = []
        append(values: tensor, to: &flat)
        let items = split(flat)
        var place = 0
        append(items, shape[...], &place, to: &bytes)
    }

    private static func append(_ items: [ArraySlice<UInt8>], _ shape: ArraySlice<Int>, _ place: inout Int, to bytes: inout [UInt8]) {
        guard let size = shape.first else {
            if place < items.count { bytes += items[place] }
            place += 1
            return
        }
        bytes.append(0x5b)
        for index in 0..<size {
            if index > 0 { bytes.append(0x2c) }
            append(items, shape.dropFirst(), &place, to: &bytes)
        }
        bytes.append(0x5d)
    }

    /// The items of a flat list that was written here.
    private static func split(_ list: [UInt8]) -> [ArraySlice<UInt8>] {
        var (items, start, isText, place): ([ArraySlice<UInt8>], Int, Bool, Int) = ([], 1, false, 1)
        while place < list.count - 1 {
            if isText, list[place] == 0x5c {
                place += 1
            } else if list[place] == 0x22 {
                isText.toggle()
            } else if !isText, list[place] == 0x2c {
                items.append(list[start..<place])
                start = place + 1
            }
            place += 1
        }
        if list.count > 2 { items.append(list[start..<list.count - 1]) }
        return items
    }
}
