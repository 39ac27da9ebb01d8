import Resources
import ThermalComfort

/// The example's job on a cluster: what is applied, how a round is asked for, and what became of it.
struct ComfortJob: Sendable {
    static let name = "thermal-comfort"
    /// Asks for a round: each new value begins one.
    static let request = "jobs.skerry.io/train"
    private let cluster: DemoCluster

    init(_ cluster: DemoCluster) { self.cluster = cluster }

    static func dataset(of edge: String) -> String { "votes-\(edge)" }

    // MARK: Applying

    /// Makes data sets and job as the manifests say, for the cluster's edges and the run's settings.
    ///
    /// - Parameter isSynthetic: then the models' versions say so.
    func apply(labels: String, seed: UInt64, isSynthetic: Bool) throws {
        let folder = "\(cluster.settings.folder)/data"
        let template = try ComfortManifests.objects(ComfortManifests.datasets, folder: folder)[0]
        for edge in cluster.edges {
            var dataset = template
            dataset[path: ["metadata", "name"]] = .string(Self.dataset(of: edge.name))
            dataset[path: ["spec", "url"]] = .string("\(edge.data)/votes.csv")
            dataset[path: ["spec", "nodeName"]] = .string(edge.name)
            try cluster.client.apply(.dataset, dataset)
        }
        var job = try ComfortManifests.objects(ComfortManifests.job, folder: folder)[0]
        let names = cluster.edges.map { Self.dataset(of: $0.name) }
        job[path: ["spec", "dataset", "name"]] = .string(names[0])
        job[path: ["spec", "additionalDatasets"]] = .array(names.dropFirst().map { ["name": .string($0)] })
        let values = ["LABELS": labels, "SEED": "\(seed)", "MODEL_MARK": isSynthetic ? SyntheticComfort.mark : ""]
        for stage in ["trainSpec", "evalSpec", "deploySpec"] { Self.set(values, stage, in: &job) }
        try cluster.client.apply(.lifelongLearningJob, job)
    }

    /// Changes variables of a stage's worker that are there.
    private static func set(_ values: [String: String], _ stage: String, in job: inout JSON) {
        let place = ["spec", stage, "template", "spec", "containers"]
        guard var container = job["spec"]?[stage]?["template"]?["spec"]?["containers"]?.array?.first else { return }
        container["env"] = .array(
            (container["env"]?.array ?? []).map { variable in
                guard let value = variable["name"]?.string.flatMap({ values[$0] }) else { return variable }
                var changed = variable
                changed["value"] = .string(value)
                return changed
            })
        job[path: place] = .array([container])
    }

    // MARK: Rounds

    /// How a round ended.
    struct Ending: Sendable, Equatable {
        /// From 1.
        var round: Int64
        /// `Deployed` or `Kept`.
        var result: String
        var reason: String
        /// Version of the model that serves.
        var version: Int64
    }

    /// Waits until the cloud knows of so many rows at each edge.
    func waitForRows(_ counts: [Int]) throws {
        for (edge, count) in zip(cluster.edges, counts) {
            let name = Self.dataset(of: edge.name)
            var found: Int64?
            try cluster.until("dataset \(name) has \(count) rows, found \(found.map(String.init) ?? "none")") { () -> Bool? in
                found = try cluster.client.get(.dataset, name)["status"]?["numberOfSamples"]?.integer
                return found == Int64(count) ? true : nil
            }
        }
    }

    /// Asks for the round after so many.
    func begin(after ended: Int64) throws {
        try cluster.client.annotate(.lifelongLearningJob, Self.name, Self.request, "round-\(ended + 1)")
    }

    /// Waits until the rows of the round have left their edges.
    func waitForCollection(round: Int64) throws {
        try cluster.until("round \(round) of job \(Self.name) has collected its rows", seconds: 300) { () -> Bool? in
            let job = try cluster.client.get(.lifelongLearningJob, Self.name)
            try Self.refuseFailure(job, round: round)
            let work = job["status"]?["work"]
            let isCollected = work?["round"]?.integer == round && work?["collected"]?.array?.isEmpty == false
            return isCollected || job["status"]?["round"]?.integer ?? 0 >= round ? true : nil
        }
    }

