import Identity
import Resources
import Storage

/// Deletes objects whose owners are all gone, and does what the deletion of an owner asks for: dependents first, or left without it.
struct GarbageCollection {
    let service: ObjectService

    private struct Dependent {
        let definition: KindDefinition
        let object: JSON
        var namespace: String { object["metadata"]?["namespace"]?.string ?? "" }
        var name: String { object["metadata"]?["name"]?.string ?? "" }
        var owners: [JSON] { object["metadata"]?["ownerReferences"]?.array ?? [] }
    }

    func pass() async throws(APIStatus) {
        var dependents: [Dependent] = []
        var ending: [Dependent] = []
        for definition in service.registry.stored {
            // Decoded only where the words stand: most objects have neither owner nor end.
            for value in try values(definition) {
                let hasOwner = value.bytes.contains(text: "\"ownerReferences\"")
                let isEnding = value.bytes.contains(text: "\"deletionTimestamp\"")
                guard hasOwner || isEnding else { continue }
                let entry = Dependent(definition: definition, object: try service.decode(value, definition))
                if !entry.owners.isEmpty { dependents.append(entry) }
                if entry.object["metadata"]?["deletionTimestamp"] != nil { ending.append(entry) }
            }
        }
        for dependent in dependents { try await collect(dependent) }
        for owner in ending { try await finish(owner, dependents) }
    }

    private func values(_ definition: KindDefinition) throws(APIStatus) -> [RevisionedValue] {
        do { return try service.store.list(definition.collection).values } catch { throw .internalError("\(error)") }
    }

    /// The owner a reference means, if it is still there.
    private func owner(_ reference: JSON, of dependent: Dependent) -> JSON? {
        guard
            let definition = service.registry.definition(
                apiVersion: reference["apiVersion"]?.string ?? "", kind: reference["kind"]?.string ?? ""),
            let object = try? service.get(definition, namespace: dependent.namespace, name: reference["name"]?.string ?? ""),
            object["metadata"]?["uid"] == reference["uid"]
        else { return nil }
        return object
    }

    private func isKnown(_ reference: JSON) -> Bool {
        service.registry.definition(apiVersion: reference["apiVersion"]?.string ?? "", kind: reference["kind"]?.string ?? "") != nil
    }

    private func collect(_ dependent: Dependent) async throws(APIStatus) {
        // An owner of a kind that is not served may exist all the same.
        guard dependent.owners.allSatisfy(isKnown), dependent.object["metadata"]?["deletionTimestamp"] == nil else { return }
        let owners = dependent.owners.compactMap { owner($0, of: dependent) }
        let isHeld = owners.contains { owner in
            owner["metadata"]?["deletionTimestamp"] == nil
                || !(owner["metadata"]?["finalizers"]?.array ?? []).contains("foregroundDeletion")
        }
        guard !isHeld else { return }
        var options = DeleteOptions()
        options.uid = dependent.object["metadata"]?["uid"]?.string
        if !owners.isEmpty { options.propagation = .foreground }
        do {
            _ = try await service.delete(dependent.definition, namespace: dependent.namespace, name: dependent.name, options)
        } catch  where error.reason == "NotFound" || error.reason == "Conflict" {
            return
        }
    }

    /// Takes the finalizer of a deleted owner once its dependents are as it asks.
    private func finish(_ owner: Dependent, _ dependents: [Dependent]) async throws(APIStatus) {
        let finalizers = owner.object["metadata"]?["finalizers"]?.array ?? []
        let uid = owner.object["metadata"]?["uid"]
        let own = dependents.filter { $0.owners.contains { $0["uid"] == uid } }
        if finalizers.contains("orphan") {
            for dependent in own {
                try await change(dependent) { object in
                    let owners = (object["metadata"]?["ownerReferences"]?.array ?? []).filter { $0["uid"] != uid }
                    object[path: ["metadata", "ownerReferences"]] = owners.isEmpty ? nil : .array(owners)
                }
            }
            try await drop("orphan", of: owner)
        }
        if finalizers.contains("foregroundDeletion") {
            let blocking = own.filter { dependent in
                dependent.owners.contains { $0["uid"] == uid && $0["blockOwnerDeletion"]?.bool == true }
                    && service.store.get(
                        dependent.definition.collection, dependent.definition.key(namespace: dependent.namespace, name: dependent.name))
                        != nil
            }
            if blocking.isEmpty { try await drop("foregroundDeletion", of: owner) }
        }
    }

    private func drop(_ finalizer: JSON, of owner: Dependent) async throws(APIStatus) {
        try await change(owner) { object in
            let rest = (object["metadata"]?["finalizers"]?.array ?? []).filter { $0 != finalizer }
            object[path: ["metadata", "finalizers"]] = rest.isEmpty ? nil : .array(rest)
        }
    }

    private func change(_ entry: Dependent, _ body: (inout JSON) -> Void) async throws(APIStatus) {
        var options = WriteOptions(
            user: .init(name: "system:serviceaccount:kube-system:generic-garbage-collector", groups: ["system:masters"]))
        options.fieldManager = "skerry"
        do {
            _ = try await service.change(entry.definition, namespace: entry.namespace, name: entry.name, part: .whole, options) {
                (object: JSON) throws(APIStatus) in
                var object = object
                body(&object)
                object[path: ["metadata", "resourceVersion"]] = nil
                return object
            }
        } catch  where error.reason == "NotFound" {
            return
        }
    }
}

extension [UInt8] {
    /// Whether ASCII text stands somewhere in the bytes.
    fileprivate func contains(text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard self.count >= count else { return false }
        return withUnsafeBufferPointer { bytes in
            for start in 0...(bytes.count - count) where bytes[start] == text.utf8Start[0] {
                if (1..<count).allSatisfy({ bytes[start + $0] == text.utf8Start[$0] }) { return true }
            }
            return false
        }
    }
}
