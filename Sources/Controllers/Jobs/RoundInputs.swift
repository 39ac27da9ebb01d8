import Resources

/// What workers of a round are given, whatever the kind of their job: rows, models, folders. Pure.
struct RoundInputs: Sendable {
    let job: JSON
    let world: JobWorld

    private var spec: JSON { job["spec"] ?? [:] }

    /// Which of a round's rows a worker gets.
    enum Part: String, Sendable { case train, eval }

    // MARK: Rows

    /// Whether every row trains, so that there is nothing to evaluate on.
    var holdsNothingOut: Bool { spec["dataset"]?["trainProb"]?.number == 1 }

    /// Decides which rows are held out.
    private static let seed = "0"

    /// Attributes of a volume of a data set's rows. Where a row goes does not change while the data grow.
    func attributes(_ range: RowRange, _ part: Part) -> [String: String] {
        let share = spec["dataset"]?["trainProb"]?.number ?? 0.8
        return [
            "dataset": range.dataset, "from": "\(range.from)", "to": "\(range.to)", "version": "\(range.version)", "part": part.rawValue,
            "trainProb": JSON.number(share).text, "seed": Self.seed,
        ]
    }

    /// Rows that lie on the worker's own node.
    func mountRows(_ range: RowRange, _ part: Part, variable: String, _ fittings: inout WorkerPods.Fittings) {
        let folder = "\(WorkerPods.prefix)/\(part.rawValue)"
        fittings.mount("rows-\(part.rawValue)", .rows, attributes(range, part), at: folder)
        fittings.add(variable, "\(folder)/data.\(world.format(of: range.dataset))")
    }

    /// Rows that were collected: one file a data set, names joined by `;`.
    func mountCollected(_ work: JobWork, _ part: Part, variable: String, _ fittings: inout WorkerPods.Fittings) {
        let files = work.collected.filter { $0.isPart(part) }
        let folder = "\(WorkerPods.prefix)/collected-\(part.rawValue)"
        fittings.mount("collected-\(part.rawValue)", .files, files.volumeAttributes, at: folder)
        fittings.add(variable, files.map { "\(folder)/\($0.name)" }.joined(separator: ";"))
        // In the same order: which of them a row is of.
        if part == .train { fittings.add("TRAIN_DATASETS", files.map { String($0.datasetOfPart(part)) }.joined(separator: ";")) }
    }

    /// The held-out rows of a round and of those before, told apart by `TEST_ROUNDS`.
    func mountHeldOut(_ work: JobWork, _ fittings: inout WorkerPods.Fittings) {
        let now = HeldOut.of(work)
        let earlier = HeldOut(job["status"]?["heldOut"]).rounds.filter { $0.round != now.round }
        guard work.collected.isEmpty else {
            let folder = "\(WorkerPods.prefix)/collected-\(Part.eval.rawValue)"
            var files: [(round: Int64, file: WorkerReport.Result)] = []
            for round in earlier {
                files += round.files.map { file in
                    var file = file
                    file.name = "round-\(round.round)-\(file.name)"
                    return (round.round, file)
                }
            }
            files += now.files.map { (now.round, $0) }
            fittings.mount("collected-\(Part.eval.rawValue)", .files, files.map(\.file).volumeAttributes, at: folder)
            fittings.add("TEST_DATASET_URL", files.map { "\(folder)/\($0.file.name)" }.joined(separator: ";"))
            return fittings.add("TEST_ROUNDS", files.map { "\($0.round)=\(folder)/\($0.file.name)" }.joined(separator: ";"))
        }
        guard let rows = now.rows.first else { return }
        var all = rows
        // All rows so far, those of the file that is there now.
        all.from = 0
        mountRows(all, .eval, variable: "TEST_DATASET_URL", &fittings)
        let ranges = earlier.flatMap { round in
            round.rows.filter { $0.dataset == rows.dataset && $0.version == rows.version }.map { (round.round, $0) }
        }
        fittings.add("TEST_ROUNDS", (ranges + [(now.round, rows)]).map { "\($0.0)=\($0.1.from)-\($0.1.to)" }.joined(separator: ";"))
        fittings.add("TEST_SPLIT", "\(attributes(rows, .eval)["trainProb"] ?? ""),\(Self.seed)")
    }

    /// Sedna's folder of a stage's outputs: `<outputDir>/train/3` on the worker's node.
    func mountOutput(_ stage: Stage, round: Int64, variables: [String], _ fittings: inout WorkerPods.Fittings) {
        let folder = "\(WorkerPods.prefix)/output"
        let root = spec["outputDir"]?.string ?? "/output"
        fittings.mount(
            "output", folder: "\(root == "/" ? "" : root)/\(stage.rawValue.lowercased())/\(round)", type: "DirectoryOrCreate", at: folder)
        for variable in variables { fittings.add(variable, folder) }
    }

    /// What the last deployed round left for the next; before the first what was taken from another job.
    func mountKnowledge(_ fittings: inout WorkerPods.Fittings) {
        let own = TakenKnowledge.files(job["status"]?["state"])
        let taken = TakenKnowledge(job["status"]?["knowledge"])
        let state = own.isEmpty ? taken?.state ?? [] : own
        if let taken {
            fittings.add("KNOWLEDGE_FROM", taken.job)
            fittings.add("KNOWLEDGE_ROUND", "\(taken.round)")
            fittings.add("KNOWLEDGE_STATE", own.isEmpty ? "taken" : "own")
        }
        fittings.add("HAS_COMPLETED_INITIAL_TRAINING", state.isEmpty ? "false" : "true")
        guard !state.isEmpty else { return }
        let folder = "\(WorkerPods.prefix)/knowledge"
        fittings.mount("knowledge", .files, state.volumeAttributes, at: folder)
        fittings.add("KNOWLEDGE_URL", folder)
        if let index = state.first(where: { $0.format == "state" }) { fittings.add("CLOUD_KB_INDEX", "\(folder)/\(index.name)") }
    }

