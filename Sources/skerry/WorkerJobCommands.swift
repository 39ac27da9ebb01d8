import ArgumentParser
import Resources
import Workers

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

struct WorkerTrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Learn a round from $TRAIN_DATASET_URL and report to $LC_SERVER.")

    func run() async throws { try await runWorker("train", TrainWorker.run) }
}

struct WorkerEvaluateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate", abstract: "Judge $MODEL_URLS on $TEST_DATASET_URL and report to $LC_SERVER.")

    func run() async throws { try await runWorker("eval", EvaluateWorker.run) }
}

struct WorkerCollectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "collect", abstract: "Take out of $TRAIN_DATASET_URL what may leave the node and report to $LC_SERVER.")

    func run() async throws { try await runWorker("collect", CollectWorker.run) }
}

/// Serves a model until SIGTERM.
func serveModel() async throws {
    // Waited for once, by one task.
    nonisolated(unsafe) let signals = TerminationSignals()
    let worker: ServeWorker
    do {
        worker = try ServeWorker(
            WorkerSettings(variables: environment()), onnxRuntime: onnxRuntimeCandidates(), mosquitto: mosquittoCandidates(),
            now: { Timestamp(seconds: Int64(time(nil))) }, say: { writeError($0) })
    } catch {
        writeError("\(error)")
        throw ExitCode(WorkerRun.Ending.refused.rawValue)
    }
    let ending = await worker.run(terminated: { await signals.first() })
    if ending != .completed { throw ExitCode(ending.rawValue) }
}

/// Runs a piece of work with this process's variables and signals.
///
/// - Throws: the exit status, unless the work was completed.
private func runWorker(_ kind: String, _ work: @escaping @Sendable (WorkerContext) throws -> [WorkerReport.Result]) async throws {
    let settings = WorkerSettings(variables: environment())
    // Waited for once, by one task.
    nonisolated(unsafe) let signals = TerminationSignals()
    let run = WorkerRun(
        kind: kind, settings, xgboost: xgboostCandidates(), onnxRuntime: onnxRuntimeCandidates(), say: { writeError($0) }, work: work)
    let (ending, results) = await run.run(terminated: { await signals.first() })
    // The work may still be at it on its thread: nothing is torn down under it.
    if ending == .cancelled { _exit(ending.rawValue) }
    guard ending == .completed else { throw ExitCode(ending.rawValue) }
    if settings["LC_SERVER"] == nil { try say(JSON.array(results.map(\.json)).text) }
}
