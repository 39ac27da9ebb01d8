/// A built-in kind as the `CustomResourceDefinition` that teaches it to another server.
package enum KindManifest {
    /// The definition, with the fields, defaults and bounds of the kind. What the kind checks by code is not in it, nor are its columns.
    ///
    /// Trees of Kubernetes itself, as the template of a Pod, are taken as they come: the server checks them where they are used.
    package static func definition(of kind: KindDefinition, catalog: SchemaCatalog) -> JSON {
        var names: JSON = [
            "kind": .string(kind.kind), "listKind": .string(kind.listKind), "plural": .string(kind.plural),
            "singular": .string(kind.singular),
        ]
        if !kind.shortNames.isEmpty { names["shortNames"] = .array(kind.shortNames.map { .string($0) }) }
        if !kind.categories.isEmpty { names["categories"] = .array(kind.categories.map { .string($0) }) }
        var root = schema(kind.schema, catalog)
        root[path: ["properties", "metadata"]] = ["type": "object"]
        var version: JSON = [
            "name": .string(kind.version), "served": true, "storage": true, "schema": ["openAPIV3Schema": root],
        ]
        if kind.hasStatus { version["subresources"] = ["status": [:]] }
        return [
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": ["name": .string(kind.resourceName)],
            "spec": [
                "group": .string(kind.group), "scope": kind.isNamespaced ? "Namespaced" : "Cluster", "names": names, "versions": [version],
            ],
        ]
    }

    private static func schema(_ given: Schema, _ catalog: SchemaCatalog) -> JSON {
        if given.reference?.hasPrefix("io.k8s.") ?? false {
            return described(["type": "object", "x-kubernetes-preserve-unknown-fields": true], given)
        }
        let tree = catalog.resolved(given)
        var result: JSON =
            switch tree.shape {
            case .string: ["type": "string"]
            case .bytes: ["type": "string", "format": "byte"]
            case .integer: ["type": "integer"]
            case .number: ["type": "number"]
            case .boolean: ["type": "boolean"]
            case .intOrString, .quantity: ["x-kubernetes-int-or-string": true]
            case .any: ["x-kubernetes-preserve-unknown-fields": true]
            case .array:
                ["type": "array", "items": tree.items.map { schema($0, catalog) } ?? ["x-kubernetes-preserve-unknown-fields": true]]
            case .object: object(tree, catalog)
            }
        if tree.shape != .any, tree.shape != .object, !tree.format.isEmpty { result["format"] = .string(tree.format) }
        if !tree.allowed.isEmpty { result["enum"] = .array(tree.allowed) }
        if let value = given.defaultValue ?? tree.defaultValue { result["default"] = value }
        if given.isNullable { result["nullable"] = true }
        return described(result, given.description.isEmpty ? tree : given)
    }

    private static func object(_ tree: Schema, _ catalog: SchemaCatalog) -> JSON {
        var result: JSON = ["type": "object"]
        if !tree.properties.isEmpty {
            var properties = JSONObject()
            for property in tree.properties { properties[property.name] = schema(property.schema, catalog) }
            result["properties"] = .object(properties)
        } else if let additional = tree.additional {
            result["additionalProperties"] = schema(additional, catalog)
        }
        if !tree.required.isEmpty { result["required"] = .array(tree.required.map { .string($0) }) }
        if tree.keepsUnknown { result["x-kubernetes-preserve-unknown-fields"] = true }
        return result
    }

    private static func described(_ value: JSON, _ tree: Schema) -> JSON {
        var value = value
        if !tree.description.isEmpty { value["description"] = .string(tree.description) }
        return value
    }
}
