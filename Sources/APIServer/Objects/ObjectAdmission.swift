import Resources

/// What becomes of an object before it is stored: fields the kind does not know go, defaults come, checks are made. Pure.
///
/// An object for one request: a definition has thirty fields, and is copied once.
final class ObjectAdmission: Sendable {
    let definition: KindDefinition
    let catalog: SchemaCatalog
    let environment: APIEnvironment

    init(definition: KindDefinition, catalog: SchemaCatalog, environment: APIEnvironment) {
        self.definition = definition
        self.catalog = catalog
        self.environment = environment
    }

    /// What only the server sets.
    private static let systemMetadata = [
        "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion", "selfLink",
    ]

    /// The object with only the fields its kind knows; for strict requests an unknown or repeated field is an error.
    ///
    /// - Returns: also the warnings, and whether its schema has nothing against what was sent.
    func read(_ body: JSON, _ options: WriteOptions) throws(APIStatus) -> (object: JSON, warnings: [String], isPlain: Bool) {
        guard body.object != nil else { throw .badRequest("the body must be an object, found \(body.typeName)") }
        var body = body
        if body["apiVersion"] == nil { body["apiVersion"] = .string(definition.groupVersion) }
        if body["kind"] == nil { body["kind"] = .string(definition.kind) }
        guard body["apiVersion"]?.string == definition.groupVersion else {
            throw .badRequest(
                "the API version in the data (\(body["apiVersion"]?.string ?? "")) does not match the expected API version (\(definition.groupVersion))"
            )
        }
        guard body["kind"]?.string == definition.kind else {
            throw .badRequest("the kind in the data (\(body["kind"]?.string ?? "")) does not match the expected kind (\(definition.kind))")
        }
        let (object, unknown, isPlain) = try known(body)
        var findings = unknown.map { "unknown field \"\($0)\"" }
        findings += options.duplicates.map { "duplicate field \"\($0)\"" }
        if options.fieldValidation == .strict, !findings.isEmpty {
            throw .undecodable(definition, "strict decoding error: \(findings.joined(separator: ", "))")
        }
        return (object, options.fieldValidation == .warn ? findings : [], isPlain)
    }

    /// The object without fields that its kind does not know, and their paths.
    private func known(_ body: JSON) throws(APIStatus) -> (object: JSON, unknown: [String], isPlain: Bool) {
        // Most objects hold nothing to take out or to refuse, which is seen in one walk.
        if definition.schema.isPlain(body, catalog: catalog, checksRequired: !definition.isTyped) { return (body, [], true) }
        var body = body
        if definition.isTyped { body = Self.withoutNulls(body) }
        if let metadata = body["metadata"] { body["metadata"] = Self.withoutNulls(metadata) }
        let (object, unknown) = definition.schema.pruned(body, catalog: catalog)
        try refuseMisfits(object)
        return (object, unknown, false)
    }

    /// A value of another type than the field's is no object of the kind at all; the metadata of every kind is typed.
    private func refuseMisfits(_ object: JSON) throws(APIStatus) {
        let checked = definition.isTyped ? object : ["metadata": object["metadata"] ?? .object([:])]
        let misfit = definition.schema.errors(in: checked, catalog: catalog, checksRequired: false).first { $0.reason == .typeInvalid }
        if let misfit { throw .undecodable(definition, "json: cannot unmarshal: \(misfit.field): \(misfit.message)") }
    }

    static func withoutNulls(_ value: JSON) -> JSON {
        // Most objects have none: those are not built anew.
        guard value.holdsNull else { return value }
        switch value {
        case .object(let object): return .object(object.compactMapValues { $1.isNull ? nil : withoutNulls($1) })
        case .array(let elements): return .array(elements.map(withoutNulls))
        default: return value
        }
    }

    /// A new object, whole but for its checks.
    func fresh(_ object: JSON) -> JSON {
        var object = object
        // A node tells its status with its first word.
        let keepsStatus = definition.group.isEmpty && definition.kind == "Node"
        var metadata = (object["metadata"]?.object ?? [:])
        for key in Self.systemMetadata { metadata[key] = nil }
        metadata.fill([("uid", .string(environment.newUID())), ("creationTimestamp", .string(environment.now().text))])
        if definition.countsGenerations { metadata["generation"] = 1 }
        object["metadata"] = .object(metadata)
        if definition.hasStatus, !keepsStatus { object["status"] = nil }
        return defaulted(object)
    }

    func defaulted(_ object: JSON) -> JSON {
        var result = definition.schema.defaulted(object, catalog: catalog)
        definition.defaulting(&result)
        return result
    }

    /// The new state of an object that exists: what only the server sets is the old, and what the request may not touch.
    ///
    /// - Parameter subresource: `status` changes only the status, everything else anything but the status.
    func successor(of old: JSON, _ new: JSON, subresource: String) -> JSON {
        var result = new
        if subresource == "status" {
            result = old
            result["status"] = new["status"]
            for key in ["labels", "annotations", "finalizers", "ownerReferences", "managedFields"] where definition.isTyped {
                result[path: ["metadata", key]] = new["metadata"]?[key]
            }
            result[path: ["metadata", "managedFields"]] = new["metadata"]?["managedFields"]
        } else if definition.hasStatus {
            result["status"] = old["status"]
        }
        var metadata = result["metadata"] ?? [:]
        for key in Self.systemMetadata { metadata[key] = old["metadata"]?[key] }
        metadata["name"] = old["metadata"]?["name"]
        metadata["namespace"] = old["metadata"]?["namespace"]
        if metadata["generateName"] == nil { metadata["generateName"] = old["metadata"]?["generateName"] }
        result["metadata"] = metadata
        result = defaulted(result)
        if definition.countsGenerations, Self.specification(result) != Self.specification(old) {
            result[path: ["metadata", "generation"]] = .integer((old["metadata"]?["generation"]?.integer ?? 0) + 1)
        }
        return result
    }

    /// Everything that counts as wanted: not metadata, not status.
    private static func specification(_ object: JSON) -> JSON {
        .object(
            (object.object ?? [:]).compactMapValues { key, value in
                ["metadata", "status", "apiVersion", "kind"].contains(key) ? nil : value
            })
    }

    /// - Parameter isPlain: the schema has nothing against what was sent. What this server adds to an object of a kind of Kubernetes' own is as
    ///   its schema has it; the defaults of a custom kind are its definition's, and are looked at.
    /// - Throws: `APIStatus` 422 with every refusal.
    func check(_ new: JSON, old: JSON?, isPlain: Bool = false) throws(APIStatus) {
        var errors = MetadataRules.errors(new, definition: definition)
        if !(isPlain && definition.isTyped), !definition.schema.isPlain(new, catalog: catalog, checksRequired: !definition.isTyped) {
            errors += definition.schema.errors(in: new, catalog: catalog, checksRequired: !definition.isTyped)
        }
        errors += definition.validation(new, old)
        if let old { errors += immutableErrors(new, old) }
        guard errors.isEmpty else { throw .invalid(definition, name: new["metadata"]?["name"]?.string ?? "", errors) }
    }

    private func immutableErrors(_ new: JSON, _ old: JSON) -> [FieldError] {
        // An object that is being deleted may only lose finalizers.
        guard old["metadata"]?["deletionTimestamp"] != nil else { return [] }
        let before = old["metadata"]?["finalizers"]?.array ?? []
        let added = (new["metadata"]?["finalizers"]?.array ?? []).filter { !before.contains($0) }
        return added.isEmpty
            ? []
            : [
                .forbidden(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is being deleted, found new finalizers \(JSON.array(added).text)")
            ]
    }
}
