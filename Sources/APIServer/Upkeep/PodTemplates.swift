import Resources

/// What Deployments and DaemonSets share: Pods made of a template and told apart by its hash.
enum PodTemplates {
    static let hashLabel = "pod-template-hash"

    /// Changes whenever the template does.
    static func hash(_ owner: JSON) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in (owner["spec"]?["template"] ?? .null).text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let letters = Array("bcdfghjklmnpqrstvwxz2456789")
        return String(
            (0..<10).map { _ in
                defer { hash /= UInt64(letters.count) }
                return letters[Int(hash % UInt64(letters.count))]
            })
    }

    /// A Pod of the owner's template.
    static func pod(_ owner: JSON, hash: String, node: String? = nil) -> JSON {
        let template = owner["spec"]?["template"] ?? [:]
        var metadata = template["metadata"] ?? [:]
        let name = owner["metadata"]?["name"]?.string ?? ""
        metadata["name"] = nil
        metadata["generateName"] = .string(node == nil ? "\(name)-\(hash)-" : "\(name)-")
        metadata["namespace"] = owner["metadata"]?["namespace"]
        metadata[path: ["labels", hashLabel]] = .string(hash)
        metadata["ownerReferences"] = [
            [
                "apiVersion": owner["apiVersion"] ?? "", "kind": owner["kind"] ?? "", "name": .string(name),
                "uid": owner["metadata"]?["uid"] ?? "",
                "controller": true, "blockOwnerDeletion": true,
            ]
        ]
        var spec = template["spec"] ?? [:]
        if let node { spec["nodeName"] = .string(node) }
        return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec]
    }

    /// The Pods that an owner controls.
    static func owned(_ pods: [JSON], by owner: JSON) -> [JSON] {
        let uid = owner["metadata"]?["uid"]
        return pods.filter { pod in
            pod["metadata"]?["ownerReferences"]?.array?.contains { $0["uid"] == uid && $0["controller"]?.bool == true } ?? false
        }
    }

    static func isReady(_ pod: JSON) -> Bool {
        pod["metadata"]?["deletionTimestamp"] == nil
            && pod["status"]?["conditions"]?.array?.contains { $0["type"] == "Ready" && $0["status"] == "True" } ?? false
    }

    /// Ready for `minReadySeconds`.
    static func isAvailable(_ pod: JSON, _ owner: JSON, now: Timestamp) -> Bool {
        guard isReady(pod) else { return false }
        let wanted = owner["spec"]?["minReadySeconds"]?.integer ?? 0
        let since = pod["status"]?["conditions"]?.array?.first { $0["type"] == "Ready" }?["lastTransitionTime"]?.string.flatMap {
            Timestamp($0)
        }
        return wanted == 0 || since.map { now.seconds - $0.seconds >= wanted } ?? false
    }

    /// A count, or a share of a total like `25%`.
    static func count(_ value: JSON?, of total: Int64, roundsUp: Bool) -> Int64 {
        if let number = value?.integer { return max(0, number) }
        guard let text = value?.string, text.hasSuffix("%"), let percent = Int64(text.dropLast()), (0...1000).contains(percent) else {
            return 0
        }
        return (total * percent + (roundsUp ? 99 : 0)) / 100
    }

    /// A condition that keeps the time of its last change.
    static func condition(_ old: JSON?, _ type: JSON, _ isTrue: Bool, _ reason: JSON, _ message: JSON, _ now: Timestamp) -> JSON {
        let status: JSON = isTrue ? "True" : "False"
        let before = old?["conditions"]?.array?.first { $0["type"] == type }
        let time = JSON.string(now.text)
        if let before, before["status"] == status, before["reason"] == reason, before["message"] == message { return before }
        return [
            "type": type, "status": status, "lastUpdateTime": time,
            "lastTransitionTime": before?["status"] == status ? before?["lastTransitionTime"] ?? time : time, "reason": reason,
            "message": message,
        ]
    }
}
