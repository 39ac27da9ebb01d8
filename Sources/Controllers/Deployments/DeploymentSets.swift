import Resources

/// A Deployment with its ReplicaSets, sorted out: what every part of its plan begins with.
struct DeploymentSets {
    static let component = "deployment-controller"
    static let revisionKey = "deployment.kubernetes.io/revision"
    static let historyKey = "deployment.kubernetes.io/revision-history"
    static let desiredKey = "deployment.kubernetes.io/desired-replicas"
    static let maxKey = "deployment.kubernetes.io/max-replicas"
    static let hashLabel = "pod-template-hash"

    let deployment: JSON
    /// The ReplicaSet of the Deployment's template, if there is one.
    let new: JSON?
    /// All others, oldest first.
    let old: [JSON]

    /// - Parameter sets: those the Deployment controls.
    init(_ deployment: JSON, _ sets: [JSON]) {
        self.deployment = deployment
        let sorted = sets.sorted { ($0.created.seconds, $0.name) < ($1.created.seconds, $1.name) }
        let template = Self.template(deployment)
        let new = sorted.first { Self.template($0) == template }
        self.new = new
        old = sorted.filter { $0.uid != new?.uid }
    }

    var all: [JSON] { old + (new.map { [$0] } ?? []) }
    var oldActive: [JSON] { old.filter { Self.replicas($0) > 0 } }
    var replicas: Int64 { Self.replicas(deployment) }
    var isRolling: Bool { deployment["spec"]?["strategy"]?["type"]?.string != "Recreate" }

    /// Pods above the wanted number that a rolling update may make.
    var maxSurge: Int64 {
        guard isRolling else { return 0 }
        return Share.count(deployment["spec"]?["strategy"]?["rollingUpdate"]?["maxSurge"], of: replicas, roundsUp: true)
    }

    /// Pods below the wanted number that a rolling update may leave; never with `maxSurge` both none, for then nothing could move.
    var maxUnavailable: Int64 {
        guard isRolling, replicas > 0 else { return 0 }
        let rolling = deployment["spec"]?["strategy"]?["rollingUpdate"]
        let count = Share.count(rolling?["maxUnavailable"], of: replicas, roundsUp: false)
        return min(replicas, count == 0 && maxSurge == 0 ? 1 : count)
    }

    static func replicas(_ object: JSON) -> Int64 { object["spec"]?["replicas"]?.integer ?? 1 }
    static func held(_ set: JSON) -> Int64 { set["status"]?["replicas"]?.integer ?? 0 }
    static func available(_ set: JSON) -> Int64 { set["status"]?["availableReplicas"]?.integer ?? 0 }
    static func total(_ sets: [JSON], _ count: (JSON) -> Int64) -> Int64 { sets.reduce(0) { $0 + count($1) } }
    static func revision(_ object: JSON) -> Int64 { object.annotation(revisionKey).flatMap { Int64($0) } ?? 0 }

    /// The template without what the controller itself adds to it.
    static func template(_ owner: JSON) -> JSON {
        var template = owner["spec"]?["template"] ?? [:]
        template[path: ["metadata", "labels", hashLabel]] = nil
        if template["metadata"]?["labels"]?.object?.isEmpty ?? false { template[path: ["metadata", "labels"]] = nil }
        template[path: ["metadata", "creationTimestamp"]] = nil
        if template["metadata"]?.object?.isEmpty ?? false { template["metadata"] = nil }
        return template
    }

    /// The hash that names the ReplicaSet of the template; the count of collisions makes it another.
    var hash: String {
        let collisions = deployment["status"]?["collisionCount"]?.integer ?? 0
        return StableHash.word("\(Self.template(deployment).text)\u{1f}\(collisions)", letters: 10)
    }

    /// How many Pods the new ReplicaSet should have now.
    func newReplicas(current: Int64) -> Int64 {
        guard isRolling else { return replicas }
        // Pods that a ReplicaSet is to lose are there until it says that they are gone.
        let total = Self.total(all) { max(Self.replicas($0), Self.held($0)) }
        guard total < replicas + maxSurge else { return current }
        return current + min(replicas + maxSurge - total, max(0, replicas - current))
    }
}
