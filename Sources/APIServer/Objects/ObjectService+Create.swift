package import Resources
import Storage

extension ObjectService {
    /// Names tried for an object that asks for a generated one.
    private static let generatedNamesMax = 8

    /// Makes a new object.
    ///
    /// - Parameter namespace: of the request; empty for kinds of the cluster.
    /// - Throws: `APIStatus`: 400 for what does not fit the kind, 404 and 403 for a namespace that is not there or ends, 409, 422.
    package func create(_ definition: KindDefinition, namespace: String, _ body: JSON, _ options: WriteOptions) async throws(APIStatus)
        -> WriteResult
    {
        let admission = admission(definition)
        var (object, warnings, isPlain) = try admission.read(body, options)
        try place(&object, definition, namespace)
        if !(object["metadata"]?["resourceVersion"]?.string ?? "").isEmpty {
            throw .badRequest("resourceVersion should not be set on objects to be created")
        }
        // Looked at first: what is set is copied, even to what it was.
        if object["metadata"]?["managedFields"] != nil { object[path: ["metadata", "managedFields"]] = nil }
        try checkNamespace(definition, namespace)
        let isGenerated =
            (object["metadata"]?["name"]?.string ?? "").isEmpty && !(object["metadata"]?["generateName"]?.string ?? "").isEmpty
        for attempt in 1... {
            if isGenerated {
                let base = String((object["metadata"]?["generateName"]?.string ?? "").prefix(58))
                object[path: ["metadata", "name"]] = .string(base + environment.nameSuffix())
            }
            do {
                let new = try await createOnce(definition, admission, object, options, isPlain: isPlain)
                return WriteResult(object: new, isNew: true, warnings: warnings)
            } catch {
                guard isGenerated, error.reason == "AlreadyExists", attempt < Self.generatedNamesMax else { throw error }
            }
        }
        throw .internalError("unreachable")
    }

    private func createOnce(
        _ definition: KindDefinition, _ admission: ObjectAdmission, _ object: JSON, _ options: WriteOptions, isPlain: Bool
    ) async throws(APIStatus) -> JSON {
        var new = admission.fresh(object)
        try admission.check(new, old: nil, isPlain: isPlain)
        let owned = owners.fields(ofNew: new, schema: definition.schema, walk: FieldWalk(catalog: catalog))
        new[path: ["metadata", "managedFields"]] = ManagedFields.json(
            owning: owned.value, author: author(options, definition, ""), time: environment.now().text)
        return try await store(new, definition, options, owned: owned.text)
    }

    /// Writes a new object, or says what would be if this is a dry run.
    ///
    /// - Parameter owned: what its only author owns, as JSON, where it is known.
    func store(_ new: JSON, _ definition: KindDefinition, _ options: WriteOptions, owned: [UInt8]? = nil) async throws(APIStatus) -> JSON {
        let metadata = new["metadata"]
        let name = metadata?["name"]?.string ?? ""
        let key = definition.key(namespace: metadata?["namespace"]?.string ?? "", name: name)
        var new = new
        if definition.collection == BuiltInKinds.customResourceDefinition.collection { new = established(new) }
        guard !options.isDryRun else {
            if store.get(definition.collection, key) != nil { throw .alreadyExists(definition, name: name) }
            return new
        }
        return try await insert(definition, key: key, new, owned: owned)
    }

    /// Puts an object where the request's path says, if it says nothing else itself.
    func place(_ object: inout JSON, _ definition: KindDefinition, _ namespace: String) throws(APIStatus) {
        if object["metadata"] == nil { object["metadata"] = [:] }
        guard definition.isNamespaced else {
            object[path: ["metadata", "namespace"]] = nil
            return
        }
        let own = object["metadata"]?["namespace"]?.string ?? ""
        guard own.isEmpty || own == namespace else {
            throw .badRequest("the namespace of the provided object does not match the namespace sent on the request")
        }
        guard !namespace.isEmpty else { throw .badRequest("an object of this kind needs a namespace in the path") }
        if own.isEmpty { object[path: ["metadata", "namespace"]] = .string(namespace) }
    }

    func author(_ options: WriteOptions, _ definition: KindDefinition, _ subresource: String, isApply: Bool = false) -> ManagedFields.Author
    {
        .init(
            manager: options.fieldManager.isEmpty ? "unknown" : options.fieldManager, isApply: isApply, subresource: subresource,
            apiVersion: definition.groupVersion)
    }

    private static let namespaces = BuiltInKinds.all.first { $0.kind == "Namespace" }!

    func checkNamespace(_ definition: KindDefinition, _ namespace: String) throws(APIStatus) {
        guard definition.isNamespaced else { return }
        // Asked for every create: most namespaces need not be decoded to know that they are not on their way out.
        if let value = store.get(Self.namespaces.collection, Self.namespaces.key(namespace: "", name: namespace)),
            !ObjectBytes.mayHaveDeletionTime(value)
        {
            return
        }
        let found = try get(Self.namespaces, namespace: "", name: namespace)
        if found["metadata"]?["deletionTimestamp"] != nil {
            throw .forbidden(definition, name: "", "unable to create new content in namespace \(namespace) because it is being terminated")
        }
    }

    /// A definition with what became of it: this server takes every valid one at once.
    func established(_ definition: JSON) -> JSON {
        var definition = definition
        let spec = definition["spec"] ?? [:]
        let isTaken = BuiltInKinds.all.contains { $0.group == spec["group"]?.string && $0.plural == spec["names"]?["plural"]?.string }
        let time = JSON.string(environment.now().text)
        func condition(_ type: JSON, _ status: JSON, _ reason: JSON, _ message: JSON) -> JSON {
            let old = definition["status"]?["conditions"]?.array?.first { $0["type"] == type && $0["status"] == status }
            return [
                "type": type, "status": status, "lastTransitionTime": old?["lastTransitionTime"] ?? time, "reason": reason,
                "message": message,
            ]
        }
        var stored = definition["status"]?["storedVersions"]?.array ?? []
        if let version = CustomKind.storageVersion(definition).map({ JSON.string($0) }), !stored.contains(version) {
            stored.append(version)
        }
        definition["status"] = [
            "conditions": isTaken
                ? [
                    condition("NamesAccepted", "False", "PluralConflict", "this kind is built in"),
                    condition("Established", "False", "NotAccepted", "not all names are accepted"),
                ]
                : [
                    condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
                    condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
                ],
            "acceptedNames": spec["names"] ?? [:], "storedVersions": .array(stored),
        ]
        return definition
    }
}
