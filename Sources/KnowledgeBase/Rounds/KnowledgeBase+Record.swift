import Storage

extension KnowledgeBase {
    /// What became of a record.
    package enum Outcome: Equatable, Sendable {
        case recorded
        /// The same content was there already; nothing was changed.
        case alreadyRecorded
    }

    /// Remembers a round, whole and synced to disk, or nothing of it.
    ///
    /// Repeating it is harmless: what makes a record known is its (job, round, pod).
    ///
    /// - Parameter time: when it was recorded, seconds since 1970; not part of the content.
    /// - Throws: `.invalidRecord`; `.differentContent` when the (job, round, pod) is known with another content; `.redefined` when a task,
    ///   model or data set is known with other facts; `SQLiteError` (`.busy`, `.full`, …). Nothing is changed then.
    @discardableResult
    package func record(_ round: RoundRecord, at time: Int64) throws -> Outcome {
        let round = try round.canonical()
        return try database.transaction {
            if let known = try RoundReader(database).round(round.job, round.round, pod: round.pod) {
                if let part = known.difference(from: round) { throw Self.conflict(round, part) }
                return .alreadyRecorded
            }
            var writer = RoundWriter(database, round)
            try writer.write(at: time)
            return .recorded
        }
    }

    private static func conflict(_ round: RoundRecord, _ part: String) -> KnowledgeError {
        KnowledgeError(
            .differentContent,
            "round \(round.round) of \(round.job) by pod \"\(round.pod)\" is recorded already and differs in \(part);"
                + " what is recorded stays: give the new one its own round or pod")
    }
}

/// Puts one canonical record into the tables; lives inside one transaction.
private struct RoundWriter {
    private let database: SQLiteDatabase
    private let round: RoundRecord
    private var words: [String: SQLiteValue] = [:]
    private var datasets: [String: SQLiteValue] = [:]
    private var tasks: [String: SQLiteValue] = [:]
    private var models: [String: SQLiteValue] = [:]
    private var job: SQLiteValue = .null
    private var id: SQLiteValue = .null

    init(_ database: SQLiteDatabase, _ round: RoundRecord) {
        self.database = database
        self.round = round
    }

    mutating func write(at time: Int64) throws {
        job = try row(
            "SELECT id FROM job WHERE namespace = ? AND name = ?", "INSERT INTO job (namespace, name) VALUES (?, ?)",
            [.text(round.job.namespace), .text(round.job.name)])
        try database.execute(
            "INSERT INTO round (job_id, number, pod, recorded_at, sample_count) VALUES (?, ?, ?, ?, ?)",
            [job, SQLiteValue(round.round), .text(round.pod), .integer(time), SQLiteValue(round.samples.count)])
        id = .integer(database.lastInsertedRowID)
        for (name, value) in round.metrics {
            try database.execute("INSERT INTO round_metric VALUES (?, ?, ?)", [id, try word(name), .real(value)])
        }
        for dataset in round.datasets { try write(dataset) }
        for task in round.tasks { try write(task) }
        // All first: one may be the parent of another.
        for model in round.models { models[model.digest] = try identified(model) }
        for model in round.models { try write(model) }
        for adapter in round.adapters { try write(adapter) }
        try writeSamples()
        for relation in round.relations { try write(relation) }
        for (position, decision) in round.decisions.enumerated() { try write(decision, position) }
    }

    private mutating func write(_ dataset: RoundRecord.Dataset) throws {
        let identity: [SQLiteValue] = [.text(dataset.name), .text(dataset.digest)]
        let known = try database.first("SELECT id, row_count FROM dataset WHERE name = ? AND digest = ?", identity) { row in
            (try row.int(0), try row.int(1))
        }
        if let (number, rowCount) = known {
            guard rowCount == dataset.rowCount else {
                throw redefined(
                    "data set \"\(dataset.name)\" with digest \(dataset.digest.prefix(12))… has \(rowCount) rows, not \(dataset.rowCount)")
            }
            datasets[dataset.name] = SQLiteValue(number)
        } else {
            try database.execute(
                "INSERT INTO dataset (name, digest, row_count) VALUES (?, ?, ?)", identity + [SQLiteValue(dataset.rowCount)])
            datasets[dataset.name] = .integer(database.lastInsertedRowID)
        }
        try database.execute("INSERT INTO round_dataset VALUES (?, ?)", [id, datasets[dataset.name]!])
    }

    private mutating func write(_ task: RoundRecord.Task) throws {
        let number = try identified(task)
        tasks[task.name] = number
        try database.execute("INSERT INTO round_task VALUES (?, ?, ?)", [id, number, SQLiteValue(task.sampleCount)])
        for (name, value) in task.metrics {
            try database.execute("INSERT INTO task_metric VALUES (?, ?, ?, ?)", [id, number, try word(name), .real(value)])
        }
    }

    private mutating func identified(_ task: RoundRecord.Task) throws -> SQLiteValue {
        if let known = try database.value("SELECT id FROM task WHERE job_id = ? AND name = ?", [job, .text(task.name)]) {
            let attributes = try RoundReader(database).attributes(known)
            guard attributes == task.attributes else {
                throw redefined(
                    "task \"\(task.name)\" is defined by \(Self.listed(attributes)), not by \(Self.listed(task.attributes))")
            }
            return known
        }
        try database.execute("INSERT INTO task (job_id, name) VALUES (?, ?)", [job, .text(task.name)])
        let number = SQLiteValue.integer(database.lastInsertedRowID)
        for (name, value) in task.attributes {
            try database.execute("INSERT INTO task_attribute VALUES (?, ?, ?)", [number, try word(name), .text(value)])
        }
        return number
    }

