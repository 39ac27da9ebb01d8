import Storage

extension KnowledgeBase {
    /// Which rounds are known.
    package struct RoundName: Hashable, Sendable {
        /// The job the round belongs to.
        package var job: JobName
        /// Counted from 0.
        package var round: Int
        /// The worker that reported; two of one round are two records.
        package var pod: String
    }

    /// The record of a round in its canonical form; nil where it was never recorded.
    ///
    /// - Complexity: reads all samples of the job's data sets to find those of the round.
    package func round(_ job: JobName, _ number: Int, pod: String) throws -> RoundRecord? {
        try database.transaction(.reading) { try RoundReader(database).round(job, number, pod: pod) }
    }

    /// How many samples of a job are in each state after its newest round; states without any are left out.
    package func sampleCounts(of job: JobName) throws -> [RoundRecord.Sample.State: Int] {
        let rows = try database.map("SELECT state, count(*) FROM samples WHERE job = ? GROUP BY state", [.text(job.description)]) { row in
            (RoundRecord.Sample.State(name: try row.text(0)), try row.int(1))
        }
        return Dictionary(rows.compactMap { state, count in state.map { ($0, count) } }, uniquingKeysWith: +)
    }

    /// All rounds that are known, by job, number and pod.
    package func roundNames() throws -> [RoundName] {
        try database.map(
            """
            SELECT j.namespace, j.name, r.number, r.pod FROM round r JOIN job j ON j.id = r.job_id
            ORDER BY j.namespace, j.name, r.number, r.pod
            """
        ) { row in
            RoundName(job: try JobName(namespace: try row.text(0), name: try row.text(1)), round: try row.int(2), pod: try row.text(3))
        }
    }
}

/// Takes one record out of the tables; lives inside one transaction.
struct RoundReader {
    private let database: SQLiteDatabase

    init(_ database: SQLiteDatabase) { self.database = database }

    func round(_ job: JobName, _ number: Int, pod: String) throws -> RoundRecord? {
        let found = try database.value(
            """
            SELECT r.id FROM round r JOIN job j ON j.id = r.job_id WHERE j.namespace = ? AND j.name = ? AND r.number = ? AND r.pod = ?
            """, [.text(job.namespace), .text(job.name), SQLiteValue(number), .text(pod)])
        guard let id = found else { return nil }
        var record = RoundRecord(job: job, round: number, pod: pod)
        record.metrics = try figures(
            "SELECT w.text, m.value FROM round_metric m JOIN word w ON w.id = m.name_id WHERE m.round_id = ?", [id])
        record.datasets = try datasets(id)
        record.tasks = try tasks(id)
        record.models = try models(id)
        record.adapters = try adapters(id)
        record.samples = try samples(id)
        record.relations = try relations(id)
        record.decisions = try decisions(id)
        // Swift orders texts by their characters, SQLite by their bytes.
        return try record.canonical()
    }

    func attributes(_ task: SQLiteValue) throws -> [String: String] {
        let pairs = try database.map(
            "SELECT w.text, a.value FROM task_attribute a JOIN word w ON w.id = a.name_id WHERE a.task_id = ?", [task]
        ) { row in (try row.text(0), try row.text(1)) }
        return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
    }

    private func datasets(_ id: SQLiteValue) throws -> [RoundRecord.Dataset] {
        try database.map(
            "SELECT d.name, d.digest, d.row_count FROM round_dataset r JOIN dataset d ON d.id = r.dataset_id WHERE r.round_id = ?", [id]
        ) { row in RoundRecord.Dataset(name: try row.text(0), digest: try row.text(1), rowCount: try row.int(2)) }
    }

    private func tasks(_ id: SQLiteValue) throws -> [RoundRecord.Task] {
        let found = try database.map(
            "SELECT t.id, t.name, r.sample_count FROM round_task r JOIN task t ON t.id = r.task_id WHERE r.round_id = ?", [id]
        ) { row in (row[0], RoundRecord.Task(name: try row.text(1), sampleCount: try row.int(2))) }
        return try found.map { number, task in
            var task = task
            task.attributes = try attributes(number)
            task.metrics = try figures(
                "SELECT w.text, m.value FROM task_metric m JOIN word w ON w.id = m.name_id WHERE m.round_id = ? AND m.task_id = ?",
                [id, number])
            return task
        }
    }

    private func models(_ id: SQLiteValue) throws -> [RoundRecord.Model] {
        let found = try database.map(
            """
            SELECT m.id, m.digest, n.text, f.text, m.size_bytes FROM round_model r JOIN model m ON m.id = r.model_id
            JOIN word n ON n.id = r.name_id JOIN word f ON f.id = m.format_id WHERE r.round_id = ?
            """, [id]
        ) { row in
            (
                row[0],
                RoundRecord.Model(digest: try row.text(1), name: try row.text(2), format: try row.text(3), sizeBytes: try row.int(4))
            )
        }
        return try found.map { number, model in
            var model = model
            let both = [id, number]
            model.tasks = try texts(
                "SELECT t.name FROM model_task x JOIN task t ON t.id = x.task_id WHERE x.round_id = ? AND x.model_id = ?", both)
            model.parents = try texts(
                "SELECT p.digest FROM model_parent x JOIN model p ON p.id = x.parent_id WHERE x.round_id = ? AND x.model_id = ?", both)
            model.datasets = try texts(
                "SELECT d.name FROM model_dataset x JOIN dataset d ON d.id = x.dataset_id WHERE x.round_id = ? AND x.model_id = ?", both)
            model.metrics = try figures(
                "SELECT w.text, m.value FROM model_metric m JOIN word w ON w.id = m.name_id WHERE m.round_id = ? AND m.model_id = ?", both)
            return model
        }
    }

