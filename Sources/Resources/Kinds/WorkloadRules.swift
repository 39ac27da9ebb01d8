/// Defaults and checks of Pods, the kinds that make Pods, and Services; the real server's words.
enum WorkloadRules {
    static func labelsText(_ labels: JSONObject?) -> String {
        guard let labels, !labels.isEmpty else { return "<none>" }
        return labels.map { "\($0)=\($1.string ?? "")" }.sorted().joined(separator: ",")
    }

    private static func setDefault(_ key: String, _ value: JSON, _ object: inout JSON) {
        if object[key] == nil { object[key] = value }
    }

    private static let podDefaults: [(key: String, value: JSON)] = [
        ("restartPolicy", "Always"), ("dnsPolicy", "ClusterFirst"), ("schedulerName", "default-scheduler"),
        ("terminationGracePeriodSeconds", 30), ("enableServiceLinks", true), ("securityContext", [:]),
    ]

    private static func containerDefaults(_ policy: JSON) -> [(key: String, value: JSON)] {
        [
            ("imagePullPolicy", policy), ("terminationMessagePath", "/dev/termination-log"), ("terminationMessagePolicy", "File"),
            ("resources", [:]),
        ]
    }

    /// Whether a container has all that it would be given: those of a Pod that was stored have, and stay where they lie.
    private static func isWhole(_ container: JSON) -> Bool { defaultsOfLatest.allSatisfy { container[$0.key] != nil } }

    private static let defaultsOfLatest = containerDefaults("Always")
    private static let defaultsOfTagged = containerDefaults("IfNotPresent")

    static func applyPodDefaults(_ spec: inout JSON) {
        spec.fill(podDefaults)
        for list in ["containers", "initContainers"] {
            guard case .array(var containers)? = spec[list], !containers.allSatisfy(isWhole) else { continue }
            // The Pod lets go, so that its containers are changed where they lie.
            spec[list] = .null
            for index in containers.indices {
                containers[index].fill(isLatest(containers[index]["image"]?.string ?? "") ? defaultsOfLatest : defaultsOfTagged)
            }
            spec[list] = .array(containers)
        }
    }

    /// Whether an image may be another one each time it is fetched: it has no tag, or `latest`, and no digest. Byte by byte: asked for every
    /// container, and letters take many times as long to find.
    private static func isLatest(_ image: String) -> Bool {
        var tag = image.utf8[...]
        if tag.contains(UInt8(ascii: "@")) { return false }
        while tag.last == UInt8(ascii: "/") { tag.removeLast() }
        if let slash = tag.lastIndex(of: UInt8(ascii: "/")) { tag = tag[tag.index(after: slash)...] }
        return !tag.contains(UInt8(ascii: ":")) || Substring(tag).hasSuffix(":latest")
    }

    static func qosClass(_ pod: JSON) -> String {
        let resources = (pod["spec"]?["containers"]?.array ?? []).map { $0["resources"] }
        let isBestEffort = resources.allSatisfy { ($0?["requests"]?.object?.isEmpty ?? true) && ($0?["limits"]?.object?.isEmpty ?? true) }
        if isBestEffort { return "BestEffort" }
        let isGuaranteed = resources.allSatisfy { entry in
            ["cpu", "memory"].allSatisfy { name in
                guard let limit = entry?["limits"]?[name] else { return false }
                return (entry?["requests"]?[name] ?? limit) == limit
            }
        }
        return isGuaranteed ? "Guaranteed" : "Burstable"
    }

