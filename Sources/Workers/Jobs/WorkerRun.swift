import Dispatch
import Inference
import KnowledgeBase
import Learning
package import Resources
import Storage
import Synchronization
import ThermalComfort
import Training

/// What every kind of work is given.
package struct WorkerContext: Sendable {
    /// The job's variables.
    package let settings: WorkerSettings
    /// Where XGBoost's library may lie, best first.
    package let xgboost: [String]
    /// Where ONNX Runtime's library may lie, best first.
    package let onnxRuntime: [String]
    /// Tells how far the work is; may be called as often as one likes.
    package let progress: @Sendable (WorkerReport.Progress) -> Void
    /// Writes a line for people.
    package let say: @Sendable (String) -> Void

    /// Made by `WorkerRun`, and by tests.
    package init(
        settings: WorkerSettings, xgboost: [String], onnxRuntime: [String],
        progress: @escaping @Sendable (WorkerReport.Progress) -> Void = { _ in }, say: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        (self.settings, self.xgboost, self.onnxRuntime, self.progress, self.say) = (settings, xgboost, onnxRuntime, progress, say)
    }
}

/// One piece of work from its variables to its last report.
package struct WorkerRun: Sendable {
    /// How it ended, as an exit status.
    package enum Ending: Int32, Sendable {
        case completed = 0
        /// The machine failed it: a disk, a library, the agent.
        case failed = 1
        /// The job's own variables or files cannot be worked with: again it would fail alike.
        case refused = 3
        /// By SIGTERM: 128 + 15.
        case cancelled = 143
    }

    /// `train`, `eval`, `collect`, as reports have it.
    package let kind: String
    private let settings: WorkerSettings
    private let say: @Sendable (String) -> Void
    private let work: @Sendable (WorkerContext) throws -> [WorkerReport.Result]
    private let libraries: (xgboost: [String], onnxRuntime: [String])

    /// - Parameters:
    ///   - say: writes a line for people, to standard error.
    ///   - work: blocks; leaves its files whole before it returns their list.
    package init(
        kind: String, _ settings: WorkerSettings, xgboost: [String], onnxRuntime: [String], say: @escaping @Sendable (String) -> Void,
        work: @escaping @Sendable (WorkerContext) throws -> [WorkerReport.Result]
    ) {
        (self.kind, self.settings, self.say, self.work) = (kind, settings, say, work)
        libraries = (xgboost, onnxRuntime)
    }

    /// Works on a thread of its own and reports; a signal ends the wait for it, so that the process can go at once.
    ///
    /// - Parameter terminated: returns when the worker is told to end.
    /// - Returns: how it ended, and its results.
    package func run(terminated: @escaping @Sendable () async -> Void) async -> (ending: Ending, results: [WorkerReport.Result]) {
        let reporter: WorkerReporter
        do {
            reporter = try WorkerReporter(settings)
        } catch {
            say("\(error)")
            return (.refused, [])
        }
        let sender = Task { await reporter.run() }
        let outcome = await first(of: reporter, terminated)
        await Self.stop(sender)
        let ending = await finish(outcome, reporter)
        await reporter.close()
        guard case .success(let results) = outcome, ending == .completed else { return (ending, []) }
        return (ending, results)
    }

    /// Longest wait for a report of progress that is on its way.
    private static let patience = Duration.milliseconds(300)

    /// Ends the reports of progress, so that none overtakes the last one; an agent that does not answer is not waited for.
    private static func stop(_ sender: Task<Void, Never>) async {
        sender.cancel()
        let (stopped, stopping) = AsyncStream.makeStream(of: Void.self)
        Task {
            await sender.value
            stopping.finish()
        }
        Task {
            try? await Task.sleep(for: patience)
            stopping.finish()
        }
        for await _ in stopped {}
    }

    /// Told to end before the work was done.
    private struct Cancelled: Error {}

    /// The work's end or the signal, whichever comes first; the work itself goes on until the process ends.
    private func first(
        of reporter: WorkerReporter, _ terminated: @escaping @Sendable () async -> Void
    ) async -> Result<[WorkerReport.Result], any Error> {
        let (outcomes, outcome) = AsyncStream.makeStream(of: Result<[WorkerReport.Result], any Error>.self)
        let kind = kind
        let context = WorkerContext(
            settings: settings, xgboost: libraries.xgboost, onnxRuntime: libraries.onnxRuntime,
            progress: { reporter.tell(WorkerReport(.running, kind: kind, progress: $0)) }, say: say)
        reporter.tell(WorkerReport(.running, kind: kind))
        // Not a task: it blocks for minutes, and a machine may have one core.
        DispatchQueue(label: "worker").async { [work] in outcome.yield(Result { try work(context) }) }
        let signal = Task {
            await terminated()
            outcome.yield(.failure(Cancelled()))
        }
        defer { signal.cancel() }
        for await found in outcomes { return found }
        return .failure(Cancelled())
    }

    private func finish(_ outcome: Result<[WorkerReport.Result], any Error>, _ reporter: WorkerReporter) async -> Ending {
        switch outcome {
        case .success(let results):
            do {
                try await reporter.finish(WorkerReport(.completed, kind: kind, results: results), say: say)
                return .completed
            } catch {
                say("\(error)")
                return .failed
            }
        case .failure(let error):
            let isCancelled = error is Cancelled
            let words = isCancelled ? "cancelled" : "\(error)"
            say(words)
            let message = WorkerReport(.failed, kind: kind, message: reportWords(words))
            // One try for a worker that must be gone within a second.
            do {
                try await reporter.finish(message, triesMax: isCancelled ? 1 : WorkerReporter.triesMax, say: say)
            } catch { say("\(error)") }
            return isCancelled ? .cancelled : Self.isInput(error) ? .refused : .failed
        }
    }

    /// Whether the job's own variables or files are at fault.
    static func isInput(_ error: any Error) -> Bool {
        switch error {
        case is WorkerInputError, is TableError, is CSVError, is ComfortDataError, is StateError, is StageError, is KnowledgeError,
            is FileReadError, is AdapterError, is NearestCentresError:
            true
        case let error as InferenceError:
            switch error {
            case .libraryNotFound, .notONNXRuntime, .unsupportedVersion: false
            default: true
            }
        case let error as TrainingError:
            switch error {
            case .libraryNotFound, .unsupportedVersion, .missingFunction, .cancelled: false
            default: true
            }
        default: false
        }
    }
}
