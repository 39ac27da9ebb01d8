import Resources

/// What of a node shows in the status of its Pods.
struct PodPlace: Sendable, Hashable {
    /// Of the machine, and so of its Pods.
    var address: String
    /// Before the `://` of container ids: `process`.
    var runtime: String

    init(address: String, runtime: String) {
        self.address = address
        self.runtime = runtime
    }
}

extension PodPlan {
    /// The Pod's status.
    ///
    /// - Parameter base: the status as it was last known; conditions of others stay, times of transition are kept.
    func status(from base: JSON?, in place: PodPlace, at now: Moment) -> JSON {
        var status: JSON = ["phase": .string(phase(at: now))]
        status["startTime"] = base?["startTime"] ?? .string(now.time.text)
        status["hostIP"] = .string(place.address)
        status["hostIPs"] = [["ip": .string(place.address)]]
        status["podIP"] = .string(place.address)
        status["podIPs"] = [["ip": .string(place.address)]]
        status["qosClass"] = base?["qosClass"]
        if let outcome, !outcome.reason.isEmpty {
            status["reason"] = .string(outcome.reason)
            status["message"] = .string(outcome.message)
        }
        if !spec.initContainers.isEmpty {
            status["initContainerStatuses"] = .array(spec.initContainers.map { containerStatus($0, in: place, at: now) })
        }
        status["containerStatuses"] = .array(spec.containers.map { containerStatus($0, in: place, at: now) })
        status["conditions"] = .array(conditions(base?["conditions"]?.array ?? [], at: now))
        return status
    }

    /// One word for where the Pod stands.
    func phase(at now: Moment) -> String {
        if let outcome, !hasRunning { return outcome.isSuccess ? "Succeeded" : "Failed" }
        let views = spec.containers.map { containers[$0.name] ?? ContainerView() }
        if isBeingDeleted, !hasRunning, views.contains(where: { $0.latest != nil }) {
            return views.allSatisfy { $0.exit?.code == 0 } ? "Succeeded" : "Failed"
        }
        return views.allSatisfy { $0.latest != nil } ? "Running" : "Pending"
    }

    // MARK: Containers

    private func containerStatus(_ container: ContainerSpec, in place: PodPlace, at now: Moment) -> JSON {
        let view = containers[container.name] ?? ContainerView()
        let (state, last) = states(container, view, in: place, at: now)
        var status: JSON = [
            "name": .string(container.name), "image": .string(container.image), "imageID": .string(view.latest?.image ?? ""),
            "containerID": .string(view.latest.map { Self.containerID($0.id, place) } ?? ""), "state": state, "lastState": last,
            "ready": .bool(isReady(container)), "restartCount": .integer(Int64(view.latest?.id.attempt ?? view.firstAttempt)),
        ]
        status["started"] = .bool(view.isRunning && view.isStarted)
        return status
    }

    private static func containerID(_ id: ContainerID, _ place: PodPlace) -> String {
        "\(place.runtime)://\(id.pod)-\(id.container)-\(id.attempt)"
    }

    /// Whether a container counts as ready: one that runs to its end before the others once it has.
    func isReady(_ container: ContainerSpec) -> Bool {
        let view = containers[container.name] ?? ContainerView()
        if container.isInit, !container.isSidecar { return view.exit?.code == 0 }
        return view.isRunning && view.isStarted && view.isReady
    }

    /// The state of a container and the one before.
    private func states(_ container: ContainerSpec, _ view: ContainerView, in place: PodPlace, at now: Moment) -> (JSON, JSON) {
        let before = view.previous.map { exit -> JSON in
            let number = max(0, (view.latest?.id.attempt ?? 1) - 1)
            return ["terminated": Self.terminated(exit, ContainerID(pod: spec.uid, container: container.name, attempt: number), place)]
        }
        guard let latest = view.latest else {
            return (waiting(container, view), [:])
        }
        guard let exit = latest.exit else {
            guard case .running(let since) = latest.state else { return ([:], [:]) }
            return (["running": ["startedAt": .string(since.text)]], before ?? [:])
        }
        let ended: JSON = ["terminated": Self.terminated(exit, latest.id, place)]
        // Nothing more is going to run of a Pod that ends.
        if outcome != nil || isBeingDeleted || isOverForGood(container) { return (ended, before ?? [:]) }
        if view.refusal != nil { return (waiting(container, view), ended) }
        guard backoffLeft(view, at: now) > .zero else { return (ended, before ?? [:]) }
        let message =
            "back-off \(Self.text(seconds: latest.backoffSeconds)) restarting failed container=\(container.name) pod=\(spec.key.name)_\(spec.key.namespace)(\(spec.uid))"
        return (["waiting": ["reason": "CrashLoopBackOff", "message": .string(message)]], ended)
    }

