package import Resources

/// Teaches another server the kinds that are built in here, so that jobs can be submitted there.
package enum OwnKinds {
    private static let definitions = ResourceKind(
        group: "apiextensions.k8s.io", version: "v1", kind: "CustomResourceDefinition", plural: "customresourcedefinitions",
        isNamespaced: false)

    /// The kinds of jobs, data sets and models. What was learned is shown where the knowledge base is, beside the embedded API.
    package static let all = BuiltInKinds.all.filter { $0.group == "sedna.io" }

    /// Makes the definitions of the kinds that a server does not serve; those that are there, perhaps by Sedna's own installation, are
    /// left as they are. May be run again at any time.
    ///
    /// - Returns: the names of the definitions that were made.
    package static func make(_ kinds: [KindDefinition] = all, by client: any ObjectClient) async throws(APIStatus) -> [String] {
        let served = Set(try await client.kinds().map(\.description))
        var made: [String] = []
        for kind in kinds where !served.contains(kind.resourceName) {
            if try await isMade(KindManifest.definition(of: kind, catalog: .kubernetes), client) { made.append(kind.resourceName) }
        }
        return made
    }

    /// False if somebody else was faster.
    private static func isMade(_ manifest: JSON, _ client: any ObjectClient) async throws(APIStatus) -> Bool {
        do { try await client.create(definitions, manifest) } catch {
            if error.reason == "AlreadyExists" { return false }
            throw error
        }
        return true
    }
}
