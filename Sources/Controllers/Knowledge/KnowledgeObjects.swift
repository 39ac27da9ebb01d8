import Resources

/// The objects by which `kubectl get knowledgetasks` shows what a job has learned. Pure.
struct KnowledgeObjects: Sendable {
    /// Objects of a kind that a job gets at most; the knowledge base holds all.
    static let objectsMax = 1000
    /// Rounds that a job shows, the newest; the knowledge base holds all.
    static let roundsMax = 64

    let job: JSON

    /// Every object that is to be there, by kind.
    func wanted(_ summary: KnowledgeSummary) -> [(ResourceKind, [JSON])] {
        // Of a job of an earlier one's name the knowledge base holds both; the rounds of this one are known by its uid.
        let own = summary.rounds.filter { $0["pod"]?.string?.hasSuffix(".\(job.uid.prefix(8))") ?? false }
        return [
            (.knowledgeTask, Self.unique(summary.tasks.prefix(Self.objectsMax).map(task))),
            (.knowledgeModel, Self.unique(summary.models.suffix(Self.objectsMax).map(model))),
            (.knowledgeRelation, Self.unique(summary.relations.prefix(Self.objectsMax).map(relation))),
            (.knowledgeRound, Self.unique(own.suffix(Self.roundsMax).map(round))),
        ]
    }

    /// One object a name, the last: two rounds may have made the same file.
    private static func unique(_ objects: [JSON]) -> [JSON] {
        let last = Dictionary(objects.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { $1 })
        return objects.enumerated().filter { last[$1.name] == $0 }.map(\.element)
    }

    private func task(_ row: JSON) -> JSON {
        let name = row["task"]?.string ?? ""
        var object = object("KnowledgeTask", called: name, key: name)
        object["task"] = .string(name)
        object["attributes"] = row["attributes"]
        object["samples"] = row["samples"]
        object["firstRound"] = row["first_round"]
        object["lastRound"] = row["last_round"]
        object["metrics"] = row["metrics"]
        object["accuracy"] = row["metrics"]?["accuracy"]
        return object
    }

    private func model(_ row: JSON) -> JSON {
        let digest = row["model"]?.string ?? "", round = row["round"]?.integer ?? 0
        var object = object("KnowledgeModel", called: "\(row["name"]?.string ?? "model")-\(round)", key: "\(digest) \(round)")
        object["digest"] = .string("sha256:\(digest)")
        object["model"] = row["name"]
        object["round"] = .integer(round)
        object["format"] = row["format"]
        object["size"] = row["size_bytes"]
        object["serving"] = .bool(row["is_serving"]?.integer ?? 0 != 0 || row["is_serving"]?.bool == true)
        for key in ["tasks", "parents", "datasets", "metrics"] { object[key] = row[key] }
        return object
    }

    private func round(_ row: JSON) -> JSON {
        let number = row["round"]?.integer ?? 0
        var object = object("KnowledgeRound", called: "\(number)", key: "round \(number)")
        object["round"] = .integer(number)
        for key in ["samples", "decisions", "metrics"] { object[key] = row[key] }
        let after = "R[\(number)]["
        let accuracies = (row["metrics"]?.object ?? [:]).filter { $0.0.hasPrefix(after) }
            .map { (String($0.0.dropFirst(after.count).dropLast()), $0.1) }
        if !accuracies.isEmpty { object["accuracies"] = .object(JSONObject(accuracies)) }
        object["accuracy"] = row["metrics"]?["\(after)\(number)]"] ?? row["metrics"]?["accuracy"]
        for (key, name) in [
            ("backwardTransfer", "backward_transfer"), ("forwardTransfer", "forward_transfer"), ("forgetting", "forgetting"),
        ] {
            object[key] = row["metrics"]?[name]
        }
        return object
    }

