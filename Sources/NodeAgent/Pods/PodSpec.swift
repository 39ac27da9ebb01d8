import Resources

/// What a Pod asks of the node that runs it, read from the object; fields it leaves out have Kubernetes' defaults.
struct PodSpec: Sendable, Hashable {
    /// When to run a container again that has ended.
    enum RestartPolicy: String, Sendable, Hashable {
        case always = "Always"
        case onFailure = "OnFailure"
        case never = "Never"
    }

    /// The object, without what nobody reads here.
    let object: JSON
    let uid: String
    let key: ObjectKey
    /// Run one after the other before the others begin; sidecars among them stay.
    let initContainers: [ContainerSpec]
    /// Run side by side.
    let containers: [ContainerSpec]
    let restartPolicy: RestartPolicy
    /// Seconds containers have to end, from 0.
    let graceSeconds: Int64
    /// Seconds the Pod may be active; nil for ever.
    let activeDeadlineSeconds: Int64?
    /// Somebody has asked for the Pod's deletion; seconds it has to end, from 0.
    let deletionGraceSeconds: Int64?
    /// Conditions that others set and without which the Pod is not ready.
    let readinessGates: [String]

    /// - Parameter pod: as a server holds it: validated and with defaults.
    init(_ pod: JSON) {
        var object = pod
        object[path: ["metadata", "managedFields"]] = nil
        self.object = object
        let spec = pod["spec"] ?? [:]
        uid = pod["metadata"]?["uid"]?.string ?? ""
        key = ObjectKey(pod)
        initContainers = (spec["initContainers"]?.array ?? []).map { ContainerSpec($0, isInit: true) }
        containers = (spec["containers"]?.array ?? []).map { ContainerSpec($0, isInit: false) }
        restartPolicy = spec["restartPolicy"]?.string.flatMap { RestartPolicy(rawValue: $0) } ?? .always
        let grace = max(0, spec["terminationGracePeriodSeconds"]?.integer ?? 30)
        graceSeconds = grace
        activeDeadlineSeconds = spec["activeDeadlineSeconds"]?.integer
        deletionGraceSeconds =
            pod["metadata"]?["deletionTimestamp"] == nil ? nil : max(0, pod["metadata"]?["deletionGracePeriodSeconds"]?.integer ?? grace)
        readinessGates = (spec["readinessGates"]?.array ?? []).compactMap { $0["conditionType"]?.string }
    }

    /// All containers, those of the beginning first.
    var allContainers: [ContainerSpec] { initContainers + containers }

    /// The container of a name.
    func container(_ name: String) -> ContainerSpec? { allContainers.first { $0.name == name } }

    /// Names of the volumes, and what each is.
    var volumes: [JSON] { object["spec"]?["volumes"]?.array ?? [] }

    /// Name of the service account.
    var account: String {
        let name = object["spec"]?["serviceAccountName"]?.string ?? ""
        return name.isEmpty ? "default" : name
    }

    /// `default/web`, for messages.
    var description: String { key.description }
}

/// One container of a Pod.
struct ContainerSpec: Sendable, Hashable {
    /// The container as the Pod has it.
    let object: JSON
    let name: String
    let image: String
    let isInit: Bool
    /// An init container that stays beside the others (`restartPolicy: Always`).
    let isSidecar: Bool
    let startupProbe: Probe?
    let livenessProbe: Probe?
    let readinessProbe: Probe?
    /// Run once the container has started; it does not count as started before.
    let postStart: Handler?
    /// Run before the container is told to end.
    let preStop: Handler?

    /// - Parameter isInit: stands in `initContainers`.
    init(_ container: JSON, isInit: Bool) {
        object = container
        name = container["name"]?.string ?? ""
        image = container["image"]?.string ?? ""
        self.isInit = isInit
        isSidecar = isInit && container["restartPolicy"]?.string == "Always"
        // A container that runs to its end before the others has nothing to be probed for.
        let isProbed = !isInit || container["restartPolicy"]?.string == "Always"
        startupProbe = isProbed ? Probe(container["startupProbe"]) : nil
        livenessProbe = isProbed ? Probe(container["livenessProbe"]) : nil
        readinessProbe = isProbed ? Probe(container["readinessProbe"]) : nil
        postStart = isProbed ? Handler(container["lifecycle"]?["postStart"]) : nil
        preStop = isProbed ? Handler(container["lifecycle"]?["preStop"]) : nil
    }

    /// `containers{web}`: how events name a container.
    var fieldPath: String { isInit ? "spec.initContainers{\(name)}" : "spec.containers{\(name)}" }

