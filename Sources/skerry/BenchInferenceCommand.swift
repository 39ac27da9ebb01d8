import ArgumentParser
import Inference
import Learning
import Workers

struct BenchInferenceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inference",
        abstract: "Time of one row: a bare ONNX Runtime call, the worker's path around it, and the way to a worker process and back.",
        discussion: "The three take turns within one run on the same model and rows. Rows are drawn at random, every fifth value missing.")

    @Option(help: "An ONNX file written by skerry.") var model = "models/thermal-comfort/comfort.onnx"
    @Option(help: "Timed calls of each kind.") var calls = 20_000
    @Option(help: "Calls before timing.") var warmUp = 2000
    @Option(name: .shortAndLong, help: "table, csv or json.") var output: AlignedTable.Format = .table

    func validate() throws {
        if !(100...10_000_000).contains(calls) { throw ValidationError("--calls must be 100 to 10000000, found \(calls)") }
        if !(0...10_000_000).contains(warmUp) { throw ValidationError("--warm-up must be 0 to 10000000, found \(warmUp)") }
    }

    func run() throws {
        let bytes = try InferenceWorker.read(model, limit: ModelLimits.edge.bytes)
        let file = try ModelFile(bytes)
        let runtime = try ONNXRuntime(candidates: onnxRuntimeCandidates())
        let bench = try InferenceBench(runtime, file)
        let worker = try InferenceWorkerProcess(
            InferenceAssignment(workerName: "bench", modelPath: model),
            InferenceWorkerProcess.Settings(program: programPath(), environment: environment()))
        defer { worker.stop() }
        for _ in 0..<warmUp { try bench.turn(worker) }
        bench.forget()
        for _ in 0..<calls { try bench.turn(worker) }
        writeError(
            "\(model), \(bytes.count) bytes; ONNX Runtime \(runtime.version), 1 thread, no spinning; \(calls) calls of one row each after \(warmUp)"
        )
        try say(bench.table.text(output))
    }
}

/// Takes the times of one row, kind by kind in turn.
final class InferenceBench {
    private let session: InferenceSession
    private let tensors: BoundTensors
    private let service: InferenceService
    private let rows: [TabularRows]
    private var bare: [UInt64] = []
    private var path: [UInt64] = []
    private var process: [UInt64] = []
    private var turns = 0

    init(_ runtime: ONNXRuntime, _ file: ModelFile) throws {
        // Both by ONNX Runtime: what is around it is measured.
        let options = SessionOptions(isCompiling: false)
        session = try InferenceSession(runtime, file, options: options)
        tensors = try session.tensors(rows: 1)
        let predictor = try TabularPredictor(runtime, file, options: options)
        service = InferenceService(predictor, nanoseconds: monotonicNanoseconds)
        var generator = SeededGenerator(seed: 27)
        rows = (0..<512).map { _ in
            let features = predictor.featureNames.map { _ -> Float in
                Int.random(in: 0..<5, using: &generator) == 0 ? .nan : .random(in: -5..<60, using: &generator)
            }
            let key = UInt32.random(in: 1 ... .max >> 1, using: &generator)
            return TabularRows(
                count: 1, features: features, sites: predictor.takesSites ? [key] : [], persons: predictor.takesPersons ? [key] : [])
        }
    }

    func forget() { (bare, path, process) = ([], [], []) }

    /// - Parameter worker: nil leaves the way to a process out.
    func turn(_ worker: InferenceWorkerProcess? = nil) throws {
        let row = rows[turns % rows.count]
        turns += 1
        let features = tensors.floats("features")
        for (index, value) in row.features.enumerated() { features[index] = value }
        if let site = row.sites.first { tensors.integers("site")[0] = Int64(site) }
        if let person = row.persons.first { tensors.integers("person")[0] = Int64(person) }
        let request = Array(InferenceFrame.predict(id: 1, row).encoded.dropFirst(InferenceFrame.lengthBytes))
        // Whoever comes second finds warmer caches: take turns.
        if turns % 2 == 0 {
            bare.append(try time { try session.run(tensors) })
            path.append(try time { _ = try service.answer(request) })
        } else {
            path.append(try time { _ = try service.answer(request) })
            bare.append(try time { try session.run(tensors) })
        }
        if let worker { process.append(try time { _ = try worker.predict(row) }) }
    }

    private func time(_ body: () throws -> Void) rethrows -> UInt64 {
        let start = monotonicNanoseconds()
        try body()
        return monotonicNanoseconds() - start
    }

    var table: AlignedTable {
        var table = AlignedTable(["CALL", "P50 µS", "P99 µS", "P50 / BARE", "P99 / BARE"])
        let base = (Self.quantile(bare, 0.5), Self.quantile(bare, 0.99))
        let kinds = [("bare ONNX Runtime call", bare), ("worker's path", path), ("worker process and back", process)]
        for (name, times) in kinds where !times.isEmpty {
            let (middle, tail) = (Self.quantile(times, 0.5), Self.quantile(times, 0.99))
            table.rows.append([
                name, fixed(middle, decimals: 2), fixed(tail, decimals: 2), fixed(middle / base.0, decimals: 3),
                fixed(tail / base.1, decimals: 3),
            ])
        }
        return table
    }

    private static func quantile(_ times: [UInt64], _ share: Double) -> Double {
        let sorted = times.sorted()
        return Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]) / 1000
    }
}
