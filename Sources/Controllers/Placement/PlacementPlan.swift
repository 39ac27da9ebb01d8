import Reconciliation
import Resources

/// Which node each waiting Pod goes to. Pure: nodes and Pods in, a decision for each out.
///
/// A node is fit if it is open and well, has what `nodeSelector` and required node affinity ask for, no taint that the Pod does not
/// tolerate, its ports and resources free, and agrees with required spread and Pod (anti-)affinity. Of several, the one with the best
/// preference, then fewest Pods of the same owner, then most room is taken. Nobody is put out for a Pod of higher priority.
struct PlacementPlan {
    static let scheduler = "default-scheduler"

    /// A node and what is on it.
    private struct Place {
        let node: JSON
        let name: String
        /// What is left of each resource that the node says it has.
        var free: [String: Double]
        var load: NodeRoom.Load
        /// Pods placed here by this plan.
        var placed: [JSON] = []
    }

    private var places: [Place] = []
    private let find: (ObjectKey) -> JSON?
    /// Some Pod keeps others away, so that every Pod must be looked at.
    private var mustLookAround: Bool

    /// - Parameters:
    ///   - room: what of the nodes is taken.
    ///   - find: a Pod by its key; called for those that are placed only where neighbours matter.
    init(nodes: [JSON], room: NodeRoom, find: @escaping (ObjectKey) -> JSON?) {
        self.find = find
        mustLookAround = !room.shunning.isEmpty
        for node in nodes where !node.isBeingDeleted {
            let load = room.loads[node.name] ?? NodeRoom.Load()
            var free: [String: Double] = [:]
            for (resource, amount) in node["status"]?["allocatable"]?.object ?? node["status"]?["capacity"]?.object ?? [:] {
                free[resource] = Quantity(amount)?.value
            }
            for (resource, amount) in load.requests { free[resource]? -= amount }
            free["pods"]? -= Double(load.activeCount)
            places.append(Place(node: node, name: node.name, free: free, load: load))
        }
    }

    private mutating func take(_ pod: JSON, _ index: Int) {
        for (resource, amount) in Self.requests(pod) { places[index].free[resource]? -= amount }
        places[index].free["pods"]? -= 1
        places[index].load.add(pod, by: 1)
        places[index].placed.append(pod)
        mustLookAround = mustLookAround || PodTopology.keepsAway(pod)
    }

    /// Every node with the Pods on it that have not ended.
    private func neighbourhood() -> [(node: JSON, pods: [JSON])] {
        places.map { place in
            (place.node, place.load.pods.sorted().compactMap(find).filter { !PodFacts.hasEnded($0) } + place.placed)
        }
    }

    // MARK: What a Pod asks for

    /// Amounts by resource: its containers together with those that run beside them, or its largest init container, and its overhead.
    static func requests(_ pod: JSON) -> [String: Double] {
        var together: [String: Double] = [:]
        for container in pod["spec"]?["containers"]?.array ?? [] {
            for (resource, amount) in requests(container: container) { together[resource, default: 0] += amount }
        }
        var beside: [String: Double] = [:]
        var peak: [String: Double] = [:]
        for container in pod["spec"]?["initContainers"]?.array ?? [] {
            let own = requests(container: container)
            if container["restartPolicy"] == "Always" {
                for (resource, amount) in own {
                    beside[resource, default: 0] += amount
                    together[resource, default: 0] += amount
                }
            } else {
                for (resource, amount) in own { peak[resource] = max(peak[resource] ?? 0, amount + (beside[resource] ?? 0)) }
            }
        }
        var result = together.merging(peak) { max($0, $1) }
        for (resource, amount) in pod["spec"]?["overhead"]?.object ?? [:] {
            result[resource, default: 0] += Quantity(amount)?.value ?? 0
        }
        return result
    }