    private func waiting(_ container: ContainerSpec, _ view: ContainerView) -> JSON {
        if let refusal = view.refusal ?? problem {
            return ["waiting": ["reason": .string(refusal.reason), "message": .string(refusal.message)]]
        }
        let isAfterOthers = !container.isInit && !spec.initContainers.isEmpty && !isInitialized
        return ["waiting": ["reason": isAfterOthers || container.isInit ? "PodInitializing" : "ContainerCreating"]]
    }

    /// As Go writes a duration: `10s`, `1m20s`, `5m0s`.
    static func text(seconds: Int64) -> String { seconds < 60 ? "\(seconds)s" : "\(seconds / 60)m\(seconds % 60)s" }

    private static func terminated(_ exit: ContainerExit, _ id: ContainerID, _ place: PodPlace) -> JSON {
        var state: JSON = [
            "exitCode": .integer(exit.code), "reason": .string(exit.reason), "startedAt": .string(exit.startedAt.text),
            "finishedAt": .string(exit.finishedAt.text), "containerID": .string(containerID(id, place)),
        ]
        if let signal = exit.signal { state["signal"] = .integer(signal) }
        if !exit.message.isEmpty { state["message"] = .string(exit.message) }
        return state
    }

    // MARK: Conditions

    /// Whether everything that comes before the containers is done.
    var isInitialized: Bool {
        spec.containers.contains { containers[$0.name]?.latest != nil }
            || spec.initContainers.allSatisfy { container in
                let view = containers[container.name] ?? ContainerView()
                return container.isSidecar ? view.isRunning && view.isStarted : view.exit?.code == 0
            }
    }

    private struct Finding {
        var isTrue: Bool
        var reason = ""
        var message = ""
    }

    private func conditions(_ known: [JSON], at now: Moment) -> [JSON] {
        let containersReady = containersReady(at: now)
        var ready = containersReady
        if containersReady.isTrue {
            let missing = spec.readinessGates.filter { gate in
                !known.contains { $0["type"]?.string == gate && $0["status"] == "True" }
            }
            if !missing.isEmpty {
                let words = missing.map { "corresponding condition of pod readiness gate \"\($0)\" does not exist or is not True." }
                ready = Finding(isTrue: false, reason: "ReadinessGatesNotReady", message: words.joined(separator: ", "))
            }
        }
        let isOver = outcome != nil && !hasRunning
        let findings: [(String, Finding)] = [
            ("PodReadyToStartContainers", Finding(isTrue: isPrepared && !isOver)), ("Initialized", initialized(at: now)), ("Ready", ready),
            ("ContainersReady", containersReady), ("PodScheduled", Finding(isTrue: true)),
        ]
        let own = Set(findings.map(\.0))
        let others = known.filter { !own.contains($0["type"]?.string ?? "") }
        return others
            + findings.map { type, finding in
                let old = known.first { $0["type"]?.string == type }
                let status = finding.isTrue ? "True" : "False"
                var condition: JSON = ["type": .string(type), "status": .string(status)]
                let isSame = old?["status"]?.string == status
                condition["lastTransitionTime"] = isSame ? old?["lastTransitionTime"] ?? .string(now.time.text) : .string(now.time.text)
                if !finding.reason.isEmpty { condition["reason"] = .string(finding.reason) }
                if !finding.message.isEmpty { condition["message"] = .string(finding.message) }
                return condition
            }
    }

    private func initialized(at now: Moment) -> Finding {
        if isInitialized { return Finding(isTrue: true, reason: outcome?.isSuccess == true ? "PodCompleted" : "") }
        let names = spec.initContainers.filter { container in
            let view = containers[container.name] ?? ContainerView()
            return container.isSidecar ? !(view.isRunning && view.isStarted) : view.exit?.code != 0
        }.map(\.name)
        return Finding(
            isTrue: false, reason: "ContainersNotInitialized",
            message: "containers with incomplete status: [\(names.joined(separator: " "))]")
    }

    private func containersReady(at now: Moment) -> Finding {
        switch phase(at: now) {
        case "Succeeded": return Finding(isTrue: false, reason: "PodCompleted")
        case "Failed": return Finding(isTrue: false, reason: "PodFailed")
        default: break
        }
        let checked = spec.initContainers.filter(\.isSidecar) + spec.containers
        let unready = checked.filter { !isReady($0) }.map(\.name)
        guard !unready.isEmpty else { return Finding(isTrue: true) }
        // Why one can't be started is said where people look first.
        var reasons = spec.allContainers.compactMap { container -> String? in
            let view = containers[container.name]
            return view?.isRunning == true ? nil : view?.refusal?.message
        }
        if reasons.isEmpty, !isPrepared, let problem { reasons = [problem.message] }
        let list = "containers with unready status: [\(unready.joined(separator: " "))]"
        return Finding(isTrue: false, reason: "ContainersNotReady", message: ([list] + reasons).joined(separator: "; "))
    }
}
