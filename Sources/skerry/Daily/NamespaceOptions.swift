import ArgumentParser
import KubernetesClient
import Resources

/// Which namespace of which cloud.
struct NamespaceOptions: ParsableArguments {
    @OptionGroup var cluster: ClusterOptions
    @Option(name: [.customShort("n"), .customLong("namespace")], help: "The namespace (default: that of the kubeconfig's context).")
    var namespace: String?

    func validate() throws {
        if let namespace, !NameRules.isLabel(namespace) {
            throw ValidationError("--namespace \(namespace): expected lower-case letters, digits and '-'")
        }
    }

    /// Gives `body` a client and the namespace, and closes the client.
    func with<Result>(_ body: (RESTClient, String) async throws -> Result) async throws -> Result {
        try await cluster.with { client, access in
            try await body(client, namespace ?? (access.namespace.isEmpty ? "default" : access.namespace))
        }
    }
}

/// Kinds that the commands of daily life ask for.
enum KnownKinds {
    static let model = kind("Model")
    static let dataset = kind("Dataset")
    static let lifelong = kind("LifelongLearningJob")
    static let incremental = kind("IncrementalLearningJob")
    static let jointInference = kind("JointInferenceService")
    static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")
    /// What learns or serves by itself.
    static let jobs = [lifelong, incremental, jointInference]

    private static func kind(_ name: String) -> ResourceKind {
        ResourceKind(BuiltInKinds.all.first { $0.group == "sedna.io" && $0.kind == name }!)
    }
}
