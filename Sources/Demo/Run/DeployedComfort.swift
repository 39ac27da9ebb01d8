import Crypto
import Inference
import Learning
import ThermalComfort
import Training
import Workers

/// The models that go to the edges: the newest, and older ones that the gate has left in charge of some tasks; each is one ONNX file with
/// the corrections of all known sites and persons.
struct DeployedComfort {
    struct File {
        var model: DeployedModel
        var bytes: [UInt8]

        /// SHA-256, lower-case hexadecimal.
        var digest: String { SHA256.hash(data: bytes).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined() }
    }

    /// By the round they were trained in.
    private let files: [Int: File]
    private let newest: Int
    /// The round of the model that serves a task.
    private let serving: [String: Int]
    private let method: SkerryMethod

    /// - Throws: `AdapterError` for corrections that no file can hold.
    init(_ method: SkerryMethod, seed: UInt64, isSynthetic: Bool) throws {
        self.method = method
        newest = method.models.last!.round
        serving = method.rounds.last!.serving
        var files: [Int: File] = [:]
        for retained in method.models { files[retained.round] = try Self.file(retained, seed: seed, isSynthetic: isSynthetic) }
        self.files = files
    }

    /// What a model is deployed as.
    ///
    /// - Throws: `AdapterError` for corrections that no file can hold.
    static func file(_ retained: RetainedModel, seed: UInt64, isSynthetic: Bool) throws -> File {
        let mark = isSynthetic ? "\(SyntheticComfort.mark) " : ""
        let model = try model(retained, version: "\(mark)round \(retained.round), seed \(seed)")
        return File(model: model, bytes: model.onnx())
    }

    private static func model(_ retained: RetainedModel, version: String) throws -> DeployedModel {
        func table(_ attribute: String) throws -> AdapterTable? {
            try retained.adapters.first { $0.attribute == attribute }.map { try AdapterTable($0.biases) }
        }
        // Half precision halves the networks' bytes; one that does not fit it is kept as it is.
        let halves = retained.model.networks.map { $0.roundedToHalf() ?? $0 }
        return DeployedModel(
            featureNames: PhysicsFeatures.names, classNames: Preference.allCases.map(\.word), version: version,
            model: BlendedModel(trees: retained.model.trees, networks: halves, networkShare: retained.model.networkShare),
            sites: try table("site"), persons: try table("person"))
    }

    /// The files that serve, by name: the newest, and those that the gate has kept for some tasks.
    var contents: [String: [UInt8]] { Dictionary(uniqueKeysWithValues: files.map { (name($0.key), $0.value.bytes) }) }

    var facts: ComfortResults.Model {
        let file = files[newest]!
        let older = files.keys.sorted().filter { $0 != newest }.map { round in
            ComfortResults.OlderModel(
                file: name(round), bytes: files[round]!.bytes.count, sha256: files[round]!.digest,
                tasks: serving.filter { $0.value == round }.map(\.key).sorted())
        }
        return .init(
            file: name(newest), bytes: file.bytes.count, sha256: file.digest, features: file.model.featureNames, older: older)
    }

    private func name(_ round: Int) -> String {
        round == newest ? ResultFiles.Paths.modelName : ResultFiles.Paths.olderModelName(round: round)
    }

    /// What the edges answer, to the last bit: a worker process is asked with each file.
    ///
    /// - Parameters:
    ///   - workers: how to start one.
    ///   - folder: for temporary files.
    /// - Throws: `AdapterError`; `StageError`; `WorkersError`.
    static func predict(
        _ method: SkerryMethod, _ rows: ComfortRows, _ workers: InferenceWorkerProcess.Settings, folder: String
    ) throws -> ClassProbabilities {
        let (serving, newest) = (method.serving, method.models.last!.round)
        let rounds = try method.allocate(rows).map { task in task.flatMap { serving[$0] } ?? newest }
        let classes = Preference.allCases.count
        var values = [Float](repeating: 0, count: rows.count * classes)
        for retained in method.models {
            let own = rounds.indices.filter { rounds[$0] == retained.round }
            if own.isEmpty { continue }
            let model = try model(retained, version: "judged"), part = rows.rows(own), tasks = part.tasks
            let passed = try PassedFile(model.onnx(), folder: folder)
            let worker = try InferenceWorkerProcess(InferenceAssignment(workerName: "judge", modelPath: passed.path), workers)
            defer { worker.stop() }
            let asked = TabularRows(
                part.features(.physics), sites: model.sites == nil ? nil : tasks.sites, persons: model.persons == nil ? nil : tasks.persons)
            let found = try worker.predict(asked).predictions.probabilities
            for (position, row) in own.enumerated() {
                for k in 0..<classes { values[row * classes + k] = found[position * classes + k] }
            }
        }
        return ClassProbabilities(classCount: classes, values: values)
    }

