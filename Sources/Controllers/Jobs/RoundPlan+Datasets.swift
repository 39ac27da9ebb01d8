import Resources

/// What a job tells the nodes of its data sets, as annotations of the Datasets: which rows were learned from, and how many labels it asks for.
/// Level, not edge: each look writes what is missing, and several jobs of one data set do not take turns.
extension RoundPlan {
    /// Writes what the Datasets do not say yet.
    mutating func markDatasets() {
        let learned = status.rows("learned"), attempted = status.rows("attempted")
        var asked: [JSON] = []
        for name in style.datasets {
            guard let dataset = world.datasets[name], !dataset.isBeingDeleted else { continue }
            var notes: [(String, JSON)] = []
            if let rows = learned[name], rows.version == dataset["status"]?["version"]?.integer ?? 0 {
                let mark = TrainedRows(count: rows.to, version: rows.version)
                let known = dataset.annotation(TrainedRows.annotation).flatMap { TrainedRows($0) }
                // The job that has learned most has the word.
                if known.map({ $0 < mark }) ?? true { notes.append((TrainedRows.annotation, .string(mark.text))) }
            }
            let known = dataset.annotation(LabelWish.annotation).flatMap { LabelWish($0) }
            if let budget = job["spec"]?["labelBudget"]?.integer {
                let from = attempted[name].flatMap { $0.version == dataset["status"]?["version"]?.integer ?? 0 ? $0.to : nil } ?? 0
                let wish = LabelWish(job: job.name, model: servedName, budget: max(0, budget), from: from)
                // The first job that asks has the word until it is gone.
                let isOurs = known.map { $0.job == job.name || !isAlive($0.job) } ?? true
                if isOurs, known != wish { notes.append((LabelWish.annotation, .string(wish.text))) }
                if isOurs { asked.append(["dataset": .string(name), "budget": .integer(wish.budget), "fromRow": .integer(from)]) }
            } else if known?.job == job.name {
                notes.append((LabelWish.annotation, .null))
            }
            guard !notes.isEmpty else { continue }
            let body: JSON = ["metadata": ["uid": .string(dataset.uid), "annotations": .object(JSONObject(notes))]]
            steps.append(.patch(.dataset, ObjectKey(dataset), ObjectPatch(.merge, body)))
        }
        let told: JSON? = asked.isEmpty ? nil : .array(asked)
        if status["labels"] != told { status["labels"] = told }
    }

    /// Under which name the job's workers serve.
    private var servedName: String { RoundInputs(job: job, world: world).variable("MODEL_NAME", of: "deploySpec") ?? job.name }

    /// Whether a job of this kind is there; those of other names are not seen by this plan, but their Datasets' marks are.
    private func isAlive(_ name: String) -> Bool { world.jobs.contains(name) }
}
