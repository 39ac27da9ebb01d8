import Reconciliation
import Resources

/// Fills nodes' parts of Models: the version that serves and the one before, cut to what the node needs, once the whole is signed. What serves on a
/// node goes on serving until its next version is there.
struct ModelCutReconciler: Reconciler {
    let client: any ObjectClient
    /// Nil where the cloud has no files: parts are then the whole.
    let cutter: (any ModelCutter)?
    /// Whoever signs: nothing is cut then whose signature does not hold, as the part gets one of the cloud. Nil where nobody does.
    let notary: (any ModelNotary)?
    let name = "model-cut-controller"
    let kinds = ReconcilerKinds.these([.model, configMap])
    private static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        guard change.kind == .model else {
            guard change.key == ModelKeys.key else { return [] }
            return view.all(.model).filter { ModelCut($0) != nil }.map { ReconcileItem(.model, ObjectKey($0)) }
        }
        let parts = view.all(.model, in: change.key.namespace).filter { ModelCut($0)?.model == change.key.name }
        let own = change.new.flatMap { ModelCut($0) } == nil ? [] : [change.key]
        return (own + parts.map { ObjectKey($0) }).map { ReconcileItem(.model, $0) }
    }

    func reconcile(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ReconcileWork {
        guard let part = view[.model, item.key], !part.isBeingDeleted, let cut = ModelCut(part),
            let whole = view[.model, ObjectKey(namespace: item.key.namespace, name: cut.model)], ModelCut(whole) == nil
        else { return { .done } }
        let keys = ModelKeys.all(view[Self.configMap, ModelKeys.key])
        return { () async throws(APIStatus) in try await fill(part, cut, ModelVersions(whole), keys, now) }
    }

    private func fill(
        _ part: JSON, _ cut: ModelCut, _ whole: ModelVersions, _ keys: [String: String], _ now: Timestamp
    ) async throws(APIStatus) -> Requeue {
        let known = ModelVersions(part)
        var made: [Int64: JSON] = [:]
        for number in ModelCut.wanted(whole) where known.version(number) == nil {
            guard let version = whole.version(number) else { continue }
            // Until then the part waits as the whole would.
            guard await isSigned(version, keys) else { return .done }
            do throws(APIStatus) { made[number] = try await self.version(version, cut) } catch {
                return try await fault(
                    "version \(number) of model \(cut.model) cannot be cut for node \(cut.node): \(error.message)", part, now)
            }
        }
        var new = ModelCut.filled(part, like: whole, made)
        var conditions = new["status"]?["conditions"]?.array ?? []
        if conditions.contains(where: { $0["type"] == "Cut" && $0["status"] != "True" }) {
            Conditions.set("Cut", "True", "Cut", "it holds what node \(cut.node) needs of model \(cut.model)", in: &conditions, now: now)
            new[path: ["status", "conditions"]] = .array(conditions)
        }
        _ = try await ObjectPlan(new == part ? [] : [.updateStatus(.model, new)]).perform(client, at: now)
        return .done
    }

    private func isSigned(_ version: JSON, _ keys: [String: String]) async -> Bool {
        guard let notary else { return true }
        guard let signature = version["signature"]?.string else { return false }
        guard case .signed = await notary.verdict(signature, files: ModelVersions.allFiles(version), keys: keys) else { return false }
        return true
    }

    private func version(_ version: JSON, _ cut: ModelCut) async throws(APIStatus) -> JSON {
        var files = ModelVersions.allFiles(version)
        guard let cutter, let places = files.removeValue(forKey: ModelCut.placesName) else {
            // Nobody said what was met where: the part is the whole.
            return ModelCut.version(version, files: nil)
        }
        return ModelCut.version(version, files: try await cutter.cut(files, places: places, datasets: cut.datasets))
    }

    /// Says why a part is not filled; tried again.
    private func fault(_ message: String, _ part: JSON, _ now: Timestamp) async throws(APIStatus) -> Requeue {
        var new = part
        var conditions = new["status"]?["conditions"]?.array ?? []
        let old = conditions.first { $0["type"] == "Cut" }
        if old?["status"] != "False" || old?["message"]?.string != message {
            Conditions.set("Cut", "False", "CannotBeCut", message, in: &conditions, now: now)
            new[path: ["status", "conditions"]] = .array(conditions)
            let note = EventNote(part, isWarning: true, "CannotBeCut", message, by: name)
            _ = try await ObjectPlan([.updateStatus(.model, new), .note(note)]).perform(client, at: now)
        }
        return .after(.seconds(5))
    }
}
