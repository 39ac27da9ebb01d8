import Reconciliation
import Resources

/// Signs what comes into the registry, once the cloud has its files; says of each Model whether its versions' signatures hold; keeps the
/// list of trusted keys.
struct ModelSealReconciler: Reconciler {
    private static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")
    private static let keysItem = ReconcileItem(configMap, ModelKeys.key)
    let client: any ObjectClient
    let notary: any ModelNotary
    let name = "model-controller"
    let kinds = ReconcilerKinds.these([.model, configMap])

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        if change.kind == .model { return change.new == nil ? [] : [ReconcileItem(.model, change.key), Self.keysItem] }
        guard change.key == ModelKeys.key else { return [] }
        return [Self.keysItem] + view.all(.model).map { ReconcileItem(.model, ObjectKey($0)) }
    }

    func reconcile(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ReconcileWork {
        let keys = view[Self.configMap, ModelKeys.key]
        guard item.kind == .model else {
            return { () async throws(APIStatus) in
                try await publish(keys)
                return .done
            }
        }
        guard let model = view[.model, item.key], !ModelVersions(model).versions.isEmpty else { return { .done } }
        return { () async throws(APIStatus) in
            // Signed by a key that nodes do not know, a version would wait for nothing: first the key.
            let keys = try await publish(keys)
            return try await seal(model, keys, now)
        }
    }

    // MARK: Keys

    /// Has the list name the current key; a new one is made where that was asked for.
    ///
    /// - Returns: the list as it is then.
    @discardableResult
    private func publish(_ known: JSON?) async throws(APIStatus) -> JSON {
        // Only the key that the list names is replaced: one that was made already, and is not in the list as this view has it, stays.
        let named = known?.annotation(ModelKeys.currentAnnotation)
        if known?.annotation(ModelKeys.rotateAnnotation) != nil {
            let id = await notary.current().id
            if named == ModelKeys.entry(id: id, isOwn: true) { try await notary.rotate(from: id) }
        }
        let (id, pem) = await notary.current()
        let entry = ModelKeys.entry(id: id, isOwn: true)
        guard var list = known else {
            return try await client.create(
                Self.configMap,
                [
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": [
                        "namespace": .string(ModelKeys.key.namespace), "name": .string(ModelKeys.key.name),
                        "annotations": .object([ModelKeys.currentAnnotation: .string(entry)]),
                    ],
                    "data": .object(JSONObject([(entry, .string(pem))])),
                ])
        }
        // Of several clouds beside one server the last to come signs; the others leave it at that.
        if list["data"]?[entry] == nil || named == nil {
            list[path: ["data", entry]] = .string(pem)
            list[path: ["metadata", "annotations", ModelKeys.currentAnnotation]] = .string(entry)
            // A list that named no key has none to be replaced yet: it is, once it does.
            if named != nil { list[path: ["metadata", "annotations", ModelKeys.rotateAnnotation]] = nil }
        }
        return list == known ? list : try await client.update(Self.configMap, list)
    }

    // MARK: Versions

    /// Signs what is unsigned, and anew what an earlier key of the cloud has signed.
    private func seal(_ model: JSON, _ list: JSON, _ now: Timestamp) async throws(APIStatus) -> Requeue {
        var entry = ModelVersions(model)
        let keys = ModelKeys.all(list)
        let current = ModelKeys.entry(id: await notary.current().id, isOwn: true)
        let signsAnew = list.annotation(ModelKeys.currentAnnotation) == current
        var (faults, waiting): ([String], [String]) = ([], [])
        var refused: [Int64] = []
        for version in entry.versions {
            let number = version["version"]?.integer ?? 0
            let files = ModelVersions.allFiles(version)
            if let signature = version["signature"]?.string {
                switch await notary.verdict(signature, files: files, keys: keys) {
                case .fault(let sentence):
                    faults.append("version \(number): \(sentence)")
                    refused.append(number)
                    continue
                case .signed(let by): if by == current || !by.hasPrefix(ModelKeys.ownPrefix) || !signsAnew { continue }
                }
            }
            var missing: String?
            for (name, digest) in files.sorted(by: { $0.key < $1.key }) where missing == nil {
                if await !notary.has(digest) { missing = "version \(number): file \(name), \(digest), is not in the cloud" }
            }
            if let missing {
                waiting.append(missing)
            } else {
                entry.sign(number, try await notary.sign(model: "\(item(model))", files: files))
            }
        }
        entry.refuse(refused)
        var changed = entry.model
        var conditions = changed["status"]?["conditions"]?.array ?? []
        let (status, reason, message) = Self.summary(faults, waiting)
        if !Conditions.isSame(conditions.first { $0["type"] == "Signed" }, status, reason)
            || conditions.first(where: { $0["type"] == "Signed" })?["message"]?.string != message
        {
            Conditions.set("Signed", status, reason, message, in: &conditions, now: now)
            changed[path: ["status", "conditions"]] = .array(conditions)
        }
        var steps: [ObjectPlan.Step] = changed == model ? [] : [.updateStatus(.model, changed)]
        if !steps.isEmpty, !faults.isEmpty { steps.append(.note(EventNote(model, isWarning: true, reason, message, by: name))) }
        _ = try await ObjectPlan(steps).perform(client, at: now)
        return waiting.isEmpty ? .done : .after(.seconds(5))
    }

    private func item(_ model: JSON) -> ObjectKey { ObjectKey(model) }

    private static func summary(_ faults: [String], _ waiting: [String]) -> (String, String, String) {
        let told = (faults.isEmpty ? waiting : faults).prefix(4).joined(separator: "; ").prefix(2000)
        if !faults.isEmpty { return ("False", "SignatureRefused", String(told)) }
        if !waiting.isEmpty { return ("False", "FileMissing", String(told) + "; push it again") }
        return ("True", "Signed", "every version is signed by a trusted key")
    }
}
