import Resources

/// What is to be done for a Pod, in order.
enum PodAction: Sendable, Hashable {
    /// Make what its containers share.
    case prepare
    case start(container: String, attempt: Int, backoffSeconds: Int64)
    /// Run the hook and say when it is over; it may take the time until the container is killed.
    case runPreStop(container: String)
    case signal(container: String, Int32)
    case note(PodNote)
    /// Nothing of it runs and its deletion has been asked for: write its last status, delete it, forget it.
    case finish
}

/// A sentence about a Pod for people: what becomes an Event.
struct PodNote: Sendable, Hashable {
    var isWarning: Bool
    /// One word: `Started`.
    var reason: String
    var message: String
    /// `spec.containers{web}`; empty for the Pod as a whole.
    var fieldPath: String

    init(_ reason: String, _ message: String, isWarning: Bool = false, fieldPath: String = "") {
        self.isWarning = isWarning
        self.reason = reason
        self.message = message
        self.fieldPath = fieldPath
    }
}

/// How a Pod is brought to an end for good.
struct PodOutcome: Sendable, Hashable {
    var isSuccess: Bool
    /// `DeadlineExceeded`, `NodePorts`; empty where the containers say it.
    var reason = ""
    var message = ""
}

/// A container as the plan sees it: what its runtime knows, and what has been found out and begun since.
struct ContainerView: Sendable, Hashable {
    /// How the end of a running container is going.
    struct Stop: Sendable, Hashable {
        enum Hook: Sendable, Hashable { case none, running, done }

        /// By uptime: when it is killed.
        var deadline: Duration
        var hook: Hook
        var isTold = false
        /// By uptime; it is killed again some seconds later should it still be there.
        var killedAt: Duration?
    }

    /// Why a running container is not left to run.
    struct Failure: Sendable, Hashable {
        /// `Container web failed liveness probe, will be restarted`.
        var message: String
        /// Seconds it has to end.
        var graceSeconds: Int64

        init(message: String, graceSeconds: Int64) {
            self.message = message
            self.graceSeconds = graceSeconds
        }
    }

    /// The newest life; nil before the first.
    var latest: ContainerRecord?
    /// How the life before that ended.
    var previous: ContainerExit?
    /// By uptime, when the end of the newest life was seen.
    var endSeenAt: Duration?
    /// The startup probe and the hook after the start have succeeded.
    var isStarted = false
    /// The readiness probe has succeeded.
    var isReady = false
    var failure: Failure?
    /// Somebody wants a new life of it, whatever its restart policy says.
    var isRestartAsked = false
    /// Why it could not be started.
    var refusal: ContainerRefusal?
    /// By uptime: when to try to start it again after a refusal.
    var retryAt: Duration = .zero
    var refusalCount = 0
    var stop: Stop?
    /// The life whose waiting for a restart was told of.
    var toldBackoffOf: Int?
    /// Number of the next life if none is known here, as the Pod's status remembers it.
    var firstAttempt = 0

    init() {}

    var isRunning: Bool { latest?.isRunning ?? false }
    var exit: ContainerExit? { latest?.exit }

    /// Takes what the runtime knows.
    mutating func observe(_ record: ContainerRecord, at now: Duration) {
        if let old = latest, old.id.attempt < record.id.attempt {
            previous = old.exit ?? previous
            endSeenAt = nil
        }
        if latest?.id.attempt != record.id.attempt { (isStarted, isReady, failure, stop, isRestartAsked) = (false, false, nil, nil, false) }
        latest = record
        if record.isRunning {
            (refusal, refusalCount) = (nil, 0)
        } else {
            if endSeenAt == nil { endSeenAt = now }
            (isStarted, isReady, failure, stop) = (false, false, nil, nil)
        }
    }

    /// Takes that it could not be started.
    mutating func refused(_ refusal: ContainerRefusal, at now: Duration) {
        self.refusal = refusal
        refusalCount += 1
        retryAt = now + .seconds(min(60, 1 << min(refusalCount - 1, 6)))
    }
}

/// What becomes of one Pod on this node. Pure: it is told what is the case and says what to do.
///
///     prepare ─► init containers, one by one; sidecars stay ─► containers ─► all have ended and none is to run again ─► sidecars end
///        any container that ends:  restart policy ─► back-off ─► next life
///        deletion, deadline:       preStop ─► SIGTERM ─► grace ─► SIGKILL; containers, then sidecars from the last to the first ─► finish
struct PodPlan: Sendable, Hashable {
    /// Seconds before the second restart; each one after it waits twice as long.
    static let backoffFirstSeconds: Int64 = 10
    /// Seconds at most between two restarts.
    static let backoffMaxSeconds: Int64 = 300
    /// A life of so many seconds makes good for those before it.
    static let backoffResetSeconds: Int64 = 600
    /// Seconds a container has after its preStop hook took all its time, as the kubelet has it.
    static let graceAfterHook: Duration = .seconds(2)
    static let killAgainAfter: Duration = .seconds(5)
    static let (terminate, kill): (Int32, Int32) = (15, 9)

