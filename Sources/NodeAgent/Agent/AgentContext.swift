import Resources
import Storage

/// What all of an agent's Pods share.
struct AgentContext: Sendable {
    var nodeName: String
    var client: any ObjectClient
    var runtime: any ContainerRuntime
    var place: PodPlace
    /// Whoever gives tokens of service accounts; nil for nobody.
    var tokens: (any PodTokens)?
    /// Asks Pods over TLS; nil for nobody.
    var secureProbes: (any SecureProbes)?
    /// Says which versions of models may be loaded; nil for nobody.
    var modelTrust: (any ModelTrustDoor)?
    /// What the node has to give, as its status has it.
    var allocatable: JSON
    /// Both clocks.
    var now: @Sendable () -> Moment
    /// Takes a sentence for each failure that is going to be tried again.
    var report: @Sendable (String) -> Void
    let events: NodeEvents
    let ports: HostPorts
    /// Nil where the node keeps no files: Pods that need some wait.
    var files: NodeFiles?
    /// Nil where the node keeps no data sets.
    var datasets: DatasetKeeper?
    let workerNames: WorkerNames
    /// Draws the secrets of workers' names.
    var random: @Sendable () -> UInt64
}

/// Who has which ports of the machine.
actor HostPorts {
    private var claims: [String: [HostPort]] = [:]

    /// Takes ports for a Pod; asking again changes nothing.
    ///
    /// - Returns: one that another Pod has; nothing is taken then.
    func claim(_ ports: [HostPort], for pod: String) -> HostPort? {
        for (other, taken) in claims where other != pod {
            if let port = ports.first(where: { port in taken.contains { $0.conflicts(with: port) } }) { return port }
        }
        claims[pod] = ports
        return nil
    }

    func release(_ pod: String) { claims[pod] = nil }
}

extension ResourceKind {
    /// `v1`; what volumes and variables of Pods are made of.
    static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")
    /// `v1`; as a ConfigMap, closed to others.
    static let secret = ResourceKind(group: "", version: "v1", kind: "Secret", plural: "secrets")
}
