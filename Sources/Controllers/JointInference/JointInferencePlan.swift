import Resources

/// A small model beside the data that asks a large one about hard samples: Sedna's joint inference. Keeps both workers, and tells how they
/// stand. Pure.
struct JointInferencePlan: Sendable {
    static let component = "joint-inference-controller"
    /// Sedna's port of the large model, where its template sets no other.
    static let bigModelPort: Int64 = 5000

    /// Answers of many edges are summed no more often than this many of them a second.
    private static let figuresPerSecond: Int64 = 16

    let service: JSON
    let world: JobWorld
    /// Addresses of nodes, by name.
    let addresses: [String: String]
    let places: EdgePlaces

    /// - Parameter nodes: all.
    init(service: JSON, world: JobWorld, nodes: [JSON]) {
        (self.service, self.world) = (service, world)
        addresses = Dictionary(nodes.compactMap { node in Self.address(node).map { (node.name, $0) } }, uniquingKeysWith: { $1 })
        places = EdgePlaces(service["spec"]?["edgeWorker"] ?? [:], nodes: nodes)
    }

    private var spec: JSON { service["spec"] ?? [:] }
    private var pods: WorkerPods { WorkerPods(job: service) }
    private var inputs: RoundInputs { RoundInputs(job: service, world: world) }

    /// Where a node is reached.
    static func address(_ node: JSON?) -> String? {
        let addresses = node?["status"]?["addresses"]?.array ?? []
        return (addresses.first { $0["type"]?.string == "InternalIP" } ?? addresses.first)?["address"]?.string
    }

    func plan() -> ObjectPlan {
        if service.isBeingDeleted { return ObjectPlan() }
        var status = service["status"] ?? [:]
        if status["startTime"] == nil { status["startTime"] = .string(world.now.text) }
        var plan = ObjectPlan()
        var notes: [EventNote] = []
        do throws(JobObstacle) {
            let orders = try orders()
            plan.steps = ServicePods(pods: pods).steps(orders.filter { stranger($0) == nil }, there: world.pods)
            if orders.contains(where: { stranger($0) != nil }) { plan.lookAgain(afterSeconds: 30) }
            stand(orders, &status, &notes)
        } catch { set("Pending", error.reason, error.message, &status, &notes) }
        if let seconds = count(&status) { plan.lookAgain(afterSeconds: seconds) }
        if status != service["status"] {
            var new = service
            new["status"] = status
            plan.steps += [.updateStatus(.jointInferenceService, new)] + notes.map { .note($0) }
        }
        return plan
    }

    // MARK: Workers

    private func orders() throws(JobObstacle) -> [WorkerOrder] {
        let port = inputs.variable("BIG_MODEL_BIND_PORT", of: "cloudWorker") ?? "\(Self.bigModelPort)"
        var cloud = WorkerPods.Fittings(node: world.cloudNode)
        try mountModel("cloudWorker", &cloud)
        cloud.add("BIG_MODEL_BIND_PORT", port)
        let cloudOrder = WorkerOrder(
            role: .init(word: "cloud", type: "cloud", round: nil), template: inputs.template("cloudWorker"), fittings: cloud)

        var edge = WorkerPods.Fittings()
        try mountModel("edgeWorker", &edge)
        inputs.addMining(spec["edgeWorker"]?["hardExampleMining"], &edge)
        // Where the cloud's worker has come to; before that the small model answers alone.
        let there = world.pods[pods.name(cloudOrder.role)].flatMap(PodFacts.nodeName) ?? inputs.node("cloudWorker") ?? world.cloudNode
        edge.add("BIG_MODEL_IP", there.flatMap { addresses[$0] } ?? "")
        edge.add("BIG_MODEL_PORT", port)
        edge.add("JOINT", "true")
        let template = inputs.template("edgeWorker")
        guard let nodes = places.nodes else {
            return [cloudOrder, WorkerOrder(role: .init(word: "edge", type: "edge", round: nil), template: template, fittings: edge)]
        }
        return [cloudOrder]
            + nodes.map { node in
                let role = WorkerPods.Role(word: "edge-\(EdgePlaces.word(node))", type: "edge", round: nil)
                return WorkerOrder(role: role, template: EdgePlaces.put(template, on: node), fittings: edge)
            }
    }

    /// A Pod of somebody else's that has the worker's name.
    private func stranger(_ order: WorkerOrder) -> JobObstacle? { world.obstacle(toPod: pods.name(order.role)) }

    private func mountModel(_ worker: String, _ fittings: inout WorkerPods.Fittings) throws(JobObstacle) {
        let name = spec[worker]?["model"]?["name"]?.string ?? ""
        let model = try inputs.model(name)
        if model.model["spec"]?["signature"]?.string == "required" { fittings.annotations[ModelKeys.podAnnotation] = "required" }
        guard let source = model.source else {
            throw JobObstacle(reason: "ModelNotReady", message: "model \(name) has no file yet")
        }
        if model.serving > 0 {
            inputs.mountServing(name, pollPeriod: 1, &fittings)
        } else {
            fittings.add("MODEL_URL", inputs.mountModel(source, as: "serving", &fittings))
        }
        // What the worker counts, and which versions were good, outlives its process.
        let lives = "\(WorkerPods.prefix)/lives"
        fittings.volumes.append((["name": "jobs-lives", "emptyDir": [:]], lives))
        fittings.add("LIVES_URL", lives)
    }

    // MARK: Status

