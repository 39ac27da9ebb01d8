import Resources

/// Makes the Pods of a job's workers of its templates. Pure; names are derived, so a Pod that is made twice is made once.
struct WorkerPods: Sendable {
    /// Where containers find things; Sedna's prefix.
    static let prefix = "/home/data"
    let job: JSON

    /// What a worker is made for.
    struct Role: Sendable, Hashable {
        /// The last word of the Pod's name: `train`, `eval`, `infer`, `collect`; with a number where several stand side by side.
        var word: String
        /// Sedna's label `worker-type`.
        var type: String
        /// Part of the name; nil for services, which outlive rounds.
        var round: Int64?
        var attempt: Int64 = 0
    }

    /// What a worker gets besides its template.
    struct Fittings: Sendable {
        var variables: [(name: String, value: String)] = []
        var volumes: [(volume: JSON, path: String)] = []
        /// Where the template names no node.
        var node: String?
        /// Annotations of the Pod beside its template's.
        var annotations: [String: String] = [:]

        mutating func add(_ name: String, _ value: String) { variables.append((name, value)) }

        /// Mounts a volume of the agent's below the prefix.
        mutating func mount(_ name: String, _ driver: WorkerContract.Volume, _ attributes: [String: String], at path: String) {
            volumes.append((driver.volume("jobs-\(name)", attributes), path))
        }

        /// Mounts a folder of the node.
        mutating func mount(_ name: String, folder: String, type: String, at path: String) {
            volumes.append((["name": .string("jobs-\(name)"), "hostPath": ["path": .string(folder), "type": .string(type)]], path))
        }
    }

    /// `comfort-train-3`, or with retries `comfort-train-3-r1`; cut, with a hash of the whole, where it would be too long for a name.
    func name(_ role: Role) -> String {
        let tail = [role.word, role.round.map(String.init), role.attempt > 0 ? "r\(role.attempt)" : nil].compactMap { $0 }.joined(
            separator: "-")
        let name = "\(job.name)-\(tail)"
        if name.utf8.count <= 63 { return name }
        return "\(job.name.prefix(63 - tail.utf8.count - 7))-\(StableHash.word(job.name, letters: 5))-\(tail)"
    }

    /// - Parameter template: the stage's, as the job has it.
    func pod(_ role: Role, template: JSON, _ fittings: Fittings) -> JSON {
        let kind = job["kind"]?.string ?? ""
        var labels = [
            WorkerContract.workerLabel: "true", WorkerContract.label(kind, "name"): String(job.name.prefix(63)),
            WorkerContract.label(kind, "uid"): job.uid, WorkerContract.label(kind, "worker-type"): role.type,
        ]
        labels[WorkerContract.roundLabel] = role.round.map(String.init)
        var pod = PodFacts.pod(of: job, template: template, name: name(role), labels: labels)
        pod[path: ["metadata", "generateName"]] = nil
        for (name, value) in fittings.annotations { pod[path: ["metadata", "annotations", name]] = .string(value) }
        var spec = pod["spec"] ?? [:]
        if spec["nodeName"]?.string?.isEmpty ?? true, spec["nodeSelector"] == nil, let node = fittings.node {
            spec["nodeName"] = .string(node)
        }
        spec["restartPolicy"] = role.round == nil ? "Always" : "Never"
        spec["volumes"] = .array((spec["volumes"]?.array ?? []) + fittings.volumes.map(\.volume))
        for list in ["initContainers", "containers"] {
            guard let containers = spec[list]?.array else { continue }
            spec[list] = .array(containers.map { fitted($0, fittings) })
        }
        pod["spec"] = spec
        return pod
    }

    private func fitted(_ container: JSON, _ fittings: Fittings) -> JSON {
        var container = container
        var variables = fittings.variables
        variables.append(("NAMESPACE", job.namespace))
        variables.append((job["kind"]?.string?.hasSuffix("Service") == true ? "SERVICE_NAME" : "JOB_NAME", job.name))
        variables.append(("DATA_PATH_PREFIX", Self.prefix))
        let own = Set((container["env"]?.array ?? []).compactMap { $0["name"]?.string })
        // What the template says wins: Sedna's users set LOG_LEVEL, PARAMETERS and the like there.
        let added = variables.filter { !own.contains($0.name) }
            .map { JSON.object(["name": .string($0.name), "value": .string(Self.verbatim($0.value))]) }
        container["env"] = .array((container["env"]?.array ?? []) + added)
        let mounts = fittings.volumes.map { volume, path in
            JSON.object(["name": volume["name"] ?? "", "mountPath": .string(path)])
        }
        container["volumeMounts"] = .array((container["volumeMounts"]?.array ?? []) + mounts)
        return container
    }

    /// `$(NAME)` in a value is a reference to Kubernetes; `$$(NAME)` is not.
    private static func verbatim(_ value: String) -> String {
        value.split(separator: "$(", omittingEmptySubsequences: false).joined(separator: "$$(")
    }
}

/// Files of a version or a round as a volume: names and digests.
extension [WorkerReport.Result] {
    /// Attributes of a volume of files; results without a digest are left out.
    var volumeAttributes: [String: String] {
        Dictionary(filter { !$0.digest.isEmpty }.map { ($0.name, $0.digest) }, uniquingKeysWith: { first, _ in first })
    }
}
