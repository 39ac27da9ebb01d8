import Identity
import Resources
import Storage

/// Empties namespaces that are being deleted, then lets them go.
struct NamespaceDeletion {
    let service: ObjectService
    private static let namespaces = BuiltInKinds.all.first { $0.kind == "Namespace" }!

    func pass() async throws(APIStatus) {
        for namespace in try service.all(Self.namespaces) where namespace["metadata"]?["deletionTimestamp"] != nil {
            let name = namespace["metadata"]?["name"]?.string ?? ""
            if try await empty(name) { try await release(name) }
        }
    }

    /// - Returns: whether nothing is left in the namespace.
    private func empty(_ namespace: String) async throws(APIStatus) -> Bool {
        var isEmpty = true
        for definition in service.registry.stored where definition.isNamespaced {
            for object in try service.all(definition, namespace: namespace) {
                do {
                    let options = DeleteOptions()
                    if case .pending = try await service.delete(
                        definition, namespace: namespace, name: object["metadata"]?["name"]?.string ?? "", options)
                    {
                        isEmpty = false
                    }
                } catch  where error.reason == "NotFound" {
                    continue
                }
            }
        }
        return isEmpty
    }

    private func release(_ name: String) async throws(APIStatus) {
        var options = WriteOptions(user: .init(name: "system:serviceaccount:kube-system:namespace-controller", groups: ["system:masters"]))
        options.fieldManager = "skerry"
        do {
            _ = try await service.change(Self.namespaces, namespace: "", name: name, part: .finalize, options) {
                (namespace: JSON) throws(APIStatus) in
                var namespace = namespace
                namespace[path: ["spec", "finalizers"]] = .array(
                    (namespace["spec"]?["finalizers"]?.array ?? []).filter { $0 != "kubernetes" })
                return namespace
            }
        } catch  where error.reason == "NotFound" {
            return
        }
    }
}
