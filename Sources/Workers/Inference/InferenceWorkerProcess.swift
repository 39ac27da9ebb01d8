package import Inference

/// An inference worker as its agent sees it: a child process that serves one model. A crash costs one start, not the agent.
///
/// One thread at a time may use it; calls block. Ends its process when it goes.
package final class InferenceWorkerProcess {
    /// How to start workers and how long to wait for them.
    package struct Settings: Sendable {
        /// The program, and the arguments that make it an inference worker.
        package var program: String
        /// What follows the program's name.
        package var arguments: [String]
        /// Variables besides the assignment's own.
        package var environment: [String: String]
        /// The longest silence while it loads the model, and while it answers.
        package var secondsMax: Double
        /// Starts in the life of this object; the first counts.
        package var startsMax: Int

        /// Traps unless `secondsMax` lies above 0 and below a day and at least one start is allowed.
        package init(
            program: String, arguments: [String] = ["worker", "infer"], environment: [String: String] = [:], secondsMax: Double = 30,
            startsMax: Int = 5
        ) {
            precondition(secondsMax > 0 && secondsMax < 86_400 && startsMax > 0, "a worker needs a start and some time")
            self.program = program
            self.arguments = arguments
            self.environment = environment
            self.secondsMax = secondsMax
            self.startsMax = startsMax
        }
    }

    /// Rows of one request: bounded by count, and by the bytes of a frame.
    private static let requestRows = 1024
    /// The worker's name in messages, as assigned.
    package let name: String
    /// What the worker serves.
    package private(set) var model: ServedModel
    /// How often a process was started.
    package private(set) var startCount = 1
    private let assignment: InferenceAssignment
    private let settings: Settings
    /// Nil once stopped.
    private var child: ChildProcess?
    private var lastID: UInt32 = 0

    /// Starts the process and waits until it has loaded the model.
    ///
    /// - Throws: `.cannotStart`, `.refusedToStart` with the worker's reason, `.died`, `.silent`.
    package init(_ assignment: InferenceAssignment, _ settings: Settings) throws(WorkersError) {
        name = assignment.workerName
        self.assignment = assignment
        self.settings = settings
        let started = try Self.start(assignment, settings)
        child = started.0
        model = started.1
    }

    deinit { child?.end() }

    /// The child's process id; nil once stopped.
    package var processID: Int32? { child?.processID }

    /// Asks for rows, in several requests when there are many. A worker that dies is started again and asked once more.
    ///
    /// - Returns: all predictions in order, and the sum of the times within the worker.
    /// - Throws: `.refused` with the worker's reason, `.died`, `.silent`, `.stopped`.
    package func predict(_ rows: TabularRows) throws(WorkersError) -> WorkerAnswer {
        let width = model.featureNames.count
        var result = WorkerAnswer(predictions: TabularPredictions(classCount: model.classNames.count), nanoseconds: 0)
        guard rows.count > Self.requestRows, rows.features.count == rows.count * width,
            [rows.sites, rows.persons].allSatisfy({ $0.isEmpty || $0.count == rows.count })
        else { return try request(rows) }
        for start in stride(from: 0, to: rows.count, by: Self.requestRows) {
            let range = start..<min(start + Self.requestRows, rows.count)
            let part = TabularRows(
                count: range.count, features: Array(rows.features[range.lowerBound * width..<range.upperBound * width]),
                sites: rows.sites.isEmpty ? [] : Array(rows.sites[range]), persons: rows.persons.isEmpty ? [] : Array(rows.persons[range]))
            let answer = try request(part)
            result.predictions.probabilities += answer.predictions.probabilities
            result.predictions.margins += answer.predictions.margins
            result.predictions.labels += answer.predictions.labels
            result.nanoseconds += answer.nanoseconds
        }
        return result
    }

    /// Ends the process; calling again does nothing.
    package func stop() {
        child?.end()
        child = nil
    }

    private func request(_ rows: TabularRows) throws(WorkersError) -> WorkerAnswer {
        var how = ""
        for isAgain in [false, true] {
            if isAgain { try startAgain(after: how) }
            guard let child else { throw .stopped(worker: name) }
            let reply: Result<WorkerAnswer, WorkersError>
            do throws(Descriptor.Failure) {
                reply = try ask(child, rows)
            } catch {
                how = try Self.ending(of: child, error, name, settings)
                continue
            }
            return try reply.get()
        }
        throw .died(worker: name, how: how, starts: startCount)
    }

    private func startAgain(after how: String) throws(WorkersError) {
        guard startCount < settings.startsMax else { throw .died(worker: name, how: how, starts: startCount) }
        startCount += 1
        (child, model) = try Self.start(assignment, settings)
    }

    /// One question and its answer, or the worker's refusal.
    private func ask(_ child: ChildProcess, _ rows: TabularRows) throws(Descriptor.Failure) -> Result<WorkerAnswer, WorkersError> {
        lastID &+= 1
        let milliseconds = Int32(settings.secondsMax * 1000)
        try child.socket.write(InferenceFrame.predict(id: lastID, rows).encoded, milliseconds: milliseconds)
        switch try Self.frame(child, milliseconds) {
        case .answer(lastID, let answer): return .success(answer)
        case .refusal(lastID, let reason): return .failure(.refused(worker: name, reason: reason))
        case .refusal(_, let reason): throw .malformed(reason)
        default: throw .malformed("an answer to another question")
        }
    }

    private static func frame(_ child: ChildProcess, _ milliseconds: Int32) throws(Descriptor.Failure) -> InferenceFrame {
        let body = try child.socket.readFrame(milliseconds: milliseconds)
        do throws(WorkersError) {
            return try InferenceFrame(body)
        } catch {
            throw .malformed("\(error)")
        }
    }

    /// Ends a child that failed.
    ///
    /// - Returns: how it ended.
    /// - Throws: for failures that another start does not mend.
    private static func ending(
        of child: ChildProcess, _ failure: Descriptor.Failure, _ name: String, _ settings: Settings
    ) throws(WorkersError) -> String {
        let how = child.end(byForce: failure != .ended)
        switch failure {
        case .ended: return how
        case .silent: throw .silent(worker: name, seconds: settings.secondsMax)
        case .malformed(let reason): throw .malformedFrame(reason: reason)
        }
    }

    private static func start(_ assignment: InferenceAssignment, _ settings: Settings) throws(WorkersError) -> (ChildProcess, ServedModel) {
        let environment = settings.environment.merging(assignment.environment) { $1 }
        let child = try ChildProcess(program: settings.program, arguments: settings.arguments, environment: environment)
        let name = assignment.workerName
        let first: InferenceFrame
        do throws(Descriptor.Failure) {
            first = try frame(child, Int32(settings.secondsMax * 1000))
        } catch {
            throw .died(worker: name, how: try ending(of: child, error, name, settings), starts: 1)
        }
        switch first {
        case .hello(let model): return (child, model)
        case .refusal(_, let reason): throw .refusedToStart(worker: name, reason: reason)
        default: throw .malformedFrame(reason: "a worker begins with its model")
        }
    }
}
