import Reconciliation
import Resources
import Storage

/// Keeps one Pod as it should be: feeds its plan what is the case, does what the plan says, and tells the server. Thin: what it does is
/// decided in `PodPlan`.
actor PodWorker {
    /// Time from one look at the objects that a running Pod's volumes are made of to the next.
    private static let refreshPeriod: Duration = .seconds(60)
    private static let statusRetryMax: Duration = .seconds(30)

    nonisolated let uid: String
    nonisolated let key: ObjectKey
    nonisolated let bell = Doorbell()
    let context: AgentContext
    private var plan: PodPlan
    /// The newest state of the object that is known, from the server or from an answer to a write.
    private var object: JSON
    /// The server has it no more.
    private var isGone = false
    private(set) var isFinished = false
    /// What its containers have reported, where it is a job's worker.
    var ledger = WorkerLedger()
    /// By uptime: when the status is to say the next of it.
    var reportLookAt: Duration?
    /// A life whose files are to be taken.
    var publishing: ContainerID?
    /// To be told with the next turn.
    var pendingNotes: [PodNote] = []
    /// What its serving worker has said that was told.
    var incidents = WorkerIncidents()
    /// Of models that were not loaded: sentences that an Event has told already.
    var toldRefusals: Set<String> = []
    /// Files that are on their way, those among them that nobody fetches yet, and why some are not here yet.
    var fetching: Set<ArtifactDigest> = []
    var unbegunFetches: [ArtifactDigest] = []
    var fetchFaults: [ArtifactDigest: String] = [:]
    /// Looked at while it runs: probes and hooks belong to these lives.
    private var watched: Set<ContainerID> = []
    /// What hooks and probes have found, by life.
    private var health: [ContainerID: Health] = [:]
    private var refreshAt: Duration
    private var tokens = TokenShelf()
    private var statusRetryAt: Duration = .zero
    private var statusFailures = 0
    private var finishFailures = 0
    private var finishRetryAt: Duration = .zero

    private struct Health {
        var hasHooked: Bool
        var hasStarted: Bool
        var isReady: Bool
    }

    init(_ object: JSON, records: [ContainerRecord], context: AgentContext) {
        self.context = context
        self.object = object
        let spec = Self.spec(object, context)
        uid = spec.uid
        key = spec.key
        plan = PodPlan(spec)
        let now = context.now().uptime
        for record in records.sorted(by: { $0.id < $1.id }) { plan.observe(record, at: now) }
        refreshAt = now + Self.refreshPeriod
        recovered = records
    }

    private static func spec(_ pod: JSON, _ context: AgentContext) -> PodSpec {
        PodSpec(context.tokens == nil ? pod : DefaultAccount.added(to: pod))
    }
    /// What was known before this agent, until `run` has looked at it.
    private var recovered: [ContainerRecord] = []

    // MARK: What others tell

    /// Takes a newer state of the object; nil if the server has it no more.
    func update(_ new: JSON?) {
        if let new {
            isGone = false
            object = new
            plan.update(Self.spec(new, context))
        } else if !isGone {
            isGone = true
            var last = object
            if last["metadata"]?["deletionTimestamp"] == nil {
                last[path: ["metadata", "deletionTimestamp"]] = .string(context.now().time.text)
                last[path: ["metadata", "deletionGracePeriodSeconds"]] = .integer(PodSpec(last).graceSeconds)
            }
            object = last
            plan.update(Self.spec(last, context))
        }
        bell.ring()
    }

    /// Has containers begin anew; an empty name means all that have begun.
    ///
    /// - Throws: 404 for a container that the Pod does not have, 409 if there is none to restart.
    func restart(_ container: String) throws(APIStatus) -> [String] {
        let spec = plan.spec
        guard container.isEmpty || spec.container(container) != nil else {
            throw APIStatus(
                code: 404, reason: "NotFound",
                message:
                    "pod \(spec.description) has no container \"\(container)\"; it has: \(spec.allContainers.map(\.name).joined(separator: ", "))"
            )
        }
        let restarted = spec.allContainers.map(\.name).filter { (container.isEmpty || $0 == container) && plan.restart($0) }
        guard !restarted.isEmpty else {
            let state = plan.isBeingDeleted ? "is being deleted" : plan.outcome == nil ? "has none that has begun" : "has ended for good"
            throw APIStatus(code: 409, reason: "Conflict", message: "no container can be restarted: pod \(spec.description) \(state)")
        }
        bell.ring()
        return restarted
    }

    /// The newest life of a container, for calls; nil if there is none.
    func latest(_ container: String) -> ContainerRecord? { plan.containers[container]?.latest }

    /// The Pod as it is now.
    var spec: PodSpec { plan.spec }

    /// Tries at once what had to wait for its volumes.
    func hurryPreparing() { plan.hurry() }

    // MARK: The loop

    /// Runs until the Pod is gone from here, or the task is cancelled; what runs then goes on.
    func run() async {
        await withDiscardingTaskGroup { group in
            await claimPorts()
            restoreReports(recovered)
            recovered = []
            while !Task.isCancelled, !isFinished {
                refresh()
                let actions = plan.decide(at: context.now())
                var notes: [PodNote] = []
                var hasActed = false
                for action in actions where await perform(action, &notes, &group) { hasActed = true }
                watchRunning(&group)
                beginFetches(&group)
                beginPublishing(&group)
                if !isFinished { await writeStatus() }
                notes += pendingNotes
                pendingNotes = []
                for note in notes { await context.events.tell(note, about: plan.spec) }
                if !hasActed, !isFinished { await pause() }
            }
            group.cancelAll()
        }
    }

    private func claimPorts() async {
        let ports = plan.spec.allContainers.flatMap(\.hostPorts)
        guard !ports.isEmpty, plan.outcome == nil, let taken = await context.ports.claim(ports, for: uid) else { return }
        plan.reject(
            "NodePorts",
            "Pod was rejected: Node didn't have enough resource: host port \(taken.protocolName) \(taken.port) is taken by another Pod of node \(context.nodeName)"
        )
    }

    /// Takes what the runtime knows of the newest lives.
    private func refresh() {
        let now = context.now().uptime
        for view in plan.containers.values {
            guard let id = view.latest?.id, let record = context.runtime.record(id) else { continue }
            if !record.isRunning { (health[id], _) = (nil, watched.remove(id)) }
            plan.observe(record, at: now)
        }
        if now >= refreshAt {
            refreshAt = now + Self.refreshPeriod
            needsRefresh = plan.isPrepared
        }
    }

    var needsRefresh = false

    private func pause() async {
        let now = context.now().uptime
        var until = refreshAt
        if let look = plan.lookAgainAt { until = min(until, look) }
        if let look = reportLookAt { until = min(until, max(look, statusRetryAt)) }
        if statusRetryAt > now { until = min(until, statusRetryAt) }
        if finishRetryAt > now { until = min(until, finishRetryAt) }
        let wait = max(until - now, .milliseconds(1))
        let bell = bell
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await bell.wait() }
            group.addTask { try? await Task.sleep(for: wait) }
            await group.next()
            group.cancelAll()
        }
        if needsRefresh {
            needsRefresh = false
            let isMade = !PodSources.volumeReferences(plan.spec).isEmpty || !PodSources.tokenNeeds(plan.spec).isEmpty
            if isMade && plan.hasRunning || plan.isPrepared && !NodeVolume.models(plan.spec).isEmpty { await refreshVolumes() }
            if plan.outcome == nil, let message = await context.runtime.overfullVolume(plan.spec) { plan.reject("Evicted", message) }
        }
    }

    // MARK: Doing

    /// - Returns: whether something may have changed by it, so that the plan is asked again at once.
    private func perform(_ action: PodAction, _ notes: inout [PodNote], _ group: inout DiscardingTaskGroup) async -> Bool {
        switch action {
        case .prepare:
            do {
                try admitAny()
                try await prepare()
                plan.prepared()
            } catch {
                plan.unprepared(error, at: context.now().uptime)
                let word = error.reason.contains("Image") ? "Failed" : "FailedMount"
                notes.append(PodNote(word, error.message, isWarning: true))
            }
        case .start(let name, let attempt, let backoffSeconds): await start(name, attempt, backoffSeconds, &notes)
        case .runPreStop(let name):
            guard let container = plan.spec.container(name), let hook = container.preStop,
                let id = plan.containers[name]?.latest?.id
            else { return false }
            group.addTask { await self.runPreStop(hook, container, id) }
            return false
        case .signal(let name, let number):
            if let id = plan.containers[name]?.latest?.id { context.runtime.signal(id, number) }
            return false
        case .note(let note):
            notes.append(note)
            return false
        case .finish: await finish()
        }
        return !(action == .finish && !isFinished)
    }

    private var sources: PodSources {
        PodSources(pod: plan.spec, nodeName: context.nodeName, address: context.place.address, allocatable: context.allocatable)
    }

    /// The objects that are named, as the server has them now.
    private func fetch(_ references: Set<PodReference>) async throws(ContainerRefusal) -> [PodReference: JSON] {
        var found: [PodReference: JSON] = [:]
        for reference in references.sorted() {
            let kind: ResourceKind = reference.kind == .configMap ? .configMap : .secret
            do {
                found[reference] = try await context.client.get(kind, ObjectKey(namespace: plan.spec.key.namespace, name: reference.name))
            } catch {
                if error.code == 404 { continue }
                throw ContainerRefusal(
                    "CreateContainerConfigError", "\(reference.kind.rawValue) \"\(reference.name)\" cannot be read: \(error.message)")
            }
        }
        return found
    }

    /// The tokens that the Pod's volumes are made of, as far as they are to be had. One that cannot be replaced now is used while it is good.
    private func fetchTokens() async -> [TokenNeed: String] {
        guard let server = context.tokens else { return [:] }
        var found: [TokenNeed: String] = [:]
        for need in PodSources.tokenNeeds(plan.spec).sorted() {
            if let text = tokens.fresh(need, at: context.now().uptime) {
                found[need] = text
                continue
            }
            do throws(APIStatus) {
                let account = ObjectKey(namespace: plan.spec.key.namespace, name: plan.spec.account)
                let answer = try await server.token(of: account, need.request(for: plan.spec))
                guard let text = answer["status"]?["token"]?.string else { throw .internalError("the server's answer holds no token") }
                tokens.put(
                    text, for: need, seconds: answer["spec"]?["expirationSeconds"]?.integer ?? need.seconds, at: context.now().uptime)
                found[need] = text
            } catch {
                found[need] = tokens.valid(need, at: context.now().uptime)
                context.report("pod \(plan.spec.description): token of service account \"\(plan.spec.account)\": \(error.message)")
            }
        }
        return found
    }

    /// A Pod of which nothing can be run leaves no folders on the node.
    private func admitAny() throws(ContainerRefusal) {
        var first: ContainerRefusal?
        for container in plan.spec.allContainers {
            do { return try context.runtime.admit(container, of: plan.spec) } catch { first = first ?? error }
        }
        if let first { throw first }
    }

    private func prepare() async throws(ContainerRefusal) {
        var sources = sources
        sources.tokens = await fetchTokens()
        sources.authorityPEM = context.tokens?.authorityPEM ?? ""
        do { sources.objects = try await fetch(PodSources.volumeReferences(plan.spec)) } catch {
            // Nobody can be asked: what was true when somebody could is better than a Pod that does not come back.
            if context.runtime.isPrepared(plan.spec) { return }
            throw error
        }
        let files: [VolumeFiles]
        do { files = try sources.volumeFiles() } catch {
            // A token that cannot be had now is in its volume still.
            if sources.tokens.count < PodSources.tokenNeeds(plan.spec).count, context.runtime.isPrepared(plan.spec) { return }
            throw error
        }
        try await context.runtime.prepare(plan.spec, files: files, fills: try await volumeFills())
    }

    /// What volumes are made of may have changed. A server that is out of reach changes nothing.
    private func refreshVolumes() async {
        do { try await prepare() } catch { context.report("pod \(plan.spec.description): refreshing volumes: \(error.message)") }
    }

    private func start(_ name: String, _ attempt: Int, _ backoffSeconds: Int64, _ notes: inout [PodNote]) async {
        guard let container = plan.spec.container(name) else { return }
        let id = ContainerID(pod: uid, container: name, attempt: attempt)
        do {
            try context.runtime.admit(container, of: plan.spec)
            var sources = sources
            sources.objects = try await fetch(PodSources.variableReferences(container))
            let workerName = newWorkerName()
            var variables = serverVariables + (try sources.variables(container)) + reportVariables(workerName)
            variables += try await modelVariables(container, variables)
            var setup = ContainerSetup(
                id: id, spec: container, pod: plan.spec, environment: variables, backoffSeconds: backoffSeconds)
            setup.workerName = workerName
            // Known before the container can say anything.
            if let workerName { context.workerNames[workerName] = id }
            let record = try await context.runtime.start(setup)
            plan.observe(record, at: context.now().uptime)
            context.runtime.forget(id, keeping: 1)
            if let exit = record.exit, exit.reason == "StartError" {
                notes.append(PodNote("Failed", "Error: \(exit.message)", isWarning: true, fieldPath: container.fieldPath))
            } else {
                notes.append(PodNote("Created", "Created container: \(name)", fieldPath: container.fieldPath))
                notes.append(PodNote("Started", "Started container \(name)", fieldPath: container.fieldPath))
            }
        } catch {
            plan.refused(name, error, at: context.now().uptime)
            let word = error.reason == "ModelRefused" ? error.reason : "Failed"
            notes.append(
                PodNote(word, word == "Failed" ? "Error: \(error.message)" : error.message, isWarning: true, fieldPath: container.fieldPath)
            )
        }
    }

    /// Where the server is, as Kubernetes' clients look for it.
    private var serverVariables: [ContainerSetup.Variable] {
        guard let (host, port) = context.tokens?.server else { return [] }
        return [.init("KUBERNETES_SERVICE_HOST", host), .init("KUBERNETES_SERVICE_PORT", String(port))]
    }

    private func finish() async {
        let now = context.now()
        guard now.uptime >= finishRetryAt else { return }
        if !isGone {
            await writeStatus()
            do { try await context.client.delete(.pod, plan.spec.key, Deletion(gracePeriodSeconds: 0, uid: uid)) } catch {
                // Gone, or another has its name.
                if error.code != 404, error.code != 409 {
                    finishFailures += 1
                    finishRetryAt = now.uptime + .seconds(min(30, 1 << min(finishFailures, 5)))
                    return context.report("pod \(plan.spec.description): deleting it: \(error.message)")
                }
            }
        }
        await context.runtime.remove(pod: uid)
        await context.ports.release(uid)
        context.workerNames.remove(pod: uid)
        isFinished = true
    }

    // MARK: Health

    /// Begins to look after lives that have begun, here or before this agent.
    private func watchRunning(_ group: inout DiscardingTaskGroup) {
        for container in plan.spec.allContainers {
            guard let view = plan.containers[container.name], view.isRunning, let id = view.latest?.id, watched.insert(id).inserted else {
                continue
            }
            let known = knownStatus(container, id)
            let isKnownStarted = known?["started"]?.bool == true
            health[id] = Health(
                hasHooked: container.postStart == nil || known != nil, hasStarted: container.startupProbe == nil || isKnownStarted,
                isReady: container.readinessProbe == nil || known?["ready"]?.bool == true)
            apply(id)
            if known == nil, let hook = container.postStart { group.addTask { await self.runPostStart(hook, container, id) } }
            if let probe = container.startupProbe, !isKnownStarted {
                group.addTask { await self.look(ProbeCounter(.startup, probe), container, id) }
            }
            if let probe = container.livenessProbe { group.addTask { await self.look(ProbeCounter(.liveness, probe), container, id) } }
            if let probe = container.readinessProbe {
                let verdict = health[id]?.isReady ?? false
                group.addTask { await self.look(ProbeCounter(.readiness, probe, verdict: verdict), container, id) }
            }
        }
    }

    /// What the object says of this very life, as the agent before this one wrote it; nil of a life that has just begun.
    private func knownStatus(_ container: ContainerSpec, _ id: ContainerID) -> JSON? {
        let list = container.isInit ? "initContainerStatuses" : "containerStatuses"
        return object["status"]?[list]?.array?.first {
            $0["name"]?.string == container.name && $0["state"]?["running"] != nil && $0["restartCount"]?.integer == Int64(id.attempt)
        }
    }

    private func apply(_ id: ContainerID) {
        guard let health = health[id] else { return }
        plan.found(id) { view in
            view.isStarted = health.hasHooked && health.hasStarted
            view.isReady = health.isReady && view.stop == nil
        }
    }

    private func isCurrent(_ id: ContainerID) -> Bool {
        guard let view = plan.containers[id.container] else { return false }
        return view.latest?.id == id && view.isRunning && !isFinished
    }

    private var runner: HandlerRunner {
        HandlerRunner(runtime: context.runtime, address: context.place.address, secure: context.secureProbes)
    }

    private func runPostStart(_ hook: Handler, _ container: ContainerSpec, _ id: ContainerID) async {
        let result = await runner.run(hook, container, id, timeout: nil)
        guard isCurrent(id) else { return }
        if result.isSuccess {
            health[id]?.hasHooked = true
            apply(id)
        } else {
            await context.events.tell(
                PodNote("FailedPostStartHook", "PostStartHook failed: \(result.message)", isWarning: true, fieldPath: container.fieldPath),
                about: plan.spec)
            let grace = plan.spec.graceSeconds
            plan.found(id) { $0.failure = .init(message: "FailedPostStartHook", graceSeconds: grace) }
        }
        bell.ring()
    }

    private func runPreStop(_ hook: Handler, _ container: ContainerSpec, _ id: ContainerID) async {
        let result = await runner.run(hook, container, id, timeout: nil)
        if !result.isSuccess, isCurrent(id) {
            await context.events.tell(
                PodNote("FailedPreStopHook", "PreStopHook failed: \(result.message)", isWarning: true, fieldPath: container.fieldPath),
                about: plan.spec)
        }
        plan.preStopEnded(container.name)
        bell.ring()
    }

    /// Looks at one life by one probe until the life is over.
    private func look(_ counter: ProbeCounter, _ container: ContainerSpec, _ id: ContainerID) async {
        var counter = counter
        let probe = counter.probe
        try? await Task.sleep(for: .seconds(probe.initialDelaySeconds))
        while !Task.isCancelled, isCurrent(id) {
            let isStarted = health[id].map { $0.hasHooked && $0.hasStarted } ?? false
            if counter.kind == .startup || isStarted {
                let result = await runner.run(probe.handler, container, id, timeout: .seconds(probe.timeoutSeconds))
                guard isCurrent(id), !Task.isCancelled else { return }
                if await take(result, &counter, container, id) { return }
                try? await Task.sleep(for: .seconds(probe.periodSeconds))
            } else {
                // Looked at as soon as it counts as started.
                try? await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    /// - Returns: whether the probe has done its work.
    private func take(
        _ result: HandlerRunner.Result, _ counter: inout ProbeCounter, _ container: ContainerSpec, _ id: ContainerID
    ) async -> Bool {
        let outcome = counter.take(isSuccess: result.isSuccess)
        let word = counter.kind.rawValue
        var isDone = false
        switch (outcome, counter.kind) {
        case (.same, _): break
        case (.became, .startup):
            health[id]?.hasStarted = true
            isDone = true
        case (.became(let isReady), .readiness): health[id]?.isReady = isReady
        case (.became, .liveness): break
        case (.fatal, _):
            let grace = counter.probe.graceSeconds ?? plan.spec.graceSeconds
            let message = "Container \(container.name) failed \(word.lowercased()) probe, will be restarted"
            plan.found(id) { if $0.failure == nil { $0.failure = .init(message: message, graceSeconds: grace) } }
        }
        if outcome != .same {
            apply(id)
            bell.ring()
        }
        if !result.isSuccess {
            await context.events.tell(
                PodNote("Unhealthy", "\(word) probe failed: \(result.message)", isWarning: true, fieldPath: container.fieldPath),
                about: plan.spec)
        }
        return isDone
    }

    // MARK: Telling

    /// Writes the status if it is another than the server's.
    private func writeStatus() async {
        let now = context.now()
        guard !isGone, now.uptime >= statusRetryAt else { return }
        let known = object["status"]
        var status = plan.status(from: known, in: context.place, at: now)
        addReport(to: &status, known: known)
        guard let change = Self.change(from: known, to: status) else { return }
        let body: JSON = ["metadata": ["uid": .string(uid)], "status": change]
        do {
            let written = try await context.client.patch(
                .pod, plan.spec.key, ObjectPatch(.merge, body, fieldManager: "kubelet"), part: .status)
            statusFailures = 0
            // A newer state may have come by the watch in the meantime: only its status is behind.
            object["status"] = written["status"]
        } catch {
            if error.code == 404 || error.code == 409 {
                // The watch will tell; a server that only lags is asked again.
                statusRetryAt = context.now().uptime + .seconds(1)
                return
            }
            statusFailures += 1
            statusRetryAt = context.now().uptime + min(Self.statusRetryMax, .seconds(1 << min(statusFailures - 1, 5)))
            context.report("pod \(plan.spec.description): writing its status: \(error.message)")
        }
    }

    /// Fields that this node decides: they go when it has nothing to say in them.
    private static let own = ["reason", "message", "initContainerStatuses", "containerStatuses"]

    /// A merge patch from one status to another; nil if there is nothing to change.
    static func change(from old: JSON?, to new: JSON) -> JSON? {
        var change: JSON = [:]
        for (key, value) in new.object ?? [:] where old?[key] != value { change[key] = value }
        for key in own where new[key] == nil && old?[key] != nil { change[key] = .null }
        return change.object?.isEmpty == false ? change : nil
    }
}
