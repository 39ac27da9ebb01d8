import HubProtocol
import Resources
import Synchronization

/// One link of one node: its pure session behind a lock, and what waits to be done for it.
final class NodeSession: LinkPeer {
    private struct State {
        var pure: HubSession
        var reports: [Report] = []
        var isLeaseDue = false
        /// In line for a worker, or with one.
        var isInWork = false
        var hasEnded = false
        /// Messages in the order of their numbers that are not handed to the link yet, and whether somebody is at it.
        var outgoing: [[UInt8]] = []
        var isFlushing = false
        /// The link is closed behind what is outgoing.
        var isEnding = false
        var streams: [UInt32: LinkStream] = [:]
        var lastStream: UInt32 = 0
        /// As the edge's hello says it.
        var life: UInt64 = 0
    }

    /// What is to be done once the lock is free.
    private struct After {
        var hello: Hello?
        var isNewWork = false
        var frames: [(LinkStream, StreamFrame)] = []
    }

    let node: String
    /// Fingerprint of what the agent has shown; nil within this process.
    let certificate: String?
    /// Told apart from other sessions of the node.
    let number: UInt64
    private let link: any Link
    private unowned let hub: CloudHub
    private let state: Mutex<State>

    init(
        node: String, certificate: String?, number: UInt64, link: any Link, hub: CloudHub, seed: UInt64, now: Duration, heartbeat: Duration
    ) {
        self.node = node
        self.certificate = certificate
        self.number = number
        self.link = link
        self.hub = hub
        state = Mutex(State(pure: HubSession(seed: seed, now: now, heartbeat: heartbeat)))
    }

    var isLive: Bool { state.withLock { $0.pure.isLive } }
    var isSettled: Bool { state.withLock { $0.pure.isSettled } }
    var life: UInt64 { state.withLock { $0.life } }
    var lastHeard: Duration { state.withLock { $0.pure.lastHeard } }

    // MARK: Link

    func received(_ message: [UInt8]) {
        // Not before all is known that nodes need: what is missing would be taken from them.
        change { session, now in
            var effects = session.receive(message, now: now) { hub.wants(node) }
            effects += pumped(&session, now)
            return effects
        }
    }

    func closed() {
        finish()
    }

    private func pumped(_ session: inout HubSession, _ now: Duration) -> [HubSession.Effect] {
        session.pump(now: now) { hub.lookUp(node, $0) }
    }

    /// Changes the session and does what it says. The link is never touched under the lock: a message that cannot be sent may close the
    /// link, and that comes back here before `send` returns.
    private func change(_ body: (inout HubSession, Duration) -> [HubSession.Effect]) {
        let now = hub.environment.elapsed()
        let after = state.withLock { state -> After in
            var after = After()
            guard !state.hasEnded else { return after }
            for effect in body(&state.pure, now) { perform(effect, &state, &after) }
            return after
        }
        for (stream, frame) in after.frames where !stream.took(frame) {
            stream.close(APIStatus(code: 400, reason: "BadRequest", message: "node \(node) sent more than the stream takes"))
        }
        if let hello = after.hello { hub.greet(self, hello) }
        if after.isNewWork { hub.work.put(self) }
        flush()
    }

    /// Hands the link what is outgoing, one caller at a time, so that the order stays.
    private func flush() {
        let isMine = state.withLock { state -> Bool in
            guard !state.isFlushing, !state.outgoing.isEmpty || state.isEnding else { return false }
            state.isFlushing = true
            return true
        }
        guard isMine else { return }
        var isBroken = false
        while let batch = nextBatch() { for message in batch where !isBroken { isBroken = !link.send(message) } }
        if isBroken || state.withLock({ $0.isEnding }) { finish() }
    }

    private func nextBatch() -> [[UInt8]]? {
        state.withLock { state in
            guard !state.outgoing.isEmpty else {
                state.isFlushing = false
                return nil
            }
            defer { state.outgoing = [] }
            return state.outgoing
        }
    }