    /// Votes that are asked one by one at each edge, as they would come in; their time is taken.
    private static let timedRows = 2000
    private static let warmUpRows = 50

    /// What the edges did.
    struct Served {
        var edge: ComfortResults.Edge
        /// MiB of the largest worker; one is at work at a time.
        var workerPeak: Double
    }

    /// Every edge starts a worker process for each model it needs and has it answer the votes of its buildings: some one by one, then all
    /// together.
    ///
    /// - Parameters:
    ///   - workers: how to start one.
    ///   - folder: for temporary files.
    ///   - progress: votes answered so far.
    /// - Throws: `WorkersError`; `RunError.edgeDisagrees` when a file says otherwise than its model.
    func serve(
        _ rows: ComfortRows, edges: Int, _ workers: InferenceWorkerProcess.Settings, folder: String, progress: (Int) -> Void
    ) throws -> Served {
        let rounds = try method.allocate(rows).map { task in task.flatMap { serving[$0] } ?? newest }
        let buildings = rows.buildingIDs
        let names = (1...edges).map { "edge-\($0)" }
        var times: [Double] = []
        var served = 0, workerPeak = 0.0
        for (round, file) in files.sorted(by: { $0.key < $1.key }) {
            let passed = try PassedFile(file.bytes, folder: folder)
            for (edge, name) in names.enumerated() {
                let own = rows.rows(rounds.indices.filter { rounds[$0] == round && buildings[$0] % edges == edge })
                if own.isEmpty { continue }
                let worker = try InferenceWorkerProcess(InferenceAssignment(workerName: name, modelPath: passed.path), workers)
                defer { worker.stop() }
                times += try ask(worker, file.model, own)
                workerPeak = max(workerPeak, worker.processID.flatMap(PeakMemory.ofProcess) ?? 0)
                served += own.count
                progress(served)
            }
        }
        times.sort()
        func time(_ share: Double) -> Double { times.isEmpty ? 0 : (percentile(share, ofSorted: times) * 10).rounded() / 10 }
        return Served(
            edge: .init(nodes: names, predictionsServed: served, p50US: time(0.5), p99US: time(0.99)), workerPeak: workerPeak)
    }

    /// - Returns: microseconds within the worker of single votes.
    private func ask(_ worker: InferenceWorkerProcess, _ model: DeployedModel, _ rows: ComfortRows) throws -> [Double] {
        let features = rows.features(.physics), tasks = rows.tasks
        let sites = model.sites == nil ? nil : tasks.sites, persons = model.persons == nil ? nil : tasks.persons
        var times: [Double] = []
        for row in 0..<min(rows.count, Self.warmUpRows + Self.timedRows) {
            let one = TabularRows(features.rows([row]), sites: sites.map { [$0[row]] }, persons: persons.map { [$0[row]] })
            let nanoseconds = try worker.predict(one).nanoseconds
            if row >= Self.warmUpRows { times.append(Double(nanoseconds) / 1000) }
        }
        let answers = try worker.predict(TabularRows(features, sites: sites, persons: persons)).predictions
        let expected = model.predict(features: features, sites: sites, persons: persons)
        for (row, id) in rows.recordIDs.enumerated() where !agree(answers.probabilities, expected.values, row: row) {
            throw RunError.edgeDisagrees(recordID: id)
        }
        return times
    }

    private func agree(_ found: [Float], _ expected: [Float], row: Int) -> Bool {
        (3 * row..<3 * row + 3).allSatisfy { abs(found[$0] - expected[$0]) < 1e-4 }
    }
}

/// Our method, judged by what workers answer with its files: networks travel in half precision, sums are rounded in another order, and a judge is to
/// see what edges answer. Of 42,591 votes there is one whose two classes differ by less than that.
struct ServedMethod: LifelongMethod, Sendable {
    private(set) var remembered: RememberingMethod
    private let workers: InferenceWorkerProcess.Settings
    private let folder: String

    /// - Parameters:
    ///   - workers: how to start one.
    ///   - folder: for temporary files.
    init(_ remembered: RememberingMethod, _ workers: InferenceWorkerProcess.Settings, folder: String) {
        (self.remembered, self.workers, self.folder) = (remembered, workers, folder)
    }

    var name: String { remembered.name }
    mutating func learn(_ round: ComfortRound) throws -> RoundOutcome { try remembered.learn(round) }
    func predict(_ rows: ComfortRows) throws -> ClassProbabilities {
        try DeployedComfort.predict(remembered.method, rows, workers, folder: folder)
    }
}