    private func adapters(_ id: SQLiteValue) throws -> [RoundRecord.Adapter] {
        try database.map(
            """
            SELECT k.text, s.text, t.name, m.digest, a.sample_count, a.weights FROM adapter a JOIN word k ON k.id = a.kind_id
            JOIN word s ON s.id = a.subject_id LEFT JOIN task t ON t.id = a.task_id LEFT JOIN model m ON m.id = a.model_id
            WHERE a.round_id = ?
            """, [id]
        ) { row in
            RoundRecord.Adapter(
                kind: try row.text(0), subject: try row.text(1), task: try row.optionalText(2), model: try row.optionalText(3),
                sampleCount: try row.int(4), weights: try weights(try row.text(5)))
        }
    }

    /// The array as this program writes it: numbers, commas, no blanks.
    private func weights(_ text: String) throws -> [Float] {
        guard text.hasPrefix("["), text.hasSuffix("]") else { throw damaged(text) }
        return try text.dropFirst().dropLast().split(separator: ",").map { part in
            guard let weight = Float(part) else { throw damaged(text) }
            return weight
        }
    }

    private func damaged(_ text: String) -> SQLiteError {
        SQLiteError(.corrupt, "the weights of an adapter are \"\(text.prefix(40))\"", database: database.name)
    }

    private func samples(_ id: SQLiteValue) throws -> [RoundRecord.Sample] {
        var datasets: [Int: String] = [:]
        try database.forEach(
            "SELECT d.id, d.name FROM round_dataset r JOIN dataset d ON d.id = r.dataset_id WHERE r.round_id = ?", [id]
        ) { row in datasets[try row.int(0)] = try row.text(1) }
        var tasks: [Int: String] = [:]
        try database.forEach("SELECT t.id, t.name FROM round_task r JOIN task t ON t.id = r.task_id WHERE r.round_id = ?", [id]) { row in
            tasks[try row.int(0)] = try row.text(1)
        }
        // Only the data sets of the round are read: they are the front of the table's key.
        return try database.map(
            """
            SELECT x.dataset_id, x."key", x.state_id, x.task_id, x.score FROM round r JOIN round_dataset d ON d.round_id = r.id
            JOIN sample x ON x.job_id = r.job_id AND x.dataset_id = d.dataset_id AND x.round_id = r.id WHERE r.id = ?
            """, [id]
        ) { row in
            let key: RoundRecord.Sample.Key
            if case .integer(let number) = row[1] { key = .number(number) } else { key = .text(try row.text(1)) }
            let task = try row.optionalInt(3)
            guard let dataset = datasets[try row.int(0)], let state = RoundRecord.Sample.State(rawValue: try row.int(2)),
                task == nil || tasks[task!] != nil
            else { throw SQLiteError(.corrupt, "sample \(key) points to nothing", database: database.name) }
            return RoundRecord.Sample(
                dataset: dataset, key: key, state: state, task: task.map { tasks[$0]! }, score: try row.optionalDouble(4))
        }
    }

    private func relations(_ id: SQLiteValue) throws -> [RoundRecord.Relation] {
        try database.map(
            """
            SELECT k.text, f.name, t.name, r.value, r.row_count FROM relation r JOIN word k ON k.id = r.kind_id
            JOIN task f ON f.id = r.from_id JOIN task t ON t.id = r.to_id WHERE r.round_id = ?
            """, [id]
        ) { row in
            RoundRecord.Relation(
                kind: try row.text(0), from: try row.text(1), to: try row.text(2), value: try row.double(3),
                rowCount: try row.optionalInt(4))
        }
    }

    private func decisions(_ id: SQLiteValue) throws -> [RoundRecord.Decision] {
        let found = try database.map(
            """
            SELECT a.text, t.name, m.digest, d.subject, d.value_before, d.value_after, d.reason, d.position FROM decision d
            JOIN word a ON a.id = d.action_id LEFT JOIN task t ON t.id = d.task_id LEFT JOIN model m ON m.id = d.model_id
            WHERE d.round_id = ? ORDER BY d.position
            """, [id]
        ) { row in
            (
                row[7],
                RoundRecord.Decision(
                    action: try row.text(0), task: try row.optionalText(1), model: try row.optionalText(2),
                    subject: try row.optionalText(3),
                    before: try row.optionalDouble(4), after: try row.optionalDouble(5), reason: try row.text(6))
            )
        }
        return try found.map { position, decision in
            var decision = decision
            decision.figures = try figures(
                "SELECT w.text, f.value FROM decision_figure f JOIN word w ON w.id = f.name_id WHERE f.round_id = ? AND f.position = ?",
                [id, position])
            return decision
        }
    }

    private func texts(_ sql: String, _ values: [SQLiteValue]) throws -> [String] { try database.map(sql, values) { try $0.text(0) } }

    private func figures(_ sql: String, _ values: [SQLiteValue]) throws -> [String: Double] {
        var result: [String: Double] = [:]
        try database.forEach(sql, values) { row in result[try row.text(0)] = try row.double(1) }
        return result
    }
}