    private(set) var spec: PodSpec
    private(set) var containers: [String: ContainerView] = [:]
    /// Its volumes and folder are there.
    private(set) var isPrepared = false
    /// Why they could not be made, and when to try again.
    private(set) var problem: ContainerRefusal?
    private var problemCount = 0
    private var prepareAt: Duration = .zero
    /// Known once it is certain.
    private(set) var outcome: PodOutcome?
    /// By uptime: when the Pod's end began.
    private var endBegan: Duration?
    private var endGrace: Int64 = 0
    /// By uptime: when to ask again even if nothing happens.
    private(set) var lookAgainAt: Duration?

    /// - Parameter pod: as the server, or the node's memory, has it. A Pod that has ended already stays ended.
    init(_ pod: PodSpec) {
        spec = pod
        let status = pod.object["status"]
        switch status?["phase"]?.string {
        case "Succeeded": outcome = PodOutcome(isSuccess: true)
        case "Failed":
            outcome = PodOutcome(isSuccess: false, reason: status?["reason"]?.string ?? "", message: status?["message"]?.string ?? "")
        default: break
        }
        for container in pod.allContainers {
            var view = ContainerView()
            let list = container.isInit ? "initContainerStatuses" : "containerStatuses"
            if let known = status?[list]?.array?.first(where: { $0["name"]?.string == container.name }),
                !(known["containerID"]?.string ?? "").isEmpty
            {
                view.firstAttempt = Int(known["restartCount"]?.integer ?? 0) + 1
            }
            containers[container.name] = view
        }
    }

    // MARK: What is the case

    /// Takes a newer state of the object. What may not change in a Pod is taken as it was.
    mutating func update(_ pod: PodSpec) {
        spec = pod
        for container in pod.allContainers where containers[container.name] == nil { containers[container.name] = ContainerView() }
    }

    /// Takes what the runtime knows of one life; lives older than the newest but one are forgotten.
    mutating func observe(_ record: ContainerRecord, at now: Duration) {
        guard var view = containers[record.id.container] else { return }
        if let latest = view.latest, latest.id.attempt > record.id.attempt {
            if latest.id.attempt == record.id.attempt + 1 { view.previous = record.exit }
        } else {
            view.observe(record, at: now)
        }
        containers[record.id.container] = view
    }

    mutating func prepared() { (isPrepared, problem, problemCount) = (true, nil, 0) }

    mutating func unprepared(_ refusal: ContainerRefusal, at now: Duration) {
        (isPrepared, problem) = (false, refusal)
        problemCount += 1
        prepareAt = now + .seconds(min(60, 1 << min(problemCount - 1, 6)))
    }

    /// What the volumes waited for may have come: the next try is made at once.
    mutating func hurry() { prepareAt = .zero }

    mutating func refused(_ container: String, _ refusal: ContainerRefusal, at now: Duration) {
        containers[container]?.refused(refusal, at: now)
    }

    /// What probes and hooks have found out of a life; of another life than the newest it is dropped.
    mutating func found(_ id: ContainerID, _ change: (inout ContainerView) -> Void) {
        guard let view = containers[id.container], view.latest?.id == id, view.isRunning else { return }
        change(&containers[id.container]!)
    }

    mutating func preStopEnded(_ container: String) { containers[container]?.stop?.hook = .done }

    /// Has a container end that runs, and begin anew at once.
    ///
    /// - Returns: false for one that has not begun or belongs to the beginning, and in a Pod that has ended or is to end.
    mutating func restart(_ name: String) -> Bool {
        guard outcome == nil, !isBeingDeleted, let container = spec.container(name), !container.isInit || container.isSidecar,
            let view = containers[name], view.latest != nil
        else { return false }
        containers[name]?.isRestartAsked = true
        containers[name]?.retryAt = .zero
        if view.isRunning, view.failure == nil {
            containers[name]?.failure = .init(
                message: "Container \(name) is restarted on its node by hand", graceSeconds: spec.graceSeconds)
        }
        return true
    }

    /// The node can't take the Pod; it fails for good.
    mutating func reject(_ reason: String, _ message: String) {
        outcome = PodOutcome(isSuccess: false, reason: reason, message: message)
    }

