import Resources

/// What controllers ask of any object.
extension JSON {
    var uid: String { self["metadata"]?["uid"]?.string ?? "" }
    var name: String { self["metadata"]?["name"]?.string ?? "" }
    var namespace: String { self["metadata"]?["namespace"]?.string ?? "" }
    var labels: JSONObject { self["metadata"]?["labels"]?.object ?? [:] }
    var isBeingDeleted: Bool { self["metadata"]?["deletionTimestamp"] != nil }
    var generation: Int64 { self["metadata"]?["generation"]?.integer ?? 0 }
    var owners: [JSON] { self["metadata"]?["ownerReferences"]?.array ?? [] }
    var finalizers: [String] { (self["metadata"]?["finalizers"]?.array ?? []).compactMap(\.string) }
    /// The owner that manages the object.
    var controller: JSON? { owners.first { $0["controller"]?.bool == true } }
    var created: Timestamp { self["metadata"]?["creationTimestamp"]?.string.flatMap { Timestamp($0) } ?? Timestamp(seconds: 0) }
    func annotation(_ key: String) -> String? { self["metadata"]?["annotations"]?[key]?.string }
    func condition(_ type: String) -> JSON? { self["status"]?["conditions"]?.array?.first { $0["type"]?.string == type } }

    /// A reference to this object as the controller of another.
    var controllerReference: JSON {
        [
            "apiVersion": self["apiVersion"] ?? "", "kind": self["kind"] ?? "", "name": .string(name), "uid": .string(uid),
            "controller": true, "blockOwnerDeletion": true,
        ]
    }
}

extension JSON {
    /// A moment in a field; nil if there is none.
    func time(_ key: String) -> Timestamp? { self[key]?.string.flatMap { Timestamp($0) } }
}

/// What controllers ask of Pods.
enum PodFacts {
    static func hasEnded(_ pod: JSON) -> Bool { ["Succeeded", "Failed"].contains(pod["status"]?["phase"]?.string) }

    /// Runs, or will.
    static func isActive(_ pod: JSON) -> Bool { !hasEnded(pod) && !pod.isBeingDeleted }

    static func isReady(_ pod: JSON) -> Bool { pod.condition("Ready")?["status"] == "True" }

    /// Seconds until a ready Pod has been ready for long enough: 0 once it has, nil if it is not ready.
    static func secondsUntilAvailable(_ pod: JSON, minReadySeconds: Int64, now: Timestamp) -> Int64? {
        guard isReady(pod) else { return nil }
        if minReadySeconds == 0 { return 0 }
        guard let since = pod.condition("Ready")?.time("lastTransitionTime") else { return nil }
        return max(0, since.seconds + minReadySeconds - now.seconds)
    }

    static func isAvailable(_ pod: JSON, minReadySeconds: Int64, now: Timestamp) -> Bool {
        secondsUntilAvailable(pod, minReadySeconds: minReadySeconds, now: now) == 0
    }

    static func nodeName(_ pod: JSON) -> String? { pod["spec"]?["nodeName"]?.string.flatMap { $0.isEmpty ? nil : $0 } }

    static func restarts(_ pod: JSON) -> Int64 {
        (pod["status"]?["containerStatuses"]?.array ?? []).reduce(0) { $0 + ($1["restartCount"]?.integer ?? 0) }
    }

    /// A Pod of a template, controlled by an owner.
    static func pod(of owner: JSON, template: JSON, name: String, labels: [String: String] = [:]) -> JSON {
        var metadata: JSON = [:]
        for key in ["labels", "annotations", "finalizers"] { metadata[key] = template["metadata"]?[key] }
        metadata["name"] = .string(name)
        metadata["generateName"] = .string(namePrefix(of: owner))
        metadata["namespace"] = .string(owner.namespace)
        for (key, value) in labels { metadata[path: ["labels", key]] = .string(value) }
        metadata["ownerReferences"] = [owner.controllerReference]
        return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] ?? [:]]
    }

    /// Names of an owner's Pods begin so: short enough that five letters more are a host's name.
    static func namePrefix(of owner: JSON) -> String { String("\(owner.name)-".prefix(58)) }

    /// The name of an owner's Pod in a place that is derived from what it is for, so that making it twice makes one.
    static func name(of owner: JSON, place: String) -> String {
        namePrefix(of: owner) + StableHash.word("\(owner.uid)\u{1f}\(place)", letters: 5)
    }
}

/// Conditions of a status: what is true, since when, and why.
enum Conditions {
    /// Puts a condition among others. The time of transition is kept while the status stays.
    ///
    /// - Parameter updateTime: of kinds whose conditions also say when they were last looked at.
    static func set(
        _ type: String, _ status: String, _ reason: String, _ message: String, in conditions: inout [JSON], now: Timestamp,
        updateTime: Bool = false
    ) {
        let index = conditions.firstIndex { $0["type"]?.string == type }
        let old = index.map { conditions[$0] }
        var new: JSON = ["type": .string(type), "status": .string(status)]
        if updateTime { new["lastUpdateTime"] = .string(now.text) }
        new["lastTransitionTime"] = old?["status"]?.string == status ? old?["lastTransitionTime"] ?? .string(now.text) : .string(now.text)
        new["reason"] = .string(reason)
        new["message"] = .string(message)
        guard let index else { return conditions.append(new) }
        // Whatever else other writers have put there stays.
        var merged = conditions[index]
        for (key, value) in new.object ?? [:] { merged[key] = value }
        conditions[index] = merged
    }

    static func remove(_ type: String, from conditions: inout [JSON]) { conditions.removeAll { $0["type"]?.string == type } }

    /// Whether two conditions say the same, whenever they said it.
    static func isSame(_ condition: JSON?, _ status: String, _ reason: String) -> Bool {
        condition?["status"]?.string == status && condition?["reason"]?.string == reason
    }
}

/// A count, or a share of a total like `25%`, as rolling updates give it.
enum Share {
    static func count(_ value: JSON?, of total: Int64, roundsUp: Bool) -> Int64 {
        if let number = value?.integer { return max(0, number) }
        guard let text = value?.string, text.hasSuffix("%"), let percent = Int64(text.dropLast()), (0...10_000).contains(percent) else {
            return 0
        }
        return (total * percent + (roundsUp ? 99 : 0)) / 100
    }
}
