import Resources

/// OpenAPI v3 of one group-version: what `kubectl explain` and the check before `kubectl apply` read.
struct OpenAPI {
    let registry: KindRegistry
    let catalog: SchemaCatalog
    /// Version of the program; part of the documents' hashes.
    let programVersion: String

    private static func path(_ groupVersion: String) -> String {
        groupVersion.contains("/") ? "apis/\(groupVersion)" : "api/\(groupVersion)"
    }

    /// `/openapi/v3`: where the documents are.
    func index() -> JSON {
        var paths: JSON = [:]
        for (group, version) in registry.groupVersions {
            let groupVersion = group.isEmpty ? version : "\(group)/\(version)"
            let path = Self.path(groupVersion)
            paths[path] = ["serverRelativeURL": .string("/openapi/v3/\(path)?hash=\(hash(groupVersion))")]
        }
        return ["paths": paths]
    }

    /// Changes whenever the document does.
    func hash(_ groupVersion: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ text: String) { for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 } }
        add(programVersion)
        for definition in registry.definitions(groupVersion: groupVersion) {
            add(definition.kind)
            if let schema = definition.customSchema { add(schema.text) }
        }
        return String(hash, radix: 16, uppercase: true)
    }

    /// The document of a group-version; nil for an unknown one.
    func document(_ groupVersion: String) -> JSON? {
        let definitions = registry.definitions(groupVersion: groupVersion)
        guard !definitions.isEmpty else { return nil }
        var paths: JSON = [:]
        var schemas: JSON = [:]
        var pending: [String] = []
        for definition in definitions {
            let name = Self.name(definition)
            var schema = schema(catalog.resolved(definition.schema), &pending)
            schema["x-kubernetes-group-version-kind"] = [Self.groupVersionKind(definition)]
            schemas[name] = schema
            add(definition, name, to: &paths)
        }
        while let name = pending.popLast() {
            guard schemas[name] == nil, let tree = catalog.schemas[name] else { continue }
            schemas[name] = schema(tree, &pending)
        }
        return [
            "openapi": "3.0.0", "info": ["title": "Kubernetes", "version": .string(programVersion)], "paths": paths,
            "components": ["schemas": schemas],
        ]
    }

    private static func name(_ definition: KindDefinition) -> String {
        definition.schema.reference
            ?? "\(definition.group.split(separator: ".").reversed().joined(separator: ".")).\(definition.version).\(definition.kind)"
    }

    private static func groupVersionKind(_ definition: KindDefinition) -> JSON {
        ["group": .string(definition.group), "version": .string(definition.version), "kind": .string(definition.kind)]
    }

    private static let bodies = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]

    /// The forms of patches a kind takes; kubectl chooses its own by them.
    static func patches(_ definition: KindDefinition) -> [String] {
        ["application/json-patch+json", "application/merge-patch+json"]
            + (definition.isTyped ? ["application/strategic-merge-patch+json"] : []) + ["application/apply-patch+yaml"]
    }

    private func add(_ definition: KindDefinition, _ name: String, to paths: inout JSON) {
        let base = "/\(Self.path(definition.groupVersion))/\(definition.isNamespaced ? "namespaces/{namespace}/" : "")\(definition.plural)"
        let content: JSON = ["application/json": ["schema": ["$ref": .string("#/components/schemas/\(name)")]]]
        func operation(_ action: String, _ parameters: [String], bodies: [String] = []) -> JSON {
            var result: JSON = [
                "description": .string("\(action) \(definition.kind)"),
                "operationId": .string("\(action)\(definition.groupVersion)\(definition.kind)"),
                "parameters": .array(
                    parameters.map { ["name": .string($0), "in": "query", "schema": ["type": "string", "uniqueItems": true]] }),
                "responses": ["200": ["description": "OK", "content": content]], "x-kubernetes-action": .string(action),
                "x-kubernetes-group-version-kind": Self.groupVersionKind(definition),
            ]
            if !bodies.isEmpty {
                let body = content["application/json"] ?? [:]
                result["requestBody"] = ["content": .object(JSONObject(bodies.map { ($0, body) })), "required": true]
            }
            return result
        }
        let writing = ["dryRun", "fieldManager", "fieldValidation"]
        var collection: JSON = [:]
        if definition.verbs.contains("list") {
            collection["get"] = operation(
                "list", ["continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "watch"])
        }
        if definition.verbs.contains("create") { collection["post"] = operation("post", writing, bodies: Self.bodies) }
        func places(_ names: [String]) -> JSON {
            .array(names.map { ["name": .string($0), "in": "path", "required": true, "schema": ["type": "string", "uniqueItems": true]] })
        }
        let outer = definition.isNamespaced ? ["namespace"] : []
        if !outer.isEmpty { collection["parameters"] = places(outer) }
        paths[base] = collection
        guard definition.verbs.contains("get") else { return }
        paths[base + "/{name}"] = [
            "parameters": places(outer + ["name"]),
            "get": operation("get", []), "put": operation("put", writing, bodies: Self.bodies),
            "patch": operation("patch", writing + ["force"], bodies: Self.patches(definition)),
            "delete": operation("delete", ["dryRun", "gracePeriodSeconds", "propagationPolicy"]),
        ]
    }

    private func schema(_ schema: Schema, _ pending: inout [String]) -> JSON {
        var result: JSON = [:]
        // Whoever reads both texts, as `kubectl explain`, shall not read the same twice.
        let isSaidThere = schema.reference.flatMap { catalog.schemas[$0]?.description } == schema.description
        if !schema.description.isEmpty, !isSaidThere { result["description"] = .string(schema.description) }
        if let reference = schema.reference {
            pending.append(reference)
            result["allOf"] = [["$ref": .string("#/components/schemas/\(reference)")]]
            result["default"] = schema.isPointer ? nil : [:]
            return result
        }
        switch schema.shape {
        case .string, .quantity: result["type"] = "string"
        case .bytes:
            result["type"] = "string"
            result["format"] = "byte"
        case .integer: result["type"] = "integer"
        case .number: result["type"] = "number"
        case .boolean: result["type"] = "boolean"
        case .object: result["type"] = "object"
        case .array: result["type"] = "array"
        case .intOrString: result["x-kubernetes-int-or-string"] = true
        case .any: result["x-kubernetes-preserve-unknown-fields"] = true
        }
        if !schema.format.isEmpty, schema.shape != .any {
            result["format"] = .string(schema.format == "micro-time" ? "date-time" : schema.format)
        }
        if !schema.allowed.isEmpty { result["enum"] = .array(schema.allowed) }
        if let value = schema.defaultValue { result["default"] = value }
        if !schema.required.isEmpty { result["required"] = .array(schema.required.map { .string($0) }) }
        if let items = schema.items { result["items"] = self.schema(items, &pending) }
        if let additional = schema.additional { result["additionalProperties"] = self.schema(additional, &pending) }
        if !schema.properties.isEmpty {
            var properties = JSONObject()
            for property in schema.properties { properties[property.name] = self.schema(property.schema, &pending) }
            result["properties"] = .object(properties)
        }
        switch schema.merge {
        case .map(let keys) where schema.shape == .array:
            result["x-kubernetes-list-type"] = "map"
            result["x-kubernetes-list-map-keys"] = .array(keys.map { .string($0) })
        case .set: result["x-kubernetes-list-type"] = "set"
        case .atomic where schema.shape == .array: result["x-kubernetes-list-type"] = "atomic"
        case .atomic: result["x-kubernetes-map-type"] = "atomic"
        default: break
        }
        if schema.isNullable { result["nullable"] = true }
        if schema.isEmbeddedResource { result["x-kubernetes-embedded-resource"] = true }
        if schema.keepsUnknown { result["x-kubernetes-preserve-unknown-fields"] = true }
        if let bounds = schema.bounds { Self.add(bounds, to: &result) }
        if let key = schema.patchMergeKey { result["x-kubernetes-patch-merge-key"] = .string(key) }
        if !schema.patchStrategy.isEmpty { result["x-kubernetes-patch-strategy"] = .string(schema.patchStrategy) }
        return result
    }

    /// What values must keep to, so that clients can say so before they send any.
    private static func add(_ bounds: SchemaBounds, to result: inout JSON) {
        func number(_ value: Double?) -> JSON? { value.map { Int64(exactly: $0).map { .integer($0) } ?? .decimal("\($0)") } }
        result["minimum"] = number(bounds.minimum)
        result["maximum"] = number(bounds.maximum)
        if bounds.isMinimumExclusive { result["exclusiveMinimum"] = true }
        if bounds.isMaximumExclusive { result["exclusiveMaximum"] = true }
        result["multipleOf"] = number(bounds.multipleOf)
        let counts: [(String, Int64?)] = [
            ("minLength", bounds.lengthMin), ("maxLength", bounds.lengthMax), ("minItems", bounds.itemsMin), ("maxItems", bounds.itemsMax),
            ("minProperties", bounds.propertiesMin), ("maxProperties", bounds.propertiesMax),
        ]
        for (key, count) in counts { result[key] = count.map { .integer($0) } }
        result["pattern"] = bounds.pattern.map { .string($0) }
    }
}
