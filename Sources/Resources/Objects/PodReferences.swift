/// ConfigMaps, Secrets and Models that a Pod names, in volumes, environments and for pulling images. All lie in the Pod's namespace.
package struct PodReferences: Sendable, Equatable {
    /// Names of ConfigMaps.
    package private(set) var configMaps: Set<String> = []
    /// Names of Secrets.
    package private(set) var secrets: Set<String> = []

    /// Names of Models whose serving versions its volumes show (`WorkerContract.Volume.model`).
    package private(set) var models: Set<String> = []

    /// Reads a Pod's spec; what does not have the form of one names nothing.
    package init(_ pod: JSON) {
        let spec = pod["spec"] ?? [:]
        for volume in spec["volumes"]?.array ?? [] {
            addSources(volume, secretName: "secretName")
            if let model = WorkerContract.Volume.model.attributes(volume)?["model"], !model.isEmpty { models.insert(model) }
        }
        for secret in spec["imagePullSecrets"]?.array ?? [] { add(&secrets, secret["name"]) }
        for container in (spec["containers"]?.array ?? []) + (spec["initContainers"]?.array ?? []) {
            for source in container["envFrom"]?.array ?? [] {
                add(&configMaps, source["configMapRef"]?["name"])
                add(&secrets, source["secretRef"]?["name"])
            }
            for variable in container["env"]?.array ?? [] {
                add(&configMaps, variable["valueFrom"]?["configMapKeyRef"]?["name"])
                add(&secrets, variable["valueFrom"]?["secretKeyRef"]?["name"])
            }
        }
    }

    /// Whether it names the ConfigMap, Secret or Model; of every other resource it names none.
    ///
    /// - Parameter resource: `configmaps`, `secrets` or `models`.
    package func contains(resource: String, name: String) -> Bool {
        switch resource {
        case "configmaps": configMaps.contains(name)
        case "secrets": secrets.contains(name)
        case "models": models.contains(name)
        default: false
        }
    }

    private mutating func addSources(_ volume: JSON, secretName: String) {
        add(&configMaps, volume["configMap"]?["name"])
        add(&secrets, volume["secret"]?[secretName])
        for source in volume["projected"]?["sources"]?.array ?? [] { addSources(source, secretName: "name") }
    }

    private func add(_ names: inout Set<String>, _ name: JSON?) { if let name = name?.string { names.insert(name) } }
}
