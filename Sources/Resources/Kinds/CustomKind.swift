/// Turns a CustomResourceDefinition into the kinds it defines.
package enum CustomKind {
    /// Fills in the names a definition may leave open.
    static func applyDefaults(_ object: inout JSON) {
        guard var names = object["spec"]?["names"], let kind = names["kind"]?.string else { return }
        if (names["singular"]?.string ?? "").isEmpty { names["singular"] = .string(kind.lowercased()) }
        if (names["listKind"]?.string ?? "").isEmpty { names["listKind"] = .string(kind + "List") }
        object[path: ["spec", "names"]] = names
        if object["spec"]?["conversion"] == nil { object[path: ["spec", "conversion"]] = ["strategy": "None"] }
    }

    static func errors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        var errors: [FieldError] = []
        let spec = new["spec"] ?? [:]
        let group = spec["group"]?.string ?? ""
        let plural = spec["names"]?["plural"]?.string ?? ""
        if !NameRules.isSubdomain(group) { errors.append(.invalid("spec.group", .string(group), NameRules.subdomainText)) }
        if !NameRules.isLabel(plural) { errors.append(.invalid("spec.names.plural", .string(plural), NameRules.labelText)) }
        if (spec["names"]?["kind"]?.string ?? "").isEmpty { errors.append(.required("spec.names.kind")) }
        if new["metadata"]?["name"]?.string != "\(plural).\(group)" {
            errors.append(
                .invalid("metadata.name", new["metadata"]?["name"] ?? .null, "must be spec.names.plural+\".\"+spec.group"))
        }
        if spec["preserveUnknownFields"]?.bool == true {
            errors.append(
                .invalid(
                    "spec.preserveUnknownFields", true,
                    "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"))
        }
        if spec["conversion"]?["strategy"] == "Webhook" {
            errors.append(.notSupported("spec.conversion.strategy", "Webhook", ["None"]))
        }
        let versions = spec["versions"]?.array ?? []
        if versions.count(where: { $0["storage"]?.bool == true }) != 1 {
            errors.append(
                .invalid(
                    "spec.versions", .array(versions.compactMap { $0["name"] }), "must have exactly one version marked as storage version"))
        }
        for (index, version) in versions.enumerated() {
            let path = "spec.versions[\(index)]"
            if !NameRules.isLabel(version["name"]?.string ?? "") {
                errors.append(.invalid("\(path).name", version["name"] ?? .null, NameRules.labelText))
            }
            guard let schema = version["schema"]?["openAPIV3Schema"] else {
                errors.append(.required("\(path).schema.openAPIV3Schema", "schemas are required"))
                continue
            }
            if schema["type"] != "object" {
                errors.append(.invalid("\(path).schema.openAPIV3Schema.type", schema["type"] ?? .null, "must be object at the root"))
            }
            var reader = StructuralReader()
            _ = reader.schema(schema, at: "\(path).schema.openAPIV3Schema", depth: 0, isRoot: true)
            errors += reader.errors.prefix(16)
        }
        if let old, old["spec"]?["scope"] != spec["scope"] {
            errors.append(.invalid("spec.scope", spec["scope"] ?? .null, "field is immutable"))
        }
        return errors
    }

    /// The kinds a definition serves, one a version; the version that is stored first.
    package static func definitions(_ definition: JSON) -> [KindDefinition] {
        let spec = definition["spec"] ?? [:]
        let versions = (spec["versions"]?.array ?? []).filter { $0["served"]?.bool == true }
        let ordered = versions.filter { $0["storage"]?.bool == true } + versions.filter { $0["storage"]?.bool != true }
        return ordered.compactMap { self.definition(spec, $0) }
    }

    /// Name of the version in which objects are stored.
    package static func storageVersion(_ definition: JSON) -> String? {
        definition["spec"]?["versions"]?.array?.first { $0["storage"]?.bool == true }?["name"]?.string
    }

    private static func definition(_ spec: JSON, _ version: JSON) -> KindDefinition? {
        let names = spec["names"] ?? [:]
        guard let group = spec["group"]?.string, let kind = names["kind"]?.string, let plural = names["plural"]?.string,
            let name = version["name"]?.string, let source = version["schema"]?["openAPIV3Schema"]
        else { return nil }
        var reader = StructuralReader()
        var result = KindDefinition(
            group: group, version: name, kind: kind, plural: plural, singular: names["singular"]?.string,
            schema: reader.schema(source, at: "", depth: 0, isRoot: true), isTyped: false)
        result.shortNames = (names["shortNames"]?.array ?? []).compactMap(\.string)
        result.categories = (names["categories"]?.array ?? []).compactMap(\.string)
        result.isNamespaced = spec["scope"] != "Cluster"
        result.hasStatus = version["subresources"]?["status"] != nil
        result.countsGenerations = true
        result.customSchema = source
        result.columns = columns(version["additionalPrinterColumns"]?.array)
        result.selectableFields = (version["selectableFields"]?.array ?? []).compactMap {
            $0["jsonPath"]?.string.flatMap { JSONPath($0) }?.keys?.joined(separator: ".")
        }
        if let scale = version["subresources"]?["scale"], let wanted = keys(scale["specReplicasPath"]),
            let seen = keys(scale["statusReplicasPath"])
        {
            result.scale = .init(specReplicas: wanted, statusReplicas: seen, selector: keys(scale["labelSelectorPath"]))
        }
        return result
    }

    private static func keys(_ path: JSON?) -> [String]? { path?.string.flatMap { JSONPath($0) }?.keys }

    private static func columns(_ given: [JSON]?) -> [KindDefinition.Column] {
        guard let given, !given.isEmpty else { return [.name, .age] }
        return [.name]
            + given.map { column in
                let type = column["type"]?.string ?? "string"
                let path = JSONPath(column["jsonPath"]?.string ?? "")
                return KindDefinition.Column(
                    column["name"]?.string ?? "", type: type, format: column["format"]?.string ?? "",
                    isWide: (column["priority"]?.integer ?? 0) > 0, description: column["description"]?.string ?? ""
                ) { object, now in
                    guard let values = path?.values(in: object), let first = values.first else { return .null }
                    switch type {
                    case "date": return KindDefinition.Column.age(first, now)
                    case "integer", "number", "boolean": return first
                    default: return .string(values.map(KindDefinition.Column.text).joined(separator: ","))
                    }
                }
            }
    }
}

