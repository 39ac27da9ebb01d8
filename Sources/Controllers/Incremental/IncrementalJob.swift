import Resources

/// One model that is trained further whenever enough new samples came in: Sedna's incremental learning. Pure.
struct IncrementalJob: RoundJob {
    let job: JSON
    private var spec: JSON { job["spec"] ?? [:] }

    init(_ job: JSON) { self.job = job }

    var datasets: [String] { [spec["dataset"]?["name"]?.string ?? ""] }
    var deployedModel: String { spec["deploySpec"]?["model"]?["name"]?.string ?? job.name }
    var gate: JobGate { JobGate(rules: (spec["deploySpec"]?["gate"]?.array ?? []).compactMap { JobTrigger.Condition($0) }) }

    /// Sedna's deploy trigger, over the figures and their differences to the model that serves.
    func objection(_ work: JobWork) -> String? {
        guard let condition = JobTrigger.Condition(spec["deploySpec"]?["trigger"]?["condition"]) else { return nil }
        let standing = work.evaluated.dropFirst().first?.metrics
        let ruling = JobGate(rules: [condition]).rule(new: work.evaluated.first?.metrics ?? [:], standing: standing)
        // What the gate itself says was asked before.
        return ruling.deploys || !ruling.reason.hasPrefix("rule ") ? nil : "deploySpec.trigger: \(ruling.reason)"
    }

    func collectors(_ work: JobWork, _ world: JobWorld) throws(JobObstacle) -> [WorkerOrder] {
        try home("trainSpec", world)
        return []
    }

    /// Workers of incremental jobs run where the rows lie, as in Sedna.
    private func home(_ stage: String, _ world: JobWorld) throws(JobObstacle) {
        let inputs = RoundInputs(job: job, world: world)
        guard let node = inputs.node(stage), let home = world.node(of: datasets[0]), node != home else { return }
        throw JobObstacle(
            reason: "RowsElsewhere",
            message:
                "spec.\(stage).template.spec.nodeName is \(node), but the rows of dataset \(datasets[0]) lie on \(home); use that node or leave it out"
        )
    }

    func trainer(_ work: JobWork, _ world: JobWorld) throws(JobObstacle) -> WorkerOrder {
        let inputs = RoundInputs(job: job, world: world)
        var fittings = WorkerPods.Fittings(node: world.node(of: datasets[0]))
        guard let rows = work.rows.first else { throw JobObstacle(reason: "NoRows", message: "round \(work.round) has no rows") }
        inputs.mountRows(rows, .train, variable: "TRAIN_DATASET_URL", &fittings)
        inputs.addOriginal(rows.dataset, &fittings)
        if let base = try base(inputs) { fittings.add("BASE_MODEL_URL", inputs.mountModel(base, as: "base", &fittings)) }
        inputs.mountKnowledge(&fittings)
        inputs.mountOutput(.train, round: work.round, variables: ["MODEL_URL"], &fittings)
        return WorkerOrder(
            role: .init(word: "train", type: "train", round: work.round), template: inputs.template("trainSpec"), fittings: fittings)
    }

    /// What training goes on from: the version that serves, in the first round the initial model.
    private func base(_ inputs: RoundInputs) throws(JobObstacle) -> ModelVersions.Source? {
        let serving = try inputs.model(deployedModel)
        if serving.serving > 0 { return serving.source }
        return try inputs.model(spec["initialModel"]?["name"]?.string ?? "").source
    }

    /// Of the version that served when the round's was made, in the first round of the initial model.
    func base(_ work: JobWork, _ world: JobWorld) -> String? {
        guard let deployed = world.models[deployedModel] else { return nil }
        let versions = ModelVersions(deployed)
        let before = versions.version(of: job, round: work.round).map { $0["parent"]?.integer ?? 0 } ?? versions.serving
        if before > 0 { return versions.version(before)?["digest"]?.string }
        guard
            case .digest(let digest, _, _)? = world.models[spec["initialModel"]?["name"]?.string ?? ""].flatMap({ ModelVersions($0).source }
            )
        else { return nil }
        return digest
    }

    func evaluator(_ work: JobWork, _ world: JobWorld) throws(JobObstacle) -> WorkerOrder {
        try home("evalSpec", world)
        let inputs = RoundInputs(job: job, world: world)
        var fittings = WorkerPods.Fittings(node: world.node(of: datasets[0]))
        guard let rows = work.rows.first, let new = inputs.mountTrained(work, &fittings) else {
            throw JobObstacle(reason: "NoModel", message: "round \(work.round) has no model to evaluate")
        }
        inputs.mountRows(rows, .eval, variable: "TEST_DATASET_URL", &fittings)
        inputs.addOriginal(rows.dataset, &fittings)
        var urls = [new]
        var standing = try inputs.model(deployedModel)
        if standing.serving == 0, let name = spec["evalSpec"]?["initialEvalModel"]?["name"]?.string { standing = try inputs.model(name) }
        if let source = standing.source { urls.append(inputs.mountModel(source, as: "serving", &fittings)) }
        fittings.add("MODEL_URLS", urls.joined(separator: ";"))
        inputs.mountOutput(.eval, round: work.round, variables: ["OUTPUT_URL"], &fittings)
        return WorkerOrder(
            role: .init(word: "eval", type: "eval", round: work.round), template: inputs.template("evalSpec"), fittings: fittings)
    }

    func services(_ world: JobWorld) throws(JobObstacle) -> [WorkerOrder] {
        let inputs = RoundInputs(job: job, world: world)
        let model = try inputs.model(deployedModel)
        guard let source = model.source else { return [] }
        var fittings = WorkerPods.Fittings(node: world.node(of: datasets[0]))
        let deployed = spec["deploySpec"]?["model"]
        var word = "infer"
        if model.serving > 0, deployed?["hotUpdateEnabled"]?.bool == true {
            inputs.mountServing(deployedModel, pollPeriod: deployed?["pollPeriodSeconds"]?.integer ?? 60, &fittings)
            CanaryWatch(spec["deploySpec"])?.add(to: &fittings)
        } else {
            // A cold update: another version is another Pod.
            word += "-v\(model.serving)"
            fittings.add("MODEL_URL", inputs.mountModel(source, as: "serving", &fittings))
        }
        inputs.addMining(spec["deploySpec"]?["hardExampleMining"], &fittings)
        return [
            WorkerOrder(role: .init(word: word, type: "inference", round: nil), template: inputs.template("deploySpec"), fittings: fittings)
        ]
    }
}
