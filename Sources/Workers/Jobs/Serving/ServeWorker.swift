import Inference
import Learning
package import Network
import Permits
package import Resources
import Serving
import Storage
import Synchronization

/// Serves a model until it is told to end: requests of the Open Inference Protocol on a loopback port, and rows that are appended to a file.
/// A newer version of the model is taken in while requests are answered.
package final class ServeWorker: HTTPResponder {
    /// Milliseconds between two looks at the model's files, and at what there is to tell.
    private static let lookEvery: Int32 = 200
    private static let looksPerSecond = 5
    /// Looks after which a file that could not be loaded, and has not changed, is tried again.
    private static let looksAfterFailure = 15
    /// Between two looks at the file of rows.
    private static let followEvery = Duration.milliseconds(300)
    /// Rows that are kept for labels, and predictions; more are dropped.
    private static let fileBytesMax = 256 << 20

    /// A loaded model. Asked under the lock of `state` alone, hence unchecked.
    struct Loaded: @unchecked Sendable {
        let judge: RowJudge
        let version: String
    }

    struct State {
        var loaded: Loaded?
        /// A newer version, which answers a share of the requests.
        var candidate: Loaded?
        /// What became of the last trial, and which version passed it or did not.
        var trial = ""
        var passed = ""
        var rejected = ""
        var updates = 0
        var inferences = 0
        /// Of answers that this worker gave and not its desk.
        var latency = LatencyCounts()
        var hard = 0
        var unseen = 0
        /// Rows that were refused.
        var refused = 0
        /// Requests that the model failed at.
        var failed = 0
        var updateTime = ""
    }

    let settings: WorkerSettings
    private let source: ModelSource
    let modelName: String
    private let runtime: [String]
    /// Opened when the first version is loaded.
    private let library = Mutex<ONNXRuntime?>(nil)
    private let now: @Sendable () -> Timestamp
    private let say: @Sendable (String) -> Void
    private let startTime: String
    private let adaptation: LabelAdaptation?
    let joint: JointDesk?
    let quality = QualityWatch()
    let state = Mutex(State())
    private let address = Mutex("")
    /// Answers what asks for the model's own inputs, without a way through this worker.
    let desk: ModelDesk
    private let behind: WorkerBehind
    /// How a newer version is tried; nil: it takes over at once.
    private let trial: CanaryTrial?
    /// Whether the model's own answer is the worker's: nothing is added to it here.
    private let isDirect: Bool
    /// Whether requests that arrive together may be answered together.
    private let isBatching: Bool
    /// Threads of a run, shared by all versions and files of the worker.
    private let threadCount: Int
    /// What runs of models wait for, with those of the node's other workers; nil for a worker by hand.
    private let permits: NodePermits?
    /// What requests may take of the container's memory.
    private let memory: WorkerMemory
    /// Rows of sources that the Model names.
    private let streams: WorkerStreams?
    /// What earlier lives of this worker have come to.
    private let lives: VersionLives?

    /// - Parameters:
    ///   - onnxRuntime: where its library may lie, best first.
    ///   - mosquitto: where libmosquitto may lie, best first; for rows by MQTT.
    ///   - now: the time, for reports.
    ///   - say: writes a line for people.
    /// - Throws: `WorkerInputError` for variables that cannot be worked with.
    package init(
        _ settings: WorkerSettings, onnxRuntime: [String], mosquitto: [String] = ["libmosquitto.so.1"],
        now: @escaping @Sendable () -> Timestamp,
        say: @escaping @Sendable (String) -> Void
    ) throws {
        self.settings = settings
        source = try ModelSource(settings)
        modelName = settings["MODEL_NAME"] ?? settings["JOB_NAME"] ?? settings["SERVICE_NAME"] ?? "model"
        (runtime, self.now, self.say) = (onnxRuntime, now, say)
        startTime = now().text
        let name = modelName, behind = WorkerBehind()
        self.behind = behind
        trial = try Self.trial(settings)
        _ = try HardExamples(settings)
        adaptation = try LabelAdaptation(settings)
        let begin = ContinuousClock.now
        joint = try JointDesk(settings) { begin.duration(to: .now) / .seconds(1) }
        if let before = joint?.answeredBefore { state.withLock { $0.inferences = before } }
        isDirect = adaptation == nil && joint == nil
        let later = LaterRows(
            table: { (table) async throws(ServingRefusal) in try await behind.decided(table) },
            tensors: { (inputs) async throws(ServingRefusal) in try await behind.decided(inputs) })
        desk = ModelDesk(
            name: name, nanoseconds: monotonic, onVerdict: { behind.settle($0, $1) }, onShares: { behind.note($0) },
            tables: { try behind.rows($0) }, later: isDirect ? nil : later, others: { await behind.answer($0, $1) })
        isBatching = try Self.isBatching(settings)
        threadCount = try settings.integer("INFERENCE_THREADS", default: 1, in: 1...256)!
        memory = try WorkerMemory(settings)
        permits = NodePermits(settings, threadCount: threadCount, say: say)
        lives = try VersionLives(settings, now: now, say: say)
        streams = try WorkerStreams(settings, modelName: modelName, libraries: mosquitto, say: say)
    }

    private static func isBatching(_ settings: WorkerSettings) throws -> Bool {
        switch settings["INFERENCE_BATCHING"] ?? "auto" {
        case "auto": true
        case "off": false
        case let text:
            throw WorkerInputError("INFERENCE_BATCHING=\(text.prefix(40)): give auto, which answers together what gains from it, or off")
        }
    }

    /// Where libmosquitto may lie, best first.
    ///
    /// - Parameters:
    ///   - chosen: the one and only candidate, if given.
    ///   - roots: folders that may hold a `.deps`.
    package static func mosquittoCandidates(chosen: String?, roots: [String]) -> [String] {
        MosquittoLibrary.candidates(chosen: chosen, roots: roots)
    }

    /// Rows of a stream by the names of a table's columns.
    func answer(_ rows: RowTable) throws -> RowTable {
        var table = TextTable(columns: rows.columns, source: "the stream")
        for (row, line) in zip(rows.rows, rows.lines) { table.append(row, line: line) }
        let (judged, classes, _) = try judge(table)
        return RowTable(judged, classes: classes, lines: rows.lines)
    }

    /// As `answer`, with the large model of a joint inference service.
    func decided(_ rows: RowTable) async throws -> RowTable {
        var table = TextTable(columns: rows.columns, source: "the stream")
        for (row, line) in zip(rows.rows, rows.lines) { table.append(row, line: line) }
        let (judged, classes, _) = try await decide(table)
        return RowTable(judged, classes: classes, lines: rows.lines, tellsWho: joint != nil)
    }

    /// How sure the model was of rows that the desk has answered.
    func note(_ shares: [Float]) { quality.note(shares) }

    /// Serves; the port is told in `ownerInfo.address` of the reports, and by `onListening`.
    ///
    /// - Returns: how it ended.
    package func run(
        terminated: @escaping @Sendable () async -> Void, onListening: @Sendable (Int) -> Void = { _ in }
    ) async -> WorkerRun.Ending {
        behind.take(self)
        defer { behind.take(nil) }
        let reporter: WorkerReporter, server: LoopServer
        do {
            let port = try settings.integer("INFERENCE_PORT", default: 0, in: 0...65535)!
            let period = try settings.integer("LC_PERIOD", default: 30, in: 1...86_400)!
            reporter = try WorkerReporter(settings)
            server = try LoopServer(host: "127.0.0.1", port: port, limits: memory.loopLimits, handler: desk)
            server.start()
            address.withLock { $0 = "127.0.0.1:\(server.port)" }
            onListening(server.port)
            say("serving on http://127.0.0.1:\(server.port)/v2")
            await serve(reporter, seconds: period, terminated)
        } catch {
            say("\(error)")
            return error is WorkerInputError ? .refused : .failed
        }
        lives?.end()
        server.stop()
        for _ in 0..<60 where !server.hasEnded { try? await Task.sleep(for: .milliseconds(5)) }
        server.end()
        try? await reporter.finish(report, triesMax: 1)
        await reporter.close()
        await joint?.close()
        return .completed
    }

    private func serve(_ reporter: WorkerReporter, seconds: Int, _ terminated: @escaping @Sendable () async -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await reporter.run() }
            group.addTask { await LookThread.run { self.watch($0) } }
            group.addTask { await LookThread.run { self.tell(reporter, seconds: seconds, $0) } }
            group.addTask { await self.follow() }
            group.addTask { await self.followLabels() }
            let pumping = Task { await self.pump() }
            await terminated()
            // Not waited for: it may be with a broker that does not answer.
            pumping.cancel()
            group.cancelAll()
        }
    }

    /// Tells the agent how things stand, every so many seconds.
    private func tell(_ reporter: WorkerReporter, seconds: Int, _ pause: LookThread.Pause) {
        var (last, told, ticks): (WorkerReport?, [String]?, Int) = (nil, nil, 0)
        repeat {
            quality.note(desk.takeShares())
            let version = news
            // Another version is told at once, how a trial begins and ends, a crash, a change of what comes in, and what labels correct.
            if version == nil || version != told || ticks >= seconds * Self.looksPerSecond {
                let report = report
                // Again even without news: the agent may have begun anew.
                if report != last || version != nil { reporter.tell(report) }
                (last, told, ticks) = (report, version, 0)
            }
            ticks += 1
        } while pause(milliseconds: Self.lookEvery)
    }

    /// What is told as soon as it changes; nil while there is no model.
    private var news: [String]? {
        let versions = state.withLock { state in
            state.loaded.map { [$0.version, state.candidate?.version ?? "", state.passed, state.rejected] }
        }
        return versions.map { $0 + [lives?.incident ?? "", "\(quality.changes)", "\(adaptation?.fits ?? 0)"] }
    }

    /// What is told of it now.
    private var report: WorkerReport {
        var report = WorkerReport(.running, kind: "inference")
        let state = state.withLock { $0 }
        let counts = desk.counts
        report.ownerInfo = [
            "startTime": .string(startTime), "updateTime": .string(state.updateTime.isEmpty ? startTime : state.updateTime),
            "inferenceNumber": .integer(Int64(state.inferences + counts.rows)), "hardExampleNumber": .integer(Int64(state.hard)),
            "unseenNumber": .integer(Int64(state.unseen)), "refusedNumber": .integer(Int64(state.refused)),
            "modelVersion": .string(state.loaded?.version ?? ""), "modelUpdates": .integer(Int64(state.updates)),
            "address": .string(address.withLock { $0 }), "modelName": .string(modelName),
            "errors": .integer(Int64(state.failed + counts.failed)),
        ]
        if let permits { for (name, value) in permits.info { report.ownerInfo[name] = value } }
        if let lives { report.ownerInfo["incident"] = .string(lives.incident) }
        if trial != nil {
            report.ownerInfo["canaryVersion"] = .string(state.candidate?.version ?? "")
            report.ownerInfo["canaryResult"] = .string(state.trial)
            report.ownerInfo["canaryPassed"] = .string(state.passed)
            report.ownerInfo["canaryRefused"] = .string(state.rejected)
            if let counts = desk.trialCounts {
                report.ownerInfo["canaryRequests"] = .integer(Int64(counts.answered + counts.failed))
                report.ownerInfo["canaryErrors"] = .integer(Int64(counts.failed))
            }
        }
        var latency = counts.latency
        latency.add(state.latency)
        if let middle = latency.quantile(0.5), let tail = latency.quantile(0.99) {
            report.ownerInfo["latencyP50Micros"] = .integer(Int64(middle / 1000))
            report.ownerInfo["latencyP99Micros"] = .integer(Int64(tail / 1000))
        }
        for info in [quality.info, adaptation?.info, joint?.info, streams?.info] {
            for (name, value) in info ?? [:] { report.ownerInfo[name] = value }
        }
        return report
    }

    // MARK: - The model

    /// Takes in what is new; a version that cannot be loaded is told once, and the one before goes on.
    private func watch(_ pause: LookThread.Pause) {
        var (taken, told, inUse): (ModelSource.Version?, String, VersionRecord.Key?) = (nil, "", nil)
        var failed: (version: ModelSource.Version, looks: Int)?
        repeat {
            desk.releaseRetired()
            do {
                if let last = failed, last.looks > 0, try source.look() == last.version {
                    failed!.looks -= 1
                } else if let version = try source.look(), version != taken {
                    failed = (version, Self.looksAfterFailure)
                    let decision = lives?.decide(version) ?? .load
                    if decision == .refuse { refuseTrial(of: version) }
                    if decision == .load {
                        try goOnWithTrial(of: version, &inUse)
                        try load(version, replacing: &inUse)
                        lives?.tell("")
                    } else {
                        try standIn(for: version, &inUse)
                    }
                    // One that is to be tried again is looked at again.
                    if decision != .wait { taken = version }
                    (failed, told) = (nil, "")
                }
                if let taken { try remember(taken) }
            } catch {
                let words = "\(error)"
                if words != told { say("the model is not taken: \(words)") }
                told = words
                if inUse == nil, let version = try? source.look() { try? standIn(for: version, &inUse) }
            }
        } while pause(milliseconds: Self.lookEvery)
    }

    /// Loads what served when the life before ended, so that a newer version is tried beside it in this life too.
    private func goOnWithTrial(of version: ModelSource.Version, _ inUse: inout VersionRecord.Key?) throws {
        guard trial != nil, inUse == nil, let held = lives?.held, held.key != VersionLives.key(version),
            !Self.isBack(from: held.key.number, to: version.number)
        else { return }
        do { try load(held.version, replacing: &inUse, as: held.key) } catch {
            say("version \(held.key.number), which served before, is not there to be compared with: \(error)")
        }
    }

    /// A version that has ended several lives is tried no more: whoever made it is told.
    private func refuseTrial(of version: ModelSource.Version) {
        guard trial != nil, let lives, !version.number.isEmpty else { return }
        let why = lives.fault(of: version)
        state.withLock { ($0.trial, $0.rejected) = ("version \(version.number) was rolled back: \(why)", version.number) }
    }

    /// Keeps the version that answers by itself, for lives to come.
    private func remember(_ taken: ModelSource.Version) throws {
        let isAlone = state.withLock { state in
            guard state.candidate == nil, let loaded = state.loaded else { return false }
            return taken.number.isEmpty || loaded.version == taken.number
        }
        guard let lives, isAlone else { return }
        try lives.look(taken)
        if trial != nil { try lives.hold(taken) { try source.look() == taken } }
    }

    /// - Parameter inUse: what serves, to be remembered again where this one cannot be loaded.
    private func load(_ version: ModelSource.Version, replacing inUse: inout VersionRecord.Key?, as key: VersionRecord.Key? = nil) throws {
        let key = key ?? VersionLives.key(version)
        lives?.use(key)
        do {
            let judge = try version.load(settings, try openLibrary())
            adaptation?.begin(judge)
            try take(Loaded(judge: judge, version: version.number.isEmpty ? judge.version : version.number))
            // Labels that came while it was loaded.
            adapt()
            inUse = key
        } catch {
            lives?.use(inUse)
            throw error
        }
    }

    /// ONNX Runtime, opened with the first version.
    private func openLibrary() throws -> ONNXRuntime {
        try library.withLock { library in
            if let library { return library }
            let opened = try ONNXRuntime(candidates: runtime, sharedThreadCount: threadCount, permits: permits)
            library = opened
            return opened
        }
    }

    /// Has the last good version serve in the place of one that crashes, or cannot be loaded, while nothing else does.
    private func standIn(for version: ModelSource.Version, _ inUse: inout VersionRecord.Key?) throws {
        guard let lives, let other = lives.instead(of: version), inUse == nil else { return }
        try load(other.version, replacing: &inUse, as: other.key)
        lives.tell("\(lives.fault(of: version)); version \(other.version.number) serves in its place")
        say(lives.incident)
    }

    private func take(_ loaded: Loaded) throws {
        let time = now().text
        let offer = try ServedOffer(
            loaded.judge, version: loaded.version, isDirect: isDirect, isBatching: isBatching,
            runBytesMax: memory.runBytesMax(residentBytes: ResidentMemory.bytes))
        let isTried = state.withLock { state in
            state.updateTime = time
            // Whoever goes back does so at once: what served before needs no trial.
            if trial != nil, let old = state.loaded, !Self.isBack(from: old.version, to: loaded.version) {
                state.candidate = loaded
                return true
            }
            if state.loaded != nil { state.updates += 1 }
            (state.loaded, state.candidate) = (loaded, nil)
            return false
        }
        quality.begin()
        desk.offer(offer.engine, trial: isTried ? trial : nil)
        if let words = offer.words { say(words) }
        say("model \"\(modelName)\", version \(loaded.version)")
        ResidentMemory.giveBack()
    }

    /// Whether a version is the one that serves, or an older one.
    private static func isBack(from old: String, to new: String) -> Bool {
        guard let old = Int64(old), let new = Int64(new) else { return old == new }
        return new <= old
    }

    private static func trial(_ settings: WorkerSettings) throws -> CanaryTrial? {
        guard let text = settings["CANARY_SHARE"] else { return nil }
        guard let share = Double(text), share > 0, share <= 1 else {
            throw WorkerInputError("CANARY_SHARE=\(text.prefix(40)): give a share of the requests above 0 and at most 1")
        }
        return CanaryTrial(share: share, requests: try settings.integer("CANARY_REQUESTS", default: 200, in: 1...1_000_000)!)
    }

    /// The end of a trial.
    func settle(_ version: String, _ verdict: CanaryTrial.Verdict) {
        let words: String? = state.withLock { state in
            guard let candidate = state.candidate, candidate.version == version else { return nil }
            state.candidate = nil
            switch verdict {
            case .goesOn: return nil
            case .takesOver:
                state.loaded = candidate
                state.updates += 1
                (state.trial, state.passed) = ("version \(version) took over", version)
            case .rollsBack(let why): (state.trial, state.rejected) = ("version \(version) was rolled back: \(why)", version)
            }
            return state.trial
        }
        if let words { say(words) }
    }

    /// What a trial learns of a request.
    private typealias Told = (isNewer: Bool, nanoseconds: UInt64?, label: Int?)

    /// What a version said. Nobody else keeps what it holds, hence unchecked.
    private struct Turn<Found>: @unchecked Sendable {
        var found: Result<Found, any Error>
        var classes: [String]
        var version: String
        var told: Told?
    }

    /// Asks the version of the moment.
    ///
    /// - Parameters:
    ///   - count: rows.
    ///   - label: the class of a single row, for a trial.
    /// - Throws: `InferenceRefusal` where there is no model yet; what `body` throws.
    func ask<Found>(
        rows count: Int, label: (Found, [String]) -> Int?, _ body: (RowJudge) throws -> Found
    ) throws -> (found: Found, classes: [String], version: String) {
        let turn: Turn<Found>? = state.withLock { state in
            guard let serving = state.loaded else { return nil }
            let newer = state.candidate == nil ? nil : desk.isTurnOfNewer() ? state.candidate : nil
            let loaded = newer ?? serving, start = monotonic()
            let found = Result { try body(loaded.judge) }
            let time = monotonic() - start, classes = loaded.judge.classNames
            if case .success = found {
                state.inferences += count
                state.latency.add(time)
            }
            let told = state.candidate == nil ? nil : Self.told(found.map { label($0, classes) }, isNewer: newer != nil, time)
            return Turn(found: found, classes: classes, version: loaded.version, told: told)
        }
        guard let turn else { throw notThere }
        if case .failure(let error) = turn.found { note(unanswered: count, error) }
        if let told = turn.told { desk.answeredElsewhere(byNewer: told.isNewer, nanoseconds: told.nanoseconds, label: told.label) }
        return (try turn.found.get(), turn.classes, turn.version)
    }

    /// Counts rows that have no answer: the model failed at their request, or they were refused.
    private func note(unanswered count: Int, _ error: any Error) {
        let hasFailed = ServingRefusal(of: error).status == 500
        state.withLock { state in if hasFailed { state.failed += 1 } else { state.refused += count } }
        if hasFailed { joint?.count(failed: 1) } else { joint?.count(refused: count) }
    }

    var notThere: InferenceRefusal { InferenceRefusal(503, "model \"\(modelName)\" is not there yet; ask again later") }

    /// Judges rows with the version of the moment.
    private func judge(_ rows: TextTable) throws -> (RowJudge.Judgement, [String], String) {
        let (judged, classes, version) = try ask(rows: rows.count, label: { Self.label($0.probabilities, $1) }) { try $0.judge(rows) }
        let unseen = judged.marks.count(where: \.isUnseen)
        state.withLock { state in
            state.hard += judged.marks.count(where: \.isHard)
            state.unseen += unseen
        }
        joint?.count(unseen: unseen)
        quality.note(judged.probabilities)
        return (judged, classes, version)
    }

    /// Of a single row, where classes are told apart.
    static func label(_ found: ClassProbabilities, _ classes: [String]) -> Int? {
        found.rowCount == 1 && !classes.isEmpty ? found.predictedClass(row: 0) : nil
    }

    /// Nil of a request that was refused for what it held.
    private static func told(_ label: Result<Int?, any Error>, isNewer: Bool, _ nanoseconds: UInt64) -> Told? {
        switch label {
        case .success(let label): return (isNewer, nanoseconds, label)
        case .failure(InferenceError.refused): return (isNewer, nil, nil)
        case .failure: return nil
        }
    }

    // MARK: - Rows of a file

    /// Predicts every row that is appended to `INFER_DATASET_URL` into `OUTPUT_URL/predictions.csv`; those worth a label go to
    /// `UNSEEN_SAVED_URL` too.
    private func follow() async {
        guard let path = settings["INFER_DATASET_URL"] else { return }
        var follower = RowFollower(path: path)
        var files: (predictions: LineAppender?, done: Int)?
        while !Task.isCancelled {
            // Not before there is a model: rows wait in their file.
            if state.withLock({ $0.loaded != nil }) {
                do {
                    if files == nil { files = try openPredictions() }
                    while !Task.isCancelled, let table = try follower.next() {
                        for words in follower.refused { refuse(words) }
                        let fresh = table.lines.indices.filter { table.lines[$0] > files!.done }
                        if !fresh.isEmpty { try await answer(table.rows(fresh), files!.predictions) }
                    }
                    for words in follower.refused { refuse(words) }
                } catch {
                    say("\(error)")
                    do { try await Task.sleep(for: .seconds(5)) } catch { return }
                }
            }
            do { try await Task.sleep(for: Self.followEvery) } catch { return }
        }
    }

    private func refuse(_ words: String) {
        state.withLock { $0.refused += 1 }
        joint?.count(refused: 1)
        say(words)
    }

    /// Judges rows, and asks the large model about hard ones where there is a joint inference service.
    func decide(_ table: TextTable) async throws -> (RowJudge.Judgement, [String], String) {
        var (judged, classes, version) = try judge(table)
        guard let joint, !classes.isEmpty else {
            joint?.answeredAlone(table.count)
            return (judged, classes, version)
        }
        let batch = JointDesk.Batch(
            form: .table(table), probabilities: judged.probabilities, features: judged.rows.features.values, sites: judged.rows.sites,
            classNames: classes)
        let decided = await joint.decide(batch)
        judged.probabilities = decided.probabilities
        for row in judged.marks.indices {
            judged.marks[row].isHard = decided.isHard[row]
            judged.marks[row].isFromCloud = decided.isFromCloud[row]
        }
        return (judged, classes, version)
    }

    /// Answers rows of the sources that the Model names.
    private func pump() async {
        guard let streams else { return }
        await streams.run(
            WorkerStreams.Asker(
                form: { self.state.withLock { $0.loaded.map { $0.judge.isTabular ? .columns : .inputs } } },
                version: { self.state.withLock { $0.loaded?.version ?? "" } },
                judge: { table in
                    let (judged, classes, version) = try await self.decide(table)
                    let answers = RowTable(judged, classes: classes, lines: table.lines, tellsWho: self.joint != nil)
                    return (answer: answers, version: version)
                }, port: { self.address.withLock { $0.split(separator: ":").last.flatMap { Int($0) } } ?? 0 }))
    }

    // MARK: - Labels

    /// Takes in what is new of the labels.
    private func adapt() {
        guard let adaptation else { return }
        let asked = state.withLock { state -> Int? in
            guard let judge = state.loaded?.judge else { return nil }
            adaptation.ask(judge)
            return state.updates
        }
        guard let asked else { return }
        let corrections = adaptation.fit()
        state.withLock { if $0.updates == asked { $0.loaded?.judge.corrections = corrections } }
    }

    /// Labelled rows that are appended to `ADAPT_DATASET_URL`.
    private func followLabels() async {
        guard let adaptation, let path = adaptation.dataset else { return }
        var follower = RowFollower(path: path)
        while !Task.isCancelled {
            var isNew = false
            do {
                while !Task.isCancelled, let table = try follower.next() {
                    joint?.told(table)
                    isNew = adaptation.take(table) || isNew
                }
            } catch {
                say("\(error)")
                do { try await Task.sleep(for: .seconds(5)) } catch { return }
            }
            if isNew { adapt() }
            do { try await Task.sleep(for: Self.followEvery) } catch { return }
        }
    }

    /// Rows with labels, as columns of a request.
    private func take(labels request: HTTPRequest) throws -> JSON {
        if let joint, let call = try? InferCall(request.body, headerLength: Self.headerLength(request)), isOfInputs(call),
            let count = joint.told(call.inputs)
        {
            return ["judged": .integer(Int64(count))]
        }
        let body = request.body
        guard adaptation != nil || joint != nil else {
            throw InferenceRefusal(409, "this worker does not adapt: set ADAPT=true, or deploySpec.adapt of its job")
        }
        guard case .table(let table) = try InferenceRequest(body, featureNames: [], modelName: modelName).rows else {
            throw InferenceRefusal(400, "labels come with the columns of the data set by their names, not as \"features\"")
        }
        var answer: JSON = [:]
        if let joint { answer["judged"] = .integer(Int64(joint.told(table))) }
        if let adaptation {
            answer["taken"] = .integer(Int64(try adaptation.told(table)))
            adapt()
            answer["labels"] = adaptation.info["adaptationLabels"]
        }
        return answer
    }

    /// - Returns: the file of predictions, and the last line that an earlier life has answered.
    private func openPredictions() throws -> (LineAppender?, Int) {
        guard let folder = settings["OUTPUT_URL"] else { return (nil, 0) }
        try WorkerFile.makeFolder(folder)
        let path = "\(folder)/\(WorkerFile.predictions)"
        var done = 0
        if WorkerFile.exists(path), let table = try? TextTable(source: path, GzipReader(path: path).next),
            let words = try? table.words("line")
        {
            done = words.compactMap { Int($0) }.max() ?? 0
        }
        let isNumber = state.withLock { $0.loaded?.judge.classNames.isEmpty ?? false }
        let header =
            isNumber ? ["line", "value", "model_version"] : ["line", "class", "probability", "task", "unseen", "hard", "model_version"]
        return (try LineAppender(path: path, header: header, bytesMax: Self.fileBytesMax), done)
    }

    private func answer(_ table: TextTable, _ predictions: LineAppender?) async throws {
        do {
            let (judged, classes, version) = try await decide(table)
            try write(table, judged, classes, version, predictions)
        } catch let error as TableError {
            // One row that does not fit must not hide the others.
            guard table.count > 1 else { return say("\(error)") }
            state.withLock { $0.refused -= table.count }
            joint?.count(refused: -table.count)
            for row in 0..<table.count { try await answer(table.rows([row]), predictions) }
        }
    }

    private func write(
        _ table: TextTable, _ judged: RowJudge.Judgement, _ classes: [String], _ version: String, _ predictions: LineAppender?
    ) throws {
        let worth = judged.marks.indices.filter { judged.marks[$0].isUnseen || judged.marks[$0].isHard }
        if let path = settings["UNSEEN_SAVED_URL"], !worth.isEmpty {
            let file = try LineAppender(path: path, header: table.columns, bytesMax: Self.fileBytesMax)
            for row in worth { try file.append(table.rows[row]) }
        }
        for (row, mark) in judged.marks.enumerated() {
            guard !classes.isEmpty else {
                try predictions?.append(["\(table.lines[row])", "\(judged.probabilities.values[row])", version])
                continue
            }
            let label = judged.probabilities.predictedClass(row: row)
            let probability = judged.probabilities.values[row * classes.count + label]
            try predictions?.append([
                "\(table.lines[row])", classes[label], "\(probability)", mark.task ?? "", "\(mark.isUnseen)", "\(mark.isHard)", version,
            ])
        }
    }

    // MARK: - Requests

    /// `/v2/…` of the Open Inference Protocol.
    package func respond(to request: HTTPRequest) async -> HTTPResponse {
        do {
            return try await answer(request)
        } catch {
            let refusal = ServingRefusal(of: error)
            return Self.response(refusal.status, ["error": .string(refusal.reason)])
        }
    }

    static func response(_ status: Int, _ json: JSON) -> HTTPResponse {
        HTTPResponse(status: status, headers: ["Content-Type": "application/json"], body: .bytes(json.bytes()))
    }

    private func answer(_ request: HTTPRequest) async throws -> HTTPResponse {
        let parts = request.path.split(separator: "/").map(String.init)
        let isRead = request.method == "GET" || request.method == "HEAD"
        guard parts.first == "v2" else { throw InferenceRefusal(404, "\(request.path): paths begin with /v2") }
        let isReady = state.withLock { $0.loaded != nil }
        switch (Array(parts.dropFirst()), isRead) {
        case ([], true):
            return Self.response(200, ["name": "skerry", "version": "1", "extensions": []])
        case (["health", "live"], true): return Self.response(200, ["live": true])
        case (["health", "ready"], true): return Self.response(isReady ? 200 : 503, ["ready": .bool(isReady)])
        default: break
        }
        guard parts.count >= 3, parts[1] == "models" else {
            throw InferenceRefusal(404, "\(request.method) \(request.path) is nothing here")
        }
        guard parts[2] == modelName else {
            throw InferenceRefusal(404, "no model \"\(parts[2].prefix(80))\"; this worker serves \"\(modelName)\"")
        }
        var rest = Array(parts.dropFirst(3))
        if rest.first == "versions", rest.count >= 2 {
            let version = state.withLock { $0.loaded?.version ?? "" }
            guard rest[1] == version else {
                throw InferenceRefusal(
                    404, "no version \"\(rest[1].prefix(80))\" of model \"\(modelName)\"; version \"\(version)\" is served")
            }
            rest = Array(rest.dropFirst(2))
        }
        switch (rest, isRead) {
        case (["ready"], true): return Self.response(isReady ? 200 : 503, ["name": .string(modelName), "ready": .bool(isReady)])
        case ([], true): return Self.response(200, try metadata())
        case (["labels"], false) where request.method == "POST": return Self.response(200, try take(labels: request))
        case (["infer"], false) where request.method == "POST": return try await infer(request)
        default: throw InferenceRefusal(isRead ? 404 : 405, "\(request.method) \(request.path) is nothing here")
        }
    }

    private func metadata() throws -> JSON {
        let facts = state.withLock { state in
            state.loaded.map { ($0.judge.featureNames, $0.judge.classNames, $0.version) }
        }
        guard let (features, classes, version) = facts else {
            throw InferenceRefusal(503, "model \"\(modelName)\" is not there yet; ask again later")
        }
        func tensor(_ name: String, _ type: String, _ shape: [Int]) -> JSON {
            ["name": .string(name), "datatype": .string(type), "shape": .array(shape.map { .integer(Int64($0)) })]
        }
        let outputs =
            classes.isEmpty
            ? [tensor("value", "FP32", [-1, 1])]
            : [tensor("probabilities", "FP32", [-1, classes.count]), tensor("label", "INT64", [-1]), tensor("class", "BYTES", [-1])]
        return [
            "name": .string(modelName), "versions": [.string(version)], "platform": "onnx",
            "inputs": [tensor("features", "FP32", [-1, features.count])],
            "outputs": .array(outputs),
            "parameters": ["features": .array(features.map { .string($0) }), "classes": .array(classes.map { .string($0) })],
        ]
    }
}
