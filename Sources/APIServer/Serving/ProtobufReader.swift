import Resources

/// Reads Kubernetes' protobuf bodies into JSON by the numbers that schemas give their fields.
///
/// kubectl sends them for commands that know their kind (`create configmap`, `auth can-i`). A length is believed only as far as bytes
/// are there; messages may be 64 deep.
struct ProtobufReader {
    private static let magic: [UInt8] = [0x6b, 0x38, 0x73, 0x00]
    private static let depthMax = 64
    let catalog: SchemaCatalog

    struct Unreadable: Error {
        let reason: String
    }

    /// The envelope of a body: what it says it is, and the message inside.
    static func envelope(_ body: [UInt8]) throws(Unreadable) -> (apiVersion: String, kind: String, raw: ArraySlice<UInt8>) {
        guard body.starts(with: magic) else { throw Unreadable(reason: "the body does not begin with 'k8s' and a zero byte") }
        var apiVersion = ""
        var kind = ""
        var raw: ArraySlice<UInt8> = []
        for field in try Fields(body.dropFirst(magic.count)).all() {
            if field.number == 1 {
                for inner in try Fields(field.bytes()).all() {
                    if inner.number == 1 { apiVersion = try inner.text() }
                    if inner.number == 2 { kind = try inner.text() }
                }
            }
            if field.number == 2 { raw = try field.bytes() }
        }
        return (apiVersion, kind, raw)
    }

    /// A body as an object of a kind.
    func object(_ body: [UInt8], schema: Schema) throws(Unreadable) -> JSON {
        let (apiVersion, kind, raw) = try Self.envelope(body)
        var object = try message(raw, schema, 0)
        object["apiVersion"] = .string(apiVersion)
        object["kind"] = .string(kind)
        return object
    }

    private func message(_ bytes: ArraySlice<UInt8>, _ schema: Schema, _ depth: Int) throws(Unreadable) -> JSON {
        let tree = catalog.resolved(schema)
        var result = JSONObject()
        try read(bytes, tree.properties.map { ($0.protobufVia[...], $0) }, Set(tree.required), depth, into: &result)
        return .object(result)
    }

    private func read(
        _ bytes: ArraySlice<UInt8>, _ properties: [(ArraySlice<Int>, Schema.Property)], _ required: Set<String>, _ depth: Int,
        into result: inout JSONObject
    ) throws(Unreadable) {
        guard depth < Self.depthMax else { throw Unreadable(reason: "more than \(Self.depthMax) messages inside one another") }
        for field in try Fields(bytes).all() {
            let embedded = properties.filter { $0.0.first == field.number }
            if !embedded.isEmpty {
                try read(field.bytes(), embedded.map { ($0.0.dropFirst(), $0.1) }, required, depth + 1, into: &result)
            } else if let property = properties.first(where: { $0.0.isEmpty && $0.1.protobufNumber == field.number })?.1 {
                try add(field, property, required.contains(property.name), depth, to: &result)
            }
        }
    }

    private func add(_ field: Fields.Field, _ property: Schema.Property, _ isRequired: Bool, _ depth: Int, to result: inout JSONObject)
        throws(Unreadable)
    {
        let schema = property.schema
        switch schema.shape {
        case .array:
            guard let items = schema.items else { return }
            result[property.name] = .array((result[property.name]?.array ?? []) + [try value(field, items, depth)])
        case .object where schema.reference == nil && schema.additional != nil:
            var map = result[property.name]?.object ?? [:]
            var key = ""
            var member: JSON = schema.additional!.shape == .string ? "" : .null
            for inner in try Fields(field.bytes()).all() {
                if inner.number == 1 { key = try inner.text() }
                if inner.number == 2 { member = try value(inner, schema.additional!, depth) }
            }
            map[key] = member
            result[property.name] = .object(map)
        default:
            let value = try value(field, schema, depth)
            // Go writes every field that is no pointer; its JSON leaves the empty ones out.
            let isEmpty = value == "" || value == 0 || value == false || value.isNull
            if !isEmpty || schema.isPointer || isRequired { result[property.name] = value }
        }
    }

