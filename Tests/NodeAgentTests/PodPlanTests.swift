import Resources
import TestKit
import Testing

@testable import NodeAgent

/// A Pod that is planned for, with a clock that is moved by hand.
struct PlannedPod {
    var plan: PodPlan
    var now = Moment(time: Timestamp(seconds: 1_800_000_000), uptime: .seconds(1000))
    var object: JSON
    static let place = PodPlace(address: "10.0.0.7", runtime: "process")

    init(_ spec: JSON, status: JSON? = nil, annotations: JSON = [:]) {
        object = [
            "apiVersion": "v1", "kind": "Pod",
            "metadata": ["name": "web", "namespace": "default", "uid": "u1", "annotations": annotations], "spec": spec,
        ]
        object["status"] = status
        plan = PodPlan(PodSpec(object))
        plan.prepared()
    }

    mutating func pass(_ seconds: Int64) {
        now.time = Timestamp(seconds: now.time.seconds + seconds)
        now.uptime += .seconds(seconds)
    }

    mutating func decide() -> [PodAction] { plan.decide(at: now) }
    /// What to start, and the names of it.
    mutating func starts() -> [String] {
        decide().compactMap { if case .start(let name, let attempt, _) = $0 { "\(name)/\(attempt)" } else { nil } }
    }
    mutating func restarts(_ name: String) -> [Bool] { [plan.restart(name)] }
    mutating func signals() -> [String] {
        decide().compactMap { if case .signal(let name, let number) = $0 { "\(name) \(number)" } else { nil } }
    }

    mutating func runs(_ name: String, attempt: Int = 0, backoffSeconds: Int64 = 0, isStarted: Bool = true, isReady: Bool = true) {
        let id = ContainerID(pod: "u1", container: name, attempt: attempt)
        plan.observe(
            ContainerRecord(id: id, image: "i", state: .running(since: now.time), backoffSeconds: backoffSeconds), at: now.uptime)
        plan.found(id) {
            $0.isStarted = isStarted
            $0.isReady = isReady
        }
    }

    mutating func ended(
        _ name: String, _ code: Int64, attempt: Int = 0, backoffSeconds: Int64 = 0, after seconds: Int64 = 1, reason: String? = nil
    ) {
        let began = Timestamp(seconds: now.time.seconds - seconds)
        let exit = ContainerExit(code: code, reason: reason, startedAt: began, finishedAt: now.time)
        plan.observe(
            ContainerRecord(
                id: ContainerID(pod: "u1", container: name, attempt: attempt), image: "i", state: .exited(exit),
                backoffSeconds: backoffSeconds), at: now.uptime)
    }

    mutating func delete(graceSeconds: Int64) {
        object[path: ["metadata", "deletionTimestamp"]] = .string(now.time.text)
        object[path: ["metadata", "deletionGracePeriodSeconds"]] = .integer(graceSeconds)
        plan.update(PodSpec(object))
    }

    var status: JSON { plan.status(from: object["status"], in: Self.place, at: now) }
    func state(_ name: String) -> JSON {
        let all = (status["containerStatuses"]?.array ?? []) + (status["initContainerStatuses"]?.array ?? [])
        return all.first { $0["name"]?.string == name } ?? .null
    }
    func condition(_ type: String) -> JSON { status["conditions"]?.array?.first { $0["type"]?.string == type } ?? .null }
}

private func containers(_ names: String...) -> JSON { .array(names.map { ["name": .string($0), "image": "i", "command": ["x"]] }) }

@Suite(.offThePool) struct PodPlanTests {
    @Test func `a container that somebody restarts ends, and begins anew without waiting whatever its policy says`() {
        var pod = PlannedPod(["containers": containers("a", "b"), "restartPolicy": "Never", "terminationGracePeriodSeconds": 5])
        #expect(pod.restarts("a") == [false])
        _ = pod.starts()
        pod.runs("a")
        pod.runs("b")
        #expect(pod.restarts("a") == [true])
        #expect(pod.signals() == ["a 15"])
        pod.ended("a", 143)
        #expect(pod.starts() == ["a/1"])
        pod.runs("a", attempt: 1)
        #expect(pod.signals() == [])
        pod.ended("a", 0, attempt: 1)
        // The second end is nobody's wish.
        #expect(pod.starts() == [])
        pod.ended("b", 0)
        _ = pod.decide()
        #expect(pod.plan.outcome?.isSuccess == true)
        #expect(pod.restarts("a") == [false])
    }