    var hasRunning: Bool { containers.values.contains { $0.isRunning } }
    var isBeingDeleted: Bool { spec.deletionGraceSeconds != nil }
    var startTime: Timestamp? { spec.object["status"]?["startTime"]?.string.flatMap { Timestamp($0) } }

    // MARK: What to do

    /// What to do now. Asked again when something has changed, when the actions are done, and at `lookAgainAt`.
    mutating func decide(at now: Moment) -> [PodAction] {
        lookAgainAt = nil
        settle(at: now)
        var actions: [PodAction] = []
        if isBeingDeleted || (outcome != nil && outcome?.reason != "") {
            end(at: now, &actions)
            if isBeingDeleted, !hasRunning { actions.append(.finish) }
            return actions
        }
        if outcome != nil {
            // What is left beside containers that have ended for good.
            end(at: now, &actions)
            return actions
        }
        if !isPrepared {
            if now.uptime < prepareAt { look(prepareAt) } else { actions.append(.prepare) }
            // What runs already goes on, and is watched.
            keepRunning(at: now, &actions)
            return actions
        }
        if begin(at: now, &actions) {
            for container in spec.containers { tend(container, at: now, &actions) }
        }
        keepRunning(at: now, &actions)
        return actions
    }

    private mutating func look(_ at: Duration) { lookAgainAt = lookAgainAt.map { min($0, at) } ?? at }

    /// Sees whether it is certain how the Pod ends.
    private mutating func settle(at now: Moment) {
        guard outcome == nil else { return }
        let mains = spec.containers.map { containers[$0.name] ?? ContainerView() }
        let failedInit = spec.initContainers.contains { !$0.isSidecar && isOverForGood($0) && containers[$0.name]?.exit?.code != 0 }
        if failedInit, !mains.contains(where: { $0.latest != nil }) { return outcome = PodOutcome(isSuccess: false) }
        if !spec.containers.isEmpty, zip(spec.containers, mains).allSatisfy({ isOverForGood($0.0) && $0.1.exit != nil }) {
            return outcome = PodOutcome(isSuccess: mains.allSatisfy { $0.exit?.code == 0 })
        }
        guard let limit = spec.activeDeadlineSeconds, let start = startTime else { return }
        let left = start.seconds + limit - now.time.seconds
        if left > 0 { return look(now.uptime + .seconds(left)) }
        outcome = PodOutcome(
            isSuccess: false, reason: "DeadlineExceeded", message: "Pod was active on the node longer than the specified deadline")
    }

    /// The container has ended and its restart policy leaves it at that.
    func isOverForGood(_ container: ContainerSpec) -> Bool {
        guard let view = containers[container.name], let exit = view.exit else { return false }
        if container.isSidecar || view.isRestartAsked { return false }
        switch spec.restartPolicy {
        case .never: return true
        case .onFailure: return exit.code == 0
        case .always: return container.isInit && exit.code == 0
        }
    }

    /// The containers before the others.
    ///
    /// - Returns: whether the others may run.
    private mutating func begin(at now: Moment, _ actions: inout [PodAction]) -> Bool {
        let hasBegun = spec.containers.contains { containers[$0.name]?.latest != nil }
        for container in spec.initContainers {
            let view = containers[container.name] ?? ContainerView()
            if container.isSidecar {
                if !view.isRunning { tend(container, at: now, &actions) }
                if !hasBegun, !view.isRunning || !view.isStarted { return false }
            } else if !hasBegun {
                if view.exit?.code == 0 { continue }
                if !view.isRunning { tend(container, at: now, &actions) }
                return false
            }
        }
        return true
    }

    /// Starts a container that does not run and should.
    private mutating func tend(_ container: ContainerSpec, at now: Moment, _ actions: inout [PodAction]) {
        guard var view = containers[container.name], !view.isRunning, !isOverForGood(container) else { return }
        if view.refusal != nil, now.uptime < view.retryAt { return look(view.retryAt) }
        guard let latest = view.latest, let exit = latest.exit else {
            actions.append(.start(container: container.name, attempt: view.firstAttempt, backoffSeconds: 0))
            return
        }
        let wait = backoffLeft(view, at: now)
        if wait > .zero {
            look(now.uptime + wait)
            if view.toldBackoffOf != latest.id.attempt {
                view.toldBackoffOf = latest.id.attempt
                containers[container.name] = view
                actions.append(
                    .note(
                        PodNote(
                            "BackOff",
                            "Back-off restarting failed container \(container.name) in pod \(spec.key.name)_\(spec.key.namespace)(\(spec.uid))",
                            isWarning: true, fieldPath: container.fieldPath)))
            }
            return
        }
        actions.append(
            .start(
                container: container.name, attempt: latest.id.attempt + 1,
                backoffSeconds: view.isRestartAsked ? 0 : Self.backoff(after: exit, whichHad: latest.backoffSeconds)))
    }

