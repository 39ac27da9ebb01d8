import Resources

/// Tells people what happens to Pods of this node: Events, one for each different sentence, counted up when it is said again.
actor NodeEvents {
    /// Sentences that are remembered, so as to be counted up; the count of one that is forgotten begins anew.
    private static let knownMax = 500

    private struct Known {
        var key: ObjectKey
        var count: Int64
    }

    private let client: any ObjectClient
    private let node: String
    private let now: @Sendable () -> Moment
    /// Makes the names of this agent's life differ from those of others.
    private let salt: UInt64
    private var known: [String: Known] = [:]

    init(client: any ObjectClient, node: String, salt: UInt64, now: @escaping @Sendable () -> Moment) {
        self.client = client
        self.node = node
        self.salt = salt
        self.now = now
    }

    /// Tells of a Pod. An Event that can't be written is left out: work never fails for want of a sentence about it.
    func tell(_ note: PodNote, about pod: PodSpec) async {
        var about: JSON = ["kind": "Pod", "apiVersion": "v1"]
        for name in ["namespace", "name", "uid", "resourceVersion"] { about[name] = pod.object["metadata"]?[name] }
        if !note.fieldPath.isEmpty { about["fieldPath"] = .string(note.fieldPath) }
        await tell(note, about, namespace: pod.key.namespace, name: pod.key.name)
    }

    /// Tells of the node itself.
    func tell(_ note: PodNote, aboutNode uid: String) async {
        let about: JSON = ["kind": "Node", "apiVersion": "v1", "name": .string(node), "uid": .string(uid)]
        await tell(note, about, namespace: "default", name: node)
    }

    private func tell(_ note: PodNote, _ about: JSON, namespace: String, name: String) async {
        let word = [about["uid"]?.string ?? "", note.reason, note.message, note.fieldPath].joined(separator: "\u{1f}")
        let time = JSON.string(now().time.text)
        var count: Int64 = 1
        if let old = known[word] {
            count = old.count + 1
            known[word]?.count = count
            let change: JSON = ["count": .integer(count), "lastTimestamp": time]
            if (try? await client.patch(.event, old.key, ObjectPatch(.merge, change), part: .whole)) != nil { return }
            // Where Events cannot be counted up, as on the way to a cloud, the 2nd, 4th, 8th ... time is told anew.
            guard count & (count - 1) == 0 else { return }
        }
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325 ^ salt ^ UInt64(bitPattern: count)
        for byte in word.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let key = ObjectKey(namespace: namespace, name: "\(name.prefix(200)).\(String(hash, radix: 16))")
        if known.count >= Self.knownMax { known = [:] }
        known[word] = Known(key: key, count: count)
        let event: JSON = [
            "apiVersion": "v1", "kind": "Event", "metadata": ["name": .string(key.name), "namespace": .string(key.namespace)],
            "involvedObject": about, "type": note.isWarning ? "Warning" : "Normal", "reason": .string(note.reason),
            "message": .string(String(note.message.prefix(1024))), "source": ["component": "kubelet", "host": .string(node)],
            "reportingComponent": "kubelet", "reportingInstance": .string(node), "firstTimestamp": time, "lastTimestamp": time,
            "count": .integer(count),
        ]
        _ = try? await client.create(.event, event)
    }
}