    @Test func `a container that waits after failures is restarted at once by hand, and waits as at first when it fails again`() {
        var pod = PlannedPod(["containers": containers("a")])
        _ = pod.starts()
        pod.runs("a", attempt: 3, backoffSeconds: 80)
        pod.ended("a", 1, attempt: 3, backoffSeconds: 80)
        #expect(pod.starts() == [])
        #expect(pod.restarts("a") == [true])
        #expect(pod.starts() == ["a/4"])
        pod.runs("a", attempt: 4)
        pod.ended("a", 1, attempt: 4)
        #expect(pod.starts() == ["a/5"])
    }

    @Test func `containers of a Pod are started side by side, and the Pod is running and ready once they are`() {
        var pod = PlannedPod(["containers": containers("a", "b")])
        #expect(pod.status["phase"] == "Pending")
        #expect(pod.state("a")["state"]?["waiting"]?["reason"] == "ContainerCreating")
        #expect(pod.starts() == ["a/0", "b/0"])
        pod.runs("a")
        #expect(pod.status["phase"] == "Pending")
        pod.runs("b", isReady: false)
        #expect(pod.status["phase"] == "Running")
        #expect(pod.condition("Ready")["status"] == "False")
        #expect(pod.condition("ContainersReady")["message"] == "containers with unready status: [b]")
        pod.runs("b")
        pod.plan.found(ContainerID(pod: "u1", container: "b", attempt: 0)) { $0.isReady = true }
        for type in ["PodScheduled", "Initialized", "ContainersReady", "Ready", "PodReadyToStartContainers"] {
            #expect(pod.condition(type)["status"] == "True", "\(type)")
        }
        #expect(pod.decide().isEmpty)
    }

    @Test func `a container that crashes is started again at once, then after 10 s, 20 s and so on up to 5 minutes`() {
        var pod = PlannedPod(["containers": containers("a")])
        var (backoff, waits) = (Int64(0), [Int64]())
        for attempt in 0..<9 {
            pod.runs("a", attempt: attempt, backoffSeconds: backoff)
            pod.pass(1)
            pod.ended("a", 1, attempt: attempt, backoffSeconds: backoff)
            var waited: Int64 = 0
            while true {
                let start = pod.decide().compactMap { action -> Int64? in
                    if case .start(_, _, let next) = action { next } else { nil }
                }.first
                if let start {
                    backoff = start
                    break
                }
                pod.pass(1)
                waited += 1
            }
            waits.append(waited)
        }
        #expect(waits == [0, 10, 20, 40, 80, 160, 300, 300, 300])
    }

    @Test func `a container that waits to be started again says CrashLoopBackOff, how it ended, and tells once`() {
        var pod = PlannedPod(["containers": containers("a")])
        pod.ended("a", 3, attempt: 1, backoffSeconds: 10)
        let notes = pod.decide().compactMap { if case .note(let note) = $0 { note.reason } else { nil } }
        #expect(notes == ["BackOff"])
        #expect(pod.decide().isEmpty)
        #expect(pod.plan.lookAgainAt == pod.now.uptime + .seconds(10))
        #expect(pod.state("a")["state"]?["waiting"]?["reason"] == "CrashLoopBackOff")
        #expect(pod.state("a")["state"]?["waiting"]?["message"] == "back-off 10s restarting failed container=a pod=web_default(u1)")
        #expect(pod.state("a")["lastState"]?["terminated"]?["exitCode"] == 3)
        #expect(pod.state("a")["restartCount"] == 1)
        #expect(pod.status["phase"] == "Running")
    }

    @Test func `ten minutes without a crash make good for the crashes before`() {
        var pod = PlannedPod(["containers": containers("a")])
        pod.ended("a", 1, attempt: 7, backoffSeconds: 300, after: 600)
        #expect(pod.starts() == ["a/8"])
        #expect(PodPlan.backoff(after: pod.plan.containers["a"]!.exit!, whichHad: 300) == 10)
    }

    @Test func `a clock that is set back does not hold up a restart`() {
        var pod = PlannedPod(["containers": containers("a")])
        pod.ended("a", 1, attempt: 1, backoffSeconds: 10)
        pod.now.time = Timestamp(seconds: pod.now.time.seconds - 86400)
        pod.now.uptime += .seconds(10)
        #expect(pod.starts() == ["a/2"])
    }

