import ArgumentParser
import KubernetesClient
import Resources

/// `skerry logs`: what a worker has printed.
struct LogsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "Print what a Pod, or the workers of a job, have printed.",
        discussion: """
            NAME is a Pod, or a job: then its newest worker, or that of --stage. With --all every worker of the job is printed, the oldest first.
            """)

    @OptionGroup var place: NamespaceOptions
    @Argument(help: "A Pod or a job.") var name: String
    @Option(help: "Of a job: train, eval, collect, infer, edge or cloud.") var stage: String?
    @Flag(help: "Of a job: all its workers, the oldest first.") var all = false
    @Option(name: [.customShort("c"), .customLong("container")], help: "The container, where the Pod has several.") var container: String?
    @Flag(name: [.customShort("f"), .customLong("follow")], help: "Go on until the container ends.") var follows = false
    @Flag(name: [.customShort("p"), .customLong("previous")], help: "Of the life before this one.") var previous = false
    @Flag(help: "Begin each line with its time.") var timestamps = false
    @Option(help: "Only so many lines at the end.") var tail: Int?

    func validate() throws {
        if let tail, tail < 0 { throw ValidationError("--tail \(tail): expected 0 or more") }
        if let container, !NameRules.isLabel(container) { throw ValidationError("--container \(container): no container is called so") }
        if !NameRules.isSubdomain(name) { throw ValidationError("\(name): no Pod or job is called so; see skerry status") }
        if follows, all { throw ValidationError("--follow and --all: only one worker is followed; leave one of them out") }
    }

    func run() async throws {
        try await place.with { client, namespace in
            let pods = try await pods(client, namespace)
            for (place, pod) in pods.enumerated() {
                if pods.count > 1 { try say("\(place > 0 ? "\n" : "")== pod \(ObjectKey(pod).name) ==") }
                try await print(ObjectKey(pod), client)
            }
        }
    }

    private func print(_ pod: ObjectKey, _ client: RESTClient) async throws {
        var query = ["follow=\(follows)", "previous=\(previous)", "timestamps=\(timestamps)"]
        if let tail { query.append("tailLines=\(tail)") }
        if let container { query.append("container=\(container)") }
        let output = StandardOutput()
        try await client.follow("/api/v1/namespaces/\(pod.namespace)/pods/\(pod.name)/log", query: query.joined(separator: "&")) { bytes in
            try output.write(bytes)
            try output.flush()
        }
    }

    /// The Pod of the name, or Pods of the job of the name.
    private func pods(_ client: RESTClient, _ namespace: String) async throws -> [JSON] {
        if stage == nil, !all {
            do throws(APIStatus) { return [try await client.get(.pod, ObjectKey(namespace: namespace, name: name))] } catch {
                guard error.code == 404 else { throw error }
            }
        }
        let found = try await client.listAll(.pod, ListQuery(namespace: namespace)).items
        let workers = found.filter { JobWorkers.job(of: $0) == name }.sorted { JobWorkers.age($0) < JobWorkers.age($1) }
        guard !workers.isEmpty else {
            let jobs = Set(found.compactMap(JobWorkers.job)).sorted().joined(separator: ", ")
            throw CloudError(
                "namespace \(namespace) has no pod \"\(name)\", and no job of that name has workers\(jobs.isEmpty ? "" : "; jobs with workers: \(jobs)")"
            )
        }
        guard let stage else { return all ? workers : Array(workers.suffix(1)) }
        let wanted = workers.filter { JobWorkers.stage(of: $0, job: name) == stage }
        guard !wanted.isEmpty else {
            let stages = Set(workers.map { JobWorkers.stage(of: $0, job: name) }).sorted().joined(separator: ", ")
            throw CloudError("job \(name) has no worker of stage \(stage); it has: \(stages)")
        }
        return all ? wanted : Array(wanted.suffix(1))
    }
}

/// Workers of jobs, known by their labels. Pure.
enum JobWorkers {
    /// The job a Pod works for, by Sedna's label `KIND.sedna.io/name`.
    static func job(of pod: JSON) -> String? {
        (pod["metadata"]?["labels"]?.object ?? [:]).first { $0.0.hasSuffix(".sedna.io/name") }?.1.string
    }

    /// Whether a Pod serves a Model: it mounts its versions, or it is a worker by that name, as for a Model whose file lies on nodes.
    static func serves(_ model: String, _ pod: JSON) -> Bool {
        if PodReferences(pod).models.contains(model) { return true }
        guard pod["metadata"]?["labels"]?[WorkerContract.workerLabel] == "true" else { return false }
        return (WorkerState(pod)?.report.ownerInfo["modelName"]?.string ?? variable("MODEL_NAME", pod)) == model
    }

    /// The value of a variable in the first of a Pod's containers that has it.
    static func variable(_ name: String, _ pod: JSON) -> String? {
        (pod["spec"]?["containers"]?.array ?? []).lazy.flatMap { $0["env"]?.array ?? [] }.first { $0["name"]?.string == name }?["value"]?
            .string
    }

    /// The word of its name that tells what it does: `train` of `comfort-train-3`; in short names of long jobs the label's.
    static func stage(of pod: JSON, job: String) -> String {
        let name = ObjectKey(pod).name
        if name.hasPrefix(job + "-"), let word = name.dropFirst(job.count + 1).split(separator: "-").first { return String(word) }
        return (pod["metadata"]?["labels"]?.object ?? [:]).first { $0.0.hasSuffix(".sedna.io/worker-type") }?.1.string ?? ""
    }

    /// By which workers are put in order: when they were made, then their names.
    static func age(_ pod: JSON) -> (String, String) { (pod["metadata"]?["creationTimestamp"]?.string ?? "", ObjectKey(pod).name) }
}
