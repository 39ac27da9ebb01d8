import CloudHub
import HubProtocol
import Learning
import Resources

/// A cloud, some edges and the links between them in one loop: every choice comes from a seed, time is counted, nothing waits.
struct HubSimulation {
    /// How often each fault happens, of 1000 steps.
    struct Faults {
        var lost = 4
        var doubled = 6
        var overtaken = 3
        var cut = 4
        var partition = 2
        var hubCrash = 2
        var edgeCrash = 3
        var powerCut = 4
        var diskFull = 2
        var clockJump = 3
        static let none = Faults(
            lost: 0, doubled: 0, overtaken: 0, cut: 0, partition: 0, hubCrash: 0, edgeCrash: 0, powerCut: 0, diskFull: 0, clockJump: 0)
    }

    /// Messages under way; the first of each is the next to arrive.
    struct Wire {
        var toHub: [[UInt8]] = []
        var toEdge: [[UInt8]] = []
    }

    let seed: UInt64
    private var random: SeededGenerator
    private var faults = Faults()
    private(set) var now: Duration = .zero
    private(set) var cloud = SimulatedCloud()
    private(set) var hub: SimulatedHub
    private(set) var edges: [SimulatedEdge]
    private var wires: [Int: Wire] = [:]
    private var partitions: [Int: Duration] = [:]
    private var fullDisks: [Int: Duration] = [:]
    private var madeCount: Int64 = 0
    private var eventCount = 0
    /// Most that was ever seen in a queue.
    private(set) var queueMax = 0
    private(set) var violations: [String] = []

    init(seed: UInt64, edgeCount: Int) {
        self.seed = seed
        random = SeededGenerator(seed: seed)
        edges = (0..<edgeCount).map { SimulatedEdge($0) }
        hub = SimulatedHub(cloud)
    }

