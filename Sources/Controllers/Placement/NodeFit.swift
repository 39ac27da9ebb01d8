import Resources

/// Whether a Pod may be on a node: labels, names, taints. Pure.
enum NodeFit {
    /// A node's taints that keep Pods away, with those that follow from its state while nobody has written them yet.
    static func taints(_ node: JSON) -> [JSON] {
        var taints = (node["spec"]?["taints"]?.array ?? []).filter { $0["effect"] != "PreferNoSchedule" }
        func add(_ key: String) {
            if !taints.contains(where: { $0["key"]?.string == key }) { taints.append(["key": .string(key), "effect": "NoSchedule"]) }
        }
        if node["spec"]?["unschedulable"]?.bool == true { add("node.kubernetes.io/unschedulable") }
        switch node.condition("Ready")?["status"]?.string {
        case "True": break
        case "Unknown": add("node.kubernetes.io/unreachable")
        default: add("node.kubernetes.io/not-ready")
        }
        return taints
    }

    static func tolerates(_ toleration: JSON, _ taint: JSON) -> Bool {
        if let effect = toleration["effect"]?.string, !effect.isEmpty, effect != taint["effect"]?.string { return false }
        let key = toleration["key"]?.string ?? ""
        let isExisting = toleration["operator"]?.string == "Exists"
        if key.isEmpty { return isExisting }
        return key == taint["key"]?.string && (isExisting || (toleration["value"]?.string ?? "") == (taint["value"]?.string ?? ""))
    }

    /// The first taint that keeps a Pod of this specification from a node.
    static func untolerated(_ node: JSON, _ spec: JSON) -> JSON? {
        let tolerations = spec["tolerations"]?.array ?? []
        return taints(node).first { taint in !tolerations.contains { tolerates($0, taint) } }
    }

    /// Whether a node has the labels and the name that a Pod's specification asks for.
    static func matches(_ node: JSON, _ spec: JSON) -> Bool {
        for (key, value) in spec["nodeSelector"]?.object ?? [:] where node.labels[key] != value { return false }
        let required = spec["affinity"]?["nodeAffinity"]?["requiredDuringSchedulingIgnoredDuringExecution"]
        guard let terms = required?["nodeSelectorTerms"]?.array else { return true }
        return terms.contains { matches(node, term: $0) }
    }

    /// One term of a node selector; an empty one selects nothing.
    static func matches(_ node: JSON, term: JSON) -> Bool {
        let expressions = term["matchExpressions"]?.array ?? []
        let fields = term["matchFields"]?.array ?? []
        guard !expressions.isEmpty || !fields.isEmpty else { return false }
        return expressions.allSatisfy { matches($0, node.labels[$0["key"]?.string ?? ""]?.string) }
            && fields.allSatisfy { $0["key"] == "metadata.name" && matches($0, node.name) }
    }

    private static func matches(_ expression: JSON, _ value: String?) -> Bool {
        let values = (expression["values"]?.array ?? []).compactMap(\.string)
        switch expression["operator"]?.string {
        case "In": return value.map(values.contains) ?? false
        case "NotIn": return value.map { !values.contains($0) } ?? true
        case "Exists": return value != nil
        case "DoesNotExist": return value == nil
        case "Gt", "Lt":
            guard let number = value.flatMap({ Int64($0) }), let bound = values.first.flatMap({ Int64($0) }) else { return false }
            return expression["operator"] == "Gt" ? number > bound : number < bound
        default: return false
        }
    }
}