    private func value(_ field: Fields.Field, _ schema: Schema, _ depth: Int) throws(Unreadable) -> JSON {
        switch (schema.shape, schema.format) {
        case (.string, "date-time"), (.string, "micro-time"): return try time(field)
        case (.string, _): return .string(try field.text())
        case (.bytes, _): return .string(Base64.encode(try field.bytes()))
        case (.boolean, _): return .bool(try field.number64() != 0)
        case (.integer, _): return .integer(try field.number64())
        case (.number, _):
            let number = Double(bitPattern: UInt64(bitPattern: try field.number64()))
            return number.isFinite ? .decimal("\(number)") : .null
        case (.quantity, _): return .string(try Fields(field.bytes()).all().first { $0.number == 1 }?.text() ?? "0")
        case (.intOrString, _): return try intOrString(field)
        case (.any, _):
            guard let raw = try Fields(field.bytes()).all().first(where: { $0.number == 1 })?.bytes(), !raw.isEmpty else { return .null }
            guard let value = try? JSONParser.parse(raw) else { throw Unreadable(reason: "an embedded object is no JSON") }
            return value
        case (.object, _), (.array, _): return try message(field.bytes(), schema, depth + 1)
        }
    }

    private func time(_ field: Fields.Field) throws(Unreadable) -> JSON {
        var seconds: Int64?
        for inner in try Fields(field.bytes()).all() where inner.number == 1 { seconds = try inner.number64() }
        guard let seconds, abs(seconds) < 253_402_300_800 else { return .null }
        return .string(Timestamp(seconds: seconds).text)
    }

    private func intOrString(_ field: Fields.Field) throws(Unreadable) -> JSON {
        var isText = false
        var number: Int64 = 0
        var text = ""
        for inner in try Fields(field.bytes()).all() {
            if inner.number == 1 { isText = try inner.number64() == 1 }
            if inner.number == 2 { number = try inner.number64() }
            if inner.number == 3 { text = try inner.text() }
        }
        return isText ? .string(text) : .integer(number)
    }
}

/// The fields of one protobuf message.
struct Fields {
    enum Value {
        case number(Int64)
        case bytes(ArraySlice<UInt8>)
    }

    struct Field {
        let number: Int
        let value: Value

        func bytes() throws(ProtobufReader.Unreadable) -> ArraySlice<UInt8> {
            guard case .bytes(let bytes) = value else { throw .init(reason: "field \(number) is a number where bytes are expected") }
            return bytes
        }

        func text() throws(ProtobufReader.Unreadable) -> String {
            guard let text = String(validating: try bytes(), as: UTF8.self) else {
                throw .init(reason: "field \(number) is no valid UTF-8")
            }
            return text
        }

        func number64() throws(ProtobufReader.Unreadable) -> Int64 {
            guard case .number(let number) = value else {
                throw .init(reason: "field \(self.number) holds bytes where a number is expected")
            }
            return number
        }
    }

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    func all() throws(ProtobufReader.Unreadable) -> [Field] {
        var reader = self
        var fields: [Field] = []
        while let field = try reader.next() { fields.append(field) }
        return fields
    }

    private mutating func varint() throws(ProtobufReader.Unreadable) -> UInt64 {
        var result: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard let byte = rest.popFirst() else { throw .init(reason: "the message ends inside a number") }
            result |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return result }
        }
        throw .init(reason: "a number has more than ten bytes")
    }

    private mutating func fixed(_ count: Int) throws(ProtobufReader.Unreadable) -> Int64 {
        guard rest.count >= count else { throw .init(reason: "the message ends inside a number") }
        defer { rest = rest.dropFirst(count) }
        return Int64(bitPattern: rest.prefix(count).reversed().reduce(0) { $0 << 8 | UInt64($1) })
    }

    private mutating func next() throws(ProtobufReader.Unreadable) -> Field? {
        if rest.isEmpty { return nil }
        let tag = try varint()
        let number = Int(clamping: tag >> 3)
        switch tag & 7 {
        case 0: return Field(number: number, value: .number(Int64(bitPattern: try varint())))
        case 1: return Field(number: number, value: .number(try fixed(8)))
        case 5: return Field(number: number, value: .number(try fixed(4)))
        case 2:
            let length = try varint()
            guard length <= UInt64(rest.count) else {
                throw .init(reason: "field \(number) claims \(length) bytes, \(rest.count) are left")
            }
            defer { rest = rest.dropFirst(Int(length)) }
            return Field(number: number, value: .bytes(rest.prefix(Int(length))))
        default: throw .init(reason: "field \(number) has the unknown wire type \(tag & 7)")
        }
    }
}