    // MARK: Models

    /// A model as a file of the worker.
    ///
    /// - Returns: where the worker sees it.
    func mountModel(_ source: ModelVersions.Source, as name: String, _ fittings: inout WorkerPods.Fittings) -> String {
        let folder = "\(WorkerPods.prefix)/models/\(name)"
        switch source {
        case .digest(let digest, let file, let others):
            fittings.mount("model-\(name)", .files, others.merging([file: digest]) { $1 }, at: folder)
            // With several models for several tasks the folder is what is asked.
            return others["serving.json"] == nil ? "\(folder)/\(file)" : folder
        case .path(let path):
            let parts = path.split(separator: "/")
            fittings.mount("model-\(name)", folder: "/" + parts.dropLast().joined(separator: "/"), type: "Directory", at: folder)
            return "\(folder)/\(parts.last ?? "")"
        }
    }

    /// The new model of a round.
    func mountTrained(_ work: JobWork, _ fittings: inout WorkerPods.Fittings) -> String? {
        guard let model = work.model else { return nil }
        return mountModel(.digest(model.digest, name: model.name, others: work.companions.volumeAttributes), as: "new", &fittings)
    }

    /// The model that serves, replaced while the worker runs where it is a version; Sedna's variables of hot updates with it.
    func mountServing(_ model: String, pollPeriod: Int64, _ fittings: inout WorkerPods.Fittings) {
        let folder = "\(WorkerPods.prefix)/model"
        fittings.mount("model", .model, ["model": model], at: folder)
        fittings.add("MODEL_URL", "\(folder)/model.onnx")
        fittings.add("MODEL_HOT_UPDATE", "true")
        fittings.add("MODEL_POLL_PERIOD_SECONDS", "\(pollPeriod)")
        fittings.add("MODEL_HOT_UPDATE_CONFIG", "\(folder)/model_config.json")
    }

    /// What a worker that adapts by itself learns from: the data set of its node as it grows, and a folder for labels that it is told.
    func mountLabels(_ dataset: String?, _ fittings: inout WorkerPods.Fittings) {
        let root = spec["outputDir"]?.string ?? "/output"
        let kept = "\(WorkerPods.prefix)/labels"
        fittings.mount("labels", folder: "\(root == "/" ? "" : root)/labels/\(job.name)", type: "DirectoryOrCreate", at: kept)
        fittings.add("ADAPT_URL", kept)
        guard let parts = dataset.flatMap({ world.datasets[$0]?["spec"]?["url"]?.string })?.split(separator: "/"), let file = parts.last
        else {
            return
        }
        let folder = "\(WorkerPods.prefix)/dataset"
        fittings.mount("dataset", folder: "/" + parts.dropLast().joined(separator: "/"), type: "Directory", at: folder)
        fittings.add("ADAPT_DATASET_URL", "\(folder)/\(file)")
    }

    /// - Throws: `JobObstacle` of a Model that does not exist.
    func model(_ name: String) throws(JobObstacle) -> ModelVersions {
        guard let model = world.models[name] else {
            throw JobObstacle(reason: "ModelNotFound", message: "model \(name) does not exist in the job's namespace; create it")
        }
        return ModelVersions(model)
    }

    // MARK: Templates

    func template(_ stage: String) -> JSON { spec[stage]?["template"] ?? [:] }

    /// What a template sets for a container; the first that does.
    func variable(_ name: String, of stage: String) -> String? {
        let containers = template(stage)["spec"]?["containers"]?.array ?? []
        return containers.flatMap { $0["env"]?.array ?? [] }.first { $0["name"]?.string == name }?["value"]?.string
    }

    /// The node a template names; nil if it leaves that open.
    func node(_ stage: String) -> String? { template(stage)["spec"]?["nodeName"]?.string.flatMap { $0.isEmpty ? nil : $0 } }

    /// Where the data set's file lies, for samples whose paths are relative to it.
    func addOriginal(_ dataset: String, _ fittings: inout WorkerPods.Fittings) {
        fittings.add("ORIGINAL_DATASET_URL", world.datasets[dataset]?["spec"]?["url"]?.string ?? "")
    }

    /// `HEM_NAME` and `HEM_PARAMETERS`.
    func addMining(_ mining: JSON?, _ fittings: inout WorkerPods.Fittings) {
        guard let name = mining?["name"]?.string else { return }
        fittings.add("HEM_NAME", name)
        fittings.add("HEM_PARAMETERS", (mining?["parameters"] ?? []).text)
    }
}

extension WorkerReport.Result {
    /// The same with fewer figures.
    func without(_ names: Set<String>) -> WorkerReport.Result {
        var result = self
        result.metrics = JSONObject(metrics.filter { !names.contains($0.0) })
        return result
    }

    /// Whether a file holds that part of collected rows.
    func isPart(_ part: RoundInputs.Part) -> Bool {
        name.hasSuffix("-\(part.rawValue).csv") || name.hasSuffix("-\(part.rawValue).txt")
    }

    /// The data set whose rows such a file holds.
    func datasetOfPart(_ part: RoundInputs.Part) -> Substring { name.dropLast("-\(part.rawValue).csv".count) }
}
