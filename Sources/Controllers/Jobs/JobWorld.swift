import Reconciliation
import Resources

/// What a job's plan is made of, as the view has it.
struct JobWorld: Sendable {
    /// By name, in the job's namespace.
    var datasets: [String: JSON]
    /// By name, in the job's namespace.
    var models: [String: JSON]
    /// The job's own, by name.
    var pods: [String: JSON]
    /// Names of all jobs that learn in rounds, in the job's namespace.
    var jobs: Set<String>
    /// Names of all nodes.
    var nodes: Set<String>
    /// The node of the cloud, where training goes if the job says nothing; nil if there is none.
    var cloudNode: String?
    /// The job that `spec.knowledge.from` names, the one that this one waits for, and so on, as far as they are there: each once, the job itself
    /// not, at most `giversMax`.
    var givers: [JSON]
    var now: Timestamp
    private let job: JSON
    private let view: ObjectView

    /// A longer row of jobs that wait for each other is not looked through.
    static let giversMax = 32

    init(_ job: JSON, in view: ObjectView, now: Timestamp) {
        func named(_ objects: [JSON]) -> [String: JSON] { Dictionary(objects.map { ($0.name, $0) }, uniquingKeysWith: { $1 }) }
        datasets = named(view.all(.dataset, in: job.namespace))
        models = named(view.all(.model, in: job.namespace))
        pods = named(view.controlled(.pod, by: job.uid))
        jobs = Set(
            [ResourceKind.lifelongLearningJob, .incrementalLearningJob].flatMap { view.all($0, in: job.namespace) }
                .filter { !$0.isBeingDeleted }.map(\.name))
        let nodes = view.all(.node)
        self.nodes = Set(nodes.map(\.name))
        cloudNode = nodes.first { $0.labels["node-role.kubernetes.io/cloud"] != nil }?.name
        givers = Self.givers(of: job, in: view)
        (self.job, self.view, self.now) = (job, view, now)
    }

    /// What keeps a worker from being made: a Pod of its name which is not the job's; nil if there is none. One that an earlier job of the same kind
    /// and name has left goes by itself.
    func obstacle(toPod name: String) -> JobObstacle? {
        guard pods[name] == nil, let pod = view[.pod, ObjectKey(namespace: job.namespace, name: name)] else { return nil }
        let kind = job["kind"]?.string ?? ""
        let owner = pod.controller.map { (kind: $0["kind"]?.string ?? "", name: $0["name"]?.string ?? "") }
        if let owner, owner == (kind, job.name) { return nil }
        let whose = owner.map { "\($0.kind) \($0.name)'s" } ?? "nobody's worker"
        return JobObstacle(
            reason: "PodNameTaken",
            message:
                "pod \(name) is \(whose), and a worker of \(kind) \(job.name) is to have that name; give \(owner == nil ? "it" : "one of them") another name",
            isWarning: true)
    }

    private static func givers(of job: JSON, in view: ObjectView) -> [JSON] {
        var givers: [JSON] = []
        var name = job["spec"]?["knowledge"]?["from"]?.string
        while givers.count < giversMax, let next = name, next != job.name, !givers.contains(where: { $0.name == next }),
            let giver = view[.lifelongLearningJob, ObjectKey(namespace: job.namespace, name: next)]
        {
            givers.append(giver)
            name = TakenKnowledge.awaitedJob(giver)
        }
        return givers
    }

    func node(of dataset: String) -> String? { datasets[dataset]?["spec"]?["nodeName"]?.string }

    /// Ending of the data set's file, as its reader knows it.
    func format(of dataset: String) -> String { datasets[dataset]?["spec"]?["format"]?.string?.lowercased() ?? "csv" }
}

/// Why a job waits before its round can begin.
struct JobObstacle: Error, Sendable, Equatable {
    let reason: String
    let message: String
    /// Waiting does not help: somebody must change something.
    var isWarning = false
}

/// The data sets of a job: what came since the last round.
struct JobData: Sendable {
    let names: [String]
    let world: JobWorld

    /// The rows that no round has learned from.
    ///
    /// - Throws: a data set that is not there, not readable or not counted yet.
    func fresh(_ status: JobStatus) throws(JobObstacle) -> [RowRange] { try rows(since: status.rows("learned")) }

    /// How many rows came since a round last tried.
    func countSinceAttempt(_ status: JobStatus) throws(JobObstacle) -> Int64 {
        try rows(since: status.rows("attempted")).reduce(0) { $0 + $1.count }
    }

    private func rows(since known: [String: RowRange]) throws(JobObstacle) -> [RowRange] {
        var rows: [RowRange] = []
        for name in names {
            let (count, version) = try count(name)
            let old = known[name]
            // Replaced data are new rows from the first on.
            let from = old?.version == version ? min(old?.to ?? 0, count) : 0
            rows.append(RowRange(dataset: name, from: from, to: count, version: version))
        }
        return rows
    }

    private func count(_ name: String) throws(JobObstacle) -> (Int64, version: Int64) {
        guard let dataset = world.datasets[name] else {
            throw JobObstacle(reason: "DatasetNotFound", message: "dataset \(name) does not exist in the job's namespace; create it")
        }
        if let readable = dataset.condition("Readable"), readable["status"]?.string == "False" {
            throw JobObstacle(
                reason: "DatasetNotReadable",
                message: "dataset \(name): \(readable["reason"]?.string ?? ""): \(readable["message"]?.string ?? "it cannot be read")")
        }
        guard let count = dataset["status"]?["numberOfSamples"]?.integer else {
            let node = dataset["spec"]?["nodeName"]?.string ?? ""
            throw JobObstacle(
                reason: world.nodes.contains(node) ? "DatasetNotCounted" : "NodeNotFound",
                message: world.nodes.contains(node)
                    ? "dataset \(name): node \(node) has not counted its samples yet"
                    : "dataset \(name): its node \(node) is not known to this cloud; join it (skerry token create, skerry edge --join)")
        }
        return (count, dataset["status"]?["version"]?.integer ?? 0)
    }
}
