import Resources

/// One worker that a job wants, as an order for `WorkerPods`.
struct WorkerOrder: Sendable {
    var role: WorkerPods.Role
    /// The stage's Pod template.
    var template: JSON
    var fittings: WorkerPods.Fittings
    /// Of one that collects: the data set whose rows it brings.
    var dataset = ""
}

/// What is different between kinds of jobs that learn in rounds. Pure.
protocol RoundJob: Sendable {
    /// The job as the view has it.
    var job: JSON { get }
    /// Names of its data sets.
    var datasets: [String] { get }
    /// Name of the Model that gets each deployed version.
    var deployedModel: String { get }
    /// The job's own rules of the quality gate.
    var gate: JobGate { get }

    /// Workers that bring rows to the node that trains, in the order of the data sets; none where the rows lie there.
    func collectors(_ work: JobWork, _ world: JobWorld) throws(JobObstacle) -> [WorkerOrder]
    func trainer(_ work: JobWork, _ world: JobWorld) throws(JobObstacle) -> WorkerOrder
    func evaluator(_ work: JobWork, _ world: JobWorld) throws(JobObstacle) -> WorkerOrder
    /// Workers that serve, whatever round is under way.
    func services(_ world: JobWorld) throws(JobObstacle) -> [WorkerOrder]
    /// `sha256:…` of the model that training went on from; nil if there was none, or it is no file of the registry.
    func base(_ work: JobWork, _ world: JobWorld) -> String?
    /// A reason of the job's own not to deploy; nil if it has none.
    func objection(_ work: JobWork) -> String?
    /// Parts of the deployed model that nodes need, each a Model of its own; none where they get the whole.
    func cuts(_ world: JobWorld) -> [ModelCut]
}

extension RoundJob {
    func base(_ work: JobWork, _ world: JobWorld) -> String? { nil }
    func cuts(_ world: JobWorld) -> [ModelCut] { [] }
}

/// Brings a job that learns in rounds a step further: waits for its trigger, has workers collect, train and evaluate, lets the gate decide,
/// deploys. Pure; everything a step needs stands in objects, so a plan may be stopped between any two writes and made again.
struct RoundPlan: Sendable {
    /// Retries of a stage where the job says nothing.
    static let backoffLimit: Int64 = 3
    static let component = "job-controller"

    let style: any RoundJob
    let world: JobWorld
    var status: JobStatus
    var steps: [ObjectPlan.Step] = []
    private var again: Int64?
    /// What keeps workers that serve from being made.
    private var servingObstacle: JobObstacle?

    static func plan(_ style: any RoundJob, _ world: JobWorld) -> ObjectPlan {
        if style.job.isBeingDeleted { return ObjectPlan() }
        var plan = RoundPlan(style: style, world: world, status: JobStatus(style.job, by: component, now: world.now))
        plan.decide()
        var result = ObjectPlan()
        let kind = style.job["kind"]?.string == "LifelongLearningJob" ? ResourceKind.lifelongLearningJob : .incrementalLearningJob
        // What is made for a round must not come of a view in which the round has not ended yet.
        if !plan.steps.isEmpty {
            result.steps.append(
                .confirmUnchanged(kind, ObjectKey(style.job), resourceVersion: style.job["metadata"]?["resourceVersion"]?.string))
        }
        result.steps += plan.steps + plan.status.steps
        if let again = plan.again { result.lookAgain(afterSeconds: again) }
        return result
    }

    private init(style: any RoundJob, world: JobWorld, status: JobStatus) { (self.style, self.world, self.status) = (style, world, status) }

    var job: JSON { style.job }
    var pods: WorkerPods { WorkerPods(job: job) }

    mutating func lookAgain(_ seconds: Int64) { again = min(again ?? .max, max(1, seconds)) }

    private mutating func decide() {
        let services = services()
        if rollBack() {
            // Nothing begins, and nothing ends, while a version is taken back.
        } else if job["spec"]?["suspend"]?.bool == true {
            suspend()
        } else if let work = status.work {
            advance(work)
        } else {
            consider()
        }
        tellServingObstacle()
        steps += services
        tidy()
        markDatasets()
    }

    // MARK: Between rounds