/// Reads an `openAPIV3Schema` into a `Schema` and says where it is not structural.
struct StructuralReader {
    private static let depthMax = 64
    private(set) var errors: [FieldError] = []

    private static let unsupported = [
        "$ref", "definitions", "dependencies", "deprecated", "discriminator", "id", "patternProperties", "readOnly", "writeOnly", "xml",
    ]

    mutating func schema(_ source: JSON, at path: String, depth: Int, isRoot: Bool = false, isValueOnly: Bool = false) -> Schema {
        guard depth <= Self.depthMax else {
            errors.append(FieldError(path, .tooLong, "Too long: schemas may be \(Self.depthMax) deep"))
            return Schema(.any, keepsUnknown: true)
        }
        for key in Self.unsupported where source[key] != nil { errors.append(.forbidden("\(path).\(key)", "\(key) is not supported")) }
        if let rules = source["x-kubernetes-validations"]?.array, !rules.isEmpty {
            errors.append(
                .forbidden(
                    "\(path).x-kubernetes-validations",
                    "CEL rules are not evaluated by this server, which therefore takes no definition that promises them (found \(Self.quoted(rules[0]["rule"]))); say the same by minimum, maximum, pattern, enum or required, or leave x-kubernetes-validations out"
                ))
        }
        let keepsUnknown = source["x-kubernetes-preserve-unknown-fields"]?.bool == true
        let shape = self.shape(source, path, keepsUnknown, isValueOnly)
        var properties: [Schema.Property] = []
        for (name, inner) in source["properties"]?.object ?? [:] {
            properties.append(
                .init(
                    name: name, schema: schema(inner, at: "\(path).properties[\(name)]", depth: depth + 1, isValueOnly: isValueOnly),
                    protobufNumber: 0, protobufVia: []))
        }
        if isRoot || source["x-kubernetes-embedded-resource"]?.bool == true { Self.addMetadata(&properties) }
        let additional = source["additionalProperties"]
        if let pattern = source["pattern"]?.string, (try? Regex(pattern)) == nil {
            errors.append(.invalid("\(path).pattern", .string(pattern), "must be a valid regular expression"))
        }
        return Schema(
            shape, description: source["description"]?.string ?? "", properties: properties,
            additional: additional?.object != nil
                ? schema(additional!, at: "\(path).additionalProperties", depth: depth + 1, isValueOnly: isValueOnly)
                : additional?.bool == true ? Schema(.any, keepsUnknown: true) : nil,
            items: source["items"].map { schema($0, at: "\(path).items", depth: depth + 1, isValueOnly: isValueOnly) },
            required: (source["required"]?.array ?? []).compactMap(\.string), merge: merge(source, path), defaultValue: source["default"],
            allowed: source["enum"]?.array ?? [], isNullable: source["nullable"]?.bool == true, keepsUnknown: keepsUnknown,
            isEmbeddedResource: source["x-kubernetes-embedded-resource"]?.bool == true, format: source["format"]?.string ?? "",
            bounds: bounds(source, path, depth))
    }

