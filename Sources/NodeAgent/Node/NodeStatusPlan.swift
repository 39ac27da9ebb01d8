import Resources

/// What a node's object should say. Pure.
struct NodeStatusPlan: Sendable {
    /// Time after which the status is written even if nothing has changed.
    static let reportPeriodSeconds: Int64 = 300

    let name: String
    let address: String
    let labels: [String: String]
    let capacity: JSON
    let allocatable: JSON
    let nodeInfo: JSON

    /// Labels of every node beside its own.
    private var allLabels: JSONObject {
        var all: JSONObject = [
            "kubernetes.io/hostname": .string(name), "kubernetes.io/os": "linux", "kubernetes.io/arch": nodeInfo["architecture"] ?? "amd64",
        ]
        for (key, value) in labels.sorted(by: { $0.key < $1.key }) { all[key] = .string(value) }
        return all
    }

    /// The object of a node that does not exist yet.
    func newNode() -> JSON {
        ["apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(name), "labels": .object(allLabels)], "spec": [:]]
    }

    /// A merge patch for labels that are missing or others; nil for none.
    func labelChange(_ node: JSON) -> JSON? {
        let missing = allLabels.compactMapValues { key, value in node["metadata"]?["labels"]?[key] == value ? nil : value }
        return missing.isEmpty ? nil : ["metadata": ["labels": .object(missing)]]
    }

    /// A merge patch for the node's status; nil if it says all that already and was written not long ago.
    func statusChange(_ node: JSON, _ conditions: [NodeCondition], now: Timestamp) -> JSON? {
        let known = node["status"]?["conditions"]?.array ?? []
        var isChanged = false
        var merged = known.filter { old in !conditions.contains { $0.type == old["type"]?.string } }
        var oldest: Timestamp?
        for condition in conditions {
            let old = known.first { $0["type"]?.string == condition.type }
            let status = condition.isTrue ? "True" : "False"
            let isSame = old?["status"]?.string == status
            // A message may hold figures that change all the time; the word for it is what counts.
            if !isSame || old?["reason"]?.string != condition.reason { isChanged = true }
            let beat = old?["lastHeartbeatTime"]?.string.flatMap { Timestamp($0) }
            oldest = beat.map { min($0, oldest ?? $0) } ?? oldest
            merged.append([
                "type": .string(condition.type), "status": .string(status), "lastHeartbeatTime": .string(now.text),
                "lastTransitionTime": isSame ? old?["lastTransitionTime"] ?? .string(now.text) : .string(now.text),
                "reason": .string(condition.reason), "message": .string(condition.message),
            ])
        }
        let facts: JSONObject = [
            "capacity": capacity, "allocatable": allocatable, "nodeInfo": nodeInfo,
            "addresses": [
                ["type": "InternalIP", "address": .string(address)], ["type": "Hostname", "address": .string(name)],
            ],
        ]
        let changedFacts = facts.compactMapValues { key, value in node["status"]?[key] == value ? nil : value }
        let isDue = oldest.map { now.seconds - $0.seconds >= Self.reportPeriodSeconds || now < $0 } ?? true
        guard isChanged || !changedFacts.isEmpty || isDue else { return nil }
        var status = changedFacts
        status["conditions"] = .array(merged)
        return ["status": .object(status)]
    }
}