    @Test(arguments: [
        ("Always", 0, true), ("Always", 1, true), ("OnFailure", 0, false), ("OnFailure", 1, true), ("Never", 0, false), ("Never", 1, false),
    ])
    func `the restart policy decides who runs again`(policy: String, code: Int64, runsAgain: Bool) {
        var pod = PlannedPod(["restartPolicy": .string(policy), "containers": containers("a")])
        pod.ended("a", code)
        #expect(pod.starts() == (runsAgain ? ["a/1"] : []))
        #expect(pod.status["phase"]?.string == (runsAgain ? "Running" : code == 0 ? "Succeeded" : "Failed"))
        if !runsAgain { #expect(pod.condition("Ready")["reason"]?.string == (code == 0 ? "PodCompleted" : "PodFailed")) }
    }

    @Test func `a Pod has succeeded only once all of its containers have`() {
        var pod = PlannedPod(["restartPolicy": "Never", "containers": containers("a", "b")])
        pod.ended("a", 0)
        pod.runs("b")
        #expect(pod.status["phase"] == "Running")
        pod.ended("b", 2)
        _ = pod.decide()
        #expect(pod.status["phase"] == "Failed")
        #expect(pod.state("b")["state"]?["terminated"]?["reason"] == "Error")
        #expect(pod.state("a")["state"]?["terminated"]?["reason"] == "Completed")
    }

    @Test func `init containers run one after the other before the others begin`() {
        var pod = PlannedPod(["initContainers": containers("one", "two"), "containers": containers("a")])
        #expect(pod.state("a")["state"]?["waiting"]?["reason"] == "PodInitializing")
        #expect(pod.starts() == ["one/0"])
        pod.runs("one")
        #expect(pod.starts() == [])
        #expect(pod.condition("Initialized")["message"] == "containers with incomplete status: [one two]")
        pod.ended("one", 0)
        #expect(pod.starts() == ["two/0"])
        pod.ended("two", 0)
        #expect(pod.condition("Initialized")["status"] == "True")
        #expect(pod.starts() == ["a/0"])
        #expect(pod.state("one")["ready"] == true)
    }

    @Test func `an init container that fails is tried again, or fails the Pod if nothing is to run again`() {
        var again = PlannedPod(["initContainers": containers("one"), "containers": containers("a")])
        again.ended("one", 1)
        #expect(again.starts() == ["one/1"])
        #expect(again.status["phase"] == "Pending")
        var never = PlannedPod(["restartPolicy": "Never", "initContainers": containers("one"), "containers": containers("a")])
        never.ended("one", 1)
        #expect(never.starts() == [])
        #expect(never.status["phase"] == "Failed")
    }

    @Test func `a sidecar has to have started before the next container, stays beside the others and ends after them`() {
        var pod = PlannedPod([
            "restartPolicy": "Never", "initContainers": [["name": "side", "image": "i", "restartPolicy": "Always"]],
            "containers": containers("a"),
        ])
        #expect(pod.starts() == ["side/0"])
        pod.runs("side", isStarted: false)
        #expect(pod.starts() == [])
        pod.runs("side")
        #expect(pod.starts() == ["a/0"])
        pod.runs("a")
        pod.ended("side", 1)
        #expect(pod.starts() == ["side/1"])
        pod.runs("side", attempt: 1)
        pod.ended("a", 0)
        #expect(pod.signals() == ["side 15"])
        #expect(pod.status["phase"] == "Running")
        pod.ended("side", 143, attempt: 1)
        #expect(pod.decide().isEmpty)
        #expect(pod.status["phase"] == "Succeeded")
    }

    @Test func `a Pod that is deleted gets SIGTERM, its grace, SIGKILL, and is deleted when nothing of it runs`() {
        var pod = PlannedPod(["containers": containers("a", "b")])
        pod.runs("a")
        pod.runs("b")
        pod.delete(graceSeconds: 5)
        #expect(pod.signals() == ["a 15", "b 15"])
        #expect(pod.signals() == [])
        #expect(pod.condition("Ready")["status"] == "False")
        pod.ended("a", 143)
        pod.pass(4)
        #expect(pod.signals() == [])
        pod.pass(1)
        #expect(pod.signals() == ["b 9"])
        pod.ended("b", 137)
        #expect(pod.decide() == [.finish])
        #expect(pod.status["phase"] == "Failed")
    }

    @Test func `a deletion without grace kills at once, also where one with grace has begun`() {
        var pod = PlannedPod(["containers": containers("a")])
        pod.runs("a")
        pod.delete(graceSeconds: 30)
        #expect(pod.signals() == ["a 15"])
        pod.delete(graceSeconds: 0)
        #expect(pod.signals() == ["a 9"])
    }

    @Test func `the hook before the end comes before SIGTERM, and takes of the grace`() {
        var pod = PlannedPod([
            "containers": [["name": "a", "image": "i", "lifecycle": ["preStop": ["exec": ["command": ["drain"]]]]]]
        ])
        pod.runs("a")
        pod.delete(graceSeconds: 10)
        let first = pod.decide()
        #expect(first.contains(.runPreStop(container: "a")))
        #expect(!first.contains(.signal(container: "a", 15)))
        pod.pass(3)
        pod.plan.preStopEnded("a")
        #expect(pod.signals() == ["a 15"])
        pod.pass(7)
        #expect(pod.signals() == ["a 9"])
    }

    @Test func `a hook that takes all of the grace leaves two seconds after SIGTERM`() {
        var pod = PlannedPod([
            "containers": [["name": "a", "image": "i", "lifecycle": ["preStop": ["exec": ["command": ["drain"]]]]]]
        ])
        pod.runs("a")
        pod.delete(graceSeconds: 10)
        _ = pod.decide()
        pod.pass(10)
        #expect(pod.signals() == ["a 15"])
        pod.pass(2)
        #expect(pod.signals() == ["a 9"])
    }

    @Test func `a container that a probe has found dead is ended and started again`() {
        var pod = PlannedPod(["containers": containers("a")])
        pod.runs("a")
        pod.plan.found(ContainerID(pod: "u1", container: "a", attempt: 0)) { $0.failure = .init(message: "failed", graceSeconds: 2) }
        #expect(pod.signals() == ["a 15"])
        pod.pass(2)
        #expect(pod.signals() == ["a 9"])
        pod.ended("a", 137)
        #expect(pod.starts() == ["a/1"])
    }

    @Test func `a Pod that is active for too long fails with DeadlineExceeded`() {
        var pod = PlannedPod(
            ["activeDeadlineSeconds": 60, "containers": containers("a")],
            status: ["startTime": .string(Timestamp(seconds: 1_800_000_000).text)])
        pod.runs("a")
        _ = pod.decide()
        #expect(pod.plan.lookAgainAt == pod.now.uptime + .seconds(60))
        pod.pass(60)
        #expect(pod.signals() == ["a 15"])
        pod.ended("a", 143)
        #expect(pod.decide().isEmpty)
        #expect(pod.status["phase"] == "Failed")
        #expect(pod.status["reason"] == "DeadlineExceeded")
    }

    @Test func `a Pod that has ended is not begun again, whatever is known of its containers`() {
        var pod = PlannedPod(["containers": containers("a")], status: ["phase": "Succeeded"])
        #expect(pod.decide().isEmpty)
        #expect(pod.status["phase"] == "Succeeded")
    }

    @Test func `a container that cannot be started waits with the reason, and is tried again ever more rarely`() {
        var pod = PlannedPod(["containers": containers("a")])
        var waits: [Duration] = []
        for _ in 0..<8 {
            #expect(pod.starts() == ["a/0"])
            pod.plan.refused("a", ContainerRefusal("CreateContainerConfigError", "secret \"s\" not found"), at: pod.now.uptime)
            #expect(pod.starts() == [])
            let wait = pod.plan.lookAgainAt! - pod.now.uptime
            waits.append(wait)
            pod.pass(wait.components.seconds)
        }
        #expect(waits == [1, 2, 4, 8, 16, 32, 60, 60].map { .seconds($0) })
        #expect(pod.state("a")["state"]?["waiting"]?["reason"] == "CreateContainerConfigError")
        #expect(pod.status["phase"] == "Pending")
    }

    @Test func `restarts that another agent has counted go on being counted`() {
        var pod = PlannedPod(
            ["containers": containers("a")],
            status: ["containerStatuses": [["name": "a", "restartCount": 4, "containerID": "process://u1-a-4"]]])
        #expect(pod.starts() == ["a/5"])
    }

    @Test func `a condition keeps the time of its last change, and others' conditions stay`() {
        var pod = PlannedPod(["containers": containers("a")])
        pod.object["status"] = pod.status
        pod.object[path: ["status", "conditions"]] = .array(
            (pod.status["conditions"]?.array ?? []) + [["type": "example.com/gate", "status": "True"]])
        let before = pod.condition("Ready")["lastTransitionTime"]
        pod.pass(100)
        #expect(pod.condition("Ready")["lastTransitionTime"] == before)
        #expect(pod.condition("example.com/gate")["status"] == "True")
        pod.runs("a")
        #expect(pod.condition("Ready")["lastTransitionTime"]?.string == pod.now.time.text)
    }

    @Test func `a Pod with a readiness gate is ready only once somebody has set its condition`() {
        var pod = PlannedPod(["containers": containers("a"), "readinessGates": [["conditionType": "example.com/gate"]]])
        pod.runs("a")
        #expect(pod.condition("ContainersReady")["status"] == "True")
        #expect(pod.condition("Ready")["reason"] == "ReadinessGatesNotReady")
        pod.object["status"] = ["conditions": [["type": "example.com/gate", "status": "True"]]]
        #expect(pod.condition("Ready")["status"] == "True")
    }

    @Test func `what the status no longer says is taken out of the server's`() {
        let change = PodWorker.change(from: ["phase": "Running", "reason": "x", "other": 1], to: ["phase": "Running"])
        #expect(change == ["reason": .null])
        #expect(PodWorker.change(from: ["phase": "Running"], to: ["phase": "Running"]) == nil)
    }
}
