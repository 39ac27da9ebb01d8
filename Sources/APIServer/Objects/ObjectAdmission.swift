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
    /// - Parameter known: the stored object that the body was made of; nil if it was not.
    /// - Returns: also the warnings, and whether its schema has nothing against what was sent.
    func read(
        _ body: JSON, _ options: WriteOptions, known: JSON? = nil
    ) throws(APIStatus) -> (object: JSON, warnings: [String], isPlain: Bool) {
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
        let (object, unknown, isPlain) = try pruned(body, known)
        var findings = unknown.map { "unknown field \"\($0)\"" }
        findings += options.duplicates.map { "duplicate field \"\($0)\"" }
        if options.fieldValidation == .strict, !findings.isEmpty {
            throw .undecodable(definition, "strict decoding error: \(findings.joined(separator: ", "))")
        }
        return (object, options.fieldValidation == .warn ? findings : [], isPlain)
    }

    /// The object without fields that its kind does not know, and their paths.
    private func pruned(_ body: JSON, _ known: JSON?) throws(APIStatus) -> (object: JSON, unknown: [String], isPlain: Bool) {
        // Most objects hold nothing to take out or to refuse, which is seen in one walk.
        if isPlain(body, known: known) { return (body, [], true) }
        var body = body
        if definition.isTyped { body = Self.withoutNulls(body) }
        if let metadata = body["metadata"] { body["metadata"] = Self.withoutNulls(metadata) }
        let (object, unknown) = definition.schema.pruned(body, catalog: catalog)
        try refuseMisfits(object)
        return (object, unknown, false)
    }

    /// Whether the schema has nothing against an object, which is seen in one walk.
    ///
    /// - Parameter known: an object that it has nothing against. What is stored of a custom kind may be older than its schema, and is looked at.
    private func isPlain(_ object: JSON, known: JSON?) -> Bool {
        definition.schema.isPlain(
            object, catalog: catalog, checksRequired: !definition.isTyped, known: definition.isTyped ? known : nil)
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
        let before = old["metadata"]?.object ?? [:]
        var metadata = result["metadata"]?.object ?? [:]
        // What is as it was is not written, so that it need not be copied.
        for key in Self.systemMetadata + ["name", "namespace"] where metadata[key] != before[key] { metadata[key] = before[key] }
        if metadata["generateName"] == nil, let base = before["generateName"] { metadata["generateName"] = base }
        result["metadata"] = .object(metadata)
        result = defaulted(result)
        if definition.countsGenerations, !Self.isSameSpecification(result, old) {
            result[path: ["metadata", "generation"]] = .integer((old["metadata"]?["generation"]?.integer ?? 0) + 1)
        }
        return result
    }

    /// Whether everything that counts as wanted is the same: not metadata, not status.
    private static func isSameSpecification(_ object: JSON, _ other: JSON) -> Bool {
        func isWanted(_ key: String) -> Bool { !["metadata", "status", "apiVersion", "kind"].contains(key) }
        let (members, others) = (object.object?.members ?? [], other.object?.members ?? [])
        return members.count { isWanted($0.key) } == others.count { isWanted($0.key) }
            && members.allSatisfy { !isWanted($0.key) || other[$0.key] == $0.value }
    }

    /// - Parameters:
    ///   - isPlain: the schema has nothing against what was sent. What this server adds to an object of a kind of Kubernetes' own is as its
    ///     schema has it; the defaults of a custom kind are its definition's, and are looked at.
    ///   - known: an object that the schema has nothing against, of which the new one was made; nil for none.
    /// - Throws: `APIStatus` 422 with every refusal.
    func check(_ new: JSON, old: JSON?, isPlain: Bool = false, known: JSON? = nil) throws(APIStatus) {
        var errors = MetadataRules.errors(new, definition: definition)
        if !(isPlain && definition.isTyped), !self.isPlain(new, known: known) {
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