    private mutating func consider() {
        let stage = Stage.train
        guard let trigger = JobTrigger(job["spec"]?["trainSpec"]?["trigger"]) else {
            return status.set(stage, .failed, "TriggerInvalid", "spec.trainSpec.trigger cannot be read; correct it", isWarning: true)
        }
        // Nothing that was learned is dropped for want of somebody to remember it.
        if (status["unrecorded"]?.array ?? []).count(where: { $0["made"] == nil }) >= JobStatus.roundsKept {
            return wait("KnowledgeBehind", "the knowledge base has yet to take in \(JobStatus.roundsKept) rounds; see the cloud's log")
        }
        let data = JobData(names: style.datasets, world: world)
        let rows: [RowRange]
        let count: Int64
        let taken: TakenKnowledge?
        do throws(JobObstacle) {
            rows = try data.fresh(status)
            count = try data.countSinceAttempt(status)
            taken = try knowledgeToTake()
        } catch { return wait(error.reason, error.message, isWarning: error.isWarning) }
        let check = TriggerCheck(trigger: trigger, job: job, now: world.now)
        switch check.find(figures(count)) {
        case .notDue(let seconds): lookAgain(seconds)
        case .wait(let message, let seconds):
            note(check: message)
            wait("TriggerNotMet", message)
            lookAgain(seconds)
        case .begin(let message):
            note(check: message)
            guard rows.contains(where: { $0.count > 0 }) else {
                return wait("NoNewSamples", "there are no samples that no round has learned from")
            }
            if let taken { take(taken) }
            begin(rows, message)
        }
    }

    /// Why a job waits that has nothing to do.
    private static let quietReasons: Set<String> = ["TriggerNotMet", "NoNewSamples"]

    /// A job whose last round failed says so until the next begins.
    private mutating func wait(_ reason: String, _ message: String, isWarning: Bool = false) {
        let last = status["conditions"]?.array?.last
        if last?["type"]?.string == StagePhase.failed.rawValue, reason == "TriggerNotMet" { return }
        if Self.quietReasons.contains(reason), let obstacle = servingObstacle {
            return status.set(.train, .waiting, obstacle.reason, obstacle.message, isWarning: obstacle.isWarning)
        }
        status.set(.train, .waiting, reason, message, isWarning: isWarning)
    }

    private func figures(_ count: Int64) -> JSONObject {
        var figures: JSONObject = ["num_of_samples": .integer(count)]
        let drifts = style.datasets.compactMap { world.datasets[$0]?["status"]?["drift"]?.number }
        if let drift = drifts.max() { figures["drift"] = .number(drift) }
        // What serving workers see change, without labels, since their version took over.
        let type = WorkerContract.label(job["kind"]?.string ?? "", "worker-type")
        let changes = world.pods.values.filter { $0.labels[type] == "inference" }
            .compactMap { WorkerState($0)?.report.ownerInfo["driftNumber"]?.integer }
        if let most = changes.max() { figures["drift_events"] = .integer(most) }
        for name in ["accuracy", "gain"] { figures[name] = status[name] }
        return figures
    }

    private mutating func note(check message: String) {
        var trigger = status["trigger"] ?? [:]
        trigger["lastCheckTime"] = .string(world.now.text)
        trigger["message"] = .string(message)
        if let request = job.annotation(TriggerCheck.request) { trigger["request"] = .string(String(request.prefix(256))) }
        status["trigger"] = trigger
    }

    private mutating func begin(_ rows: [RowRange], _ message: String) {
        let work = JobWork(round: nextRound, stage: .train, rows: rows, startTime: world.now)
        status.work = work
        for stage in Stage.allCases { status.setDone(stage, false, "RoundBegun", "round \(work.round) has not come so far") }
        let count = rows.reduce(0) { $0 + $1.count }
        status.set(.train, .ready, "Triggered", "round \(work.round) begins with \(count) new samples: \(message)")
    }

    // MARK: A round

    private mutating func advance(_ work: JobWork) {
        if let retry = work.retryTime, world.now < retry { return lookAgain(retry.seconds - world.now.seconds) }
        do throws(JobObstacle) {
            switch work.stage {
            case .train: try train(work)
            case .eval: try evaluate(work)
            case .deploy: deploy(work)
            }
        } catch { status.set(work.stage, .waiting, error.reason, error.message) }
    }

