import Resources

extension OpenAPI {
    /// `/openapi/v2`: the documents of all groups as one in Swagger 2.0, which kubectl below 1.29 reads before it sends anything.
    func swagger() -> JSON {
        var paths = JSONObject()
        var definitions = JSONObject()
        for (group, version) in registry.groupVersions {
            guard let document = document(group.isEmpty ? version : "\(group)/\(version)") else { continue }
            for (path, operations) in document["paths"]?.object ?? [:] { paths[path] = Swagger.path(operations) }
            for (name, schema) in document["components"]?["schemas"]?.object ?? [:] where definitions[name] == nil {
                definitions[name] = Swagger.schema(schema)
            }
        }
        return [
            "swagger": "2.0", "info": ["title": "Kubernetes", "version": .string(programVersion)], "paths": .object(paths),
            "definitions": .object(definitions),
        ]
    }

    /// Changes whenever any document does.
    var swaggerHash: String {
        registry.groupVersions.map { group, version in hash(group.isEmpty ? version : "\(group)/\(version)") }.joined()
    }
}

/// OpenAPI v3 said in Swagger 2.0's words.
private enum Swagger {
    private static let schemas = "#/components/schemas/"
    /// What version 2 has no word for.
    private static let unknown: Set<String> = ["anyOf", "oneOf", "not", "nullable"]

    static func path(_ operations: JSON) -> JSON {
        var result = JSONObject()
        for (method, operation) in operations.object ?? [:] {
            result[method] = method == "parameters" ? .array((operation.array ?? []).map(parameter)) : self.operation(operation)
        }
        return .object(result)
    }

    private static func operation(_ operation: JSON) -> JSON {
        var result = operation.object ?? [:]
        var parameters = (operation["parameters"]?.array ?? []).map(parameter)
        if let body = result["requestBody"] {
            result["requestBody"] = nil
            parameters.append(["name": "body", "in": "body", "required": true, "schema": content(body)])
            result["consumes"] = .array((body["content"]?.object?.keys ?? []).map { .string($0) })
        }
        result["produces"] = ["application/json"]
        result["schemes"] = ["https"]
        result["parameters"] = .array(parameters)
        var responses = JSONObject()
        for (code, response) in operation["responses"]?.object ?? [:] {
            responses[code] = ["description": response["description"] ?? "", "schema": content(response)]
        }
        result["responses"] = .object(responses)
        return .object(result)
    }

    private static func content(_ holder: JSON) -> JSON { schema(holder["content"]?.object?.values.first?["schema"] ?? [:]) }

    /// A parameter of a path or query, whose schema's words stand in the parameter itself.
    private static func parameter(_ parameter: JSON) -> JSON {
        var result = parameter.object ?? [:]
        result["schema"] = nil
        for (key, value) in parameter["schema"]?.object ?? [:] { result[key] = value }
        return .object(result)
    }

    static func schema(_ schema: JSON) -> JSON {
        var result = JSONObject()
        for (key, value) in schema.object ?? [:] where !unknown.contains(key) {
            switch key {
            case "$ref": result[key] = .string("#/definitions/" + (value.string ?? "").dropFirst(schemas.count))
            // Version 3 wraps a reference, so that a text may stand beside it; here it may anyhow.
            case "allOf" where value.array?.first?["$ref"] != nil:
                result["$ref"] = .string("#/definitions/" + (value.array?.first?["$ref"]?.string ?? "").dropFirst(schemas.count))
            case "allOf": continue
            case "items", "additionalProperties": result[key] = self.schema(value)
            case "properties":
                var properties = JSONObject()
                for (name, property) in value.object ?? [:] { properties[name] = self.schema(property) }
                result[key] = .object(properties)
            default: result[key] = value
            }
        }
        // kubectl refuses the whole document for one list that does not say of what.
        if result["type"] == "array", result["items"] == nil { result["items"] = [:] }
        return .object(result)
    }
}
