import Resources

/// What the server tells clients of its kinds: `/api`, `/apis` and below, in the aggregated and in the plain form.
struct Discovery {
    let registry: KindRegistry

    /// Subresources by kind, beyond `status` and `scale`.
    private static let extra: [String: [(name: String, kind: (String, String, String), verbs: [String])]] = [
        "pods": [
            ("attach", ("", "v1", "PodAttachOptions"), ["create", "get"]), ("binding", ("", "v1", "Binding"), ["create"]),
            ("eviction", ("policy", "v1", "Eviction"), ["create"]),
            ("exec", ("", "v1", "PodExecOptions"), ["create", "get"]), ("log", ("", "v1", "Pod"), ["get"]),
            ("portforward", ("", "v1", "PodPortForwardOptions"), ["create", "get"]),
        ], "namespaces": [("finalize", ("", "v1", "Namespace"), ["update"])],
        "serviceaccounts": [("token", ("authentication.k8s.io", "v1", "TokenRequest"), ["create"])],
    ]

    private struct Subresource {
        let name: String
        let group: String
        let version: String
        let kind: String
        let verbs: [String]
    }

    private func subresources(_ definition: KindDefinition) -> [Subresource] {
        var result: [Subresource] = []
        for (name, kind, verbs) in definition.group.isEmpty ? Self.extra[definition.plural] ?? [] : [] {
            result.append(.init(name: name, group: kind.0, version: kind.1, kind: kind.2, verbs: verbs))
        }
        if definition.scale != nil {
            result.append(.init(name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: ["get", "patch", "update"]))
        }
        if definition.hasStatus {
            result.append(
                .init(
                    name: "status", group: definition.group, version: definition.version, kind: definition.kind,
                    verbs: ["get", "patch", "update"]))
        }
        return result
    }

    private static func strings(_ texts: [String]) -> JSON { .array(texts.map { .string($0) }) }

    private static func kind(_ group: String, _ version: String, _ kind: String) -> JSON {
        ["group": .string(group), "version": .string(version), "kind": .string(kind)]
    }

    /// Groups in their order with their versions; the core group only if asked for.
    private func groups(core: Bool) -> [(group: String, versions: [String])] {
        var result: [(group: String, versions: [String])] = []
        for (group, version) in registry.groupVersions where group.isEmpty == core {
            if let found = result.firstIndex(where: { $0.group == group }) {
                result[found].versions.append(version)
            } else {
                result.append((group, [version]))
            }
        }
        return result
    }

    private func definitions(_ group: String, _ version: String) -> [KindDefinition] {
        registry.definitions(groupVersion: group.isEmpty ? version : "\(group)/\(version)")
    }

    func aggregated(core: Bool, version: String) -> JSON {
        let items = groups(core: core).map { group, versions -> JSON in
            let entries = versions.map { version -> JSON in
                [
                    "version": .string(version), "resources": .array(definitions(group, version).map(aggregatedResource)),
                    "freshness": "Current",
                ]
            }
            return [
                "metadata": group.isEmpty ? ["creationTimestamp": .null] : ["name": .string(group), "creationTimestamp": .null],
                "versions": .array(entries),
            ]
        }
        return [
            "kind": "APIGroupDiscoveryList", "apiVersion": .string("apidiscovery.k8s.io/\(version)"), "metadata": [:],
            "items": .array(items),
        ]
    }

    private func aggregatedResource(_ definition: KindDefinition) -> JSON {
        var result: JSON = [
            "resource": .string(definition.plural), "responseKind": Self.kind(definition.group, definition.version, definition.kind),
            "scope": definition.isNamespaced ? "Namespaced" : "Cluster", "singularResource": .string(definition.singular),
            "verbs": Self.strings(definition.verbs),
        ]
        if !definition.shortNames.isEmpty { result["shortNames"] = Self.strings(definition.shortNames) }
        if !definition.categories.isEmpty { result["categories"] = Self.strings(definition.categories) }
        let subresources = subresources(definition)
        if !subresources.isEmpty {
            result["subresources"] = .array(
                subresources.map { entry in
                    [
                        "subresource": .string(entry.name), "responseKind": Self.kind(entry.group, entry.version, entry.kind),
                        "verbs": Self.strings(entry.verbs),
                    ]
                })
        }
        return result
    }

    /// `/api` in the plain form.
    func coreVersions() -> JSON {
        ["kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []]
    }

    private func groupEntry(_ group: String, _ versions: [String]) -> JSON {
        let entries = versions.map { version -> JSON in ["groupVersion": .string("\(group)/\(version)"), "version": .string(version)] }
        return ["name": .string(group), "versions": .array(entries), "preferredVersion": entries[0]]
    }

    /// `/apis` in the plain form.
    func groupList() -> JSON {
        ["kind": "APIGroupList", "apiVersion": "v1", "groups": .array(groups(core: false).map(groupEntry))]
    }

    /// `/apis/GROUP`; nil for an unknown group.
    func group(_ name: String) -> JSON? {
        guard let found = groups(core: false).first(where: { $0.group == name }) else { return nil }
        var result: JSON = ["kind": "APIGroup", "apiVersion": "v1"]
        for (key, value) in groupEntry(name, found.versions).object ?? [:] { result[key] = value }
        return result
    }

    /// `/api/v1`, `/apis/GROUP/VERSION`; nil for an unknown one.
    func resources(groupVersion: String) -> JSON? {
        let definitions = registry.definitions(groupVersion: groupVersion)
        guard !definitions.isEmpty else { return nil }
        let entries = definitions.flatMap { definition -> [JSON] in
            var own: JSON = [
                "name": .string(definition.plural), "singularName": .string(definition.singular),
                "namespaced": .bool(definition.isNamespaced),
                "kind": .string(definition.kind), "verbs": Self.strings(definition.verbs),
            ]
            if !definition.shortNames.isEmpty { own["shortNames"] = Self.strings(definition.shortNames) }
            if !definition.categories.isEmpty { own["categories"] = Self.strings(definition.categories) }
            return [own]
                + subresources(definition).map { entry in
                    var result: JSON = [
                        "name": .string("\(definition.plural)/\(entry.name)"), "singularName": "",
                        "namespaced": .bool(definition.isNamespaced),
                        "kind": .string(entry.kind), "verbs": Self.strings(entry.verbs),
                    ]
                    if entry.group != definition.group || entry.version != definition.version {
                        result["group"] = .string(entry.group)
                        result["version"] = .string(entry.version)
                    }
                    return result
                }
        }
        return ["kind": "APIResourceList", "apiVersion": "v1", "groupVersion": .string(groupVersion), "resources": .array(entries)]
    }
}
