import KnowledgeBase
import Storage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// 64 digits that differ by `number`.
func digest(_ number: Int) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 64 - digits.count) + digits
}

extension RoundRecord {
    /// A round in which everything occurs.
    static func example(_ round: Int = 0, job: String = "comfort/lifelong", pod: String = "train", samples: Int = 4) throws -> RoundRecord {
        var record = RoundRecord(job: try JobName(job), round: round, pod: pod)
        record.datasets = [
            Dataset(name: "survey", digest: digest(1), rowCount: 1000), Dataset(name: "images", digest: digest(2), rowCount: 2),
        ]
        record.tasks = [
            Task(name: "winter|fan", attributes: ["season": "winter", "cooling": "fan"], sampleCount: 1, metrics: ["accuracy": 0.1 + 0.2]),
            Task(name: "summer|air", attributes: ["season": "summer", "cooling": "air"], sampleCount: 3),
        ]
        record.models = [
            Model(
                digest: digest(100 + round), name: "comfort", sizeBytes: 300, tasks: ["winter|fan", "summer|air"],
                parents: [digest(99)], datasets: ["survey", "images"], metrics: ["accuracy": 0.6, "log_loss": 0.87]),
            Model(digest: digest(99), name: "base", format: "xgboost", sizeBytes: 7),
        ]
        record.adapters = [
            Adapter(
                kind: "site", subject: "12/summer", task: "summer|air", model: digest(99), sampleCount: 3, weights: [0.1, -1e-9, 3e20]),
            Adapter(kind: "person", subject: "12/7", weights: []),
        ]
        record.samples =
            (0..<samples).map { index in
                Sample(
                    dataset: "survey", key: .number(Int64(index)), state: index % 2 == 0 ? .labelled : .hard, task: "summer|air",
                    score: Double(index) / 7)
            } + [
                Sample(dataset: "images", key: .text("a/ü.png"), state: .unseen, score: 0.9),
                Sample(dataset: "images", key: .text("7"), state: .quarantine),
                Sample(dataset: "images", key: .number(7), state: .labelled),
            ]
        record.relations = [
            Relation(kind: "transfer", from: "summer|air", to: "winter|fan", value: -0.02, rowCount: 12),
            Relation(kind: "same-site", from: "winter|fan", to: "summer|air", value: 1),
        ]
        record.decisions = [
            Decision(action: "keep", task: "winter|fan", before: 0.6, after: 0.5, reason: "worse: ½", figures: ["p": 0.01, "rows": 12]),
            Decision(action: "deploy", model: digest(100 + round), after: 0.6, reason: "better"),
            Decision(action: "ask", subject: "site 40", reason: "unknown"),
        ]
        record.metrics = ["accuracy": 0.6, "BWT": -0.001]
        return record
    }
}

/// The code of the `KnowledgeError` that `body` throws; nil for no error.
func knowledgeCode(_ body: () throws -> Void) throws -> KnowledgeError.Code? {
    do {
        try body()
        return nil
    } catch let error as KnowledgeError {
        return error.code
    }
}

/// Keeps what it is given.
struct CollectedRows: RowSink {
    var columns: [String] = []
    var rows: [[SQLiteValue]] = []
    var isEnded = false

    mutating func begin(_ columns: [RowColumn]) { self.columns = columns.map(\.name) }
    mutating func add(_ row: [SQLiteValue]) { rows.append(row) }
    mutating func end() { isEnded = true }
}
