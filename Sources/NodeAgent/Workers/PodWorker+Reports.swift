import Reconciliation
import Resources
import Storage

#if canImport(Glibc)
    import Glibc
#endif

/// What containers of a worker Pod report, and what becomes of the files they leave.
extension PodWorker {
    /// Waits between two attempts at a file.
    private static let publishRetryMax: Duration = .seconds(15)

    /// Whether the Pod's containers are told how to report.
    var isWorker: Bool { spec.object["metadata"]?["labels"]?[WorkerContract.workerLabel] == "true" }

    /// What a worker's container finds in its environment; nil where none is to report, or nobody takes reports.
    func reportVariables(_ name: String?) -> [ContainerSetup.Variable] {
        guard let name else { return [] }
        return [
            .init(WorkerContract.serverVariable, context.workerNames.address), .init(WorkerContract.nameVariable, name),
        ]
    }

    /// A name for a new life of a container; nil where none is to report.
    func newWorkerName() -> String? {
        guard isWorker, !context.workerNames.address.isEmpty else { return nil }
        return WorkerNames.name(pod: key.name, lot: context.random())
    }

    /// Takes a report. Returns once it is on the disk.
    ///
    /// - Parameter name: the worker's, without its secret.
    func take(_ claim: WorkerClaim, of life: ContainerID, named name: String) throws(WorkerLedger.Refusal) {
        var ledger = ledger
        let now = context.now()
        var refusal: WorkerLedger.Refusal?
        var step = WorkerLedger.Step.noted
        do throws(WorkerLedger.Refusal) {
            switch claim.report {
            case .success(let report): step = try ledger.take(report, of: life, named: name, at: now)
            case .failure(let fault):
                guard claim.isCompletion else { throw .init(code: 400, message: fault.message) }
                try ledger.refuseClaim(fault.message, of: life, named: name, at: now.time)
            }
        } catch { refusal = error }
        let isNew = ledger.word != self.ledger.word
        self.ledger = ledger
        if isNew {
            try keep(life)
            tellWord()
            if step == .publish { publishing = life }
            bell.ring()
        }
        if let refusal { throw refusal }
    }

    /// Keeps what is known of a life's reports with it.
    private func keep(_ life: ContainerID) throws(WorkerLedger.Refusal) {
        // Without waiting: an older word never takes the place of a newer one.
        guard context.runtime.keep(report: ledger.bytes, of: life) else {
            throw .init(code: 503, message: "the report cannot be kept on this node's disk; free space there", retryAfterSeconds: 5)
        }
    }

    /// What was kept by an agent before.
    func restoreReports(_ records: [ContainerRecord]) {
        for record in records { if let bytes = context.runtime.keptReport(of: record.id) { ledger.restore(bytes, of: record.id) } }
        if let word = ledger.word, word.state.reason == .publishing { publishing = word.life }
    }

    /// Notes for people what a last word says.
    private func tellWord() {
        guard let word = ledger.word else { return }
        let container = spec.container(word.life.container)
        let path = container?.fieldPath ?? ""
        switch word.state.reason {
        case .running:
            for (reason, sentence) in incidents.news(in: word.said.ownerInfo) {
                pendingNotes.append(PodNote(reason, sentence, isWarning: true, fieldPath: path))
            }
        case .publishing: return
        case .completed: pendingNotes.append(PodNote("WorkerCompleted", Self.sentence(word.state.report), fieldPath: path))
        case .failed:
            let message = word.state.report.message
            pendingNotes.append(
                PodNote("WorkerFailed", message.isEmpty ? "the worker says that it has failed" : message, isWarning: true, fieldPath: path))
        case .refused: pendingNotes.append(PodNote("WorkerRefused", word.state.report.message, isWarning: true, fieldPath: path))
        }
    }

    private static func sentence(_ report: WorkerReport) -> String {
        let files = report.results.filter { !$0.url.isEmpty }.map(\.name)
        let what = report.kind.isEmpty ? "the worker" : "worker (\(report.kind))"
        return files.isEmpty ? "\(what) has completed" : "\(what) has completed and left \(files.joined(separator: ", "))"
    }

