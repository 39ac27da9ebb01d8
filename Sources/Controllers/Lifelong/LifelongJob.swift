import Resources

/// A set of tasks learned over time, from the data of one node or several: Sedna's lifelong learning, in which no round forgets the one
/// before. Pure.
struct LifelongJob: RoundJob {
    let job: JSON
    private var spec: JSON { job["spec"] ?? [:] }

    init(_ job: JSON) { self.job = job }

    var datasets: [String] {
        [spec["dataset"]?["name"]?.string ?? ""] + (spec["additionalDatasets"]?.array ?? []).compactMap { $0["name"]?.string }
    }

    var deployedModel: String { spec["deploySpec"]?["model"]?["name"]?.string ?? job.name }
    var gate: JobGate { JobGate(rules: (spec["deploySpec"]?["gate"]?.array ?? []).compactMap { JobTrigger.Condition($0) }) }
    func objection(_ work: JobWork) -> String? { nil }

    /// The node that trains: the template's, else the cloud's, else that of the data.
    private func trainingNode(_ world: JobWorld) -> String? {
        RoundInputs(job: job, world: world).node("trainSpec") ?? world.cloudNode ?? world.node(of: datasets[0])
    }

    /// Whether the rows lie where training runs.
    private func isAtHome(_ world: JobWorld) -> Bool { datasets.count == 1 && trainingNode(world) == world.node(of: datasets[0]) }

    /// Parts of the model, one for each node that has data, where that are several: a node gets the corrections of its own sites and persons alone.
    func cuts(_ world: JobWorld) -> [ModelCut] {
        let lying = datasets.compactMap { name in world.node(of: name).map { (name, $0) } }
        let byNode = Dictionary(grouping: lying, by: \.1)
        guard byNode.count > 1 else { return [] }
        return byNode.sorted { $0.key < $1.key }.map { ModelCut(of: deployedModel, node: $0.key, datasets: $0.value.map(\.0)) }
    }

    /// The model that serves, as a node may have it; nil while none does.
    ///
    /// - Throws: `JobObstacle` while the node's part is not there.
    private func serving(on node: String?, _ world: JobWorld) throws(JobObstacle) -> ModelVersions.Source? {
        guard let whole = world.models[deployedModel].map({ ModelVersions($0) }), let source = whole.source else { return nil }
        guard whole.serving > 0, let cut = cuts(world).first(where: { $0.node == node }) else { return source }
        guard let part = world.models[cut.name].map({ ModelVersions($0) }), part.serving == whole.serving else {
            throw JobObstacle(
                reason: "ModelNotCut",
                message: "model \(cut.name), what node \(cut.node) needs of \(deployedModel), does not have version \(whole.serving) yet")
        }
        return part.source
    }

    /// Whether what the job knows must hold its rows although they lie where it trains: it is shared, and all of them may leave.
    private func sharesRows(_ world: JobWorld) -> Bool {
        let sharing = spec["knowledge"]?["shareWith"]?.array ?? [], privacy = spec["privacy"]
        return !sharing.isEmpty && isAtHome(world) && privacy?["rule"]?.string == "all" && (privacy?["columns"]?.array ?? []).isEmpty
    }

    // MARK: Collecting

    func collectors(_ work: JobWork, _ world: JobWorld) throws(JobObstacle) -> [WorkerOrder] {
        if isAtHome(world) { return [] }
        let rule = spec["privacy"]?["rule"]?.string ?? "unseen-or-hard"
        guard rule != "none" else {
            throw JobObstacle(
                reason: "PrivacyForbids",
                message:
                    "spec.privacy.rule is none, but training runs on \(trainingNode(world) ?? "another node"); train where the rows lie, or allow some to leave"
            )
        }
        let inputs = RoundInputs(job: job, world: world)
        var orders: [WorkerOrder] = []
        for (place, rows) in work.rows.enumerated() where rows.count > 0 {
            var fittings = WorkerPods.Fittings(node: world.node(of: rows.dataset))
            inputs.mountRows(rows, .train, variable: "TRAIN_DATASET_URL", &fittings)
            if !inputs.holdsNothingOut { inputs.mountRows(rows, .eval, variable: "TEST_DATASET_URL", &fittings) }
            fittings.volumes.append((["name": "jobs-output", "emptyDir": [:]], "\(WorkerPods.prefix)/output"))
            fittings.add("OUTPUT_URL", "\(WorkerPods.prefix)/output")
            fittings.add("COLLECT_RULE", rule)
            if let columns = spec["privacy"]?["columns"]?.array, !columns.isEmpty {
                fittings.add("COLLECT_COLUMNS", columns.compactMap(\.string).joined(separator: ","))
            }
            if let source = try serving(on: fittings.node, world) {
                fittings.add("MODEL_URL", inputs.mountModel(source, as: "serving", &fittings))
            }
            orders.append(
                WorkerOrder(
                    role: .init(word: "collect-\(place)", type: "collect", round: work.round), template: collectTemplate(inputs),
                    fittings: fittings, dataset: rows.dataset))
        }
        return orders
    }

