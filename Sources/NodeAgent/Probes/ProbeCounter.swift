/// Turns looks at a container into verdicts: so many in a row, and the verdict changes. Pure.
struct ProbeCounter: Sendable, Hashable {
    enum Kind: String, Sendable, Hashable { case startup = "Startup", liveness = "Liveness", readiness = "Readiness" }

    let kind: Kind
    let probe: Probe
    /// What holds now: a container lives until it is found dead, and is neither started nor ready until it is found so.
    private(set) var verdict: Bool
    private var inARow: Int64 = 0
    private var last: Bool?

    /// - Parameter verdict: what is known from before; nil for nothing.
    init(_ kind: Kind, _ probe: Probe, verdict: Bool? = nil) {
        self.kind = kind
        self.probe = probe
        self.verdict = verdict ?? (kind == .liveness)
    }

    /// What a look has led to.
    enum Outcome: Sendable, Hashable {
        /// Nothing changes.
        case same
        /// The verdict has become this one.
        case became(Bool)
        /// Of a startup or liveness probe: the container is not left to run.
        case fatal
    }

    /// Takes the result of a look.
    mutating func take(isSuccess: Bool) -> Outcome {
        inARow = last == isSuccess ? inARow + 1 : 1
        last = isSuccess
        // Of these two only one success is ever asked for.
        let needed = isSuccess ? (kind == .readiness ? probe.successThreshold : 1) : probe.failureThreshold
        guard inARow >= needed else { return .same }
        if !isSuccess, kind != .readiness {
            verdict = false
            return .fatal
        }
        guard verdict != isSuccess else { return .same }
        verdict = isSuccess
        return .became(isSuccess)
    }
}