    private static func requests(container: JSON) -> [String: Double] {
        var result: [String: Double] = [:]
        // A limit without a request is the request.
        for (resource, amount) in container["resources"]?["limits"]?.object ?? [:] { result[resource] = Quantity(amount)?.value }
        for (resource, amount) in container["resources"]?["requests"]?.object ?? [:] { result[resource] = Quantity(amount)?.value }
        return result
    }

    static func hostPorts(_ pod: JSON) -> Set<String> {
        var result: Set<String> = []
        for container in pod["spec"]?["containers"]?.array ?? [] {
            for port in container["ports"]?.array ?? [] {
                let isHost = pod["spec"]?["hostNetwork"]?.bool == true
                guard let number = port["hostPort"]?.integer ?? (isHost ? port["containerPort"]?.integer : nil), number > 0 else {
                    continue
                }
                result.insert("\(port["protocol"]?.string ?? "TCP") \(number)")
            }
        }
        return result
    }

    // MARK: Deciding

    enum Decision: Equatable {
        case node(String)
        /// No node is fit; a sentence that counts why.
        case none(String)
    }

    /// Places a Pod; the room is taken, so that the next Pod does not count on it.
    mutating func place(_ pod: JSON) -> Decision {
        if places.isEmpty { return .none("no nodes available to schedule pods") }
        let requests = Self.requests(pod)
        let ports = Self.hostPorts(pod)
        let topology = mustLookAround || PodTopology.looksAround(pod) ? PodTopology(pod, neighbourhood()) : nil
        var refusals: [String: Int] = [:]
        var best: (index: Int, score: [Double])?
        for index in places.indices {
            let reasons = refusal(places[index], pod, requests, ports, topology, index)
            guard reasons.isEmpty else {
                for reason in reasons { refusals[reason, default: 0] += 1 }
                continue
            }
            let score = score(places[index], pod, requests)
            if best.map({ $0.score.lexicographicallyPrecedes(score) }) ?? true { best = (index, score) }
        }
        if let best {
            take(pod, best.index)
            return .node(places[best.index].name)
        }
        let reasons = refusals.map { "\($0.value) \($0.key)" }.sorted()
        return .none("0/\(places.count) nodes are available: \(reasons.joined(separator: ", ")).")
    }

    private func refusal(
        _ place: Place, _ pod: JSON, _ requests: [String: Double], _ ports: Set<String>, _ topology: PodTopology?, _ index: Int
    ) -> [String] {
        let spec = pod["spec"] ?? [:]
        if let taint = NodeFit.untolerated(place.node, spec) {
            if taint["key"] == "node.kubernetes.io/unschedulable" { return ["node(s) were unschedulable"] }
            return ["node(s) had untolerated taint {\(taint["key"]?.string ?? ""): \(taint["value"]?.string ?? "")}"]
        }
        if !NodeFit.matches(place.node, spec) { return ["node(s) didn't match Pod's node affinity/selector"] }
        if ports.contains(where: { place.load.ports[$0] != nil }) { return ["node(s) didn't have free ports for the requested pod ports"] }
        var short: [String] = []
        if let left = place.free["pods"], left < 1 { short.append("Too many pods") }
        for (resource, amount) in requests.sorted(by: { $0.key < $1.key }) where amount > 0 {
            // Rounding of binary fractions must not refuse a node that is just large enough.
            if (place.free[resource] ?? 0) < amount - amount * 1e-9 { short.append("Insufficient \(resource)") }
        }
        return short.isEmpty ? topology?.refusal(index).map { [$0] } ?? [] : short
    }

