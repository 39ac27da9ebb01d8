import Resources

/// What a waiting Pod demands of its neighbours: spread over zones, company, distance. Pure.
///
/// Only what is required is looked at: `topologySpreadConstraints` with `DoNotSchedule`, and the required terms of Pod affinity and
/// anti-affinity, also the anti-affinity of those that are there.
struct PodTopology {
    private let pod: JSON
    private let nodes: [(node: JSON, pods: [JSON])]
    private let spreads: [JSON]
    private let company: [JSON]
    private let distance: [JSON]

    init(_ pod: JSON, _ nodes: [(node: JSON, pods: [JSON])]) {
        self.pod = pod
        self.nodes = nodes
        spreads = (pod["spec"]?["topologySpreadConstraints"]?.array ?? []).filter { $0["whenUnsatisfiable"] != "ScheduleAnyway" }
        company = Self.terms(pod, "podAffinity")
        distance = Self.terms(pod, "podAntiAffinity")
    }

    /// Whether it keeps others away, wherever they ask to go.
    static func keepsAway(_ pod: JSON) -> Bool { !terms(pod, "podAntiAffinity").isEmpty }

    /// Whether it asks for anything of its neighbours.
    static func looksAround(_ pod: JSON) -> Bool {
        let spec = pod["spec"]
        return !(spec?["topologySpreadConstraints"]?.array ?? []).isEmpty || !terms(pod, "podAffinity").isEmpty || keepsAway(pod)
    }

    private static func terms(_ pod: JSON, _ name: String) -> [JSON] {
        pod["spec"]?["affinity"]?[name]?["requiredDuringSchedulingIgnoredDuringExecution"]?.array ?? []
    }

    /// Why the node at an index does not do; nil if it does.
    func refusal(_ index: Int) -> String? {
        for spread in spreads {
            if let reason = spreadRefusal(spread, index) { return reason }
        }
        for term in company where !hasCompany(term, index) { return "node(s) didn't match pod affinity rules" }
        for term in distance where near(index, term).contains(where: { matches($0, term, of: pod) }) {
            return "node(s) didn't match pod anti-affinity rules"
        }
        let isShunned = nodes.indices.contains { other in
            nodes[other].pods.contains { neighbour in
                Self.terms(neighbour, "podAntiAffinity").contains { term in
                    isSame(other, index, term["topologyKey"]?.string ?? "") && matches(pod, term, of: neighbour)
                }
            }
        }
        return isShunned ? "node(s) didn't satisfy existing pods anti-affinity rules" : nil
    }

    private func isSame(_ left: Int, _ right: Int, _ key: String) -> Bool {
        guard let value = nodes[left].node.labels[key] else { return false }
        return value == nodes[right].node.labels[key]
    }

    /// The Pods in the same part of the topology.
    private func near(_ index: Int, _ term: JSON) -> [JSON] {
        let key = term["topologyKey"]?.string ?? ""
        return nodes.indices.filter { isSame($0, index, key) }.flatMap { nodes[$0].pods }
    }

    /// Whether a term of `owner` means a Pod.
    private func matches(_ other: JSON, _ term: JSON, of owner: JSON) -> Bool {
        let namespaces = (term["namespaces"]?.array ?? []).compactMap(\.string)
        // A selector of namespaces that is there means all of them here: their labels are not at hand.
        let isInReach =
            term["namespaceSelector"]?.object != nil
            || (namespaces.isEmpty ? other.namespace == owner.namespace : namespaces.contains(other.namespace))
        guard isInReach, let value = term["labelSelector"], let selector = LabelSelector(value) else { return false }
        return !other.isBeingDeleted && selector.matches(other.labels)
    }

    private func hasCompany(_ term: JSON, _ index: Int) -> Bool {
        guard nodes[index].node.labels[term["topologyKey"]?.string ?? ""] != nil else { return false }
        if near(index, term).contains(where: { matches($0, term, of: pod) }) { return true }
        // The first of a company that keeps to itself may begin anywhere.
        let isFirst = !nodes.contains { $0.pods.contains { matches($0, term, of: pod) } }
        return isFirst && matches(pod, term, of: pod)
    }

    private func spreadRefusal(_ spread: JSON, _ index: Int) -> String? {
        let key = spread["topologyKey"]?.string ?? ""
        guard let value = nodes[index].node.labels[key]?.string else {
            return "node(s) didn't match pod topology spread constraints (missing required label)"
        }
        guard let selector = LabelSelector(spread["labelSelector"]) else { return nil }
        var counts: [String: Int] = [:]
        for entry in nodes where NodeFit.matches(entry.node, pod["spec"] ?? [:]) {
            guard let zone = entry.node.labels[key]?.string else { continue }
            counts[zone, default: 0] += entry.pods.count {
                $0.namespace == pod.namespace && !$0.isBeingDeleted && selector.matches($0.labels)
            }
        }
        let minDomains = Int(spread["minDomains"]?.integer ?? 1)
        let least = counts.count < minDomains ? 0 : counts.values.min() ?? 0
        let own = (counts[value] ?? 0) + (selector.matches(pod.labels) ? 1 : 0)
        return own - least > Int(spread["maxSkew"]?.integer ?? 1) ? "node(s) didn't match pod topology spread constraints" : nil
    }
}
