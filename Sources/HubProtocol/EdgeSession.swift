package import Resources

/// An edge's side of one link. Pure: messages go in with the time, effects come out; the replica is changed in between.
///
///     greeting ──welcome──► live ──goodbye, gap, silence, violation──► ended
///         └────── goodbye, silence ─────────────────────────────────────▲
///
/// After whatever was received the replica's operations are written, then `stored` is called: only then is anything acknowledged.
package struct EdgeSession: Sendable {
    /// What is to be done outside.
    package enum Effect: Sendable, Equatable {
        /// A message for the link.
        case send([UInt8])
        /// The session stands.
        case welcomed(Welcome)
        /// Both sides hold the same (true), or what the cloud has differs and is on its way.
        case compared(Bool)
        /// Something of a call.
        case stream(StreamFrame)
        /// The link is to be closed. Nothing follows.
        case end(Goodbye)
    }

    private enum Phase { case greeting, live, ended }

    private var phase = Phase.greeting
    private var order = FrameOrder()
    private let beganAt: Duration
    private var heartbeat = HubLimits.heartbeat
    private var heardAt: Duration
    private var spokeAt: Duration
    private var seed: UInt64 = 0
    /// Changes that came since the last acknowledgement.
    private var hasUnacknowledged = false

    /// A session over a link that has just been made; `hello` begins it.
    package init(now: Duration) {
        beganAt = now
        heardAt = now
        spokeAt = now
    }

    /// The session stands.
    package var isLive: Bool { phase == .live }

    /// The first message.
    ///
    /// - Parameter life: as `Hello.life`.
    package mutating func hello(store: UInt64, life: UInt64 = 0, program: String, _ replica: EdgeReplica, now: Duration) -> [Effect] {
        var effects: [Effect] = []
        say(.hello(Hello(store: store, life: life, digest: replica.digest, program: program)), now, &effects)
        return effects
    }

    private mutating func say(_ frame: Frame, _ now: Duration, _ effects: inout [Effect]) {
        effects.append(.send(order.number(frame)))
        spokeAt = now
    }

    private mutating func end(_ goodbye: Goodbye, tells: Bool = true, _ effects: inout [Effect]) {
        guard phase != .ended else { return }
        if tells { effects.append(.send(order.number(.goodbye(goodbye)))) }
        phase = .ended
        effects.append(.end(goodbye))
    }

    /// Ends the session from this side, as before the program stops.
    package mutating func leave(_ goodbye: Goodbye) -> [Effect] {
        var effects: [Effect] = []
        end(goodbye, &effects)
        return effects
    }

    /// Takes a message.
    package mutating func receive(_ message: [UInt8], _ replica: inout EdgeReplica, now: Duration) -> [Effect] {
        guard phase != .ended else { return [] }
        var effects: [Effect] = []
        do throws(FrameError) {
            let numbered = try NumberedFrame(message)
            heardAt = now
            switch order.judge(numbered) {
            case .seen: break
            case .missing: end(Goodbye(.gap, "a frame of the cloud was lost: \(numbered.number) came after \(order.received)"), &effects)
            case .new: try take(numbered.frame, &replica, now, &effects)
            }
        } catch {
            end(Goodbye(.violation, "what the cloud sent is not understood: \(error)"), &effects)
        }
        return effects
    }

    private mutating func take(_ frame: Frame, _ replica: inout EdgeReplica, _ now: Duration, _ effects: inout [Effect]) throws(FrameError)
    {
        switch (frame, phase) {
        case (.goodbye(let goodbye), _): end(goodbye, tells: false, &effects)
        case (.welcome(let welcome), .greeting): welcomed(welcome, &replica, now, &effects)
        case (_, .greeting), (.welcome, _): throw FrameError("a frame at the wrong time: \(frame.name)")
        case (.change(let ref, let stamp, let bytes), _):
            try replica.apply(ref, stamp, bytes)
            hasUnacknowledged = true
        case (.gone(let ref), _):
            replica.remove(ref)
            hasUnacknowledged = true
        case (.drop(let entries), _):
            replica.drop(entries, seed: seed)
            hasUnacknowledged = true
        case (.results(let results), _): for result in results { replica.settle(result, now: now) }
        case (.digest(let digest), _):
            if digest == replica.digest { replica.agreed() } else { replica.needsInventory = true }
            effects.append(.compared(digest == replica.digest))
            // Answered in any case: the cloud also asks so whether this edge lives.
            hasUnacknowledged = true
        case (.heartbeat, _): break
        case (.open(let stream, let call), _): effects.append(.stream(.open(stream, call)))
        case (.data(let stream, let part), _): effects.append(.stream(.data(stream, part)))
        case (.credit(let stream, let bytes), _): effects.append(.stream(.credit(stream, Int(bytes))))
        case (.close(let stream, let status), _): effects.append(.stream(.close(stream, status)))
        case (.hello, _), (.inventory, _), (.ack, _), (.report, _): throw FrameError("a frame that only edges send: \(frame.name)")
        }
    }

    private mutating func welcomed(_ welcome: Welcome, _ replica: inout EdgeReplica, _ now: Duration, _ effects: inout [Effect]) {
        guard HubLimits.versions.contains(welcome.version) else {
            return end(
                Goodbye(.version, "the cloud chose version \(welcome.version), this edge speaks \(HubLimits.versions)"), &effects)
        }
        phase = .live
        seed = welcome.seed
        heartbeat = .seconds(Int64(welcome.heartbeatSeconds))
        effects.append(.welcomed(welcome))
        replica.needsInventory = welcome.wantsInventory
        if !welcome.wantsInventory { replica.agreed() }
        effects.append(.compared(!welcome.wantsInventory))
    }

    /// Everything received so far, and what the replica was changed by, is on disk.
    package mutating func stored(_ replica: inout EdgeReplica, now: Duration) -> [Effect] {
        guard phase == .live else { return [] }
        var effects: [Effect] = []
        if hasUnacknowledged {
            hasUnacknowledged = false
            say(.ack(through: order.received), now, &effects)
        }
        if replica.needsInventory {
            replica.needsInventory = false
            let entries = replica.inventory(seed: seed)
            var rest = entries[...]
            repeat {
                let part = rest.prefix(HubLimits.entriesMax)
                rest = rest.dropFirst(part.count)
                say(.inventory(Array(part), isLast: rest.isEmpty), now, &effects)
            } while !rest.isEmpty
        }
        return effects
    }

    /// Sends what the outbox has, as far as the cloud takes it. To be called when everything is stored.
    ///
    /// - Parameter body: of a report that is not kept in memory.
    package mutating func pump(_ replica: inout EdgeReplica, now: Duration, body: (UInt64) -> [UInt8]?) -> [Effect] {
        guard phase == .live else { return [] }
        var effects: [Effect] = []
        while let report = replica.next(now: now, body: body) { say(.report(report), now, &effects) }
        return effects
    }

    /// Sends something of a call; nothing while no session stands.
    package mutating func send(_ frame: StreamFrame, now: Duration) -> [Effect] {
        guard phase == .live else { return [] }
        var effects: [Effect] = []
        say(frame.frame, now, &effects)
        return effects
    }

    /// Time has passed.
    package mutating func tick(now: Duration) -> [Effect] {
        guard phase != .ended else { return [] }
        var effects: [Effect] = []
        if phase == .greeting {
            if now - beganAt >= HubLimits.greeting { end(Goodbye(.silence, "no welcome within \(HubLimits.greeting)"), &effects) }
        } else if now - heardAt >= heartbeat * 5 / 2 {
            end(Goodbye(.silence, "nothing was heard from the cloud for \(now - heardAt)"), &effects)
        } else if now - spokeAt >= heartbeat {
            say(.heartbeat, now, &effects)
        }
        return effects
    }
}

/// What of a link belongs to calls.
package enum StreamFrame: Sendable, Equatable {
    case open(UInt32, [UInt8])
    case data(UInt32, CallFrame)
    case credit(UInt32, Int)
    case close(UInt32, [UInt8])

    var frame: Frame {
        switch self {
        case .open(let stream, let call): .open(stream: stream, call: call)
        case .data(let stream, let part): .data(stream: stream, part)
        case .credit(let stream, let bytes): .credit(stream: stream, bytes: UInt32(clamping: bytes))
        case .close(let stream, let status): .close(stream: stream, status: status)
        }
    }
}

extension Frame {
    /// For messages.
    var name: String {
        switch self {
        case .hello: "hello"
        case .welcome: "welcome"
        case .inventory: "inventory"
        case .change(let ref, _, _): "change of \(ref)"
        case .gone(let ref): "gone \(ref)"
        case .drop: "drop"
        case .ack: "ack"
        case .report(let report): "report on \(report.ref)"
        case .results: "results"
        case .heartbeat: "heartbeat"
        case .digest: "digest"
        case .open: "open"
        case .data: "data"
        case .credit: "credit"
        case .close: "close"
        case .goodbye: "goodbye"
        }
    }
}
