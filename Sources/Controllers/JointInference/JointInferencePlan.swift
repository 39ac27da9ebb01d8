import Resources

/// A small model beside the data that asks a large one about hard samples: Sedna's joint inference. Keeps both workers, and tells how they
/// stand. Pure.
struct JointInferencePlan: Sendable {
    static let component = "joint-inference-controller"
    /// Sedna's port of the large model, where its template sets no other.
    static let bigModelPort: Int64 = 5000

    let service: JSON
    let world: JobWorld
    /// Addresses of nodes, by name.
    let addresses: [String: String]

    private var spec: JSON { service["spec"] ?? [:] }
    private var pods: WorkerPods { WorkerPods(job: service) }
    private var inputs: RoundInputs { RoundInputs(job: service, world: world) }

    func plan() -> ObjectPlan {
        if service.isBeingDeleted { return ObjectPlan() }
        var status = service["status"] ?? [:]
        if status["startTime"] == nil { status["startTime"] = .string(world.now.text) }
        var plan = ObjectPlan()
        var notes: [EventNote] = []
        do throws(JobObstacle) {
            let orders = try orders()
            plan.steps = ServicePods(pods: pods).steps(orders, there: world.pods)
            stand(orders, &status, &notes)
        } catch { set("Pending", error.reason, error.message, &status, &notes) }
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
        return [
            cloudOrder,
            WorkerOrder(role: .init(word: "edge", type: "edge", round: nil), template: inputs.template("edgeWorker"), fittings: edge),
        ]
    }

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
    }

    // MARK: Status

    private func stand(_ orders: [WorkerOrder], _ status: inout JSON, _ notes: inout [EventNote]) {
        var active: Int64 = 0
        var failed: Int64 = 0
        var obstacle: (reason: String, message: String)?
        for order in orders {
            let pod = world.pods[pods.name(order.role)]
            switch WorkerOutcome(pod, nodes: world.nodes) {
            case .running, .completed: active += 1
            case .failed(let reason, let message, _):
                failed += 1
                obstacle = (reason, message)
            case .starting(let reason, let message): obstacle = obstacle ?? (reason, message)
            case .absent: obstacle = obstacle ?? ("WorkerCreated", "pod \(pods.name(order.role)) is made")
            }
            if order.role.type == "edge", let told = pod.flatMap({ WorkerState($0) })?.report.ownerInfo {
                status["metrics"] = metrics(told)
            }
        }
        status["active"] = .integer(active)
        status["failed"] = .integer(failed)
        let edge = orders.last.flatMap { world.pods[pods.name($0.role)] }.flatMap(PodFacts.nodeName)
        if active == Int64(orders.count) {
            set("Running", "WorkersRunning", "both workers run\(edge.map { "; at the edge on \($0)" } ?? "")", &status, &notes)
        } else if failed > 0, let obstacle {
            set("Failed", obstacle.reason, obstacle.message, &status, &notes)
        } else if let obstacle {
            set("Pending", obstacle.reason, obstacle.message, &status, &notes)
        }
    }

    /// Sedna's counters as texts; times stay out.
    private func metrics(_ info: JSONObject) -> JSON {
        .array(
            info.filter { !["startTime", "updateTime"].contains($0.0) }.sorted { $0.0 < $1.0 }.prefix(64)
                .map { ["key": .string($0.0), "value": .string($0.1.string ?? $0.1.text)] })
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