    /// How the workers stand, as a condition and as `active` and `failed`.
    private func stand(_ orders: [WorkerOrder], _ status: inout JSON, _ notes: inout [EventNote]) {
        var (active, failed): (Int64, Int64) = (0, 0)
        var (failure, wait): ((String, String)?, (String, String)?)
        var (answering, isCloudThere): ([String], Bool) = ([], false)
        for order in orders {
            let name = pods.name(order.role), pod = world.pods[name], isEdge = order.role.type == "edge"
            let node = pod.flatMap(DaemonSetNodes.node)
            switch WorkerOutcome(pod, nodes: world.nodes) {
            case .running, .completed:
                active += 1
                if isEdge { answering.append(node ?? "") } else { isCloudThere = true }
            case .failed(let reason, let message, _):
                failed += 1
                failure = failure ?? (reason, message)
            // A node that is away keeps nobody waiting but its own worker.
            case .starting where isEdge && places.nodes != nil && node.map(places.isAbsent) ?? false: break
            case .starting(let reason, let message): wait = wait ?? (reason, message)
            case .absent:
                let stranger = stranger(order)
                wait = wait ?? (stranger?.reason ?? "WorkerCreated", stranger?.message ?? "pod \(name) is made")
            }
        }
        (status["active"], status["failed"]) = (.integer(active), .integer(failed))
        let absence = places.absence(of: places.nodes ?? answering)
        if let failure {
            set("Failed", failure.0, failure.1, &status, &notes)
        } else if let wait {
            set("Pending", wait.0, wait.1, &status, &notes)
        } else if !places.missing.isEmpty {
            set("Pending", "NodeNotFound", places.missing.prefix(5).joined(separator: "; "), &status, &notes)
        } else if answering.isEmpty {
            set("Pending", absence.isEmpty ? "NoNodes" : "NodeNotReady", absence.isEmpty ? Self.noNodes : absence, &status, &notes)
        } else if isCloudThere {
            let words = running(answering) + (absence.isEmpty ? "" : "; \(absence)")
            set("Running", absence.isEmpty ? "WorkersRunning" : "NodeNotReady", words, &status, &notes)
        }
    }

    private static let noNodes =
        "no node has a worker: none is as spec.edgeWorker.nodes and nodeSelector, and the template's own selectors, want it; label a node, or join one"

    private func running(_ nodes: [String]) -> String {
        guard places.nodes != nil else { return "both workers run" + (nodes[0].isEmpty ? "" : "; at the edge on \(nodes[0])") }
        return "the cloud worker runs, and \(nodes.count == 1 ? "one edge worker" : "\(nodes.count) edge workers")"
    }

    /// What edge workers tell, in the status.
    ///
    /// - Returns: seconds after which it is to be done, where it was done a moment ago.
    private func count(_ status: inout JSON) -> Int64? {
        let type = WorkerContract.label(service["kind"]?.string ?? "", "worker-type")
        let edges = world.pods.values.filter { $0.labels[type]?.string == "edge" }.sorted { $0.name < $1.name }
        let known = status["workers"]?.array ?? []
        let listed = Set(edges.prefix(JointFigures.workersMax).map(\.uid))
        if let last = status.time("updateTime"), Set(known.map { $0["uid"]?.string ?? "" }) == listed {
            let rest = Int64(edges.count) / Self.figuresPerSecond - (world.now.seconds - last.seconds)
            if rest > 0 { return rest }
        }
        let figures = JointFigures(edges.map { .init(pod: $0, state: state($0)) }, status: status)
        let before = (status["workers"], status["past"], status["metrics"])
        (status["workers"], status["past"], status["metrics"]) = (figures.workers, figures.past, figures.metrics)
        if before != (status["workers"], status["past"], status["metrics"]) { status["updateTime"] = .string(world.now.text) }
        return nil
    }

    private func state(_ pod: JSON) -> String {
        switch WorkerOutcome(pod, nodes: world.nodes) {
        case .running, .completed: DaemonSetNodes.node(of: pod).map(places.isAbsent) ?? false ? "NodeNotReady" : "Running"
        case .failed: "Failed"
        case .starting: "Pending"
        case .absent: "Ending"
        }
    }

    /// One of Sedna's conditions is True at a time and stands last; Failed is not for ever here.
    private func set(_ type: String, _ reason: String, _ message: String, _ status: inout JSON, _ notes: inout [EventNote]) {
        for key in ["active", "failed"] where status[key] == nil { status[key] = 0 }
        var conditions = status["conditions"]?.array ?? []
        if let last = conditions.last, last["type"]?.string == type, last["reason"]?.string == reason, last["message"]?.string == message {
            return
        }
        let wasTrue = conditions.first { $0["type"]?.string == type }?["status"] == "True"
        let known = conditions.first { $0["type"]?.string == type }?["lastTransitionTime"]
        conditions.removeAll { $0["type"]?.string == type }
        for place in conditions.indices where conditions[place]["status"] == "True" {
            conditions[place]["status"] = "False"
            conditions[place]["lastTransitionTime"] = .string(world.now.text)
        }
        conditions.append([
            "type": .string(type), "status": "True", "reason": .string(reason), "message": .string(message),
            "lastHeartbeatTime": .string(world.now.text),
            "lastTransitionTime": wasTrue ? known ?? .string(world.now.text) : .string(world.now.text),
        ])
        status["conditions"] = .array(conditions)
        notes.append(EventNote(service, isWarning: type == "Failed", reason, message, by: Self.component))
    }
}