    private mutating func train(_ work: JobWork) throws(JobObstacle) {
        var work = work
        let collectors = try style.collectors(work, world)
        if work.collected.isEmpty, !collectors.isEmpty {
            var files: [WorkerReport.Result] = []
            var isWhole = true
            // All at once: each on the node of its data.
            for collector in collectors {
                let results = follow(collector, work)
                if results == nil, status.work != work { return }
                isWhole = isWhole && results != nil
                files += (results ?? []).map { named($0, collector.dataset) }
            }
            guard isWhole else { return }
            guard !files.isEmpty else { return fail(work, "NothingCollected", "no rows left their nodes; see the privacy rule of the job") }
            work.collected = files
            status.work = work
            return status.set(.train, .starting, "Collected", "\(files.count) files of rows came to the cloud")
        }
        guard let results = follow(try style.trainer(work, world), work) else { return }
        work.trained = results
        guard let model = work.model, !model.digest.isEmpty else {
            return fail(
                work, "NoModel", "the worker said it completed but left no model; results: \(results.map(\.name).joined(separator: ", "))")
        }
        status.setDone(.train, true, "Trained", "round \(work.round) left \(model.name) (\(model.digest.prefix(19))…)")
        // What stays in the status is bounded: figures by round and task are asked once.
        work.trained = work.trained.map { $0.without(["rounds", "tasks"]) }
        if RoundInputs(job: job, world: world).holdsNothingOut { return judge(work, by: model) }
        work.enter(.eval)
        status.work = work
        status.set(.eval, .ready, "Trained", "\(model.name) of round \(work.round) is to be judged on held-out rows")
    }

    /// Files of several data sets must not have one name.
    private func named(_ result: WorkerReport.Result, _ dataset: String) -> WorkerReport.Result {
        var result = result
        result.name = "\(dataset)-\(result.name)"
        return result
    }

    private mutating func evaluate(_ work: JobWork) throws(JobObstacle) {
        var work = work
        guard let results = follow(try style.evaluator(work, world), work) else { return }
        let judged = results.filter { !$0.metrics.isEmpty }
        guard let new = judged.first else {
            return fail(work, "NoFigures", "the worker said it completed but reported no figures of the model")
        }
        work.evaluated = judged
        // Where the draw held out none of the round's rows, or none may leave its node, the trainer's word is all there is.
        if new.metrics["n"]?.number == 0, let model = work.model, !model.metrics.isEmpty { return judge(work, by: model) }
        let standing = judged.dropFirst().first?.metrics
        var ruling = style.gate.rule(new: new.metrics, standing: standing)
        if ruling.deploys, let objection = style.objection(work) { ruling = GateRuling(deploys: false, reason: objection) }
        decided(ruling, work, new.metrics, standing: standing, reason: "Evaluated")
    }

    /// Judges a model by what its trainer says of it on rows that its parts did not see: nothing was held out.
    private mutating func judge(_ work: JobWork, by model: WorkerReport.Result) {
        var work = work
        guard !model.metrics.isEmpty else {
            return fail(
                work, "NoFigures",
                "nothing is held out (spec.dataset.trainProb), but the worker reported no figures of \(model.name); report some, or hold rows out"
            )
        }
        work.evaluated = [model]
        let standing = servingVersion.flatMap { number in
            world.models[style.deployedModel].flatMap { ModelVersions($0).version(number)?["metrics"]?.object }
        }
        var ruling = style.gate.rule(trained: model.metrics, standing: standing)
        if ruling.deploys, let objection = style.objection(work) { ruling = GateRuling(deploys: false, reason: objection) }
        // Two versions were judged on other rows: their difference is no gain. Of the round's own rows the trainer knows both.
        decided(ruling, work, model.metrics, standing: nil, reason: "OutOfSample")
    }