    /// The wait that the next life begins with, after one that ended so.
    static func backoff(after exit: ContainerExit, whichHad seconds: Int64) -> Int64 {
        let ran = exit.finishedAt.seconds - exit.startedAt.seconds
        return ran >= backoffResetSeconds || seconds == 0 ? backoffFirstSeconds : min(seconds * 2, backoffMaxSeconds)
    }

    /// How long the next life has to wait still. By whichever clock says less, so that a clock set back holds nothing up.
    func backoffLeft(_ view: ContainerView, at now: Moment) -> Duration {
        guard let latest = view.latest, let exit = latest.exit, !view.isRestartAsked else { return .zero }
        if exit.finishedAt.seconds - exit.startedAt.seconds >= Self.backoffResetSeconds { return .zero }
        let whole = Duration.seconds(latest.backoffSeconds)
        let byDay = Duration.seconds(now.time.seconds - exit.finishedAt.seconds)
        let seen = view.endSeenAt.map { now.uptime - $0 } ?? .zero
        return max(.zero, whole - max(byDay, seen))
    }

    /// Ends what has been found ill, and sees ends through that have begun.
    private mutating func keepRunning(at now: Moment, _ actions: inout [PodAction]) {
        for container in spec.allContainers {
            guard let view = containers[container.name], view.isRunning else { continue }
            if let failure = view.failure {
                stop(container, failure.message, graceSeconds: failure.graceSeconds, at: now, &actions)
            } else if view.stop != nil {
                advance(container, at: now, &actions)
            }
        }
    }

    /// Ends all that runs: first what is not a sidecar, then the sidecars from the last to the first.
    private mutating func end(at now: Moment, _ actions: inout [PodAction]) {
        guard hasRunning else { return }
        let grace = spec.deletionGraceSeconds ?? spec.graceSeconds
        let began = endBegan ?? now.uptime
        (endBegan, endGrace) = (began, grace)
        let left = max(.zero, began + .seconds(grace) - now.uptime)
        var others = spec.allContainers.filter { !$0.isSidecar && containers[$0.name]?.isRunning == true }
        if others.isEmpty {
            others = spec.initContainers.last { $0.isSidecar && containers[$0.name]?.isRunning == true }.map { [$0] } ?? []
        }
        for container in others {
            // Whoever comes late still gets to hear that it is to end, unless no time at all was granted.
            let seconds = grace == 0 ? 0 : max(container.isSidecar ? 1 : 0, left.components.seconds)
            stop(container, "Stopping container \(container.name)", graceSeconds: seconds, at: now, &actions)
        }
    }

    private mutating func stop(
        _ container: ContainerSpec, _ message: String, graceSeconds: Int64, at now: Moment, _ actions: inout [PodAction]
    ) {
        let deadline = now.uptime + .seconds(graceSeconds)
        if let running = containers[container.name]?.stop {
            if deadline < running.deadline { containers[container.name]?.stop?.deadline = deadline }
        } else {
            let hasHook = container.preStop != nil && graceSeconds > 0
            containers[container.name]?.stop = ContainerView.Stop(deadline: deadline, hook: hasHook ? .running : .none)
            containers[container.name]?.isReady = false
            actions.append(.note(PodNote("Killing", message, fieldPath: container.fieldPath)))
            if hasHook { actions.append(.runPreStop(container: container.name)) }
        }
        advance(container, at: now, &actions)
    }

    private mutating func advance(_ container: ContainerSpec, at now: Moment, _ actions: inout [PodAction]) {
        guard var stop = containers[container.name]?.stop else { return }
        defer { containers[container.name]?.stop = stop }
        if stop.hook == .running {
            if now.uptime < stop.deadline { return look(stop.deadline) }
            stop.hook = .done
            stop.deadline = now.uptime + Self.graceAfterHook
        }
        if now.uptime >= stop.deadline {
            if let killed = stop.killedAt, now.uptime < killed + Self.killAgainAfter { return look(killed + Self.killAgainAfter) }
            stop.killedAt = now.uptime
            actions.append(.signal(container: container.name, Self.kill))
            return look(now.uptime + Self.killAgainAfter)
        }
        if !stop.isTold {
            stop.isTold = true
            actions.append(.signal(container: container.name, Self.terminate))
        }
        look(stop.deadline)
    }
}
