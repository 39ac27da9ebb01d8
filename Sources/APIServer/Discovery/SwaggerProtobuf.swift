import Resources

/// A Swagger 2.0 document in the protobuf of gnostic's `openapiv2/OpenAPIv2.proto`: the only form in which kubectl takes one.
///
/// What the document holds beside the fields of that file (names that begin with `x-`) is kept as JSON text, as the file provides.
struct SwaggerProtobuf {
    static let mediaType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    /// How kubectl asks for it: a name that is no media type, so answers never bear it.
    private static let askedFor = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

    /// Whether a client's Accept header names this form.
    static func isAccepted(_ header: String?) -> Bool {
        let ranges = (header ?? "").split(separator: ",").map { $0.prefix { $0 != ";" }.filter { $0 != " " } }
        return ranges.contains { $0 == mediaType || $0 == askedFor }
    }

    private(set) var bytes: [UInt8] = []

    static func bytes(_ document: JSON) -> [UInt8] {
        var writer = Self()
        writer.text(1, document["swagger"])
        writer.message(2) { info in
            info.text(1, document["info"]?["title"])
            info.text(2, document["info"]?["version"])
        }
        writer.message(8) { paths in
            for (name, item) in document["paths"]?.object ?? [:] { paths.named(2, name) { $0.path(item) } }
        }
        writer.message(9) { definitions in
            for (name, schema) in document["definitions"]?.object ?? [:] { definitions.named(1, name) { $0.schema(schema) } }
        }
        return writer.bytes
    }

    // MARK: The wire

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private mutating func text(_ field: UInt64, _ value: JSON?) {
        guard let text = value?.string else { return }
        blob(field, text.utf8)
    }

    private mutating func texts(_ field: UInt64, _ value: JSON?) { for element in value?.array ?? [] { text(field, element) } }

    private mutating func blob(_ field: UInt64, _ content: some Collection<UInt8>) {
        varint(field << 3 | 2)
        varint(UInt64(content.count))
        bytes += content
    }

    private mutating func flag(_ field: UInt64, _ value: JSON?) {
        guard value == true else { return }
        varint(field << 3)
        bytes.append(1)
    }

    private mutating func count(_ field: UInt64, _ value: JSON?) {
        guard let count = value?.integer, count > 0 else { return }
        varint(field << 3)
        varint(UInt64(count))
    }

    private mutating func number(_ field: UInt64, _ value: JSON?) {
        guard let number = value?.number else { return }
        varint(field << 3 | 1)
        for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: number.bitPattern >> UInt64(shift))) }
    }

    private mutating func message(_ field: UInt64, _ write: (inout SwaggerProtobuf) -> Void) {
        var inner = SwaggerProtobuf()
        write(&inner)
        blob(field, inner.bytes)
    }

    /// A member of a map: its name and its value.
    private mutating func named(_ field: UInt64, _ name: String, _ write: (inout SwaggerProtobuf) -> Void) {
        message(field) { member in
            member.text(1, .string(name))
            member.message(2, write)
        }
    }

    /// Any value, as text that is JSON and so YAML too.
    private mutating func any(_ field: UInt64, _ value: JSON?) {
        guard let value else { return }
        message(field) { $0.blob(2, value.bytes()) }
    }

    private mutating func extensions(_ field: UInt64, of value: JSON) {
        for (key, value) in value.object ?? [:] where key.hasPrefix("x-") { named(field, key) { $0.blob(2, value.bytes()) } }
    }

    // MARK: The document

    private mutating func path(_ item: JSON) {
        for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] as [(UInt64, String)] {
            if let operation = item[method] { message(field) { $0.operation(operation) } }
        }
        for parameter in item["parameters"]?.array ?? [] { message(9) { $0.parameter(parameter) } }
    }

    private mutating func operation(_ operation: JSON) {
        text(3, operation["description"])
        text(5, operation["operationId"])
        texts(6, operation["produces"])
        texts(7, operation["consumes"])
        for parameter in operation["parameters"]?.array ?? [] { message(8) { $0.parameter(parameter) } }
        message(9) { responses in
            for (code, response) in operation["responses"]?.object ?? [:] {
                responses.named(1, code) { value in
                    value.message(1) { found in
                        found.text(1, response["description"])
                        if let schema = response["schema"] { found.message(2) { $0.message(1) { $0.schema(schema) } } }
                    }
                }
            }
        }
        texts(10, operation["schemes"])
        extensions(13, of: operation)
    }

    private mutating func parameter(_ parameter: JSON) {
        let place = parameter["in"]?.string
        message(1) { item in
            if place == "body" {
                item.message(1) { body in
                    body.text(2, parameter["name"])
                    body.text(3, parameter["in"])
                    body.flag(4, parameter["required"])
                    if let schema = parameter["schema"] { body.message(5) { $0.schema(schema) } }
                }
            } else {
                // A parameter of a query may be empty, which takes a number that the type of one of a path uses.
                let isPath = place == "path"
                item.message(2) { other in
                    other.message(isPath ? 4 : 3) { found in
                        found.flag(1, parameter["required"])
                        found.text(2, parameter["in"])
                        found.text(3, parameter["description"])
                        found.text(4, parameter["name"])
                        found.text(isPath ? 5 : 6, parameter["type"])
                        found.flag(isPath ? 19 : 20, parameter["uniqueItems"])
                    }
                }
            }
        }
    }

    private mutating func schema(_ schema: JSON) {
        text(1, schema["$ref"])
        text(2, schema["format"])
        text(4, schema["description"])
        any(5, schema["default"])
        number(6, schema["multipleOf"])
        number(7, schema["maximum"])
        flag(8, schema["exclusiveMaximum"])
        number(9, schema["minimum"])
        flag(10, schema["exclusiveMinimum"])
        count(11, schema["maxLength"])
        count(12, schema["minLength"])
        text(13, schema["pattern"])
        count(14, schema["maxItems"])
        count(15, schema["minItems"])
        count(17, schema["maxProperties"])
        count(18, schema["minProperties"])
        texts(19, schema["required"])
        for value in schema["enum"]?.array ?? [] { any(20, value) }
        if let additional = schema["additionalProperties"] { message(21) { $0.message(1) { $0.schema(additional) } } }
        if let type = schema["type"] { message(22) { $0.text(1, type) } }
        if let items = schema["items"] { message(23) { $0.message(1) { $0.schema(items) } } }
        if let properties = schema["properties"]?.object {
            message(25) { fields in for (name, property) in properties { fields.named(1, name) { $0.schema(property) } } }
        }
        extensions(31, of: schema)
    }
}
