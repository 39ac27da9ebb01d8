import Storage

/// One of the program's own questions: a view, which rows of it, and their order.
package struct Listing: Sendable {
    private struct Column {
        var name: String
        var isDigest = false
        /// What it is in JSON, as SQL; nil where the view's column will do.
        var json: String?

        static func plain(_ name: String) -> Column { Column(name: name) }
        static func digest(_ name: String) -> Column { Column(name: name, isDigest: true) }
        /// An object with the texts and values that `rows` selects.
        static func object(_ name: String, _ rows: String) -> Column {
            Column(name: name, json: "(SELECT json_group_object(text, value) FROM (SELECT w.text, x.value FROM \(rows) ORDER BY w.text))")
        }
        /// An array of the values that `rows` selects.
        static func array(_ name: String, _ rows: String) -> Column {
            Column(name: name, json: "(SELECT json_group_array(value) FROM (\(rows) ORDER BY value))")
        }
    }

    /// Digits of a digest that people are shown.
    private static let digestDigits = 12

    private let view: String
    private let columns: [Column]
    private let order: String
    private var conditions: [String] = []
    private var values: [SQLiteValue] = []
    private let limit: Int?

    private init(_ view: String, _ columns: [Column], order: String, limit: Int? = nil) {
        self.view = view
        self.columns = columns
        self.order = order
        self.limit = limit
    }

    /// The listing with a condition on the rows; without values as it is.
    private func only(_ condition: String, _ given: [SQLiteValue]?) -> Listing {
        guard let given else { return self }
        var result = self
        result.conditions.append(condition)
        result.values += given
        return result
    }

    private func only(_ condition: String, _ given: String?) -> Listing { only(condition, given.map { [.text($0)] }) }

    private func of(_ job: JobName?, _ round: Int?) -> Listing {
        only("job = ?", job?.description).only("round = ?", round.map { [SQLiteValue($0)] })
    }

    /// Jobs and what each of their rounds left.
    package static func rounds(job: JobName?, round: Int?) -> Listing {
        Listing(
            "rounds",
            [
                .plain("job"), .plain("round"), .plain("pod"), .plain("recorded_at"), .plain("tasks"), .plain("models"), .plain("adapters"),
                .plain("samples"), .plain("relations"), .plain("decisions"),
                .object("metrics", "round_metric x JOIN word w ON w.id = x.name_id WHERE x.round_id = v.id"),
            ], order: "job, round, pod"
        ).of(job, round)
    }

    /// - Parameter attribute: name and value that a task must have.
    package static func tasks(job: JobName?, task: String?, attribute: (name: String, value: String)?) -> Listing {
        Listing(
            "tasks",
            [
                .plain("job"), .plain("task"),
                .object("attributes", "task_attribute x JOIN word w ON w.id = x.name_id WHERE x.task_id = v.id"),
                .plain("first_round"), .plain("last_round"), .plain("samples"),
                .object(
                    "metrics",
                    """
                    task_metric x JOIN word w ON w.id = x.name_id WHERE x.task_id = v.id AND x.round_id = (SELECT r.id FROM round_task y
                    JOIN round r ON r.id = y.round_id WHERE y.task_id = v.id ORDER BY r.number DESC, r.id DESC LIMIT 1)
                    """),
            ], order: "job, task"
        ).of(job, nil).only("task = ?", task).only(
            "EXISTS (SELECT 1 FROM task_attribute x JOIN word w ON w.id = x.name_id WHERE x.task_id = v.id AND w.text = ? AND x.value = ?)",
            attribute.map { [.text($0.name), .text($0.value)] })
    }

    /// - Parameter isServing: only models that the newest deploy decisions have put to work.
    package static func models(job: JobName?, round: Int?, task: String?, isServing: Bool) -> Listing {
        Listing(
            "models",
            [
                .plain("job"), .digest("model"), .plain("name"), .plain("round"), .plain("format"), .plain("size_bytes"),
                .plain("is_serving"),
                .array(
                    "tasks",
                    "SELECT t.name AS value FROM model_task x JOIN task t ON t.id = x.task_id WHERE (x.model_id, x.round_id) = (v.id, v.round_id)"
                ),
                .array(
                    "parents",
                    """
                    SELECT p.digest AS value FROM model_parent x JOIN model p ON p.id = x.parent_id
                    WHERE (x.model_id, x.round_id) = (v.id, v.round_id)
                    """),
                .array(
                    "datasets",
                    """
                    SELECT d.name || '@' || d.digest AS value FROM model_dataset x JOIN dataset d ON d.id = x.dataset_id
                    WHERE (x.model_id, x.round_id) = (v.id, v.round_id)
                    """),
                .object(
                    "metrics",
                    "model_metric x JOIN word w ON w.id = x.name_id WHERE (x.model_id, x.round_id) = (v.id, v.round_id)"),
            ], order: "job, round, name, model"
        ).of(job, round).only(
            """
            EXISTS (SELECT 1 FROM model_task x JOIN task t ON t.id = x.task_id
                WHERE (x.model_id, x.round_id) = (v.id, v.round_id) AND t.name = ?)
            """, task
        )
        .only("is_serving = ?", isServing ? [1] : nil)
    }

    /// Samples as the newest round left them; `round` asks for what one round said.
    package static func samples(
        job: JobName?, round: Int?, task: String?, state: RoundRecord.Sample.State?, dataset: String?, limit: Int?
    ) -> Listing {
        Listing(
            round == nil ? "samples" : "sample_history",
            [.plain("job"), .plain("dataset"), .plain("key"), .plain("state"), .plain("task"), .plain("score"), .plain("round")],
            order: "job, dataset, key", limit: limit
        ).of(job, round).only("task = ?", task).only("state = ?", state?.name)
            .only("dataset = ?", dataset)
    }

    /// - Parameter task: a task at either end.
    package static func relations(job: JobName?, round: Int?, task: String?, kind: String?) -> Listing {
        Listing(
            "relations",
            [
                .plain("job"), .plain("round"), .plain("kind"), .plain("from_task"), .plain("to_task"), .plain("value"), .plain("rows"),
            ], order: "job, round, kind, value DESC, from_task, to_task"
        ).of(job, round).only("? IN (from_task, to_task)", task).only("kind = ?", kind)
    }

    /// The R matrix of jobs: accuracy after each round on the rows of each.
    ///
    /// - Parameters:
    ///   - round: only accuracies after this round; nil for all.
    ///   - rows: only those on the rows of this round; nil for all.
    package static func matrix(job: JobName?, round: Int?, rows: Int?) -> Listing {
        Listing(
            "matrix", [.plain("job"), .plain("after_round"), .plain("on_round"), .plain("accuracy")], order: "job, after_round, on_round"
        ).of(job, nil).only("after_round = ?", round.map { [SQLiteValue($0)] }).only("on_round = ?", rows.map { [SQLiteValue($0)] })
    }

    /// What was decided and why, in the order of decision.
    ///
    /// - Parameter action: `deploy`, `keep`, `update`, …; nil for all, as for the other parameters.
    package static func decisions(job: JobName?, round: Int?, task: String?, action: String?) -> Listing {
        Listing(
            "decisions",
            [
                .plain("job"), .plain("round"), .plain("step"), .plain("action"), .plain("task"), .digest("model"), .plain("subject"),
                .plain("before"), .plain("after"),
                .object(
                    "figures",
                    "decision_figure x JOIN word w ON w.id = x.name_id WHERE (x.round_id, x.position) = (v.round_id, v.step - 1)"),
                .plain("reason"),
            ], order: "job, round, pod, step"
        ).of(job, round).only("task = ?", task).only("action = ?", action)
    }

    /// Corrections for single subjects; their weights are an array in JSON and the same text elsewhere.
    ///
    /// - Parameter kind: what the subjects are: "site", "person", …; nil for all, as for the other parameters.
    package static func adapters(job: JobName?, round: Int?, kind: String?, subject: String?) -> Listing {
        Listing(
            "adapters",
            [
                .plain("job"), .plain("round"), .plain("kind"), .plain("subject"), .plain("task"), .digest("model"), .plain("samples"),
                Column(name: "weights", json: "weights"),
            ], order: "job, round, kind, subject"
        ).of(job, round).only("kind = ?", kind).only("subject = ?", subject)
    }

    fileprivate func rowColumns(_ format: RowFormat) -> [RowColumn] {
        columns.map { RowColumn(name: $0.name, isJSON: format == .json && $0.json != nil) }
    }

    fileprivate func sql(_ format: RowFormat) -> String {
        let list = columns.map { column in
            if format == .json, let json = column.json { return json }
            return column.isDigest && format == .table ? "substr(v.\(column.name), 1, \(Self.digestDigits))" : "v.\"\(column.name)\""
        }
        let place = conditions.isEmpty ? "" : " WHERE \(conditions.joined(separator: " AND "))"
        return "SELECT \(list.joined(separator: ", ")) FROM \(view) v\(place) ORDER BY \(order)" + (limit.map { " LIMIT \($0)" } ?? "")
    }

    fileprivate var bound: [SQLiteValue] { values }
}

extension KnowledgeBase {
    /// Answers one of the program's own questions; rows come one by one, in bounded memory.
    ///
    /// - Parameter format: what `sink` writes: tables have short digests, JSON has objects where the others have lists of `name=value`.
    package func list(_ listing: Listing, for format: RowFormat, into sink: inout some RowSink) throws {
        try sink.begin(listing.rowColumns(format))
        try database.forEach(listing.sql(format), listing.bound) { row in try sink.add((0..<row.columnCount).map { row[$0] }) }
        try sink.end()
    }
}