    /// This program, with the settings of the training worker: what is a label, what a task.
    private func collectTemplate(_ inputs: RoundInputs) -> JSON {
        let trainer = inputs.template("trainSpec")["spec"]?["containers"]?.array?.first
        var container: JSON = ["name": "collect", "image": .string(WorkerContract.builtInImage), "args": ["collect"]]
        container["env"] = trainer?["env"]
        return ["spec": ["containers": [container]]]
    }

    // MARK: Learning

    func trainer(_ work: JobWork, _ world: JobWorld) throws(JobObstacle) -> WorkerOrder {
        let inputs = RoundInputs(job: job, world: world)
        var fittings = WorkerPods.Fittings(node: trainingNode(world))
        addRows(work, inputs, &fittings)
        inputs.addOriginal(datasets[0], &fittings)
        inputs.mountKnowledge(&fittings)
        if sharesRows(world) { fittings.add("STATE_ROWS", "kept") }
        fittings.add("ROUND", "\(work.round)")
        inputs.mountOutput(.train, round: work.round, variables: ["OUTPUT_URL", "MODEL_URL"], &fittings)
        return WorkerOrder(
            role: .init(word: "train", type: "train", round: work.round), template: inputs.template("trainSpec"), fittings: fittings)
    }

    private func addRows(_ work: JobWork, _ inputs: RoundInputs, _ fittings: inout WorkerPods.Fittings) {
        if work.collected.isEmpty, var rows = work.rows.first {
            // All rows so far: what a worker on the rows' own node remembers of them is only which they were.
            rows.from = 0
            inputs.mountRows(rows, .train, variable: "TRAIN_DATASET_URL", &fittings)
        } else {
            inputs.mountCollected(work, .train, variable: "TRAIN_DATASET_URL", &fittings)
        }
    }

    func evaluator(_ work: JobWork, _ world: JobWorld) throws(JobObstacle) -> WorkerOrder {
        let inputs = RoundInputs(job: job, world: world)
        var fittings = WorkerPods.Fittings(node: inputs.node("evalSpec") ?? trainingNode(world))
        if work.collected.isEmpty, let node = fittings.node, let home = world.node(of: datasets[0]), node != home {
            throw JobObstacle(
                reason: "RowsElsewhere",
                message:
                    "spec.evalSpec.template.spec.nodeName is \(node), but the rows of dataset \(datasets[0]) lie on \(home); use that node or leave it out"
            )
        }
        guard let new = inputs.mountTrained(work, &fittings) else {
            throw JobObstacle(reason: "NoModel", message: "round \(work.round) has no model to evaluate")
        }
        inputs.mountHeldOut(work, &fittings)
        inputs.addOriginal(datasets[0], &fittings)
        var urls = [new]
        if let source = world.models[deployedModel].flatMap({ ModelVersions($0).source }) {
            urls.append(inputs.mountModel(source, as: "serving", &fittings))
        }
        fittings.add("MODEL_URLS", urls.joined(separator: ";"))
        inputs.mountOutput(.eval, round: work.round, variables: ["OUTPUT_URL"], &fittings)
        return WorkerOrder(
            role: .init(word: "eval", type: "eval", round: work.round), template: inputs.template("evalSpec"), fittings: fittings)
    }

    // MARK: Serving

    /// From the first deployed version on: at the node of the template, else at every node that has data.
    func services(_ world: JobWorld) throws(JobObstacle) -> [WorkerOrder] {
        let inputs = RoundInputs(job: job, world: world)
        guard let model = world.models[deployedModel], ModelVersions(model).serving > 0 else { return [] }
        var nodes: [String] = []
        for node in inputs.node("deploySpec").map({ [$0] }) ?? datasets.compactMap({ world.node(of: $0) }) where !nodes.contains(node) {
            nodes.append(node)
        }
        // One worker for all nodes answers rows of all.
        let cuts = inputs.node("deploySpec") == nil ? cuts(world) : []
        return nodes.map { node in
            var fittings = WorkerPods.Fittings(node: node)
            let shown = cuts.first { $0.node == node }?.name ?? deployedModel
            inputs.mountServing(shown, pollPeriod: spec["deploySpec"]?["model"]?["pollPeriodSeconds"]?.integer ?? 1, &fittings)
            CanaryWatch(spec["deploySpec"])?.add(to: &fittings)
            if inputs.variable("ADAPT", of: "deploySpec")?.lowercased() == "true" {
                inputs.mountLabels(datasets.first { world.node(of: $0) == node }, &fittings)
            }
            // The place is the node's, so that a job that gets another node leaves the others alone.
            let word = nodes.count == 1 ? "infer" : "infer-\(StableHash.word(node, letters: 5))"
            return WorkerOrder(
                role: .init(word: word, type: "inference", round: nil), template: inputs.template("deploySpec"), fittings: fittings)
        }
    }
}