    private mutating func chance(_ perMille: Int) -> Bool { Int.random(in: 0..<1000, using: &random) < perMille }
    private mutating func pick(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    // MARK: Run

    /// So many steps with faults, then steps without until nothing moves.
    mutating func run(steps: Int) -> [String] {
        for _ in 0..<steps {
            act()
            step()
            fault()
        }
        faults = .none
        partitions = [:]
        fullDisks = [:]
        for index in edges.indices { edges[index].disk.isFull = false }
        var quietSteps = 0
        for _ in 0..<60_000 {
            step()
            quietSteps = isQuiet ? quietSteps + 1 : 0
            if quietSteps > 40 { break }
        }
        check()
        return violations + cloud.violations
    }

    private var isQuiet: Bool {
        hub.watched == cloud.changes.count && wires.count == edges.count
            && wires.values.allSatisfy { $0.toHub.isEmpty && $0.toEdge.isEmpty }
            && edges.allSatisfy { $0.inbox.isEmpty && !$0.isDirty && $0.session?.isLive == true && $0.replica.outbox.unansweredCount == 0 }
            && hub.sessions.values.allSatisfy { $0.pure.isSettled && $0.reports.isEmpty }
    }

    // MARK: Users and agents

    private mutating func act() {
        switch pick(10) {
        case 0, 1: changeCloud()
        case 2, 3, 4: actOnEdge(pick(edges.count))
        default: break
        }
    }

    private func configMap(_ number: Int) -> ObjectRef {
        let kind = number % 2 == 0 ? NodeNeeds.configMap : NodeNeeds.secret
        return ObjectRef(kind, ObjectKey(namespace: "default", name: "settings-\(number)"))
    }

    private mutating func changeCloud() {
        if pick(3) == 0 {
            let ref = configMap(pick(4))
            if cloud.objects[ref] != nil, pick(4) == 0 { return cloud.delete(ref) }
            var object = cloud.objects[ref] ?? ["metadata": ["namespace": "default", "name": .string(ref.key.name)]]
            object["data"] = ["value": .integer(Int64(pick(1000)))]
            _ = cloud.write(ref, object)
            return
        }
        let ref = ObjectRef(.pod, ObjectKey(namespace: "default", name: "pod-\(pick(6))"))
        guard var pod = cloud.objects[ref] else {
            madeCount += 1
            let volumes: JSON =
                pick(2) == 0 ? [["configMap": ["name": .string("settings-\(pick(2) * 2)")]], ["secret": ["secretName": "settings-1"]]] : []
            _ = cloud.write(
                ref,
                [
                    "metadata": [
                        "namespace": "default", "name": .string(ref.key.name), "annotations": ["made": .string(String(madeCount))],
                    ],
                    "spec": ["nodeName": .string("edge-\(pick(edges.count))"), "volumes": volumes, "version": 1],
                ])
            return
        }
        if pick(3) == 0 { return cloud.delete(ref) }
        pod[path: ["spec", "version"]] = .integer((pod["spec"]?["version"]?.integer ?? 0) + 1)
        _ = cloud.write(ref, pod)
    }

    private mutating func actOnEdge(_ index: Int) {
        let seconds = now.components.seconds + edges[index].clockSkew
        let pods = edges[index].replica.refs.filter { $0.kind == .pod }.sorted()
        if edges[index].replica.view(edges[index].ref) == nil {
            let node: JSON = ["metadata": ["name": .string(edges[index].name)], "status": ["step": 0]]
            try? edges[index].replica.create(edges[index].ref, node, topic: .status, nowSeconds: seconds)
            return edges[index].isDirty = true
        }
        switch pick(6) {
        case 0:
            eventCount += 1
            let name = "\(edges[index].name).\(edges[index].replica.upcomingID)"
            let event: JSON = ["metadata": ["namespace": "default", "name": .string(name)], "count": .integer(Int64(eventCount))]
            let ref = ObjectRef(.event, ObjectKey(namespace: "default", name: name))
            let (before, droppedBefore) = (edges[index].replica.outbox.refs, edges[index].replica.outbox.droppedCount(.event))
            guard (try? edges[index].replica.create(ref, event, topic: .event, nowSeconds: seconds)) != nil else { return }
            if edges[index].replica.outbox.droppedCount(.event) > droppedBefore {
                // At the limit the oldest are dropped, and counted.
                edges[index].dropped.formUnion(Set(before).subtracting(edges[index].replica.outbox.refs).map(\.key.name))
            }
            promise(index) { $0.acceptedEvents[name] = event }
        case 1 where !pods.isEmpty:
            let ref = pods[pick(pods.count)]
            guard edges[index].replica.view(ref) != nil, pick(4) == 0 else { return }
            try? edges[index].replica.delete(ref, uid: "", nowSeconds: seconds)
            edges[index].isDirty = true
        case 2...4 where !pods.isEmpty: step(status: pods[pick(pods.count)], of: index, seconds)
        default: step(status: edges[index].ref, of: index, seconds)
        }
    }

    private mutating func step(status ref: ObjectRef, of index: Int, _ seconds: Int64) {
        guard var object = edges[index].replica.view(ref) else { return }
        let step = (object["status"]?["step"]?.integer ?? 0) + 1
        object["status"] = ["step": .integer(step), "text": .string(String(repeating: "x", count: pick(40)))]
        guard (try? edges[index].replica.change(ref, to: object, part: .status, nowSeconds: seconds)) != nil else { return }
        let uid = object["metadata"]?["uid"]?.string ?? ""
        promise(index) { if !uid.isEmpty { $0.acceptedSteps[uid] = max(step, $0.acceptedSteps[uid] ?? 0) } }
    }

    private var promises: [Int: [(inout SimulatedEdge) -> Void]] = [:]

    /// What counts once the disk is synced.
    private mutating func promise(_ index: Int, _ kept: @escaping (inout SimulatedEdge) -> Void) {
        edges[index].isDirty = true
        promises[index, default: []].append(kept)
    }

    // MARK: The world moves

    private mutating func step() {
        now += .milliseconds(pick(40))
        switch pick(8) {
        case 0: watch()
        case 1: apply()
        case 2: pumpHub()
        case 3: tick()
        default:
            let index = pick(edges.count)
            pick(2) == 0 ? deliver(index) : work(index)
        }
        for (node, until) in partitions where until <= now { partitions[node] = nil }
        for (node, until) in fullDisks where until <= now {
            fullDisks[node] = nil
            edges[node].disk.isFull = false
        }
    }

    private mutating func watch() {
        for _ in 0..<(1 + pick(4)) where hub.watched < cloud.changes.count {
            let change = cloud.changes[hub.watched]
            hub.watched += 1
            hub.mark(hub.catalog.received(change.kind, change.event))
        }
    }

    private mutating func apply() {
        for node in hub.sessions.keys.sorted() {
            guard let report = hub.sessions[node]?.reports.first else { continue }
            hub.sessions[node]!.reports.removeFirst()
            let (outcome, object) = cloud.apply(report, node: "edge-\(node)")
            if let object { hub.mark(hub.catalog.wrote(report.ref.kind, object)) }
            perform(hub.sessions[node]!.pure.settle([(report, outcome, object.map { Stamp.status($0) })], now: now), node)
        }
    }

    private mutating func pumpHub() {
        for node in hub.sessions.keys.sorted() {
            let catalog = hub.catalog
            let effects = hub.sessions[node]?.pure.pump(now: now) { catalog.lookUp("edge-\(node)", $0) } ?? []
            perform(effects, node)
            queueMax = max(queueMax, hub.sessions[node]?.pure.queuedCount ?? 0, wires[node]?.toEdge.count ?? 0)
        }
    }

    private mutating func tick() {
        now += .seconds(pick(4))
        for node in hub.sessions.keys.sorted() { perform(hub.sessions[node]?.pure.tick(now: now) ?? [], node) }
        for index in edges.indices {
            guard edges[index].session != nil else { continue }
            perform(edges[index].session!.tick(now: now), edge: index)
        }
    }

    /// A message arrives, or does not.
    private mutating func deliver(_ node: Int) {
        guard wires[node] != nil else { return }
        guard partitions[node] == nil else { return }
        let toHub = pick(2) == 0
        var queue = toHub ? wires[node]!.toHub : wires[node]!.toEdge
        guard !queue.isEmpty else { return }
        if queue.count > 1, chance(faults.overtaken * 10) { queue.swapAt(0, 1) }
        let message = queue.removeFirst()
        if chance(faults.doubled * 10) { queue.insert(message, at: 0) }
        if toHub { wires[node]!.toHub = queue } else { wires[node]!.toEdge = queue }
        if chance(faults.lost * 5) { return }
        if toHub { hubReceives(node, message) } else { edges[node].inbox.append(message) }
    }

    private mutating func hubReceives(_ node: Int, _ message: [UInt8]) {
        guard hub.sessions[node] != nil else { return }
        let catalog = hub.catalog
        perform(hub.sessions[node]!.pure.receive(message, now: now) { catalog.wants("edge-\(node)") }, node)
    }

    private mutating func perform(_ effects: [HubSession.Effect], _ node: Int) {
        for effect in effects {
            switch effect {
            case .send(let message): wires[node]?.toEdge.append(message)
            case .hello:
                perform(hub.sessions[node]!.pure.admit(hub.catalog.wants("edge-\(node)"), now: now, timeSeconds: 0), node)
            case .report(let report): hub.sessions[node]!.reports.append(report)
            case .end: hub.sessions[node] = nil
            case .live, .stream: break
            }
        }
    }

    private mutating func perform(_ effects: [EdgeSession.Effect], edge index: Int) {
        for effect in effects {
            switch effect {
            case .send(let message): wires[index]?.toHub.append(message)
            case .welcomed: edges[index].backoff.succeeded()
            case .end: hangUp(index)
            case .compared, .stream: break
            }
        }
    }

    /// The edge has no link any more; the hub finds out by itself.
    private mutating func hangUp(_ index: Int) {
        edges[index].session = nil
        edges[index].inbox = []
        wires[index] = nil
        edges[index].replica.reopen()
        edges[index].dialAt = now + edges[index].backoff.failed(random: random.next())
    }

    /// The edge's process does what it has to: dial, receive, write, sync, acknowledge, send. Each is a step of its own.
    private mutating func work(_ index: Int) {
        if edges[index].session == nil { return dial(index) }
        for message in edges[index].inbox.prefix(1 + pick(8)) {
            guard edges[index].session != nil else { break }
            edges[index].inbox.removeFirst()
            let effects = edges[index].receive(message, now: now)
            edges[index].isDirty = true
            perform(effects, edge: index)
        }
        guard commit(index) else { return }
        guard edges[index].session != nil else { return }
        perform(edges[index].stored(now: now), edge: index)
        let reports = edges[index].disk.synced.reports
        let effects = edges[index].pump(now: now) { reports[$0]?.report.body }
        perform(effects, edge: index)
        queueMax = max(queueMax, wires[index]?.toHub.count ?? 0)
    }

    /// - Returns: whether everything is on disk; after a power cut between writing and syncing it is not.
    private mutating func commit(_ index: Int) -> Bool {
        let operations = edges[index].replica.takeOperations()
        guard edges[index].isDirty || !operations.isEmpty else { return true }
        edges[index].isDirty = false
        if edges[index].disk.isFull, !operations.isEmpty {
            // The writers are told so; the link ends, and the replica is read again.
            promises[index] = nil
            edges[index].crash(powerCut: false)
            wires[index] = nil
            edges[index].dialAt = now + edges[index].backoff.failed(random: random.next())
            return false
        }
        edges[index].disk.write(operations)
        if chance(faults.powerCut * 5) {
            endProcess(index, powerCut: true)
            return false
        }
        edges[index].disk.sync()
        for kept in promises.removeValue(forKey: index) ?? [] { kept(&edges[index]) }
        watchDisk(index)
        queueMax = max(queueMax, edges[index].replica.outbox.count)
        return true
    }

    private mutating func endProcess(_ index: Int, powerCut: Bool) {
        edges[index].crash(powerCut: powerCut)
        // A process that ends without a power cut may have written more than it has told its writers.
        promises[index] = nil
        wires[index] = nil
        edges[index].dialAt = now + .milliseconds(100)
    }

    private mutating func dial(_ index: Int) {
        guard commit(index) else { return }
        guard edges[index].dialAt <= now, partitions[index] == nil else { return }
        wires[index] = Wire()
        hub.sessions[index] = SimulatedHub.Session(pure: HubSession(seed: random.next(), now: now))
        var session = EdgeSession(now: now)
        let effects = session.hello(store: UInt64(index), program: "test", edges[index].replica, now: now)
        edges[index].session = session
        perform(effects, edge: index)
    }

    // MARK: Faults

    private mutating func fault() {
        let node = pick(edges.count)
        if chance(faults.cut), wires[node] != nil {
            wires[node] = nil
            hub.sessions[node] = nil
            if edges[node].session != nil { hangUp(node) }
        }
        if chance(faults.partition) { partitions[node] = now + .seconds(1 + pick(100)) }
        if chance(faults.hubCrash) { crashHub() }
        if chance(faults.edgeCrash) { endProcess(node, powerCut: false) }
        if chance(faults.powerCut) { endProcess(node, powerCut: true) }
        if chance(faults.diskFull) {
            edges[node].disk.isFull = true
            fullDisks[node] = now + .seconds(1 + pick(20))
        }
        if chance(faults.clockJump) { edges[node].clockSkew += Int64(pick(200_000)) - 100_000 }
    }

    private mutating func crashHub() {
        hub = SimulatedHub(cloud)
        for index in edges.indices where edges[index].session != nil { hangUp(index) }
        wires = [:]
    }

    // MARK: Checks

    /// What is on disk never goes back: not to an older version, not to a Pod that was gone.
    private mutating func watchDisk(_ index: Int) {
        let held = edges[index].disk.synced.objects.filter { $0.key.kind == .pod }
        for (ref, object) in held {
            let pod = (try? JSONParser.parse(object.bytes)) ?? .null
            let made = pod["metadata"]?["annotations"]?["made"]?.string.flatMap { Int64($0) } ?? -1
            let version = pod["spec"]?["version"]?.integer ?? -1
            if let before = edges[index].seen[ref] {
                if made < before.made || (made == before.made && version < before.version) {
                    violations.append("\(edges[index].name): \(ref) went from \(before) back to \(made), \(version)")
                }
                if before.isGone, made <= before.made { violations.append("\(edges[index].name): \(ref) \(made) came back from the dead") }
            }
            edges[index].seen[ref] = (made, version, false)
        }
        for ref in edges[index].seen.keys where held[ref] == nil { edges[index].seen[ref]!.isGone = true }
    }

    private mutating func check() {
        if !isQuiet {
            let links = wires.mapValues { "\($0.toHub.count) \($0.toEdge.count)" }
            let hubs = hub.sessions.mapValues { "settled \($0.pure.isSettled) queued \($0.pure.queuedCount) reports \($0.reports.count)" }
            let nodes = edges.map { "live \($0.session?.isLive ?? false) outbox \($0.replica.outbox.unansweredCount) dirty \($0.isDirty)" }
            violations.append("no rest: \(links) \(hubs) \(nodes) \(hub.watched) of \(cloud.changes.count)")
        }
        for edge in edges {
            let wanted = hub.catalog.wants(edge.name).map(\.0).sorted()
            let held = edge.disk.synced.objects.keys.sorted()
            if wanted != held { violations.append("\(edge.name) holds \(held), needed are \(wanted)") }
            for ref in wanted {
                let (here, there) = (edge.replica.view(ref).map { Stamp($0) }, cloud.objects[ref].map { Self.stamp($0, ref) })
                if here != there { violations.append("\(edge.name): \(ref) differs from the cloud's") }
            }
            for (name, event) in edge.acceptedEvents where cloud.events[name] != event && !edge.dropped.contains(name) {
                violations.append("\(name) was accepted and is lost or another")
            }
            if edge.dropped.count > edge.acceptedEvents.count / 2 { violations.append("\(edge.name) dropped \(edge.dropped.count) events") }
            for (uid, step) in edge.acceptedSteps {
                guard let object = cloud.objects.values.first(where: { $0["metadata"]?["uid"]?.string == uid }) else { continue }
                let told = object["status"]?["step"]?.integer ?? 0
                if told < step { violations.append("\(edge.name): step \(step) of \(uid) was accepted, the cloud has \(told)") }
            }
        }
        if queueMax > 1200 { violations.append("a queue had \(queueMax) entries") }
    }

    private static func stamp(_ object: JSON, _ ref: ObjectRef) -> Stamp {
        var object = object
        object["kind"] = .string(ref.kind.kind)
        object["apiVersion"] = .string(ref.kind.apiVersion)
        return Stamp(object)
    }
}