    /// The larger the better, the first number counting most.
    private func score(_ place: Place, _ pod: JSON, _ requests: [String: Double]) -> [Double] {
        var preference = 0.0
        let preferred = pod["spec"]?["affinity"]?["nodeAffinity"]?["preferredDuringSchedulingIgnoredDuringExecution"]?.array ?? []
        for term in preferred where NodeFit.matches(place.node, term: term["preference"] ?? [:]) {
            preference += term["weight"]?.number ?? 0
        }
        let tolerations = pod["spec"]?["tolerations"]?.array ?? []
        for taint in place.node["spec"]?["taints"]?.array ?? [] where taint["effect"] == "PreferNoSchedule" {
            if !tolerations.contains(where: { NodeFit.tolerates($0, taint) }) { preference -= 100 }
        }
        let siblings = pod.controller?["uid"]?.string.flatMap { place.load.owners[$0] } ?? 0
        let shares = ["cpu", "memory"].map { resource -> Double in
            let total = Quantity(place.node["status"]?["allocatable"]?[resource])?.value ?? 0
            return total > 0 ? ((place.free[resource] ?? 0) - (requests[resource] ?? 0)) / total : 0
        }
        return [preference, -Double(siblings), shares.reduce(0, +), -Double(place.load.activeCount)]
    }

    // MARK: Writing it down

    /// Whether no other scheduler is named.
    static func isOurs(_ pod: JSON) -> Bool { (pod["spec"]?["schedulerName"]?.string ?? scheduler) == scheduler }

    /// The writes for all Pods that wait, in order of priority, then age.
    static func plan(nodes: [JSON], room: NodeRoom, now: Timestamp, find: @escaping (ObjectKey) -> JSON?) -> ObjectPlan {
        var placement = PlacementPlan(nodes: nodes, room: room, find: find)
        var plan = ObjectPlan()
        let waiting = room.waiting.compactMap(find)
        func rank(_ pod: JSON) -> (Int64, Int64, ObjectKey) {
            (-(pod["spec"]?["priority"]?.integer ?? 0), pod.created.seconds, ObjectKey(pod))
        }
        for pod in waiting.sorted(by: { rank($0) < rank($1) }) {
            if !(pod["spec"]?["schedulingGates"]?.array?.isEmpty ?? true) {
                plan.steps += waits(pod, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates", isTold: false, now)
                continue
            }
            switch placement.place(pod) {
            case .node(let node): plan.steps += bind(pod, node)
            case .none(let message): plan.steps += waits(pod, "Unschedulable", message, isTold: true, now)
            }
        }
        if plan.steps.contains(where: \.isBinding) { confirm(waiting, in: &plan) }
        return plan
    }

    /// A Pod that was placed before, which the view has not seen yet, still waits here: the room it took would be counted as free.
    private static func confirm(_ waiting: [JSON], in plan: inout ObjectPlan) {
        plan.steps.insert(contentsOf: waiting.map { .confirmUnchanged(.pod, $0) }, at: 0)
        plan.againIfStopped = .milliseconds(50)
    }

    private static func bind(_ pod: JSON, _ node: String) -> [ObjectPlan.Step] {
        [
            .bind([
                "apiVersion": "v1", "kind": "Binding",
                "metadata": ["name": .string(pod.name), "namespace": .string(pod.namespace), "uid": .string(pod.uid)],
                "target": ["apiVersion": "v1", "kind": "Node", "name": .string(node)],
            ]),
            .note(
                EventNote(pod, "Scheduled", "Successfully assigned \(pod.namespace)/\(pod.name) to \(node)", by: scheduler)),
        ]
    }

    private static func waits(_ pod: JSON, _ reason: String, _ message: String, isTold: Bool, _ now: Timestamp) -> [ObjectPlan.Step] {
        let old = pod.condition("PodScheduled")
        if Conditions.isSame(old, "False", reason), old?["message"]?.string == message { return [] }
        var conditions = pod["status"]?["conditions"]?.array ?? []
        Conditions.set("PodScheduled", "False", reason, message, in: &conditions, now: now)
        var new = pod
        new[path: ["status", "conditions"]] = .array(conditions)
        let write = ObjectPlan.Step.updateStatus(.pod, new)
        return isTold ? [write, .note(EventNote(pod, isWarning: true, "FailedScheduling", message, by: scheduler))] : [write]
    }
}
