package import Resources

/// The kinds that are served: the built-in ones and those that definitions have taught the server. A value; replaced as a whole.
package struct KindRegistry: Sendable {
    /// Definitions by `group/version` and plural.
    private var byResource: [String: [String: SharedKind]] = [:]
    /// Every group-version in the order of discovery, the preferred version of a group first.
    package private(set) var groupVersions: [(group: String, version: String)] = []
    /// Version in which a custom kind's objects are stored, by `plural.group`.
    private var storedVersions: [String: String] = [:]

    /// The built-in kinds and those of definitions.
    ///
    /// - Parameter custom: `CustomResourceDefinition` objects; those that are not `Established` are not served.
    package init(custom: [JSON] = []) {
        for definition in BuiltInKinds.all { add(definition) }
        // A definition may not take the name of a built-in kind.
        for definition in custom where Self.isEstablished(definition) {
            for kind in CustomKind.definitions(definition) where byResource[kind.groupVersion]?[kind.plural] == nil { add(kind) }
            if let name = definition["metadata"]?["name"]?.string { storedVersions[name] = CustomKind.storageVersion(definition) }
        }
    }

    private static func isEstablished(_ definition: JSON) -> Bool {
        definition["status"]?["conditions"]?.array?.contains { $0["type"] == "Established" && $0["status"] == "True" } ?? false
    }

    private mutating func add(_ definition: KindDefinition) {
        if byResource[definition.groupVersion] == nil { groupVersions.append((definition.group, definition.version)) }
        byResource[definition.groupVersion, default: [:]][definition.plural] = SharedKind(definition)
    }

    /// The kind as a URL names it, `apps/v1` and `deployments`; nil if it is not served in that version.
    package func definition(groupVersion: String, plural: String) -> KindDefinition? { byResource[groupVersion]?[plural]?.definition }

    /// A definition of this registry in the one place that holds it, for whoever keeps it for long.
    func shared(_ definition: KindDefinition) -> SharedKind {
        byResource[definition.groupVersion]?[definition.plural] ?? SharedKind(definition)
    }

    /// The definition of a kind as an object names it.
    package func definition(apiVersion: String, kind: String) -> KindDefinition? {
        byResource[apiVersion]?.values.first { $0.definition.kind == kind }?.definition
    }

    /// The kinds of one group-version by their plurals.
    package func definitions(groupVersion: String) -> [KindDefinition] {
        (byResource[groupVersion] ?? [:]).values.map(\.definition).sorted { $0.plural < $1.plural }
    }

    /// The definition in whose version objects are stored.
    package func stored(_ definition: KindDefinition) -> KindDefinition {
        if let form = definition.storedForm { return byResource[form.groupVersion]?[form.plural]?.definition ?? definition }
        guard let version = storedVersions[definition.resourceName], version != definition.version else { return definition }
        let groupVersion = "\(definition.group)/\(version)"
        return byResource[groupVersion]?[definition.plural]?.definition ?? definition
    }

    /// `apiVersion` of objects as they are stored.
    func storedGroupVersion(_ definition: KindDefinition) -> String {
        if storedVersions.isEmpty, definition.storedForm == nil { return definition.groupVersion }
        return stored(definition).groupVersion
    }

    /// Every kind once, in the version in which it is stored, that has objects of its own: what can be watched.
    package var stored: [KindDefinition] {
        groupVersions.flatMap { definitions(groupVersion: $0.group.isEmpty ? $0.version : "\($0.group)/\($0.version)") }
            .filter { $0.verbs.contains("watch") && stored($0).groupVersion == $0.groupVersion }
    }
}

/// A kind's definition, some 300 bytes, held once by all that keep it: thousands of watches do.
final class SharedKind: Sendable {
    let definition: KindDefinition
    let collection: String
    let groupVersion: String

    init(_ definition: KindDefinition) {
        self.definition = definition
        (collection, groupVersion) = (definition.collection, definition.groupVersion)
    }
}

extension KindDefinition {
    /// Where the kind's objects lie in the store, the same for every version and every view of them.
    package var collection: String { storedForm?.resourceName ?? resourceName }

    /// An object's name in its collection.
    package func key(namespace: String, name: String) -> String { isNamespaced ? "\(namespace)/\(name)" : name }
}