    private mutating func decided(_ ruling: GateRuling, _ work: JobWork, _ new: JSONObject, standing: JSONObject?, reason: String) {
        var (work, ruling) = (work, ruling)
        if ruling.deploys, let digest = work.model?.digest, status["withdrawn"]?.array?.contains(.string(digest)) == true {
            ruling = GateRuling(deploys: false, reason: "the same model was taken back before by its live figures")
        }
        work.decision = ruling
        work.enter(.deploy)
        status.work = work
        status["accuracy"] = new["accuracy"] ?? new["precision_score"]
        status["gain"] = gain(new, standing, round: work.round)
        status.setDone(.eval, true, reason, ruling.reason)
        status.set(.deploy, ruling.deploys ? .ready : .waiting, ruling.deploys ? "GatePassed" : "GateKept", ruling.reason)
    }

    /// Relative to what served before, on the same rows; what the worker says if it knows better.
    private func gain(_ new: JSONObject, _ standing: JSONObject?, round: Int64) -> JSON? {
        if let told = new["gain"] { return told }
        let own = standing == nil ? new["rounds"]?["\(round)"]?.object : nil
        guard let after = (own ?? new)["accuracy"]?.number, let before = (own?["standing"] ?? standing?["accuracy"])?.number, before > 0
        else { return nil }
        return .number(((after / before - 1) * 10_000).rounded() / 10_000)
    }

    private mutating func deploy(_ work: JobWork) {
        guard let ruling = work.decision, let result = work.model else {
            return fail(work, "NoDecision", "the round has no decision; it begins again")
        }
        guard ruling.deploys else {
            let entry = world.models[style.deployedModel].map { ModelVersions($0) }
            if let entry, let version = entry.version(of: job, round: work.round) {
                if takesBack(version, of: entry) { return }
                addUnrecorded(work)
                return endRefused(work, version, ruling.reason)
            }
            addUnrecorded(work)
            status.setDone(.deploy, false, "Kept", ruling.reason)
            status.set(.deploy, .completed, "Kept", "round \(work.round) changes nothing: \(ruling.reason)")
            return status.endRound("Kept", ruling.reason, version: servingVersion, metrics: figures(work))
        }
        guard let model = world.models[style.deployedModel] else {
            steps.append(.create(.model, ModelVersions.entry(named: style.deployedModel, of: job, first: result)))
            return status.set(.deploy, .starting, "MakingModel", "model \(style.deployedModel) is made")
        }
        var versions = ModelVersions(model)
        guard let version = versions.version(of: job, round: work.round) else {
            versions.add(
                result, files: work.companions, of: job, round: work.round, metrics: figures(work, without: ["rounds"]),
                now: world.now)
            steps.append(.updateStatus(.model, versions.model))
            return status.set(.deploy, .running, "Deploying", "model \(style.deployedModel) gets version \(versions.serving)")
        }
        guard passesTrial(version, of: versions, work) else { return }
        let number = version["version"]?.integer ?? 0
        remember(
            previous: number, to: version["parent"]?.integer ?? 0, round: work.round, state: status["state"], learned: status["learned"])
        status.remember(work, holdsNothingOut: RoundInputs(job: job, world: world).holdsNothingOut)
        addUnrecorded(work)
        status.setRows("learned", work.rows)
        status["state"] = .array(work.state.map(\.json))
        status["model"] = .string("\(style.deployedModel)/\(number)")
        status["samples"] = .integer(status.rows("learned").values.reduce(0) { $0 + $1.count })
        status.setDone(.deploy, true, "Deployed", "model \(style.deployedModel) version \(number) serves")
        status.set(
            .deploy, .completed, "Deployed", "round \(work.round): model \(style.deployedModel) version \(number) serves; \(ruling.reason)")
        status.endRound("Deployed", ruling.reason, version: number, metrics: figures(work))
    }

    private mutating func addUnrecorded(_ work: JobWork) {
        // A job of an earlier one's name begins at round 1 again: its uid tells the two apart.
        let name = pods.name(WorkerPods.Role(word: "train", type: "train", round: work.round))
        status.addUnrecorded(work, pod: "\(name).\(job.uid.prefix(8))", base: style.base(work, world))
    }

    private var servingVersion: Int64? { world.models[style.deployedModel].map { ModelVersions($0).serving } }

    private func figures(_ work: JobWork, without names: Set<String> = []) -> JSONObject {
        work.evaluated.first?.without(names).metrics ?? [:]
    }

