import Reconciliation
import Resources

/// Empties namespaces that are being deleted, then lets them go.
struct NamespaceReconciler: Reconciler {
    let client: any ObjectClient
    let name = "namespace-controller"
    let kinds = ReconcilerKinds.every
    /// What waits for others, such as Pods that end, is looked at again after so long at the latest.
    private static let patience: Duration = .seconds(15)

    func items(for change: ObjectChange, in view: ObjectView) -> [ReconcileItem] {
        if change.kind == .namespace { return change.new?.isBeingDeleted ?? false ? [ReconcileItem(.namespace, change.key)] : [] }
        // Asked for every change of everything that has a namespace.
        guard !change.key.namespace.isEmpty, view.isBeingDeleted(.namespace, ObjectKey(name: change.key.namespace)) else { return [] }
        return [ReconcileItem(.namespace, ObjectKey(name: change.key.namespace))]
    }

    func reconcile(_ item: ReconcileItem, in view: ObjectView, now: Timestamp) -> ReconcileWork {
        guard let seen = view[.namespace, item.key], seen.isBeingDeleted else { return { () async throws(APIStatus) in .done } }
        return { [client] () async throws(APIStatus) in
            let namespace: JSON
            // A namespace of the same name that was made anew must not be emptied.
            do throws(APIStatus) { namespace = try await client.get(.namespace, item.key) } catch {
                if error.code == 404 { return .done }
                throw error
            }
            guard namespace.uid == seen.uid, namespace.isBeingDeleted,
                namespace["spec"]?["finalizers"]?.array?.contains("kubernetes") ?? false
            else { return .done }
            let content = try await empty(item.key.name)
            if content.isEmpty {
                _ = try await client.update(.namespace, NamespaceContent.released(namespace), part: .finalize)
                return .done
            }
            if let stated = content.stated(namespace, now: now) { _ = try await client.updateStatus(.namespace, stated) }
            return .after(Self.patience)
        }
    }

    /// Deletes everything in a namespace. Asked of the server, not of the view: nothing may be overlooked.
    private func empty(_ namespace: String) async throws(APIStatus) -> NamespaceContent {
        var content = NamespaceContent()
        for kind in try await client.kinds() where kind.isNamespaced {
            do throws(APIStatus) {
                for object in try await client.listAll(kind, ListQuery(namespace: namespace)).items where !object.isBeingDeleted {
                    do throws(APIStatus) {
                        try await client.delete(kind, ObjectKey(object), Deletion(propagation: .background, uid: object.uid))
                    } catch  where error.code == 404 || error.code == 409 { continue }
                }
                let left = try await client.listAll(kind, ListQuery(namespace: namespace)).items
                if !left.isEmpty { content.left.append((kind, left)) }
            } catch {
                // A server that can't be asked at all is no fault of one kind.
                if error.code == 503 { throw error }
                if error.code != 404, error.code != 405 { content.failures.append("\(kind): \(error.message)") }
            }
        }
        return content
    }
}
