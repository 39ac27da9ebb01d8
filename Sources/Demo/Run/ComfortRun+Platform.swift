import KnowledgeBase
import Learning
import Resources
import ThermalComfort

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Our method on a cluster of its own: cloud and edges as processes, the job as an object.
extension ComfortRun {
    /// Starts the cluster and applies data sets and job.
    func begin(_ cluster: DemoCluster, _ source: ComfortSource) throws {
        display.note("starting a cloud and \(edgesInWords) on this machine, each a process of its own, in \(cluster.settings.folder)")
        try cluster.start()
        let votes = VoteStream(source, edges: settings.edges)
        for (edge, cities) in zip(cluster.edges, votes.cities) {
            let more = cities.count > 4 ? " and \(cities.count - 4) more" : ""
            display.note("  \(edge.name) is ready; it owns \(cities.prefix(4).joined(separator: ", "))\(more)")
        }
        try PlatformMethod.prepare(cluster)
        try ComfortJob(cluster).apply(labels: settings.labels.rawValue, seed: settings.seed, isSynthetic: source.isSynthetic)
        display.note("  applied the data sets of the edges and the job \(ComfortJob.name) (examples/thermal-comfort)")
    }

    /// - Parameter onProgress: told how far a round is learned.
    func platformMethod(
        _ cluster: DemoCluster, _ experiment: ComfortExperiment, _ source: ComfortSource,
        onProgress: @escaping @Sendable (_ done: Int64, _ total: Int64) -> Void
    ) -> PlatformMethod {
        // The last edge is cut off for one round, one in the middle: it has a model by then, and time to catch up.
        PlatformMethod(
            cluster, VoteStream(source, edges: settings.edges), cutRound: experiment.roundCount > 1 ? experiment.roundCount / 2 : nil,
            display, onProgress: onProgress)
    }

    /// Takes home what the cluster has: files of the models, knowledge, and times of the edges.
    func collect(_ method: PlatformMethod, _ evaluation: MethodEvaluation, _ experiment: ComfortExperiment) throws -> Ours {
        let cluster = tools.cluster!
        let times = try method.latencies(experiment.test, rowsMax: Self.timedRows, warmUp: Self.warmUpRows)
        func time(_ share: Double) -> Double { times.isEmpty ? 0 : (percentile(share, ofSorted: times) * 10).rounded() / 10 }
        var edge = ComfortResults.Edge(
            nodes: cluster.edges.map(\.name), predictionsServed: experiment.test.count, p50US: time(0.5), p99US: time(0.99))
        edge.cut = method.cut.map {
            .init(
                node: $0.edge, round: $0.round, answered: $0.answered, reportedLater: $0.reportedLater, seconds: $0.seconds,
                adaptation: $0.adaptation)
        }
        let models = try PlatformModels(cluster, rounds: method.protocolRounds)
        let knowledge = try PlatformKnowledge(cluster, rounds: method.protocolRounds, evaluation)
        defer { method.close() }
        return Ours(
            facts: models.facts, edge: edge, decisions: knowledge.decisions, relations: knowledge.relations(Self.relationsShown),
            models: models.contents, knowledge: .base(knowledge.bytes), workerPeak: cluster.peakMemory)
    }

    private static let timedRows = 1000
    private static let warmUpRows = 50
}

/// The files of the version that serves, from the cloud.
private struct PlatformModels {
    let facts: ComfortResults.Model
    /// By name in the run's folder.
    private(set) var contents: [String: [UInt8]] = [:]

