package import Resources
import Storage

extension ObjectService {
    /// What became of a deletion.
    package enum DeleteResult: Sendable {
        case gone(APIStatus)
        /// Finalizers, or a grace period, hold the object back.
        case pending(JSON)
    }

    /// Deletes an object, or marks it for deletion while something holds it back.
    ///
    /// - Throws: `APIStatus`: 404, 409 for preconditions that do not hold.
    package func delete(
        _ definition: KindDefinition, namespace: String, name: String, _ options: DeleteOptions
    ) async throws(APIStatus) -> DeleteResult {
        let key = definition.key(namespace: namespace, name: name)
        for _ in 0..<Self.attemptsMax {
            guard let value = store.get(definition.collection, key) else { throw .notFound(definition, name: name) }
            let old = try decode(value, definition)
            try check(options, definition, name, old)
            let marked = marked(old, definition, options)
            let success = APIStatus.success(definition, name: name, uid: old["metadata"]?["uid"]?.string ?? "")
            if Self.isFinished(marked) {
                if options.isDryRun { return .gone(success) }
                if try await remove(definition, key: key, from: value.revision) != nil { return .gone(success) }
            } else {
                if options.isDryRun || marked == old { return .pending(marked) }
                if let stored = try await replace(definition, key: key, marked, from: value.revision) { return .pending(stored) }
            }
        }
        throw .conflict(definition, name: name)
    }

    private func check(_ options: DeleteOptions, _ definition: KindDefinition, _ name: String, _ old: JSON) throws(APIStatus) {
        let metadata = old["metadata"]
        if let uid = options.uid, uid != metadata?["uid"]?.string {
            throw .conflict(
                definition, name: name,
                "Precondition failed: UID in precondition: \(uid), UID in object meta: \(metadata?["uid"]?.string ?? "")")
        }
        if let version = options.resourceVersion, version != metadata?["resourceVersion"]?.string {
            throw .conflict(
                definition, name: name,
                "Precondition failed: ResourceVersion in precondition: \(version), ResourceVersion in object meta: \(metadata?["resourceVersion"]?.string ?? "")"
            )
        }
    }

    /// The object as it is once its deletion has been asked for.
    private func marked(_ old: JSON, _ definition: KindDefinition, _ options: DeleteOptions) -> JSON {
        var new = old
        var finalizers = old["metadata"]?["finalizers"]?.array ?? []
        let isMarked = old["metadata"]?["deletionTimestamp"] != nil
        switch options.propagation {
        case .foreground: if !isMarked, !finalizers.contains("foregroundDeletion") { finalizers.append("foregroundDeletion") }
        case .orphan: if !isMarked, !finalizers.contains("orphan") { finalizers.append("orphan") }
        case .background: break
        }
        if !finalizers.isEmpty { new[path: ["metadata", "finalizers"]] = .array(finalizers) }
        let grace = gracePeriod(old, definition, options)
        if !isMarked {
            let time = Timestamp(seconds: environment.now().seconds + grace)
            new[path: ["metadata", "deletionTimestamp"]] = .string(time.text)
            new[path: ["metadata", "deletionGracePeriodSeconds"]] = .integer(grace)
            if definition.countsGenerations {
                new[path: ["metadata", "generation"]] = .integer((old["metadata"]?["generation"]?.integer ?? 0) + 1)
            }
        } else if grace < old["metadata"]?["deletionGracePeriodSeconds"]?.integer ?? 0 {
            new[path: ["metadata", "deletionGracePeriodSeconds"]] = .integer(grace)
        }
        if definition.kind == "Namespace", definition.group.isEmpty { new[path: ["status", "phase"]] = "Terminating" }
        return new
    }

    /// Only a Pod that its node still runs has time to end; the node then deletes it with none.
    private func gracePeriod(_ old: JSON, _ definition: KindDefinition, _ options: DeleteOptions) -> Int64 {
        guard definition.kind == "Pod", definition.group.isEmpty, old["spec"]?["nodeName"] != nil else { return 0 }
        let phase = old["status"]?["phase"]?.string ?? ""
        if phase == "Succeeded" || phase == "Failed" { return 0 }
        return options.gracePeriodSeconds ?? old["spec"]?["terminationGracePeriodSeconds"]?.integer ?? 30
    }
}
