import Synchronization

/// Named schemas: those of Kubernetes' own kinds, and of ours.
///
/// Source lines are JSON objects: `name`, `d` text, `l` "atomic", `f` fields; a field has `n` name, `t` type, `p` protobuf number,
/// `via` numbers of embedded messages, `o` pointer, `r` required, `l` list type, `k` list keys, `m` patch merge key, `s` patch strategy,
/// `v` default, `e` allowed values, `d` text. A type is a scalar's word, `[]T`, `map:T` or `#name`.
package struct SchemaCatalog: Sendable {
    /// By the name that `Schema.reference` gives: `io.k8s.api.core.v1.PodSpec`.
    package private(set) var schemas: [String: Schema] = [:] {
        didSet { id = Self.newID() }
    }
    /// Of what the catalog holds now: another one with each change.
    private(set) var id = newID()
    private static let lastID = Atomic<UInt64>(0)

    private static func newID() -> UInt64 { lastID.add(1, ordering: .relaxed).newValue }

    /// A catalog that knows nothing; every reference in it resolves to itself.
    package init() {}

    /// The schemas of Kubernetes' own kinds, release 0.32.
    package static let kubernetes: SchemaCatalog = {
        var catalog = SchemaCatalog()
        catalog.add(lines: kubernetesSchemas)
        catalog.add(lines: sednaSchemas)
        return catalog
    }()

    /// The tree a schema names, or the schema itself.
    package func resolved(_ schema: Schema) -> Schema {
        guard let name = schema.reference else { return schema }
        if let tree = schema.treeFound(in: id) { return tree }
        let tree = schemas[name] ?? schema
        // A schema that resolves to itself must not hold itself.
        if tree !== schema { schema.note(tree, foundIn: id) }
        return tree
    }

    /// - Precondition: the lines are this program's own; a malformed one is a mistake of ours.
    mutating func add(lines: String) {
        var known = schemas
        // By bytes: letters of a text of 300 kB take longer to find than its lines to be read.
        for line in Array(lines.utf8).split(separator: 0x0a) {
            guard let entry = try? JSONParser.parse(line), let name = entry["name"]?.string else {
                preconditionFailure("a schema line is no JSON: \(String(decoding: line.prefix(80), as: UTF8.self))")
            }
            known[name] = Self.tree(entry)
        }
        schemas = known
    }

    private static func tree(_ entry: JSON) -> Schema {
        let fields = entry["f"]?.array ?? []
        let properties = fields.map { field in
            Schema.Property(
                name: field["n"]?.string ?? "", schema: schema(field), protobufNumber: Int(field["p"]?.integer ?? 0),
                protobufVia: (field["via"]?.array ?? []).compactMap { $0.integer.map(Int.init) })
        }
        return Schema(
            .object, description: entry["d"]?.string ?? "", properties: properties,
            required: fields.filter { $0["r"] != nil }.compactMap { $0["n"]?.string },
            merge: entry["l"]?.string == "atomic" ? .atomic : .granular)
    }

    private static func schema(_ field: JSON) -> Schema {
        let keys = (field["k"]?.array ?? []).compactMap(\.string)
        let merge: Schema.Merge? =
            switch field["l"]?.string {
            case "map": .map(keys: keys)
            case "set": .set
            case "atomic": .atomic
            case "granular": .granular
            default: field["m"]?.string.map { .map(keys: [$0]) }
            }
        return type(
            field["t"]?.string ?? "", description: field["d"]?.string ?? "", merge: merge, patchMergeKey: field["m"]?.string,
            patchStrategy: field["s"]?.string ?? "", defaultValue: field["v"], allowed: field["e"]?.array ?? [],
            isPointer: field["o"] != nil)
    }

    private static func type(
        _ text: String, description: String = "", merge: Schema.Merge? = nil, patchMergeKey: String? = nil, patchStrategy: String = "",
        defaultValue: JSON? = nil, allowed: [JSON] = [], isPointer: Bool = false
    ) -> Schema {
        func make(_ shape: Schema.Shape, format: String = "", reference: String? = nil, items: Schema? = nil, additional: Schema? = nil)
            -> Schema
        {
            Schema(
                shape, description: description, reference: reference, additional: additional, items: items, merge: merge,
                patchMergeKey: patchMergeKey, patchStrategy: patchStrategy, defaultValue: defaultValue, allowed: allowed,
                isPointer: isPointer,
                keepsUnknown: shape == .any, format: format)
        }
        if text.hasPrefix("[]") { return make(.array, items: type(String(text.dropFirst(2)))) }
        if text.hasPrefix("map:") { return make(.object, additional: type(String(text.dropFirst(4)))) }
        if text.hasPrefix("#") { return make(.object, reference: String(text.dropFirst())) }
        switch text {
        case "string": return make(.string)
        case "boolean": return make(.boolean)
        case "int32", "int64": return make(.integer, format: text)
        case "double": return make(.number, format: text)
        case "bytes": return make(.bytes, format: "byte")
        case "time": return make(.string, format: "date-time")
        case "microtime": return make(.string, format: "micro-time")
        case "quantity": return make(.quantity)
        case "intorstring": return make(.intOrString)
        case "raw", "fields", "any": return make(.any, format: text)
        default: preconditionFailure("a schema names the unknown type \(text)")
        }
    }
}
