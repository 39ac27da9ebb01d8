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

    /// The job's variables for rows to learn from and held-out rows, and the files they leave as.
    private static let parts = [("TRAIN_DATASET_URL", WorkerFile.trainSamples), ("TEST_DATASET_URL", WorkerFile.evalSamples)]

    /// Reads `TRAIN_DATASET_URL` and, where there is one, `TEST_DATASET_URL`; asks the model at `MODEL_URL` where there is one; writes `train.csv`,
    /// `eval.csv` and `manifest.json` into `OUTPUT_URL`.
    ///
    /// - Throws: what is wrong with the job's variables and files; `FileWriteError`.
    package static func run(_ context: WorkerContext) throws -> [WorkerReport.Result] {
        let settings = context.settings
        let output = try settings.required("OUTPUT_URL", "folder to write into")
        try WorkerFile.makeFolder(output)
        let rule = Rule(rawValue: try settings.choice("COLLECT_RULE", of: Rule.allCases.map(\.rawValue)))!
        var results: [WorkerReport.Result] = [], files: [JSON] = []
        for (variable, name) in parts where variable == parts[0].0 || settings[variable] != nil {
            let collected = try Collected(try TableFiles(settings, variable, "CSV of the node's rows"), rule, context)
            try WorkerFile.write(collected.samples.csv, output, name)
            files.append(try collected.json(name))
            let figures = [
                "rows": Double(collected.table.count), "left": Double(collected.samples.count),
                "columns": Double(collected.samples.columns.count),
            ]
            results.append(.init(url: "\(output)/\(name)", format: "csv", metrics: figures))
            context.say(
                "\(collected.samples.count) of \(collected.table.count) rows leave as \(name), with \(collected.samples.columns.count)"
                    + " of \(collected.table.columns.count) columns")
        }
        let manifest: JSON = [
            "job": .string(settings.jobName), "worker": .string(settings.podName), "rule": .string(rule.rawValue), "files": .array(files),
        ]
        try WorkerFile.write(manifest.bytes(), output, WorkerFile.manifest)
        return results + [.init(url: "\(output)/\(WorkerFile.manifest)", format: "json")]
    }

    /// What leaves of one part.
    private struct Collected {
        let table: TextTable
        let samples: TextTable
        private let counts: [String: Int]
        private let files: TableFiles

        init(_ files: TableFiles, _ rule: Rule, _ context: WorkerContext) throws {
            self.files = files
            table = try files.table()
            let reasons = try CollectWorker.reasons(table, rule, context)
            let leaving = reasons.indices.filter { reasons[$0] != nil }
            samples = try table.rows(leaving).selecting(try CollectWorker.allowed(table, context.settings))
            counts = Dictionary(leaving.map { (reasons[$0]!, 1) }, uniquingKeysWith: +)
        }

        /// Its part of the manifest.
        func json(_ name: String) throws -> JSON {
            [
                "name": .string(name), "sha256": .string(ArtifactDigest(of: samples.csv).hex), "rows": .integer(Int64(table.count)),
                "left": .integer(Int64(samples.count)), "columns": .array(samples.columns.map { .string($0) }),
                "withheldColumns": .array(table.columns.filter { !samples.columns.contains($0) }.map { .string($0) }),
                "reasons": .object(JSONObject(counts.sorted { $0.key < $1.key }.map { ($0.key, .integer(Int64($0.value))) })),
                "datasets": .array(
                    try files.datasets().map {
                        ["name": .string($0.name), "sha256": .string($0.digest), "rows": .integer(Int64($0.rowCount))]
                    }),
            ]
        }
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
