package import Storage
package import Resources

/// Which files objects name: `sha256:` and 64 digits, wherever it stands.
package enum ArtifactReferences {
    /// Named by any object of the store: what must not be collected.
    ///
    /// Objects are searched as text, unread: a digest in a log line or an annotation keeps its file too.
    ///
    /// - Throws: `APIStatus` of a store that has failed.
    package static func all(in service: ObjectService) throws(APIStatus) -> Set<ArtifactDigest> {
        var found: Set<ArtifactDigest> = []
        for collection in service.store.collections {
            do {
                for value in try service.store.list(collection).values { found.formUnion(ArtifactDigest.named(in: value.bytes)) }
            } catch { throw ObjectService.status(error) }
        }
        return found
    }

    /// Named by a Pod, a ConfigMap or any object of ours on a server that somebody else runs, whose other objects are none of our business.
    ///
    /// - Throws: `APIStatus` where any of them cannot be listed.
    package static func all(by client: any ObjectClient) async throws(APIStatus) -> Set<ArtifactDigest> {
        var found: Set<ArtifactDigest> = []
        for kind in try await client.kinds()
        where kind.group == "sedna.io" || kind.group.isEmpty && ["pods", "configmaps"].contains(kind.plural) {
            for object in try await client.listAll(kind, Resources.ListQuery(limit: 250)).items {
                found.formUnion(ArtifactDigest.named(in: object.bytes()))
            }
        }
        return found
    }

    private static func kind(_ name: String) -> KindDefinition { BuiltInKinds.all.first { $0.kind == name }! }
    private static let pods = kind("Pod")
    private static let configMaps = kind("ConfigMap")
    private static let models = kind("Model")
    private static let datasets = BuiltInKinds.all.first { $0.kind == "Dataset" && $0.group == "sedna.io" }

    /// Whether a node may read a file: a Pod of its own names it, or a ConfigMap or Model that such a Pod names, or a Dataset of its own; each
    /// where the node itself cannot write.
    static func isNamed(_ digest: ArtifactDigest, for node: String, in service: ObjectService) throws(APIStatus) -> Bool {
        let wanted = Array(digest.description.utf8)
        for pod in try objects(pods, holding: wanted, in: service) where pod["spec"]?["nodeName"]?.string == node {
            if names(pod["spec"], digest) { return true }
        }
        if let datasets {
            for dataset in try objects(datasets, holding: wanted, in: service) where dataset["spec"]?["nodeName"]?.string == node {
                if names(dataset["spec"], digest) { return true }
            }
        }
        let maps = try objects(configMaps, holding: wanted, in: service).filter { names($0["data"], digest) }
        // Nodes write nothing of a Model, its status neither.
        let models = try objects(models, holding: wanted, in: service).filter { names($0["spec"], digest) || names($0["status"], digest) }
        let named = maps.map { ("configmaps", ObjectKey($0)) } + models.map { ("models", ObjectKey($0)) }
        guard !named.isEmpty else { return false }
        return try objects(pods, holding: Array(node.utf8), in: service).contains { pod in
            guard pod["spec"]?["nodeName"]?.string == node else { return false }
            let references = PodReferences(pod)
            let namespace = pod["metadata"]?["namespace"]?.string
            return named.contains { $0.1.namespace == namespace && references.contains(resource: $0.0, name: $0.1.name) }
        }
    }

    /// Objects whose stored text holds some words: the others are not parsed.
    private static func objects(
        _ definition: KindDefinition, holding words: [UInt8], in service: ObjectService
    ) throws(APIStatus) -> [JSON] {
        var found: [JSON] = []
        do {
            for value in try service.store.list(definition.collection).values where holds(value.bytes, words) {
                found.append(try service.decode(value, definition))
            }
        } catch { throw ObjectService.status(error) }
        return found
    }

    private static func holds(_ text: [UInt8], _ words: [UInt8]) -> Bool {
        text.withUnsafeBufferPointer { text in
            words.withUnsafeBufferPointer { words in
                guard let first = words.first, words.count <= text.count else { return false }
                return (0...text.count - words.count).contains { start in
                    text[start] == first && UnsafeBufferPointer(rebasing: text[start..<start + words.count]).elementsEqual(words)
                }
            }
        }
    }

    private static func names(_ value: JSON?, _ digest: ArtifactDigest) -> Bool {
        switch value {
        case .string(let text): ArtifactDigest.named(in: Array(text.utf8)).contains(digest)
        case .array(let items): items.contains { names($0, digest) }
        case .object(let members): members.contains { names($0.1, digest) }
        default: false
        }
    }
}