    private func relation(_ row: JSON) -> JSON {
        let (kind, from, to) = (row["kind"]?.string ?? "", row["from_task"]?.string ?? "", row["to_task"]?.string ?? "")
        var object = object("KnowledgeRelation", called: "\(kind)-\(from)-\(to)", key: "\(kind)\u{1f}\(from)\u{1f}\(to)")
        object["relation"] = .string(kind)
        object["from"] = .string(from)
        object["to"] = .string(to)
        for key in ["value", "rows", "round"] { object[key] = row[key] }
        return object
    }

    /// - Parameters:
    ///   - words: what the name is made of, for people.
    ///   - key: what tells it from the job's others.
    private func object(_ kind: String, called words: String, key: String) -> JSON {
        let plain = String(words.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }.prefix(80))
            .split(separator: "-").joined(separator: "-")
        // A job of each kind may have the same name.
        let whole = job["kind"]?.string == ResourceKind.incrementalLearningJob.kind ? "\(key)\u{1f}incremental" : key
        let name = [job.name.prefix(120), Substring(plain), Substring(StableHash.word(whole, letters: 6))].filter { !$0.isEmpty }
        return [
            "apiVersion": "knowledge.skerry.io/v1alpha1", "kind": .string(kind),
            "metadata": [
                "name": .string(name.joined(separator: "-")), "namespace": .string(job.namespace),
                "labels": ["jobs.skerry.io/job": .string(String(job.name.prefix(63)))], "ownerReferences": [job.controllerReference],
            ], "job": .string(job.name),
        ]
    }

    /// What a model was learned from, and how right it is: as its record says, else as those of the tasks that it serves do together; 0 where nobody
    /// has said.
    private static func figures(_ model: JSON, _ tasks: [String: JSON?]) -> (samples: Int64, accuracy: Double) {
        let served = (model["tasks"]?.array ?? []).compactMap { $0.string.flatMap { tasks[$0] ?? nil } }
        let known = served.map { (samples: $0["labelled_so_far"]?.number ?? 0, accuracy: $0["accuracy"]?.number ?? 0) }
        let samples = known.reduce(0) { $0 + $1.samples }
        let right = known.reduce(0) { $0 + $1.samples * $1.accuracy }
        let accuracy = model["metrics"]?["accuracy"]?.number ?? (samples > 0 ? right / samples : 0)
        return (Int64(exactly: (model["metrics"]?["samples"]?.number ?? samples).rounded()) ?? 0, accuracy)
    }

    /// Sedna's `status.knowledgeBase`.
    func status(_ summary: KnowledgeSummary) -> JSON {
        let models = summary.models.filter { $0["is_serving"]?.integer ?? 0 != 0 || $0["is_serving"]?.bool == true }
        let tasks = Dictionary(summary.tasks.map { ($0["task"]?.string ?? "", $0["metrics"]) }, uniquingKeysWith: { $1 })
        let list = models.prefix(64).map { row -> JSON in
            let (samples, accuracy) = Self.figures(row, tasks)
            return [
                "modelID": .string("sha256:\(row["model"]?.string ?? "")"), "numberOfTrainSamples": .integer(samples),
                "averagePrecision": .number(accuracy),
            ]
        }
        let states = summary.samples.sorted { $0.key < $1.key }.map { ($0.key, JSON.integer($0.value)) }
        return [
            "AIModels": ["numberOfAIModels": .integer(Int64(summary.models.count)), "listOfAIModels": .array(Array(list))],
            "AIClasses": [
                "numberOfAIClasses": .integer(Int64(summary.tasks.count)),
                "listOfAIClasses": .array(summary.tasks.prefix(256).map { $0["task"] ?? "" }),
            ],
            "samples": [
                "numberOfLabeledUnseenSample": .integer(summary.samples["labelled"] ?? 0),
                "numberOfUnseenSample": .integer(summary.samples["unseen"] ?? 0),
            ], "relations": .integer(Int64(summary.relations.count)), "samplesByState": .object(JSONObject(states)),
        ]
    }
}