    // MARK: Workers

    /// Makes the worker if it is not there, and says how it stands.
    ///
    /// - Returns: its results once it has completed; nil until then, and after a failure.
    private mutating func follow(_ order: WorkerOrder, _ work: JobWork) -> [WorkerReport.Result]? {
        var order = order
        order.role.attempt = work.attempt
        let name = pods.name(order.role)
        let pod = world.pods[name]
        status["nodeName"] = (pod.flatMap(PodFacts.nodeName) ?? order.fittings.node).map { .string($0) }
        switch WorkerOutcome(pod, nodes: world.nodes) {
        case .absent:
            // One that is on its way out keeps its name a while.
            guard pod == nil else { return nil }
            if let obstacle = world.obstacle(toPod: name) {
                lookAgain(Self.strangerSeconds)
                status.set(work.stage, .waiting, obstacle.reason, obstacle.message, isWarning: true)
                return nil
            }
            steps.append(.create(.pod, pods.pod(order.role, template: order.template, order.fittings)))
            status["progress"] = nil
            status.set(work.stage, .starting, "WorkerCreated", "pod \(name) is made")
        case .starting(let reason, let message): status.set(work.stage, .starting, reason, message)
        case .running(let progress):
            tell(progress, of: name, work.stage)
            status["progress"] = progress.flatMap { WorkerReport(.running, progress: $0).json["progress"] }
            status.set(work.stage, .running, "WorkerRunning", "pod \(name) runs")
        case .completed(let results):
            status["progress"] = nil
            return results
        case .failed(let reason, let message, let isFinal): fail(work, reason, message, isFinal: isFinal)
        }
        return nil
    }

    /// An Event for each quarter of a worker's way: its steps stand in the status.
    private mutating func tell(_ progress: WorkerReport.Progress?, of pod: String, _ stage: Stage) {
        // What workers say may be any number.
        func quarter(_ done: Int64, _ total: Int64?) -> Int64 {
            total.map { $0 > 0 ? Int64(4 * Double(max(0, min(done, $0))) / Double($0)) : 0 } ?? 0
        }
        guard let progress, let total = progress.total else { return }
        let known = status["progress"]
        let before = quarter(known?["done"]?.integer ?? 0, known?["total"]?.integer)
        guard (1...3).contains(quarter(progress.done, total)), quarter(progress.done, total) > before else { return }
        let unit = progress.unit.isEmpty ? "" : " \(progress.unit)", words = progress.message.isEmpty ? "" : ": \(progress.message)"
        status.tell("\(stage.rawValue)Progress", "pod \(pod): \(progress.done) of \(total)\(unit)\(words)")
    }

    /// - Parameter isFinal: another try would end the same.
    private mutating func fail(_ work: JobWork, _ reason: String, _ message: String, isFinal: Bool = false) {
        var work = work
        let limit = job["spec"]?["\(work.stage.rawValue.lowercased())Spec"]?["backoffLimit"]?.integer ?? Self.backoffLimit
        status["progress"] = nil
        guard work.attempt < limit, !isFinal else {
            let text = "round \(work.round) failed after \(work.attempt == 0 ? "1 try" : "\(work.attempt + 1) tries"): \(message)"
            status.setDone(work.stage, false, reason, text)
            status.set(work.stage, .failed, reason, text, isWarning: true)
            return status.endRound("Failed", "\(reason): \(message)", version: servingVersion, metrics: [:])
        }
        let wait = min(360, Int64(10) << min(work.attempt, 5))
        work.attempt += 1
        work.retryTime = Timestamp(seconds: world.now.seconds + wait)
        status.work = work
        status.set(
            work.stage, .failed, reason, "\(message); tried again in \(wait) s (retry \(work.attempt) of \(limit))", isWarning: true)
        lookAgain(wait)
    }

    private mutating func suspend() {
        if let work = status.work {
            // A version on trial goes with its round.
            let entry = world.models[style.deployedModel].map { ModelVersions($0) }
            if work.stage == .deploy, let entry, let version = entry.version(of: job, round: work.round), takesBack(version, of: entry) {
                return
            }
            cancel(work, "the job is suspended")
        }
        status.set(.train, .waiting, "Suspended", "spec.suspend is true: no round begins")
    }

