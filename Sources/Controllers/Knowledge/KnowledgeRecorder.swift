package import Resources

/// A round that the knowledge base is to take in: where its record lies, and what became of its model.
package struct KnowledgeEntry: Sendable, Hashable {
    /// Namespace and name of the job. What the record itself says of them does not count.
    package var job: ObjectKey
    /// From 1.
    package var round: Int64
    /// Name of the worker's Pod.
    package var pod: String
    /// `sha256:…` of the record, a JSON file as `skerry kb record` takes it; empty where a version of an earlier time serves again, and where the
    /// worker left none.
    package var record: String
    /// `sha256:…` of the round's model.
    package var model: String
    /// The round's model, where its worker left no record: what is to be remembered of it.
    package var made: MadeModel?
    /// The gate let it serve.
    package var isDeployed: Bool
    /// Why it did, or did not.
    package var reason: String
    /// Figures of the round that its worker does not know, by name; finite.
    package var figures: [String: Double]
    /// `sha256:…` of what says which rows left their node, and why, by data set.
    package var departures: [String: String] = [:]

    /// Nothing is checked: the recorder refuses what it cannot take.
    package init(
        job: ObjectKey, round: Int64, pod: String, record: String, model: String, isDeployed: Bool, reason: String,
        figures: [String: Double] = [:]
    ) {
        (self.job, self.round, self.pod, self.record, self.model) = (job, round, pod, record, model)
        (self.isDeployed, self.reason, self.figures) = (isDeployed, reason, figures)
    }

    init?(_ json: JSON, job: ObjectKey) {
        guard let round = json["round"]?.integer, let pod = json["pod"]?.string, let record = json["record"]?.string else { return nil }
        let figures = (json["figures"]?.object ?? [:]).compactMap { name, value in value.number.map { (name, $0) } }
        self.init(
            job: job, round: round, pod: pod, record: record, model: json["model"]?.string ?? "",
            isDeployed: json["deployed"]?.bool ?? false, reason: json["reason"]?.string ?? "",
            figures: Dictionary(figures, uniquingKeysWith: { $1 }))
        made = MadeModel(json["made"])
        for (dataset, digest) in json["departures"]?.object ?? [:] { departures[dataset] = digest.string }
    }

    /// As it stands in a job's status until it is recorded.
    var json: JSON {
        var json: JSON = [
            "round": .integer(round), "pod": .string(pod), "record": .string(record), "model": .string(model),
            "deployed": .bool(isDeployed), "reason": .string(reason),
        ]
        let named = figures.sorted { $0.key < $1.key }.map { ($0.key, JSON.number($0.value)) }
        if !named.isEmpty { json["figures"] = .object(JSONObject(named)) }
        json["made"] = made?.json
        let left = departures.sorted { $0.key < $1.key }.map { ($0.key, JSON.string($0.value)) }
        if !left.isEmpty { json["departures"] = .object(JSONObject(left)) }
        return json
    }
}

/// A model that a worker made without saying more of it, as the registry knows it.
package struct MadeModel: Sendable, Hashable {
    /// As `onnx`.
    package var format: String
    /// Bytes.
    package var size: Int64
    /// `sha256:…` of the model that it went on from; nil where it began anew, or that one is no file of the registry.
    package var base: String?

    package init(format: String, size: Int64, base: String? = nil) { (self.format, self.size, self.base) = (format, size, base) }

    init?(_ json: JSON?) {
        guard let format = json?["format"]?.string, let size = json?["size"]?.integer else { return nil }
        self.init(format: format, size: size, base: json?["base"]?.string)
    }

    var json: JSON {
        var json: JSON = ["format": .string(format), "size": .integer(size)]
        json["base"] = base.map { .string($0) }
        return json
    }
}

/// What the knowledge base knows of a job: rows of its listings as JSON, bounded.
package struct KnowledgeSummary: Sendable, Hashable {
    /// With `task`, `attributes`, `samples`, `first_round`, `last_round`, `metrics`.
    package var tasks: [JSON]
    /// With `model`, `name`, `round`, `format`, `size_bytes`, `is_serving`, `tasks`, `parents`, `datasets`, `metrics`.
    package var models: [JSON]
    /// Of the newest round; with `kind`, `from_task`, `to_task`, `value`, `rows`.
    package var relations: [JSON]
    /// With `round`, `pod`, `samples`, `decisions`, `metrics`; the newest last.
    package var rounds: [JSON]
    /// Samples by state: `labelled`, `unseen`, `hard`, `quarantine`.
    package var samples: [String: Int64]

    /// Made by a recorder.
    package init(tasks: [JSON], models: [JSON], relations: [JSON], rounds: [JSON] = [], samples: [String: Int64]) {
        (self.tasks, self.models, self.relations, self.rounds, self.samples) = (tasks, models, relations, rounds, samples)
    }
}

/// The door to the knowledge base: controllers touch neither files nor SQL.
package protocol KnowledgeRecorder: Sendable {
    /// Takes a round in, in one transaction; a second time nothing happens.
    ///
    /// - Throws: 422 for a record that cannot be taken, which another try would not change; 404 while the file is not there; 503.
    func record(_ entry: KnowledgeEntry) async throws(APIStatus) -> KnowledgeSummary
}
