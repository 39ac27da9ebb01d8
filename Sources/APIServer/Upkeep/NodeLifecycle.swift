import Resources

/// What becomes of a node whose agent is silent. Pure.
///
/// A silent node is marked unknown and takes no new Pods; the Pods it has stay, because an edge goes on with what it was last told.
enum NodeLifecycle {
    /// A node whose lease has not been renewed for so long is silent.
    static let silentAfterSeconds: Int64 = 40
    private static let unreachable: JSON = "node.kubernetes.io/unreachable"
    private static let notReady: JSON = "node.kubernetes.io/not-ready"

    /// The node as it should be; nil if it is so already.
    ///
    /// - Parameter lease: of the node, in `kube-node-lease`; a node without one is judged by its own words only.
    static func successor(of node: JSON, lease: JSON?, now: Timestamp) -> JSON? {
        var new = node
        let ready = node["status"]?["conditions"]?.array?.first { $0["type"] == "Ready" }
        let renewed = lease?["spec"]?["renewTime"]?.string.flatMap { Timestamp($0) }
        let isSilent = renewed.map { now.seconds - $0.seconds > silentAfterSeconds } ?? false
        if isSilent, ready?["status"] != "Unknown", let conditions = node["status"]?["conditions"]?.array {
            new[path: ["status", "conditions"]] = .array(conditions.map { silenced($0, now) })
        }
        let state = isSilent ? "Unknown" : ready?["status"]?.string
        var taints = (node["spec"]?["taints"]?.array ?? []).filter { $0["key"] != unreachable && $0["key"] != notReady }
        let key: JSON? = state == "Unknown" ? unreachable : state == "False" ? notReady : nil
        if let key {
            let old = node["spec"]?["taints"]?.array?.first { $0["key"] == key }
            taints.append(old ?? ["key": key, "effect": "NoSchedule", "timeAdded": .string(now.text)])
        }
        if taints != node["spec"]?["taints"]?.array ?? [] { new[path: ["spec", "taints"]] = taints.isEmpty ? nil : .array(taints) }
        return new == node ? nil : new
    }

    private static func silenced(_ condition: JSON, _ now: Timestamp) -> JSON {
        guard ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].contains(condition["type"]?.string) else { return condition }
        var condition = condition
        if condition["status"] != "Unknown" { condition["lastTransitionTime"] = .string(now.text) }
        condition["status"] = "Unknown"
        condition["reason"] = "NodeStatusUnknown"
        condition["message"] = "the node's agent has stopped reporting"
        return condition
    }
}
