import Resources

#if canImport(Glibc)
    import Glibc
#endif

/// What a node and the containers on it use, measured over a span that begins when somebody asks.
struct NodeUsage: Sendable {
    /// A container that runs.
    struct Container: Sendable {
        var pod: ObjectKey
        var name: String
        var program: ContainerProgram
    }

    /// The span that processor time is measured over.
    static let window: Duration = .seconds(1)

    /// Both looks and the time between them.
    var before: (table: ProcessTable, machine: MachineUse?)
    var after: (table: ProcessTable, machine: MachineUse?)
    var elapsed: Duration

    /// Looks twice, `window` apart.
    static func measure() async -> NodeUsage {
        let clock = ContinuousClock()
        let begin = clock.now
        let before = (await Threads.run { ProcessTable.look() }, MachineUse.look())
        try? await Task.sleep(for: window)
        let after = (await Threads.run { ProcessTable.look() }, MachineUse.look())
        return NodeUsage(before: before, after: after, elapsed: max(.milliseconds(1), begin.duration(to: clock.now)))
    }

    /// `{"timestamp","window","node":{"cpu","memory"},"pods":[{"namespace","name","containers":[{"name","cpu","memory"}]}]}`: quantities of Kubernetes.
    func json(_ containers: [Container], at now: Timestamp) -> JSON {
        var pods: [ObjectKey: [JSON]] = [:]
        for container in containers {
            let family = after.table.family(of: container.program.process, groups: container.program.group)
            var entry = quantities(ticks: after.table.ticks(of: family, since: before.table), bytes: after.table.residentBytes(of: family))
            entry["name"] = .string(container.name)
            pods[container.pod, default: []].append(entry)
        }
        var json: JSON = [
            "timestamp": .string(now.text), "window": .string("\(max(1, Int64((elapsed / .seconds(1)).rounded())))s"),
            "pods": .array(
                pods.sorted { $0.key < $1.key }.map { key, entries in
                    ["namespace": .string(key.namespace), "name": .string(key.name), "containers": .array(entries)]
                }),
        ]
        if let now = after.machine, let then = before.machine {
            json["node"] = quantities(ticks: now.busyTicks >= then.busyTicks ? now.busyTicks - then.busyTicks : 0, bytes: now.memoryBytes)
        }
        return json
    }

    private func quantities(ticks: UInt64, bytes: Int64) -> JSON {
        let seconds = Double(ticks) / Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
        let nanoCores = Int64((seconds / (elapsed / .seconds(1)) * 1e9).rounded())
        return ["cpu": .string("\(nanoCores)n"), "memory": .string("\(bytes / 1024)Ki")]
    }
}

/// The process that a container is, for whoever measures it.
struct ContainerProgram: Sendable, Hashable {
    /// The first one; all others descend from it, or are in its session.
    var process: pid_t
    /// Processes that the kernel keeps in the container's group; empty where there are no groups.
    var group: Set<pid_t>
}

/// Questions to a node's agent that are no matter of one Pod.
extension NodeAgent {
    /// `status` as in HTTP, and `body`.
    func answer(_ question: NodeQuestion, _ body: [UInt8]) async -> JSON {
        if question.path == NodeQuestion.usagePath { return ["status": 200, "body": await usage()] }
        if question.path.hasPrefix(WorkerDoor.labelsFolder) {
            let answer = await workerDoor.labels(
                method: question.method, path: question.path, type: question.type, body: body, isAllowed: true)
            return ["status": .integer(Int64(answer.status)), "body": answer.body]
        }
        return ["status": 404, "body": ["error": .string("\(question.path.prefix(200)): this node does not know such a question")]]
    }

    private func usage() async -> JSON {
        let usage = await NodeUsage.measure()
        var containers: [NodeUsage.Container] = []
        for worker in podWorkers {
            let spec = await worker.spec
            for container in spec.allContainers {
                guard let life = await worker.latest(container.name), life.isRunning, let program = context.runtime.program(of: life.id)
                else {
                    continue
                }
                containers.append(.init(pod: worker.key, name: container.name, program: program))
            }
        }
        return usage.json(containers, at: context.now().time)
    }
}