    /// The Pod's conditions with what the worker has said.
    func addReport(to status: inout JSON, known: JSON?) {
        let now = context.now()
        let conditions = known?["conditions"]?.array ?? []
        if let condition = ledger.condition(conditions, at: now) {
            let others = (status["conditions"]?.array ?? []).filter { $0["type"]?.string != WorkerContract.condition }
            status["conditions"] = .array([condition] + others)
            reportLookAt = nil
        } else {
            reportLookAt = ledger.showAgainAt(conditions)
        }
    }

    // MARK: Files

    /// Begins to take a completed worker's files, if there are any to take.
    func beginPublishing(_ group: inout DiscardingTaskGroup) {
        guard let life = publishing else { return }
        publishing = nil
        group.addTask { await self.publish(life) }
    }

    /// Takes all files of a life to the cloud, however long that takes.
    private func publish(_ life: ContainerID) async {
        guard let files = context.files else { return refuse("this node keeps no files; choose another for workers that leave some", life) }
        do throws(ResultFault) { try await examine(life) } catch { return refuse(error.message, life) }
        var failures = 0
        while !Task.isCancelled, let place = ledger.unpublished.first, ledger.word?.life == life {
            do {
                try await publish(place, of: life, files)
                failures = 0
                continue
            } catch let fault as ResultFault {
                return refuse(fault.message, life)
            } catch {
                if Task.isCancelled { return }
                ledger.isHeldUp("publishing \(ledger.word?.state.report.results[place].name ?? ""): \(error)", of: life)
                bell.ring()
            }
            failures += 1
            try? await Task.sleep(for: min(Self.publishRetryMax, .seconds(1 << min(failures - 1, 6))))
        }
    }

    private func refuse(_ sentence: String, _ life: ContainerID) {
        ledger.refuse(sentence, of: life, at: context.now().time)
        tellWord()
        // What is not kept is found out again by the next agent.
        try? keep(life)
        bell.ring()
    }

    /// Looks at all files before any is taken: what is not true is known at once, with or without a link to the cloud.
    private func examine(_ life: ContainerID) async throws(ResultFault) {
        guard let word = ledger.word, word.life == life else { return }
        let places = try places(life)
        let user = user(life)
        var digests: [Int: String] = [:]
        var judged: Set<Int> = []
        for place in ledger.unpublished {
            let (claim, result) = (word.said.results[place], word.state.report.results[place])
            if let given = ResultFile.given(result.url, places: places) {
                digests[place] = given
                judged.insert(place)
                continue
            }
            let found = await Threads.run { () -> Result<ArtifactDigest, ResultFault> in
                Result { () throws(ResultFault) in
                    try ResultFile(url: result.url, places: places).examine(
                        format: result.format, claimed: (claim.digest, claim.size), user: user
                    ).0
                }
            }
            digests[place] = try found.get().description
        }
        ledger.found(digests, judged: judged, of: life)
        _ = context.runtime.keep(report: ledger.bytes, of: life)
        if ledger.unpublished.isEmpty { tellWord() }
        bell.ring()
    }

    private func publish(_ place: Int, of life: ContainerID, _ files: NodeFiles) async throws {
        guard let result = ledger.word?.state.report.results[place], let digest = ArtifactDigest(reference: result.digest) else {
            // An agent was ended before it had looked at the files.
            return try await examine(life)
        }
        let (file, size) = try ResultFile(url: result.url, places: try places(life)).open(user: user(life))
        defer { close(file) }
        do { try await files.publish(digest, file: file, size: size) } catch let error as ArtifactError {
            throw ResultFault(message: "\(result.url): has changed since it was reported (\(error)); report a file once it is written")
        }
        ledger.published(place, size: size, of: life)
        _ = context.runtime.keep(report: ledger.bytes, of: life)
        tellWord()
        bell.ring()
    }

    private func places(_ life: ContainerID) throws(ResultFault) -> [MountPlace] {
        guard let container = spec.container(life.container) else { return [] }
        do throws(ContainerRefusal) { return try context.runtime.places(of: container, in: spec) } catch {
            throw ResultFault(message: error.message)
        }
    }

    /// Whom a container runs as.
    private func user(_ life: ContainerID) -> UInt32 {
        let own = spec.container(life.container)?.object["securityContext"]?["runAsUser"]?.integer
        let user = own ?? spec.object["spec"]?["securityContext"]?["runAsUser"]?.integer
        return user.map { UInt32(truncatingIfNeeded: $0) } ?? geteuid()
    }
}