    static func podErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        var errors = podSpecErrors(new["spec"] ?? [:], at: "spec")
        guard let before = old?["spec"], var after = new["spec"] else { return errors }
        guard before != after else { return errors }
        // What may change once a Pod exists: images, tolerations that are added, and the three numbers below. Everything else is put back.
        for key in ["activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "schedulingGates", "ephemeralContainers"] {
            after[key] = before[key]
        }
        // A Pod without a node is bound once; the field then stays.
        if before["nodeName"] == nil { after["nodeName"] = nil }
        for list in ["containers", "initContainers"] {
            guard let olds = before[list]?.array, let news = after[list]?.array, olds.count == news.count else { continue }
            after[list] = .array(
                zip(olds, news).map { old, new in
                    var new = new
                    new["image"] = old["image"]
                    return new
                })
        }
        if after != before {
            errors.append(
                .forbidden(
                    "spec",
                    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
                ))
        }
        return errors
    }

    private static func podSpecErrors(_ spec: JSON, at path: String) -> [FieldError] {
        var errors: [FieldError] = []
        let containers = spec["containers"]?.array ?? []
        if containers.isEmpty { errors.append(.required("\(path).containers")) }
        var names: Set<String> = []
        for (list, elements) in [("containers", containers), ("initContainers", spec["initContainers"]?.array ?? [])] {
            for (index, container) in elements.enumerated() {
                errors += containerErrors(container, at: { "\(path).\(list)[\(index)]" }, &names)
            }
        }
        let volumes = (spec["volumes"]?.array ?? []).compactMap { $0["name"]?.string }
        for (index, container) in containers.enumerated() {
            for (position, mount) in (container["volumeMounts"]?.array ?? []).enumerated() {
                guard let name = mount["name"]?.string, !volumes.contains(name) else { continue }
                errors.append(
                    FieldError("\(path).containers[\(index)].volumeMounts[\(position)].name", .invalid, "Not found: \"\(name)\""))
            }
        }
        if let policy = spec["restartPolicy"], !["Always", "OnFailure", "Never"].contains(policy.string ?? "") {
            errors.append(.notSupported("\(path).restartPolicy", policy, ["Always", "OnFailure", "Never"]))
        }
        return errors
    }

    /// - Parameter path: where the container is; written for refusals only.
    private static func containerErrors(_ container: JSON, at path: () -> String, _ names: inout Set<String>) -> [FieldError] {
        var errors: [FieldError] = []
        let name = container["name"]?.string ?? ""
        if name.isEmpty {
            errors.append(.required("\(path()).name"))
        } else if !NameRules.isLabel(name) {
            errors.append(.invalid("\(path()).name", .string(name), NameRules.labelText))
        } else if !names.insert(name).inserted {
            errors.append(.duplicate("\(path()).name", .string(name)))
        }
        if (container["image"]?.string ?? "").isEmpty { errors.append(.required("\(path()).image")) }
        for (index, port) in (container["ports"]?.array ?? []).enumerated() {
            guard let number = port["containerPort"]?.integer else {
                errors.append(.required("\(path()).ports[\(index)].containerPort"))
                continue
            }
            if !(1...65535).contains(number) {
                errors.append(
                    .invalid("\(path()).ports[\(index)].containerPort", .integer(number), "must be between 1 and 65535, inclusive"))
            }
        }
        for (index, variable) in (container["env"]?.array ?? []).enumerated() where (variable["name"]?.string ?? "").isEmpty {
            errors.append(.required("\(path()).env[\(index)].name"))
        }
        if let resources = container["resources"], resources != [:] { errors += ResourceRules.errors(resources, at: "\(path()).resources") }
        for (index, mount) in (container["volumeMounts"]?.array ?? []).enumerated() where (mount["mountPath"]?.string ?? "").isEmpty {
            errors.append(.required("\(path()).volumeMounts[\(index)].mountPath"))
        }
        return errors
    }

    static func controllerErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        var errors: [FieldError] = []
        let selector = new["spec"]?["selector"]
        if selector?.object?.isEmpty ?? true {
            errors.append(.required("spec.selector"))
        } else if let parsed = LabelSelector(selector), !parsed.matches(new["spec"]?["template"]?["metadata"]?["labels"]?.object) {
            errors.append(
                .invalid(
                    "spec.template.metadata.labels", new["spec"]?["template"]?["metadata"]?["labels"] ?? .null,
                    "`selector` does not match template `labels`"))
        }
        if let replicas = new["spec"]?["replicas"]?.integer, replicas < 0 {
            errors.append(.invalid("spec.replicas", .integer(replicas), "must be greater than or equal to 0"))
        }
        errors += podSpecErrors(new["spec"]?["template"]?["spec"] ?? [:], at: "spec.template.spec")
        if let old, old["spec"]?["selector"] != selector {
            errors.append(.invalid("spec.selector", selector ?? .null, "field is immutable"))
        }
        return errors
    }

    private static func applyTemplateDefaults(_ object: inout JSON) {
        guard var spec = object["spec"]?["template"]?["spec"] else { return }
        applyPodDefaults(&spec)
        object[path: ["spec", "template", "spec"]] = spec
    }

    static func applyDeploymentDefaults(_ object: inout JSON) {
        guard var spec = object["spec"] else { return }
        setDefault("replicas", 1, &spec)
        setDefault("revisionHistoryLimit", 10, &spec)
        setDefault("progressDeadlineSeconds", 600, &spec)
        var strategy = spec["strategy"] ?? [:]
        setDefault("type", "RollingUpdate", &strategy)
        if strategy["type"] == "RollingUpdate" {
            var rolling = strategy["rollingUpdate"] ?? [:]
            setDefault("maxUnavailable", "25%", &rolling)
            setDefault("maxSurge", "25%", &rolling)
            strategy["rollingUpdate"] = rolling
        }
        spec["strategy"] = strategy
        object["spec"] = spec
        applyTemplateDefaults(&object)
    }

    static func applyReplicaSetDefaults(_ object: inout JSON) {
        if object["spec"] == nil { return }
        if object["spec"]?["replicas"] == nil { object[path: ["spec", "replicas"]] = 1 }
        // As the real server does: a ReplicaSet without labels takes those of its Pods.
        if object["metadata"]?["labels"] == nil, let labels = object["spec"]?["template"]?["metadata"]?["labels"] {
            object[path: ["metadata", "labels"]] = labels
        }
        applyTemplateDefaults(&object)
    }

    static func applyDaemonSetDefaults(_ object: inout JSON) {
        guard var spec = object["spec"] else { return }
        setDefault("revisionHistoryLimit", 10, &spec)
        var strategy = spec["updateStrategy"] ?? [:]
        setDefault("type", "RollingUpdate", &strategy)
        if strategy["type"] == "RollingUpdate" {
            var rolling = strategy["rollingUpdate"] ?? [:]
            setDefault("maxUnavailable", 1, &rolling)
            setDefault("maxSurge", 0, &rolling)
            strategy["rollingUpdate"] = rolling
        }
        spec["updateStrategy"] = strategy
        object["spec"] = spec
        applyTemplateDefaults(&object)
    }

    static func applyServiceDefaults(_ object: inout JSON) {
        var spec = object["spec"] ?? [:]
        setDefault("type", "ClusterIP", &spec)
        setDefault("sessionAffinity", "None", &spec)
        // There is no virtual network: every Service is headless.
        if spec["type"] != "ExternalName" { setDefault("clusterIP", "None", &spec) }
        if let ports = spec["ports"]?.array {
            spec["ports"] = .array(
                ports.map { port in
                    var port = port
                    setDefault("protocol", "TCP", &port)
                    if let number = port["port"] { setDefault("targetPort", number, &port) }
                    return port
                })
        }
        object["spec"] = spec
        if object["status"]?["loadBalancer"] == nil { object[path: ["status", "loadBalancer"]] = [:] }
    }

    static func serviceErrors(_ new: JSON, _ old: JSON?) -> [FieldError] {
        var errors: [FieldError] = []
        for (index, port) in (new["spec"]?["ports"]?.array ?? []).enumerated() {
            guard let number = port["port"]?.integer else {
                errors.append(.required("spec.ports[\(index)].port"))
                continue
            }
            if !(1...65535).contains(number) {
                errors.append(.invalid("spec.ports[\(index)].port", .integer(number), "must be between 1 and 65535, inclusive"))
            }
        }
        let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]
        if let type = new["spec"]?["type"], !types.contains(type.string ?? "") { errors.append(.notSupported("spec.type", type, types)) }
        return errors
    }
}
