/// Why a worker cannot be started or asked.
package enum WorkersError: Error, Equatable, CustomStringConvertible {
    case missingVariable(name: String, meaning: String)
    case unreadableFile(path: String, reason: String)
    case cannotStart(program: String, reason: String)
    /// The worker said why it cannot serve.
    case refusedToStart(worker: String, reason: String)
    /// The worker is well and refuses this request.
    case refused(worker: String, reason: String)
    /// The process ended while it was needed, and starting it again did not help.
    case died(worker: String, how: String, starts: Int)
    case silent(worker: String, seconds: Double)
    /// The other end does not speak as it should.
    case malformedFrame(reason: String)
    case stopped(worker: String)

    /// One sentence: the worker or file, what happened, and what to do.
    package var description: String {
        switch self {
        case .missingVariable(let name, let meaning):
            "the environment variable \(name) (\(meaning)) is not set; a worker is started by an agent"
        case .unreadableFile(let path, let reason): "\(path) cannot be read: \(reason)"
        case .cannotStart(let program, let reason): "the worker program \(program) cannot be started: \(reason)"
        case .refusedToStart(let worker, let reason): "worker \"\(worker)\" cannot serve: \(reason)"
        case .refused(let worker, let reason): "worker \"\(worker)\" refused the request: \(reason)"
        case .died(let worker, let how, let starts):
            "worker \"\(worker)\" \(how), after \(starts) starts; look at its model and the machine's memory"
        case .silent(let worker, let seconds): "worker \"\(worker)\" did not answer within \(seconds) s and was killed; ask for fewer rows"
        case .malformedFrame(let reason): "a frame between worker and agent is malformed: \(reason)"
        case .stopped(let worker): "worker \"\(worker)\" was stopped; start another"
        }
    }
}