    private func perform(_ effect: HubSession.Effect, _ state: inout State, _ after: inout After) {
        switch effect {
        case .send(let message): state.outgoing.append(message)
        case .hello(let hello):
            state.life = hello.life
            after.hello = hello
        case .live:
            state.isLeaseDue = true
            queue(&state, &after)
        case .report(let report):
            state.reports.append(report)
            queue(&state, &after)
        case .end(let goodbye):
            state.isEnding = true
            hub.ended(self, goodbye)
        case .stream(let frame):
            let number = frame.number
            guard let stream = state.streams[number] else { return }
            if case .close = frame { state.streams[number] = nil }
            after.frames.append((stream, frame))
        }
    }

    private func queue(_ state: inout State, _ after: inout After) {
        if state.isInWork { return }
        state.isInWork = true
        after.isNewWork = true
    }

    private func finish() {
        let streams = state.withLock { state -> [LinkStream]? in
            if state.hasEnded { return nil }
            state.hasEnded = true
            defer { state.streams = [:] }
            return Array(state.streams.values)
        }
        guard let streams else { return }
        link.close()
        for stream in streams { stream.broke() }
        hub.gone(self)
    }

    // MARK: Hub

    func admit(_ wants: () -> [(ObjectRef, Stamp)], timeSeconds: Int64) {
        change { session, now in
            var effects = session.admit(wants(), now: now, timeSeconds: timeSeconds)
            effects += pumped(&session, now)
            return effects
        }
    }

    func leave(_ goodbye: Goodbye) { change { session, _ in session.leave(goodbye) } }

    func probe() { change { session, now in session.probe(now: now) } }

    func mark(_ refs: [ObjectRef]) {
        change { session, now in
            for ref in refs { session.mark(ref) }
            return pumped(&session, now)
        }
    }

    func tick() {
        change { session, now in
            let effects = session.tick(now: now)
            return effects.isEmpty ? pumped(&session, now) : effects
        }
    }

    /// A worker is to renew the node's Lease.
    func markLease() {
        let isNewWork = state.withLock { state -> Bool in
            guard !state.hasEnded, state.pure.isLive else { return false }
            state.isLeaseDue = true
            defer { state.isInWork = true }
            return !state.isInWork
        }
        if isNewWork { hub.work.put(self) }
    }

    // MARK: Work

    /// What a worker is to do; nil when nothing is left, and the session is out of line.
    func takeWork() -> (reports: [Report], isLeaseDue: Bool)? {
        state.withLock { state in
            guard !state.hasEnded, !state.reports.isEmpty || state.isLeaseDue else {
                state.isInWork = false
                return nil
            }
            defer {
                state.reports = []
                state.isLeaseDue = false
            }
            return (state.reports, state.isLeaseDue)
        }
    }

    /// No worker does anything for this session any more.
    var isIdle: Bool { state.withLock { !$0.isInWork } }

    func settle(_ results: [(Report, ReportResult.Outcome, UInt64?)]) {
        change { session, now in
            var effects = session.settle(results, now: now)
            effects += pumped(&session, now)
            return effects
        }
    }

    // MARK: Calls

    func open(_ call: NodeCall) throws(APIStatus) -> LinkStream {
        let opened = state.withLock { state -> Result<LinkStream, APIStatus> in
            guard !state.hasEnded, state.pure.isLive else { return .failure(CloudHub.notConnected(node)) }
            guard state.streams.count < HubLimits.streamsMax else {
                return .failure(
                    APIStatus(
                        code: 429, reason: "TooManyRequests", message: "node \"\(node)\" answers \(HubLimits.streamsMax) calls already"))
            }
            state.lastStream += 1
            let stream = LinkStream(state.lastStream) { [weak self] in self?.send($0) ?? false }
            state.streams[state.lastStream] = stream
            return .success(stream)
        }
        let stream = try opened.get()
        guard send(.open(stream.number, call.json.bytes())) else { throw CloudHub.notConnected(node) }
        return stream
    }

    private func send(_ frame: StreamFrame) -> Bool {
        var isSent = false
        change { session, now in
            let effects = session.send(frame, now: now)
            isSent = !effects.isEmpty
            return effects
        }
        if case .close(let number, _) = frame { state.withLock { $0.streams[number] = nil } }
        return isSent
    }
}

extension StreamFrame {
    /// The stream's.
    var number: UInt32 {
        switch self {
        case .open(let number, _), .data(let number, _), .credit(let number, _), .close(let number, _): number
        }
    }
}
