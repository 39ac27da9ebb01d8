import Identity
package import Resources
import Storage

extension ObjectService {
    /// What of an object a write is about.
    package enum Part: Sendable, Equatable {
        case whole
        case status
        /// `spec` of a namespace being deleted.
        case finalize

        /// The last word of a URL; nil for parts that are not written this way, as `scale` and `binding`.
        package init?(subresource: String) {
            switch subresource {
            case "": self = .whole
            case "status": self = .status
            case "finalize": self = .finalize
            default: return nil
            }
        }

        var subresource: String { self == .status ? "status" : "" }
    }

    /// Replaces an object.
    ///
    /// - Throws: `APIStatus`: 404, 409 for another resource version or uid than the object has, 400, 422.
    package func update(
        _ definition: KindDefinition, namespace: String, name: String, part: Part = .whole, _ body: JSON, _ options: WriteOptions
    ) async throws(APIStatus) -> WriteResult {
        let (object, warnings, isPlain) = try admission(definition).read(body, options)
        var placed = object
        try place(&placed, definition, namespace)
        let given = placed["metadata"]?["name"]?.string ?? ""
        guard given == name else {
            throw .badRequest("the name of the object (\(given)) does not match the name on the URL (\(name))")
        }
        let wanted = placed
        let result = try await change(definition, namespace: namespace, name: name, part: part, options, isPlain: isPlain) {
            (_: JSON) throws(APIStatus) in wanted
        }
        return WriteResult(object: result, warnings: warnings)
    }

    /// Changes an object by a function of its current state; called again with the newer state if somebody was faster.
    ///
    /// - Parameters:
    ///   - isPlain: the schema has nothing against the wanted state, whatever the current one is.
    ///   - successor: the wanted state. A resource version in it that is not the current one is a conflict.
    func change(
        _ definition: KindDefinition, namespace: String, name: String, part: Part, _ options: WriteOptions,
        isApplied: Bool = false, isPlain: Bool = false, _ successor: (JSON) throws(APIStatus) -> JSON
    ) async throws(APIStatus) -> JSON {
        let key = definition.key(namespace: namespace, name: name)
        for _ in 0..<Self.attemptsMax {
            guard let value = store.get(definition.collection, key) else { throw .notFound(definition, name: name) }
            let old = try decode(value, definition)
            let wanted = try successor(old)
            let hasRevision = try checkPreconditions(definition, name, wanted, old)
            guard let new = try planned(definition, part, old, wanted, options, isApplied: isApplied, isPlain: isPlain) else { return old }
            if options.isDryRun { return new }
            if Self.isFinished(new) {
                if try await remove(definition, key: key, from: value.revision) != nil { return new }
            } else if let stored = try await replace(definition, key: key, new, from: value.revision) {
                return stored
            }
            // A request that named the revision it knew has lost.
            if hasRevision { break }
        }
        throw .conflict(definition, name: name)
    }

    /// - Returns: whether the request named a resource version.
    private func checkPreconditions(_ definition: KindDefinition, _ name: String, _ wanted: JSON, _ old: JSON) throws(APIStatus) -> Bool {
        if let uid = wanted["metadata"]?["uid"]?.string, !uid.isEmpty, let current = old["metadata"]?["uid"]?.string, uid != current {
            throw .conflict(definition, name: name, "Precondition failed: UID in precondition: \(uid), UID in object meta: \(current)")
        }
        let revision = wanted["metadata"]?["resourceVersion"]?.string ?? ""
        guard !revision.isEmpty else { return false }
        guard revision == old["metadata"]?["resourceVersion"]?.string else { throw .conflict(definition, name: name) }
        return true
    }

