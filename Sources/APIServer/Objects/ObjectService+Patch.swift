package import Resources
import Storage

/// A patch by the media type of its request.
package enum ObjectPatch: Sendable {
    case json(JSON)
    case merge(JSON)
    case strategic(JSON)
    /// Server-side apply.
    case apply(JSON)
}

extension ObjectService {
    /// Patches an object; an apply makes it if it does not exist.
    ///
    /// - Throws: `APIStatus`: 404, 409, 415 for a strategic patch of a kind that has none, 400 and 422 for patches that do not fit.
    package func patch(
        _ definition: KindDefinition, namespace: String, name: String, part: Part = .whole, _ patch: ObjectPatch, _ options: WriteOptions
    ) async throws(APIStatus) -> WriteResult {
        let warnings = WarningBox()
        switch patch {
        case .apply(let configuration):
            return try await apply(definition, namespace: namespace, name: name, part: part, configuration, options)
        case .strategic where !definition.isTyped:
            throw .unsupportedMediaType(["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"])
        default: break
        }
        let object = try await change(definition, namespace: namespace, name: name, part: part, options) { (old: JSON) throws(APIStatus) in
            let patched = try patched(definition, old, patch)
            guard patched["metadata"]?["name"] == old["metadata"]?["name"],
                patched["metadata"]?["namespace"] == old["metadata"]?["namespace"]
            else {
                throw .badRequest("the name or the namespace of the object does not match the URL")
            }
            let (read, found, _) = try admission(definition).read(patched, options, known: old)
            warnings.list = found
            try options.permits?(read)
            return unversioned(read, like: old, patch)
        }
        return WriteResult(object: object, warnings: warnings.list)
    }

    /// Carries warnings out of a closure that may run several times.
    private final class WarningBox {
        var list: [String] = []
    }

    /// A patch that does not name a resource version means whatever is current.
    private func unversioned(_ patched: JSON, like old: JSON, _ patch: ObjectPatch) -> JSON {
        let named: Bool =
            switch patch {
            case .merge(let body), .strategic(let body): body["metadata"]?["resourceVersion"] != nil
            case .json(let operations):
                operations.array?.contains { $0["path"]?.string?.hasPrefix("/metadata/resourceVersion") ?? false } ?? false
            case .apply: false
            }
        guard !named else { return patched }
        var patched = patched
        patched[path: ["metadata", "resourceVersion"]] = nil
        return patched
    }

    private func patched(_ definition: KindDefinition, _ old: JSON, _ patch: ObjectPatch) throws(APIStatus) -> JSON {
        do throws(PatchError) {
            switch patch {
            case .json(let operations): return try JSONPatch.apply(operations, to: old)
            case .merge(let body):
                guard body.object != nil else { throw .malformed("a merge patch must be an object, found \(body.typeName)") }
                return MergePatch.apply(body, to: old)
            case .strategic(let body): return try StrategicMergePatch(catalog: catalog).apply(body, to: old, schema: definition.schema)
            case .apply(let body): return body
            }
        } catch .malformed(let reason) {
            throw .badRequest("error decoding patch: \(reason)")
        } catch {
            throw APIStatus(code: 422, reason: "Invalid", message: error.description)
        }
    }

    private func apply(
        _ definition: KindDefinition, namespace: String, name: String, part: Part, _ configuration: JSON, _ options: WriteOptions
    ) async throws(APIStatus) -> WriteResult {
        guard !options.fieldManager.isEmpty else {
            throw APIStatus(
                code: 422, reason: "Invalid",
                message: "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch")
        }
        var (applied, warnings, _) = try admission(definition).read(configuration, options)
        guard applied["metadata"]?["managedFields"]?.array?.isEmpty ?? true else {
            throw .badRequest("metadata.managedFields must be nil")
        }
        applied[path: ["metadata", "managedFields"]] = nil
        if applied["metadata"]?["name"] == nil { applied[path: ["metadata", "name"]] = .string(name) }
        guard applied["metadata"]?["name"]?.string == name else {
            throw .badRequest(
                "the name of the object (\(applied["metadata"]?["name"]?.string ?? "")) does not match the name on the URL (\(name))")
        }
        try place(&applied, definition, namespace)
        let author = author(options, definition, part.subresource, isApply: true)
        let time = environment.now().text
        let walk = FieldWalk(catalog: catalog)
        for _ in 0..<Self.attemptsMax {
            if store.get(definition.collection, definition.key(namespace: namespace, name: name)) == nil {
                guard part == .whole else { throw .notFound(definition, name: name) }
                do {
                    let made = try await createApplied(definition, namespace, applied, author, options)
                    return WriteResult(object: made, isNew: true, warnings: warnings)
                } catch {
                    guard error.reason == "AlreadyExists" else { throw error }
                    continue
                }
            }
            let wanted = applied
            let object = try await change(definition, namespace: namespace, name: name, part: part, options, isApplied: true) {
                (old: JSON) throws(APIStatus) in
                var live = old
                live[path: ["metadata", "managedFields"]] = nil
                var fields = ManagedFields(old["metadata"]?["managedFields"])
                var result: JSON
                do throws(ManagedFields.Conflicts) {
                    result = try fields.apply(
                        wanted, to: live, author: author, isForced: options.isForced, schema: definition.schema, walk: walk, time: time)
                } catch {
                    throw .applyConflicts(error.conflicts)
                }
                try options.permits?(result)
                result[path: ["metadata", "managedFields"]] = fields.json
                if wanted["metadata"]?["resourceVersion"] == nil { result[path: ["metadata", "resourceVersion"]] = nil }
                return result
            }
            return WriteResult(object: object, warnings: warnings)
        }
        throw .conflict(definition, name: name)
    }

    private func createApplied(
        _ definition: KindDefinition, _ namespace: String, _ applied: JSON, _ author: ManagedFields.Author, _ options: WriteOptions
    ) async throws(APIStatus) -> JSON {
        let admission = admission(definition)
        var fields = ManagedFields(nil)
        var object = applied
        object[path: ["metadata", "resourceVersion"]] = nil
        do throws(ManagedFields.Conflicts) {
            _ = try fields.apply(
                object, to: nil, author: author, isForced: true, schema: definition.schema, walk: FieldWalk(catalog: catalog),
                time: environment.now().text)
        } catch {
            throw .applyConflicts(error.conflicts)
        }
        try options.permits?(object)
        try checkNamespace(definition, namespace)
        var new = admission.fresh(object)
        try admission.check(new, old: nil)
        new[path: ["metadata", "managedFields"]] = fields.json
        return try await store(new, definition, options)
    }
}