    /// Ends a round before its time; its workers go.
    mutating func cancel(_ work: JobWork, _ reason: String) {
        for (name, pod) in world.pods where pod.labels[WorkerContract.roundLabel]?.string == "\(work.round)" && !pod.isBeingDeleted {
            steps.append(.delete(.pod, ObjectKey(namespace: job.namespace, name: name), Deletion(uid: pod.uid)))
        }
        status.tell("RoundCancelled", "round \(work.round) was cancelled: \(reason)", isWarning: true)
        status.endRound("Cancelled", reason, version: servingVersion, metrics: [:])
    }

    // MARK: Services

    /// Keeps the workers that serve as they should be: what is missing is made, what is not wanted any more, or of another template, goes.
    private mutating func services() -> [ObjectPlan.Step] {
        do throws(JobObstacle) {
            let cuts = try cutSteps()
            let orders = try style.services(world)
            let obstacles = orders.map { world.obstacle(toPod: pods.name($0.role)) }
            servingObstacle = obstacles.compactMap(\.self).first
            if servingObstacle != nil { lookAgain(Self.strangerSeconds) }
            let free = zip(orders, obstacles).filter { $0.1 == nil }.map(\.0)
            return cuts + ServicePods(pods: pods).steps(free, there: world.pods)
        } catch {
            servingObstacle = error
            return []
        }
    }

    /// A Pod of somebody else's is not told of when it goes.
    private static let strangerSeconds: Int64 = 30

    /// What keeps a round from beginning is said first.
    private mutating func tellServingObstacle() {
        let reason = status["conditions"]?.array?.last?["reason"]?.string
        guard let obstacle = servingObstacle, reason.map(Self.quietReasons.contains) ?? true else { return }
        status.set(.train, .waiting, obstacle.reason, obstacle.message, isWarning: obstacle.isWarning)
    }

    /// Makes the Models that nodes' parts of the deployed one go into; those of nodes that have no data any more go.
    private func cutSteps() throws(JobObstacle) -> [ObjectPlan.Step] {
        guard let whole = world.models[style.deployedModel] else { return [] }
        var steps: [ObjectPlan.Step] = []
        let cuts = style.cuts(world)
        for cut in cuts {
            let wanted = cut.object(of: job, whole: whole)
            guard let known = world.models[cut.name] else {
                steps.append(.create(.model, wanted))
                continue
            }
            guard known.controller?["uid"]?.string == job.uid, ModelCut(known) != nil else {
                throw JobObstacle(
                    reason: "ModelNameTaken",
                    message:
                        "model \(cut.name) is somebody else's, and node \(cut.node)'s part of model \(cut.model) is to have that name; rename it"
                )
            }
            let isSame = ModelCut(known) == cut && known["spec"]?["signature"] == wanted["spec"]?["signature"]
            guard !isSame, !known.isBeingDeleted else { continue }
            let body: JSON = [
                "metadata": ["uid": .string(known.uid), "annotations": wanted["metadata"]?["annotations"] ?? [:]],
                "spec": ["signature": wanted["spec"]?["signature"] ?? .null],
            ]
            steps.append(.patch(.model, ObjectKey(known), ObjectPatch(.merge, body)))
        }
        for model in world.models.values.sorted(by: { $0.name < $1.name }) where model.controller?["uid"]?.string == job.uid {
            guard ModelCut(model) != nil, !model.isBeingDeleted, !cuts.contains(where: { $0.name == model.name }) else { continue }
            steps.append(.delete(.model, ObjectKey(model), Deletion(uid: model.uid)))
        }
        return steps
    }

    /// Workers of the newest two rounds stay to be looked at; older ones go.
    private mutating func tidy() {
        let current = status.work?.round ?? status.endedRound
        for pod in world.pods.values.sorted(by: { $0.name < $1.name }) where !pod.isBeingDeleted {
            guard let round = pod.labels[WorkerContract.roundLabel]?.string.flatMap({ Int64($0) }), round < current - 1 else { continue }
            steps.append(.delete(.pod, ObjectKey(pod), Deletion(uid: pod.uid)))
        }
    }
}