    /// The checked successor; nil if it is the old object again.
    private func planned(
        _ definition: KindDefinition, _ part: Part, _ old: JSON, _ wanted: JSON, _ options: WriteOptions, isApplied: Bool, isPlain: Bool
    ) throws(APIStatus) -> JSON? {
        let admission = admission(definition)
        var new = admission.successor(of: old, wanted, subresource: part.subresource)
        if part == .finalize {
            new = old
            new[path: ["spec", "finalizers"]] = wanted["spec"]?["finalizers"] ?? []
        }
        if definition.collection == BuiltInKinds.customResourceDefinition.collection { new = established(new) }
        if let node = options.user.nodeName, !options.user.isMaster,
            let reason = NodeAccess(node: node, service: self).refusal(definition, from: old, to: new)
        {
            throw .forbidden(definition, name: old["metadata"]?["name"]?.string ?? "", reason)
        }
        if !isApplied {
            let author = author(options, definition, part.subresource)
            guard let owned = recorded(new, from: old, given: wanted["metadata"]?["managedFields"], by: author, definition.schema) else {
                return nil
            }
            new = owned
        } else {
            var before = old
            var after = new
            // An apply that changes nothing is no write, whenever it was made.
            before[path: ["metadata", "managedFields"]] = Self.timeless(old["metadata"]?["managedFields"])
            after[path: ["metadata", "managedFields"]] = Self.timeless(new["metadata"]?["managedFields"])
            if before == after { return nil }
        }
        try admission.check(new, old: old, known: isPlain ? wanted : old)
        return new
    }

    /// The successor with the owners of its fields after an update; nil if it is the old object again.
    ///
    /// - Parameter given: what the request says of owners; nil for nothing.
    private func recorded(_ new: JSON, from old: JSON, given: JSON?, by author: ManagedFields.Author, _ schema: Schema) -> JSON? {
        let known = old["metadata"]?["managedFields"]
        let given = given ?? known
        let walk = FieldWalk(catalog: catalog)
        var new = new
        if given == known {
            // Nearly always: both hold the same owners, and neither is copied to compare the rest.
            if new["metadata"]?["managedFields"] != known { new[path: ["metadata", "managedFields"]] = known }
            if new == old { return nil }
            let time = environment.now().text
            if let entries = ManagedFields.renewed(known, from: old, to: new, author: author, schema: schema, walk: walk, time: time) {
                new[path: ["metadata", "managedFields"]] = entries.isEmpty ? nil : .array(entries)
                return new
            }
        }
        var before = old
        var after = new
        before[path: ["metadata", "managedFields"]] = nil
        after[path: ["metadata", "managedFields"]] = nil
        var fields = ManagedFields(given)
        if before == after, fields == ManagedFields(known) { return nil }
        fields.recordUpdate(from: before, to: after, author: author, schema: schema, walk: walk, time: environment.now().text)
        new[path: ["metadata", "managedFields"]] = fields.json
        return new
    }

    private static func timeless(_ fields: JSON?) -> JSON? {
        fields?.array.map { entries in
            .array(
                entries.map { entry in
                    var entry = entry
                    entry["time"] = nil
                    return entry
                })
        }
    }

    /// Whether nothing holds an object back that is being deleted.
    static func isFinished(_ object: JSON) -> Bool {
        guard object["metadata"]?["deletionTimestamp"] != nil, object["metadata"]?["finalizers"]?.array?.isEmpty ?? true else {
            return false
        }
        if (object["metadata"]?["deletionGracePeriodSeconds"]?.integer ?? 0) > 0 { return false }
        return object["kind"] != "Namespace" || object["apiVersion"] != "v1" || (object["spec"]?["finalizers"]?.array?.isEmpty ?? true)
    }

    /// Puts a Pod on the node that a `Binding` names.
    ///
    /// - Throws: `APIStatus`: 404, 409 for a Pod that has a node, is being deleted, or is another than the binding's uid says.
    func bind(_ definition: KindDefinition, _ binding: JSON, _ key: ObjectKey, _ options: WriteOptions) async throws(APIStatus) -> JSON {
        let name = key.name
        return try await change(definition, namespace: key.namespace, name: name, part: .whole, options) {
            (pod: JSON) throws(APIStatus) in
            if let uid = binding["metadata"]?["uid"]?.string, !uid.isEmpty, uid != pod["metadata"]?["uid"]?.string {
                throw .conflict(definition, name: name, "Precondition failed: UID in precondition: \(uid)")
            }
            if let current = pod["spec"]?["nodeName"]?.string, !current.isEmpty {
                throw .conflict(definition, name: name, "pod \(name) is already assigned to node \"\(current)\"")
            }
            if pod["metadata"]?["deletionTimestamp"] != nil {
                throw .conflict(definition, name: name, "pod \(name) is being deleted, cannot be assigned to a host")
            }
            var pod = pod
            pod[path: ["spec", "nodeName"]] = binding["target"]?["name"]
            return pod
        }
    }
}
