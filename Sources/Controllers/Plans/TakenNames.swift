import Reconciliation
import Resources

/// The names that objects of a kind have in a namespace, whoever owns them.
struct TakenNames {
    private let view: ObjectView
    private let kind: ResourceKind
    private let namespace: String

    init(_ view: ObjectView, _ kind: ResourceKind, in namespace: String) {
        self.view = view
        self.kind = kind
        self.namespace = namespace
    }

    func contains(_ name: String) -> Bool { view.contains(kind, ObjectKey(namespace: namespace, name: name)) }
}