    private mutating func identified(_ model: RoundRecord.Model) throws -> SQLiteValue {
        let known = try database.first(
            "SELECT m.id, w.text, m.size_bytes FROM model m JOIN word w ON w.id = m.format_id WHERE m.job_id = ? AND m.digest = ?",
            [job, .text(model.digest)]
        ) { row in (try row.int(0), try row.text(1), try row.int(2)) }
        if let (number, format, size) = known {
            guard format == model.format, size == model.sizeBytes else {
                throw redefined(
                    "model \(model.digest.prefix(12))… is known with format \"\(format)\" and \(size) bytes,"
                        + " not \"\(model.format)\" and \(model.sizeBytes)")
            }
            return SQLiteValue(number)
        }
        let format = try word(model.format)
        try database.execute(
            "INSERT INTO model (job_id, digest, format_id, size_bytes) VALUES (?, ?, ?, ?)",
            [job, .text(model.digest), format, SQLiteValue(model.sizeBytes)])
        return .integer(database.lastInsertedRowID)
    }

    private mutating func write(_ model: RoundRecord.Model) throws {
        let number = models[model.digest]!
        try database.execute("INSERT INTO round_model VALUES (?, ?, ?)", [id, number, try word(model.name)])
        for task in model.tasks { try database.execute("INSERT INTO model_task VALUES (?, ?, ?)", [id, number, tasks[task]!]) }
        for dataset in model.datasets {
            try database.execute("INSERT INTO model_dataset VALUES (?, ?, ?)", [id, number, datasets[dataset]!])
        }
        for parent in model.parents {
            try database.execute("INSERT INTO model_parent VALUES (?, ?, ?)", [id, number, try knownModel(parent, "a parent")])
        }
        for (name, value) in model.metrics {
            try database.execute("INSERT INTO model_metric VALUES (?, ?, ?, ?)", [id, number, try word(name), .real(value)])
        }
    }

    private mutating func write(_ adapter: RoundRecord.Adapter) throws {
        let model = try adapter.model.map { try knownModel($0, "the model of an adapter") } ?? .null
        let weights = "[\(adapter.weights.map(\.description).joined(separator: ","))]"
        try database.execute(
            """
            INSERT INTO adapter (round_id, kind_id, subject_id, task_id, model_id, sample_count, weights) VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            [
                id, try word(adapter.kind), try word(adapter.subject), adapter.task.map { tasks[$0]! } ?? .null, model,
                SQLiteValue(adapter.sampleCount), .text(weights),
            ])
    }

    /// In the order of the table's key, so that every page is touched once.
    private func writeSamples() throws {
        for sample in round.samples {
            let key: SQLiteValue =
                switch sample.key {
                case .number(let number): .integer(number)
                case .text(let text): .text(text)
                }
            try database.execute(
                "INSERT INTO sample (job_id, dataset_id, \"key\", round_id, state_id, task_id, score) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    job, datasets[sample.dataset]!, key, id, SQLiteValue(sample.state.rawValue),
                    sample.task.map { tasks[$0]! } ?? .null, SQLiteValue(sample.score),
                ])
        }
    }

    private mutating func write(_ relation: RoundRecord.Relation) throws {
        try database.execute(
            "INSERT INTO relation (round_id, kind_id, from_id, to_id, value, row_count) VALUES (?, ?, ?, ?, ?, ?)",
            [
                id, try word(relation.kind), tasks[relation.from]!, tasks[relation.to]!, .real(relation.value),
                SQLiteValue(relation.rowCount),
            ])
    }

    private mutating func write(_ decision: RoundRecord.Decision, _ position: Int) throws {
        let model = try decision.model.map { try knownModel($0, "the model of decision \(position + 1)") } ?? .null
        try database.execute(
            """
            INSERT INTO decision (round_id, position, action_id, task_id, model_id, subject, value_before, value_after, reason)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                id, SQLiteValue(position), try word(decision.action), decision.task.map { tasks[$0]! } ?? .null, model,
                SQLiteValue(decision.subject), SQLiteValue(decision.before), SQLiteValue(decision.after), .text(decision.reason),
            ])
        for (name, value) in decision.figures {
            try database.execute(
                "INSERT INTO decision_figure VALUES (?, ?, ?, ?)", [id, SQLiteValue(position), try word(name), .real(value)])
        }
    }

    /// The number of a model of this record or an earlier one.
    private func knownModel(_ digest: String, _ role: String) throws -> SQLiteValue {
        if let number = models[digest] { return number }
        if let number = try database.value("SELECT id FROM model WHERE job_id = ? AND digest = ?", [job, .text(digest)]) { return number }
        throw KnowledgeError(
            .invalidRecord,
            "round \(round.round) of \(round.job), pod \"\(round.pod)\": \(role), \(digest.prefix(12))…, is no model that was recorded;"
                + " add it to the record's models")
    }

    private mutating func word(_ text: String) throws -> SQLiteValue {
        if let known = words[text] { return known }
        let number = try row("SELECT id FROM word WHERE text = ?", "INSERT INTO word (text) VALUES (?)", [.text(text)])
        words[text] = number
        return number
    }

    private func row(_ select: String, _ insert: String, _ values: [SQLiteValue]) throws -> SQLiteValue {
        if let known = try database.value(select, values) { return known }
        try database.execute(insert, values)
        return .integer(database.lastInsertedRowID)
    }

    private func redefined(_ message: String) -> KnowledgeError {
        KnowledgeError(
            .redefined, "round \(round.round) of \(round.job), pod \"\(round.pod)\": \(message); use another name for another thing")
    }

    private static func listed(_ attributes: [String: String]) -> String {
        let list = attributes.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
        return list.isEmpty ? "no attributes" : list
    }
}
