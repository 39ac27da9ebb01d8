import Resources

/// Collects the kinds of a server from its lists of resources.
struct DiscoveredKinds {
    /// Groups, and versions of a group, that are asked for; beyond are passed over.
    static let groupsMax = 512
    static let versionsMax = 16
    private(set) var kinds: [ResourceKind] = []
    private var known: Set<[String]> = []

    /// Takes an `APIResourceList`: what can be listed and deleted, unless a version before had it.
    mutating func add(_ list: JSON, group: String, version: String) {
        for resource in list["resources"]?.array ?? [] {
            guard let plural = resource["name"]?.string, !plural.contains("/"), let kind = resource["kind"]?.string,
                let verbs = resource["verbs"]?.array, verbs.contains("list"), verbs.contains("delete"),
                known.insert([group, plural]).inserted
            else { continue }
            kinds.append(
                ResourceKind(
                    group: group, version: version, kind: kind, plural: plural, isNamespaced: resource["namespaced"] == true))
        }
    }

    /// Groups of an `APIGroupList` with their versions, the preferred one first.
    static func groups(_ list: JSON) -> [(name: String, versions: [String])] {
        (list["groups"]?.array ?? []).prefix(groupsMax).compactMap { group in
            guard let name = group["name"]?.string else { return nil }
            let preferred = group["preferredVersion"]?["version"]?.string
            let versions = (group["versions"]?.array ?? []).prefix(versionsMax).compactMap { $0["version"]?.string }
            return (name, (preferred.map { [$0] } ?? []) + versions.filter { $0 != preferred })
        }
    }
}
