package import HubProtocol
package import Resources

/// A node's side of the hub: keeps the copy, talks to the cloud whenever there is a link, and is the API of this node's programs all the
/// time.
///
/// Whatever is acknowledged, to the cloud or to a program, is on disk before. Thin: what it does is decided in `EdgeReplica` and
/// `EdgeSession`.
package actor EdgeHub {
    /// How it stands with the cloud.
    package struct Status: Sendable, Equatable {
        /// A session stands.
        package var isConnected = false
        /// Both sides have compared what they hold, and it was the same.
        package var isSynced = false
        /// Objects held.
        package var objectCount = 0
        /// Reports that the cloud has not answered.
        package var unansweredCount = 0
        /// Reports dropped for want of room since the start.
        package var droppedCount = 0
        /// Why there is no link; empty while there is one.
        package var failure = ""
        /// The cloud's clock when the session began, seconds since 1970; 0 before the first.
        package var cloudTimeSeconds: Int64 = 0
    }

    /// Messages that are taken before they are written together.
    private static let batchMax = 256

    private let store: EdgeStore
    private let program: String
    private let life: UInt64
    let environment: HubEnvironment
    private let limits: [Report.Topic: Outbox.Limit]
    private var replica: EdgeReplica
    var view: LocalView
    private var box = LinkBox()
    private var session: EdgeSession?
    private var link: (any Link)?
    private var streams: [UInt32: LinkStream] = [:]
    private var backoff = Backoff()
    private var known = Status()
    /// Leases are renewed by the cloud while the link stands: here they are only shown.
    var leases: [ObjectKey: JSON] = [:]
    /// Rung at every change of what is seen.
    let changed = Bells()

    /// Reads the store.
    ///
    /// - Parameter program: version of this program, told to the cloud.
    /// - Throws: a `SQLiteError`.
    package init(
        store: sending EdgeStore, program: String, environment: HubEnvironment,
        limits: [Report.Topic: Outbox.Limit] = Outbox.defaultLimits
    ) throws {
        self.store = store
        self.program = program
        self.environment = environment
        life = max(1, environment.random())
        self.limits = limits
        let replica = try store.load(limits: limits)
        var view = LocalView(revision: try store.beginRevisions())
        for ref in replica.refs.sorted() { _ = view.set(ref, replica.view(ref)) }
        self.replica = replica
        self.view = view
    }

    /// How it stands with the cloud now.
    package var status: Status {
        var status = known
        status.objectCount = replica.heldCount
        status.unansweredCount = replica.outbox.unansweredCount
        status.droppedCount = Report.Topic.allCases.reduce(0) { $0 + replica.outbox.droppedCount($1) }
        return status
    }

    // MARK: Writing

    /// Writes what the replica was changed by, shows it, and has it sent.
    ///
    /// - Throws: 507 or 500 when it cannot be written; everything is then as it was.
    func commit() throws(APIStatus) {
        do {
            try store.apply(replica.takeOperations())
        } catch {
            reload()
            throw APIStatus(
                code: 507, reason: "InsufficientStorage", message: "the node's copy cannot be written: \(error); make room on its disk")
        }
        show(replica.takeTouched())
        for (report, code, message) in replica.takeRefusals() where code != 404 && code != 409 {
            environment.report("the cloud refuses to \(report.verb) \(report.ref) (\(code)): \(message)")
        }
    }

    private func show(_ refs: Set<ObjectRef>) {
        var isChanged = false
        for ref in refs.sorted() where ref.kind != .event { if view.set(ref, replica.view(ref)) { isChanged = true } }
        if isChanged { changed.ring() }
    }

    /// Back to what is on disk; the link is ended, because the session may have told of what is not.
    private func reload() {
        if let session, session.isLive { end(Goodbye(.store, "the node's disk cannot be written", retryAfterSeconds: 10)) }
        do {
            replica = try store.load(limits: limits)
            let gone = view.kinds.flatMap { kind in view.list(kind, namespace: "").map { ObjectRef(kind, ObjectKey($0)) } }
            show(replica.refs.union(gone))
        } catch {
            environment.report("the node's copy cannot be read: \(error)")
        }
    }

    /// Changes the replica, writes that, and has it sent.
    func write(_ change: (inout EdgeReplica, Int64) throws(APIStatus) -> Void) throws(APIStatus) {
        do throws(APIStatus) {
            try change(&replica, environment.now().seconds)
        } catch {
            // What was dropped to make room is gone all the same.
            try commit()
            throw error
        }
        try commit()
        box.ring()
    }

    /// The object as the cloud's own state and this node's writes make it, without a revision of this node.
    func seen(_ ref: ObjectRef) -> JSON? { replica.view(ref) }

    /// The name of a new event that names none: the same for every sending of its report, and of no other.
    func eventName(_ prefix: String) -> String {
        "\(prefix.prefix(180)).\(String(store.number, radix: 16)).\(String(replica.upcomingID, radix: 16))"
    }

    // MARK: Talking

    /// Keeps a session with the cloud as well as it can, until its task is cancelled.
    ///
    /// - Parameter calls: answers what the cloud asks of the node's Pods; without it calls are refused.
    package func run(_ dialer: any LinkDialer, calls: (any NodeCallHandler)? = nil) async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.keepTime() }
            while !Task.isCancelled {
                let box = LinkBox()
                self.box = box
                var wait: Duration = .zero
                do throws(LinkError) {
                    link = try await dialer.dial(box)
                    let goodbye = await talk(box, calls, &group)
                    known.failure = goodbye.message
                    let wasShort = goodbye.reason == .gap && backoff.failures == 0
                    wait =
                        wasShort
                        ? .zero
                        : backoff.failed(
                            random: environment.random(), asked: .seconds(Int64(goodbye.retryAfterSeconds)))
                } catch {
                    if known.failure != error.description { environment.report("no link to the cloud: \(error)") }
                    known.failure = error.description
                    wait = backoff.failed(
                        random: environment.random(), asked: .seconds(Int64(error.retryAfterSeconds)), isReached: error.isReached)
                }
                if wait > .zero, !Task.isCancelled { await environment.sleep(wait) }
            }
            group.cancelAll()
        }
    }

    /// One session, from hello to its end.
    private func talk(_ box: LinkBox, _ calls: (any NodeCallHandler)?, _ group: inout DiscardingTaskGroup) async -> Goodbye {
        var new = EdgeSession(now: environment.elapsed())
        let effects = new.hello(store: store.number, life: life, program: program, replica, now: environment.elapsed())
        session = new
        var goodbye: Goodbye?
        perform(effects, calls, &group, &goodbye)
        while goodbye == nil {
            if Task.isCancelled {
                goodbye = Goodbye(.stopping, "the edge stops")
                if let effects = session?.leave(goodbye!) { for case .send(let message) in effects { link?.send(message) } }
                break
            }
            turn(box, calls, &group, &goodbye)
            if goodbye == nil { await box.wait() }
        }
        hangUp()
        return goodbye!
    }

    /// Takes what has come, writes it, and says what is to be said.
    private func turn(_ box: LinkBox, _ calls: (any NodeCallHandler)?, _ group: inout DiscardingTaskGroup, _ goodbye: inout Goodbye?) {
        let content = box.take()
        var rest = content.messages[...]
        repeat {
            for message in rest.prefix(Self.batchMax) {
                guard let effects = session?.receive(message, &replica, now: environment.elapsed()) else { break }
                perform(effects, calls, &group, &goodbye)
            }
            rest = rest.dropFirst(Self.batchMax)
            do throws(APIStatus) { try commit() } catch {
                environment.report(error.message)
                goodbye = Goodbye(.store, error.message, retryAfterSeconds: 10)
                return
            }
            let now = environment.elapsed()
            if let effects = session?.stored(&replica, now: now) { perform(effects, calls, &group, &goodbye) }
        } while !rest.isEmpty && goodbye == nil
        for frame in content.frames {
            if let effects = session?.send(frame, now: environment.elapsed()) { perform(effects, calls, &group, &goodbye) }
        }
        let now = environment.elapsed()
        let effects = session?.pump(&replica, now: now, body: { [store] in try? store.body($0) }) ?? []
        perform(effects, calls, &group, &goodbye)
        if let effects = session?.tick(now: environment.elapsed()) { perform(effects, calls, &group, &goodbye) }
        if content.isClosed, goodbye == nil { goodbye = Goodbye(.silence, "the link to the cloud broke") }
        // A session that was ended from within, as by a full disk.
        if session == nil, goodbye == nil { goodbye = Goodbye(.store, "the session was ended", retryAfterSeconds: 10) }
    }

    /// What is due is looked at once a second. A timer for each wait would stay with the system until it is due, cancelled or not.
    private static let tick: Duration = .seconds(1)
    /// Watches look every so many ticks whether their time is over.
    private static let ticksOfWatches = 5

    private func keepTime() async {
        var count = 0
        while !Task.isCancelled {
            await environment.sleep(Self.tick)
            count += 1
            box.ring()
            if count % Self.ticksOfWatches == 0 { changed.ring() }
        }
    }

    private func perform(
        _ effects: [EdgeSession.Effect], _ calls: (any NodeCallHandler)?, _ group: inout DiscardingTaskGroup, _ goodbye: inout Goodbye?
    ) {
        for effect in effects {
            switch effect {
            case .send(let message):
                if link?.send(message) == false { goodbye = goodbye ?? Goodbye(.silence, "the link to the cloud broke") }
            case .welcomed(let welcome):
                backoff.succeeded()
                known.isConnected = true
                known.failure = ""
                known.cloudTimeSeconds = welcome.timeSeconds
            case .compared(let isSame): known.isSynced = isSame
            case .end(let reason):
                goodbye = reason
                if ![.stopping, .gap, .busy].contains(reason.reason) { environment.report("the session with the cloud ends: \(reason)") }
            case .stream(.open(let number, let call)): begin(number, call, calls, &group)
            case .stream(let frame): take(frame)
            }
        }
    }

    private func end(_ goodbye: Goodbye) {
        for case .send(let message) in session?.leave(goodbye) ?? [] { link?.send(message) }
        session = nil
        box.ring()
    }

    private func hangUp() {
        link?.close()
        link = nil
        session = nil
        box.closed()
        replica.reopen()
        known.isConnected = false
        known.isSynced = false
        for stream in streams.values { stream.broke() }
        streams = [:]
    }

    // MARK: Calls

    private func begin(_ number: UInt32, _ body: [UInt8], _ calls: (any NodeCallHandler)?, _ group: inout DiscardingTaskGroup) {
        let box = box
        let stream = LinkStream(number) { box.put($0) }
        guard streams[number] == nil, streams.count < HubLimits.streamsMax else {
            return stream.close(APIStatus(code: 429, reason: "TooManyRequests", message: "the node has \(streams.count) calls at a time"))
        }
        guard let call = (try? JSONParser.parse(body)).flatMap({ try? NodeCall($0) }), let calls else {
            return stream.close(APIStatus(code: 501, reason: "NotImplemented", message: "this node does not answer such calls"))
        }
        streams[number] = stream
        group.addTask {
            await Self.answer(call, stream, calls)
            await self.forget(number, stream)
        }
    }

    /// Runs the handler until it returns, or the other end is gone.
    private static func answer(_ call: NodeCall, _ stream: LinkStream, _ calls: any NodeCallHandler) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await calls.serve(call, over: stream) }
            group.addTask { await stream.ended() }
            // The first to end ends the other.
            await group.next()
            group.cancelAll()
        }
        stream.close(nil)
    }

    private func forget(_ number: UInt32, _ stream: LinkStream) { if streams[number] === stream { streams[number] = nil } }

    private func take(_ frame: StreamFrame) {
        let number: UInt32 =
            switch frame {
            case .open(let number, _), .data(let number, _), .credit(let number, _), .close(let number, _): number
            }
        guard let stream = streams[number] else { return }
        if !stream.took(frame) { stream.close(APIStatus(code: 400, reason: "BadRequest", message: "more was sent than the stream takes")) }
    }
}