    /// A rule as a message shows it: not the whole of a long one.
    private static func quoted(_ rule: JSON?) -> String {
        let text = rule?.string ?? ""
        return "\"\(text.prefix(80))\(text.count > 80 ? "…" : "")\""
    }

    private mutating func shape(_ source: JSON, _ path: String, _ keepsUnknown: Bool, _ isValueOnly: Bool) -> Schema.Shape {
        if source["x-kubernetes-int-or-string"]?.bool == true { return .intOrString }
        switch source["type"]?.string {
        case "string": return .string
        case "integer": return .integer
        case "number": return .number
        case "boolean": return .boolean
        case "array":
            if source["items"] == nil && !isValueOnly { errors.append(.required("\(path).items", "must be specified")) }
            return .array
        case "object": return .object
        case nil:
            if !keepsUnknown && !isValueOnly { errors.append(.required("\(path).type", "must not be empty for specified object fields")) }
            return .any
        case let type?:
            errors.append(.notSupported("\(path).type", .string(type), ["array", "boolean", "integer", "number", "object", "string"]))
            return .any
        }
    }

    private static func addMetadata(_ properties: inout [Schema.Property]) {
        properties.removeAll { ["apiVersion", "kind", "metadata"].contains($0.name) }
        properties.insert(
            contentsOf: [
                .init(name: "apiVersion", schema: Schema(.string), protobufNumber: 0, protobufVia: []),
                .init(name: "kind", schema: Schema(.string), protobufNumber: 0, protobufVia: []),
                .init(
                    name: "metadata", schema: Schema(.object, reference: BuiltInKinds.metaPrefix + "ObjectMeta"), protobufNumber: 0,
                    protobufVia: []),
            ], at: 0)
    }

    private mutating func merge(_ source: JSON, _ path: String) -> Schema.Merge? {
        switch source["x-kubernetes-list-type"]?.string {
        case "set": return .set
        case "map":
            let keys = (source["x-kubernetes-list-map-keys"]?.array ?? []).compactMap(\.string)
            if keys.isEmpty {
                errors.append(.required("\(path).x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map"))
            }
            return .map(keys: keys)
        case "atomic": return .atomic
        case nil: return source["x-kubernetes-map-type"] == "atomic" ? .atomic : nil
        case let type?:
            errors.append(.notSupported("\(path).x-kubernetes-list-type", .string(type), ["atomic", "map", "set"]))
            return nil
        }
    }

    private mutating func bounds(_ source: JSON, _ path: String, _ depth: Int) -> SchemaBounds? {
        var bounds = SchemaBounds()
        bounds.minimum = source["minimum"]?.number
        bounds.maximum = source["maximum"]?.number
        bounds.isMinimumExclusive = source["exclusiveMinimum"]?.bool ?? false
        bounds.isMaximumExclusive = source["exclusiveMaximum"]?.bool ?? false
        bounds.lengthMin = source["minLength"]?.integer
        bounds.lengthMax = source["maxLength"]?.integer
        bounds.itemsMin = source["minItems"]?.integer
        bounds.itemsMax = source["maxItems"]?.integer
        bounds.propertiesMin = source["minProperties"]?.integer
        bounds.propertiesMax = source["maxProperties"]?.integer
        bounds.pattern = source["pattern"]?.string
        bounds.multipleOf = source["multipleOf"]?.number
        for (key, list) in [("allOf", \SchemaBounds.allOf), ("anyOf", \.anyOf), ("oneOf", \.oneOf)] {
            bounds[keyPath: list] = (source[key]?.array ?? []).enumerated().map {
                schema($1, at: "\(path).\(key)[\($0)]", depth: depth + 1, isValueOnly: true)
            }
        }
        bounds.not = source["not"].map { schema($0, at: "\(path).not", depth: depth + 1, isValueOnly: true) }
        let isPlain =
            [
                "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "pattern",
                "multipleOf", "allOf", "anyOf", "oneOf", "not",
            ]
            .allSatisfy { source[$0] == nil }
        return isPlain ? nil : bounds
    }
}
