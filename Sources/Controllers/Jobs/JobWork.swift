import Resources

/// Rows of a data set: those that came since the round before.
struct RowRange: Sendable, Hashable {
    var dataset: String
    /// First row, from 0.
    var from: Int64
    /// The row after the last.
    var to: Int64
    /// Of the data set: rows of another version are other rows.
    var version: Int64

    var count: Int64 { max(0, to - from) }

    init(dataset: String, from: Int64, to: Int64, version: Int64) {
        (self.dataset, self.from, self.to, self.version) = (dataset, from, to, version)
    }

    init?(_ json: JSON) {
        guard let dataset = json["dataset"]?.string, let from = json["from"]?.integer, let to = json["to"]?.integer else { return nil }
        self.init(dataset: dataset, from: from, to: to, version: json["version"]?.integer ?? 0)
    }

    var json: JSON { ["dataset": .string(dataset), "from": .integer(from), "to": .integer(to), "version": .integer(version)] }
}

/// The round that is under way: everything that must be known to go on with it, kept in the job's status (`status.work`).
struct JobWork: Sendable, Hashable {
    /// From 1.
    var round: Int64
    var stage: Stage
    /// Retries of the stage so far.
    var attempt: Int64 = 0
    var rows: [RowRange]
    var startTime: Timestamp
    /// When the stage is tried again; nil if it need not wait.
    var retryTime: Timestamp?
    /// Files of rows that left their nodes, in order.
    var collected: [WorkerReport.Result] = []
    var trained: [WorkerReport.Result] = []
    /// Of the new model, then of the one that serves.
    var evaluated: [WorkerReport.Result] = []
    /// The gate's; nil before it has decided.
    var decision: GateRuling?

    init(round: Int64, stage: Stage, rows: [RowRange], startTime: Timestamp) {
        (self.round, self.stage, self.rows, self.startTime) = (round, stage, rows, startTime)
    }

    init?(_ json: JSON?) {
        guard let json, let round = json["round"]?.integer, let stage = json["stage"]?.string.flatMap({ Stage(rawValue: $0) }),
            let start = json.time("startTime")
        else { return nil }
        self.init(round: round, stage: stage, rows: (json["rows"]?.array ?? []).compactMap { RowRange($0) }, startTime: start)
        attempt = json["attempt"]?.integer ?? 0
        retryTime = json.time("retryTime")
        collected = Self.results(json["collected"])
        trained = Self.results(json["trained"])
        evaluated = Self.results(json["evaluated"])
        if let word = json["decision"]?.string {
            decision = GateRuling(deploys: word == "deploy", reason: json["reason"]?.string ?? "")
        }
    }

    var json: JSON {
        var json: JSON = [
            "round": .integer(round), "stage": .string(stage.rawValue), "attempt": .integer(attempt), "rows": .array(rows.map(\.json)),
            "startTime": .string(startTime.text),
        ]
        json["retryTime"] = retryTime.map { .string($0.text) }
        for (name, results) in [("collected", collected), ("trained", trained), ("evaluated", evaluated)] where !results.isEmpty {
            json[name] = .array(results.map(\.json))
        }
        if let decision {
            json["decision"] = .string(decision.deploys ? "deploy" : "keep")
            json["reason"] = .string(decision.reason)
        }
        return json
    }

    private static func results(_ json: JSON?) -> [WorkerReport.Result] {
        (try? WorkerReport(["status": "completed", "results": json ?? []]))?.results ?? []
    }

    /// Goes to the next stage, from its first attempt.
    mutating func enter(_ stage: Stage) { (self.stage, attempt, retryTime) = (stage, 0, nil) }

    /// The model that was trained: the first result that is none of the round's other files.
    var model: WorkerReport.Result? { trained.first { !Self.sideFormats.contains($0.format) } }

    /// Files that go with the model: older models that still serve tasks, which serves which, how the unknown is known; and what nodes' parts of it
    /// are cut by, which goes nowhere.
    var companions: [WorkerReport.Result] {
        trained.filter {
            $0.name != model?.name && [model?.format ?? "onnx", "serving", "signs", "adapters", ModelCut.placesFormat].contains($0.format)
        }
    }

    /// What the next round goes on with. Rows in it stay where training runs.
    var state: [WorkerReport.Result] { trained.filter { ["state", "knowledge", ModelCut.placesFormat].contains($0.format) } }

    /// What training leaves beside its model: what the next round needs, what the knowledge base remembers, tables.
    static let sideFormats: Set<String> = ["state", "knowledge", "csv", "json", "serving", "signs", ModelCut.placesFormat]
}