    /// - Parameter rounds: the protocol's round of each of the job's.
    init(_ cluster: DemoCluster, rounds: [Int64: Int]) throws {
        let version = try ComfortJob(cluster).version()
        var digests = (version["files"]?.object ?? [:]).reduce(into: [String: String]()) { $0[$1.0] = $1.1.string }
        digests["model.onnx"] = version["digest"]?.string
        func file(_ name: String) throws -> [UInt8] {
            guard let digest = digests[name], digest.hasPrefix("sha256:") else {
                throw ClusterError("model \(ComfortJob.name), version \(version["version"]?.text ?? ""): no file \(name)")
            }
            return try cluster.client.bytes("/artifacts/sha256/\(digest.dropFirst(7))")
        }
        let plan = try JSONParser.parse(try file("serving.json"))
        let newest = plan["other"]?.string ?? "model.onnx"
        var older: [ComfortResults.OlderModel] = []
        let served = (plan["models"]?.object ?? [:]).map { ($0.0, $0.1["round"]?.integer ?? 0) }.sorted { $0.1 < $1.1 }
        for (name, round) in served {
            let bytes = try file(name)
            let kept = name == newest ? ResultFiles.Paths.modelName : ResultFiles.Paths.olderModelName(round: rounds[round] ?? 0)
            contents[kept] = bytes
            guard name != newest else { continue }
            let tasks = (plan["tasks"]?.object ?? [:]).filter { $0.1.string == name }.map { $0.0 }
            older.append(.init(file: kept, bytes: bytes.count, sha256: String(digests[name]!.dropFirst(7)), tasks: tasks.sorted()))
        }
        guard let bytes = contents[ResultFiles.Paths.modelName] else {
            throw ClusterError("model \(ComfortJob.name): its serving.json lists no \(newest)")
        }
        facts = .init(
            file: ResultFiles.Paths.modelName, bytes: bytes.count, sha256: String(digests[newest]!.dropFirst(7)),
            features: PhysicsFeatures.names, older: older)
    }
}

/// The cloud's knowledge base, with what the judge found beside each round.
private struct PlatformKnowledge {
    let decisions: [ComfortResults.Decision]
    private let last: RoundRecord?
    let bytes: [UInt8]

    /// - Parameter rounds: the protocol's round of each of the job's.
    init(_ cluster: DemoCluster, rounds: [Int64: Int], _ evaluation: MethodEvaluation) throws {
        let job = try JobName(namespace: "default", name: ComfortJob.name)
        let path = "\(cluster.settings.folder)/knowledge.db"
        // The knowledge base takes rounds in when the cluster has time.
        let records = try cluster.until("the knowledge base knows \(rounds.count) rounds") { () -> [RoundRecord]? in
            try KnowledgeFile.write(try cluster.client.bytes("/knowledge/v1/snapshot"), to: path)
            let known = try KnowledgeFile.records(path, of: job)
            return known.count >= rounds.count ? known : nil
        }
        decisions = records.flatMap { Self.decisions($0, round: rounds[Int64($0.round)] ?? $0.round) }
        last = records.last
        bytes = try KnowledgeFile.bytes(path, adding: Self.judged(job, rounds, evaluation), at: Int64(time(nil)))
        for suffix in ["", "-wal", "-shm"] { unlink(path + suffix) }
    }

    /// What the update rule and the gate decided, task by task.
    private static func decisions(_ record: RoundRecord, round: Int) -> [ComfortResults.Decision] {
        if let waiting = record.decisions.first(where: { $0.action == "wait" }) {
            return [.init(round: round, subject: "all tasks", action: "keep", reason: waiting.reason)]
        }
        return record.decisions.compactMap { decision in
            guard let task = decision.task, ["deploy", "keep"].contains(decision.action) else { return nil }
            return .init(
                round: round, subject: task, action: decision.action, difference: decision.figures["log_loss_difference"],
                standardError: decision.figures["standard_error"], reason: decision.reason)
        }
    }

    func relations(_ count: Int) -> [ComfortResults.Relation] {
        (last?.relations ?? []).filter { $0.kind == "transfer" }.sorted { $0.value > $1.value }.prefix(count).map {
            .init(from: $0.from, to: $0.to, transfer: $0.value, rows: $0.rowCount ?? 0)
        }
    }

    /// Figures on the test rows, which no worker has ever seen with their labels.
    private static func judged(_ job: JobName, _ rounds: [Int64: Int], _ evaluation: MethodEvaluation) -> [RoundRecord] {
        let last = rounds.keys.max()
        return rounds.sorted { $0.key < $1.key }.map { number, round in
            var record = RoundRecord(job: job, round: Int(number), pod: "judge")
            for (tested, accuracy) in evaluation.matrix.values[round].enumerated() where accuracy.isFinite {
                record.metrics["test_accuracy_round_\(tested)"] = accuracy
            }
            guard number == last else { return record }
            record.metrics["test_accuracy"] = evaluation.metrics.accuracy
            record.metrics["test_log_loss"] = evaluation.metrics.logLoss
            record.metrics["backward_transfer"] = evaluation.backwardTransfer
            record.metrics["forward_transfer"] = evaluation.forwardTransfer
            record.metrics["forgetting"] = evaluation.forgetting
            return record
        }
    }
}