    /// A port as a number, or by the name of one of the container's own; nil if there is none such.
    func port(_ value: JSON?) -> Int? {
        if let number = value?.integer { return (1...65535).contains(number) ? Int(number) : nil }
        guard let name = value?.string else { return nil }
        if let number = Int(name) { return (1...65535).contains(number) ? number : nil }
        let found = (object["ports"]?.array ?? []).first { $0["name"]?.string == name }
        return found?["containerPort"]?.integer.map { Int($0) }
    }

    /// Ports of the machine that the container is to have alone. A process runs in the machine's network: its ports are such.
    var hostPorts: [HostPort] {
        (object["ports"]?.array ?? []).compactMap { port in
            guard let number = port["hostPort"]?.integer, (1...65535).contains(number) else { return nil }
            return HostPort(protocolName: port["protocol"]?.string ?? "TCP", port: Int(number), address: port["hostIP"]?.string ?? "")
        }
    }
}

/// A port of the machine.
struct HostPort: Sendable, Hashable {
    let protocolName: String
    let port: Int
    /// Empty for every address of the machine.
    let address: String

    /// Whether both cannot be had at once.
    func conflicts(with other: HostPort) -> Bool {
        protocolName == other.protocolName && port == other.port && (address.isEmpty || other.address.isEmpty || address == other.address)
    }
}

/// What is done to a container for a probe or a hook.
enum Handler: Sendable, Hashable {
    case exec([String])
    case httpGet(HTTPGet)
    /// - Parameter host: empty for the Pod's address.
    case tcpSocket(host: String, port: JSON)
    case sleep(seconds: Int64)
    /// - Parameter service: whose health is asked for; empty for that of the whole server.
    case grpc(port: JSON, service: String)

    /// Nil if there is none.
    init?(_ handler: JSON?) {
        guard let handler, handler.object != nil else { return nil }
        if let exec = handler["exec"] {
            self = .exec((exec["command"]?.array ?? []).compactMap(\.string))
        } else if let get = handler["httpGet"] {
            self = .httpGet(HTTPGet(get))
        } else if let socket = handler["tcpSocket"] {
            self = .tcpSocket(host: socket["host"]?.string ?? "", port: socket["port"] ?? .null)
        } else if let sleep = handler["sleep"] {
            self = .sleep(seconds: max(0, sleep["seconds"]?.integer ?? 0))
        } else if let call = handler["grpc"] {
            self = .grpc(port: call["port"] ?? .null, service: call["service"]?.string ?? "")
        } else {
            return nil
        }
    }
}

/// A GET whose answer says how a container is.
struct HTTPGet: Sendable, Hashable {
    /// Empty for the Pod's address.
    let host: String
    let port: JSON
    let path: String
    let isEncrypted: Bool
    let headers: [[String]]

    /// Fields that are left out have Kubernetes' defaults.
    init(_ get: JSON) {
        host = get["host"]?.string ?? ""
        port = get["port"] ?? .null
        let path = get["path"]?.string ?? "/"
        self.path = path.hasPrefix("/") ? path : "/" + path
        isEncrypted = get["scheme"]?.string == "HTTPS"
        headers = (get["httpHeaders"]?.array ?? []).map { [$0["name"]?.string ?? "", $0["value"]?.string ?? ""] }
    }
}

/// How a container's state is found out while it runs.
struct Probe: Sendable, Hashable {
    let handler: Handler
    /// Seconds from the container's start to the first look, from 0.
    let initialDelaySeconds: Int64
    /// Seconds from look to look, from 1.
    let periodSeconds: Int64
    /// Seconds after which a look counts as failed, from 1.
    let timeoutSeconds: Int64
    /// Successes in a row that turn a failure, from 1.
    let successThreshold: Int64
    /// Failures in a row that turn a success, from 1.
    let failureThreshold: Int64
    /// Seconds a container has to end that this probe has failed; nil for the Pod's.
    let graceSeconds: Int64?

    /// Nil if there is none. Numbers that are left out, or too small, have Kubernetes' defaults.
    init?(_ probe: JSON?) {
        guard let probe, let handler = Handler(probe) else { return nil }
        func number(_ key: String, _ other: Int64) -> Int64 { probe[key]?.integer.flatMap { $0 > 0 ? $0 : nil } ?? other }
        self.handler = handler
        initialDelaySeconds = number("initialDelaySeconds", 0)
        periodSeconds = number("periodSeconds", 10)
        timeoutSeconds = number("timeoutSeconds", 1)
        successThreshold = number("successThreshold", 1)
        failureThreshold = number("failureThreshold", 3)
        graceSeconds = probe["terminationGracePeriodSeconds"]?.integer
    }
}
