import Synchronization

/// Which worker goes by which name, and where workers report. The names are secrets.
final class WorkerNames: Sendable {
    private struct State {
        var lives: [String: ContainerID] = [:]
        var address = ""
        var isComplete = false
    }

    private let state = Mutex(State())

    init() {}

    /// `http://127.0.0.1:7480`; empty where nobody takes reports.
    var address: String {
        get { state.withLock { $0.address } }
        set { state.withLock { $0.address = newValue } }
    }

    /// The lives that were there before this agent are known: a name that is not here is nobody's.
    var isComplete: Bool {
        get { state.withLock { $0.isComplete } }
        set { state.withLock { $0.isComplete = newValue } }
    }

    subscript(name: String) -> ContainerID? {
        get { state.withLock { $0.lives[name] } }
        set { state.withLock { $0.lives[name] = newValue } }
    }

    /// Forgets the names of a Pod.
    func remove(pod: String) { state.withLock { state in state.lives = state.lives.filter { $0.value.pod != pod } } }

    /// `train-1-0123456789abcdef`: the Pod's name and 16 digits drawn by lot.
    static func name(pod: String, lot: UInt64) -> String {
        let digits = String(lot, radix: 16)
        return "\(pod)-\(String(repeating: "0", count: 16 - digits.utf8.count))\(digits)"
    }

    /// The name without its secret, for sentences.
    static func shown(_ name: String) -> String { String(name.utf8.count > 17 ? name.dropLast(17) : Substring(name)) }
}