    /// Waits until a round is over.
    ///
    /// - Parameter onProgress: called with what the trainer has done, and with what is to be done.
    func wait(round: Int64, onProgress: (Int64, Int64) -> Void) throws -> Ending {
        try cluster.until("round \(round) of job \(Self.name) ends", seconds: 1800) { () -> Ending? in
            let job = try cluster.client.get(.lifelongLearningJob, Self.name)
            try Self.refuseFailure(job, round: round)
            let status = job["status"]
            if let progress = status?["progress"], let done = progress["done"]?.integer, let total = progress["total"]?.integer {
                onProgress(done, total)
            }
            guard status?["round"]?.integer ?? 0 >= round else { return nil }
            guard let told = status?["rounds"]?.array?.last(where: { $0["round"]?.integer == round }) else { return nil }
            return Ending(
                round: round, result: told["result"]?.string ?? "", reason: told["reason"]?.string ?? "",
                version: told["version"]?.integer ?? 0)
        }
    }

    /// A worker that failed is not waited for: what is wrong with it once is wrong with the demo.
    private static func refuseFailure(_ job: JSON, round: Int64) throws {
        let last = job["status"]?["conditions"]?.array?.last { $0["type"]?.string == "Failed" && $0["status"] == "True" }
        guard let last else { return }
        throw ClusterError("round \(round) of job \(name): \(last["reason"]?.string ?? ""): \(last["message"]?.string ?? "")")
    }

    // MARK: What serves

    /// What the worker that serves at an edge has told the cloud.
    func report(at edge: DemoCluster.Edge) throws -> JSONObject? {
        let kind = "lifelonglearningjob.sedna.io"
        let pods = try cluster.client.list(.pod, labels: "\(kind)/name=\(Self.name),\(kind)/worker-type=inference")
        return pods.first { $0["spec"]?["nodeName"]?.string == edge.name }.flatMap { WorkerState($0)?.report.ownerInfo }
    }

    /// Starts a worker at an edge that serves the same model and adapts by itself, and waits until it answers with a version.
    ///
    /// - Returns: its door.
    func startAdapting(at edge: DemoCluster.Edge, version: Int64) throws -> EdgeInference {
        var pod = try ComfortManifests.objects(ComfortManifests.adapting, folder: "")[0]
        pod[path: ["spec", "nodeName"]] = .string(edge.name)
        pod = Self.showing(part(at: edge), pod)
        try cluster.client.apply(.pod, pod)
        let name = pod["metadata"]?["name"]?.string ?? ""
        let address = try cluster.until("pod \(name) serves at \(edge.name)") { () -> String? in
            let info = WorkerState(try cluster.client.get(.pod, name))?.report.ownerInfo
            return info?["address"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        }
        let door = try EdgeInference(address: address, model: Self.name)
        try cluster.until("pod \(name) serves version \(version)") { () -> Bool? in try door.version() == "\(version)" ? true : nil }
        return door
    }

    /// Name of the Model that an edge has: its own part where edges are several.
    private func part(at edge: DemoCluster.Edge) -> String { cluster.edges.count > 1 ? "\(Self.name).\(edge.name)" : Self.name }

    private static func showing(_ model: String, _ pod: JSON) -> JSON {
        var pod = pod
        pod[path: ["spec", "volumes"]] = .array(
            (pod["spec"]?["volumes"]?.array ?? []).map { volume in
                guard volume["csi"] != nil else { return volume }
                var volume = volume
                volume[path: ["csi", "volumeAttributes", "model"]] = .string(model)
                return volume
            })
        return pod
    }

    /// Where the model serves at an edge.
    func address(at edge: DemoCluster.Edge) throws -> String? {
        try report(at: edge)?["address"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The version of the model that serves, with its files' digests.
    func version() throws -> JSON {
        let model = try cluster.client.get(.model, Self.name)
        let serving = model["status"]?["serving"]?.integer ?? 0
        guard let version = model["status"]?["versions"]?.array?.first(where: { $0["version"]?.integer == serving }) else {
            throw ClusterError("model \(Self.name) has no version that serves")
        }
        return version
    }
}
