import Inference
import KnowledgeBase
import Learning
package import Resources
import Storage

/// Takes out of a node's data set what may leave it: the rows that are worth learning from, and the columns the job allows. Nothing else is
/// written, and a manifest says what left and why.
package enum CollectWorker {
    /// What is worth leaving.
    private enum Rule: String, CaseIterable {
        /// Rows that the serving model's learner does not know, or is not sure of; all, while there is no model.
        case unseenOrHard = "unseen-or-hard"
        case all
    }

    /// Reads `TRAIN_DATASET_URL`, asks the model at `MODEL_URL` where there is one, writes `samples.csv` and `manifest.json` into `OUTPUT_URL`.
    ///
    /// - Throws: what is wrong with the job's variables and files; `FileWriteError`.
    package static func run(_ context: WorkerContext) throws -> [WorkerReport.Result] {
        let settings = context.settings
        let output = try settings.required("OUTPUT_URL", "folder to write into")
        try WorkerFile.makeFolder(output)
        let rule = Rule(rawValue: try settings.choice("COLLECT_RULE", of: Rule.allCases.map(\.rawValue)))!
        let files = try TableFiles(settings, "TRAIN_DATASET_URL", "CSV of the node's rows")
        let table = try files.table()
        let columns = try allowed(table, settings)
        let reasons = try reasons(table, rule, context)
        let leaving = reasons.indices.filter { reasons[$0] != nil }
        let samples = try table.rows(leaving).selecting(columns)
        var counts: [String: Int] = [:]
        for row in leaving { counts[reasons[row]!, default: 0] += 1 }
        try WorkerFile.write(samples.csv, output, WorkerFile.samples)
        let datasets = try files.datasets()
        let manifest: JSON = [
            "job": .string(settings.jobName), "worker": .string(settings.podName), "rule": .string(rule.rawValue),
            "columns": .array(columns.map { .string($0) }),
            "withheldColumns": .array(table.columns.filter { !columns.contains($0) }.map { .string($0) }),
            "rows": .integer(Int64(table.count)), "left": .integer(Int64(leaving.count)),
            "reasons": .object(JSONObject(counts.sorted { $0.key < $1.key }.map { ($0.key, .integer(Int64($0.value))) })),
            "sha256": .string(ArtifactDigest(of: samples.csv).hex),
            "datasets": .array(
                datasets.map {
                    ["name": .string($0.name), "sha256": .string($0.digest), "rows": .integer(Int64($0.rowCount))]
                }),
        ]
        try WorkerFile.write(manifest.bytes(), output, WorkerFile.manifest)
        context.say("\(leaving.count) of \(table.count) rows leave, with \(columns.count) of \(table.columns.count) columns")
        let figures = ["rows": Double(table.count), "left": Double(leaving.count), "columns": Double(columns.count)]
        return [
            .init(url: "\(output)/\(WorkerFile.samples)", format: "csv", metrics: figures),
            .init(url: "\(output)/\(WorkerFile.manifest)", format: "json"),
        ]
    }

    /// `COLLECT_COLUMNS`, else all that the job does not ignore.
    private static func allowed(_ table: TextTable, _ settings: WorkerSettings) throws -> [String] {
        let named = settings.list("COLLECT_COLUMNS", separator: ",")
        guard named.isEmpty else {
            for name in named { _ = try table.position(of: name) }
            return table.columns.filter { named.contains($0) }
        }
        let ignored = Set(settings.list("IGNORED_COLUMNS", separator: ","))
        let columns = table.columns.filter { !ignored.contains($0) }
        guard !columns.isEmpty else {
            throw WorkerInputError("IGNORED_COLUMNS leaves no column that may leave; name some in COLLECT_COLUMNS")
        }
        return columns
    }

    /// Why each row leaves; nil for one that stays.
    private static func reasons(_ table: TextTable, _ rule: Rule, _ context: WorkerContext) throws -> [String?] {
        guard rule == .unseenOrHard else { return [String?](repeating: "the rule is all", count: table.count) }
        guard let path = context.settings["MODEL_URL"], !WorkerFile.isFolder(path) || WorkerFile.exists("\(path)/\(WorkerFile.model)")
        else {
            return [String?](repeating: "no model yet", count: table.count)
        }
        guard table.count > 0 else { return [] }
        let judge = try RowJudge(path: path, context.settings, try ONNXRuntime(candidates: context.onnxRuntime))
        return try judge.judge(table).marks.map { mark in
            mark.task == nil ? "unseen task" : mark.isUnseen ? "unseen sample" : mark.isHard ? "hard" : nil
        }
    }
}
