package import Resources

/// The cloud's side of one link. Pure: messages go in with the time, effects come out. It holds no content: what is to be sent is asked for
/// when it can be sent, so an object that changed ten times meanwhile is sent once.
///
///     greeting ──hello──► asking ──admit──► live ⇄ comparing (inventory) ──goodbye, gap, silence, violation──► ended
///
/// Nothing here outlives the link: another process of the cloud begins from the edge's digest and inventory.
package struct HubSession: Sendable {
    /// What is to be done outside.
    package enum Effect: Sendable, Equatable {
        /// A message for the link.
        case send([UInt8])
        /// An edge asks to be let in: `admit` or `refuse`.
        case hello(Hello)
        /// The session stands, and `wants` is asked for from now on.
        case live
        /// Something the node says; answered by `settle`, one for each, in any order.
        case report(Report)
        /// Something of a call.
        case stream(StreamFrame)
        /// The link is to be closed. Nothing follows.
        case end(Goodbye)
    }

    /// What a node needs of an object now.
    package enum Wanted: Sendable {
        case object(Stamp, [UInt8])
        /// Not there, or not this node's any more.
        case absent
    }

    private enum Phase { case greeting, asking, live, comparing, ended }

    private var phase = Phase.greeting
    private var order = FrameOrder()
    private let seed: UInt64
    private let heartbeat: Duration
    /// Of an edge that has greeted; computed once, for thousands of sessions are looked at each second.
    private let silence: Duration
    private var heardAt: Duration
    private var spokeAt: Duration
    private var comparedAt: Duration
    private var isCompared = false
    private var helloDigest = HoldingsDigest()
    /// What the edge holds as far as it was told over this link, by `ObjectRef.number`.
    private var held: [UInt64: Stamp] = [:]
    /// What an inventory has listed so far.
    private var listed: [UInt64: Stamp] = [:]
    /// Objects to look at, in their order; `queued` has the same, with whether it is sent even if it seems to be held.
    private var queue: [ObjectRef] = []
    private var queueHead = 0
    private var queued: [ObjectRef: Bool] = [:]
    private var flying: [(number: UInt32, bytes: Int)] = []
    private var flyingBytes = 0
    private var reportCount = 0
    private var reportBytes = 0

    /// A session over a link that has just been accepted.
    ///
    /// - Parameter seed: drawn by lot for each session or process.
    package init(seed: UInt64, now: Duration, heartbeat: Duration = HubLimits.heartbeat) {
        self.seed = seed
        self.heartbeat = heartbeat
        silence = heartbeat * 5 / 2
        heardAt = now
        spokeAt = now
        comparedAt = now
    }

    /// The session stands.
    package var isLive: Bool { phase == .live || phase == .comparing }
    /// When something was last heard.
    package var lastHeard: Duration { heardAt }
    /// Everything that was to be sent is acknowledged, and the edge was compared with it.
    package var isSettled: Bool { phase == .live && queued.isEmpty && flying.isEmpty && isCompared }
    /// Objects that wait to be sent.
    package var queuedCount: Int { queued.count }
    /// Reports that were received and not settled.
    package var unsettledCount: Int { reportCount }

    private mutating func say(_ frame: Frame, _ now: Duration, _ effects: inout [Effect]) {
        effects.append(.send(order.number(frame)))
        spokeAt = now
    }

    private mutating func end(_ goodbye: Goodbye, tells: Bool = true, _ effects: inout [Effect]) {
        guard phase != .ended else { return }
        if tells { effects.append(.send(order.number(.goodbye(goodbye)))) }
        phase = .ended
        held = [:]
        listed = [:]
        queue = []
        queued = [:]
        effects.append(.end(goodbye))
    }

    /// Ends the session from this side.
    package mutating func leave(_ goodbye: Goodbye) -> [Effect] {
        var effects: [Effect] = []
        end(goodbye, &effects)
        return effects
    }

    /// Asks the edge to show that it lives; its answer moves `lastHeard`.
    package mutating func probe(now: Duration) -> [Effect] {
        guard isLive else { return [] }
        var effects: [Effect] = []
        say(.digest(HoldingsDigest(held.values)), now, &effects)
        return effects
    }

    // MARK: Greeting

    /// Lets the edge in that said hello.
    ///
    /// - Parameter wants: everything the node needs.
    package mutating func admit(_ wants: [(ObjectRef, Stamp)], now: Duration, timeSeconds: Int64) -> [Effect] {
        guard phase == .asking else { return [] }
        var effects: [Effect] = []
        let isSame = HoldingsDigest(wants.lazy.map(\.1)) == helloDigest
        let welcome = Welcome(
            version: HubLimits.versions.upperBound, seed: seed, wantsInventory: !isSame,
            heartbeatSeconds: UInt16(clamping: heartbeat.components.seconds), timeSeconds: timeSeconds)
        say(.welcome(welcome), now, &effects)
        if isSame {
            for (ref, stamp) in wants { held[ref.number(seed: seed)] = stamp }
            isCompared = true
            comparedAt = now
            phase = .live
        } else {
            phase = .comparing
        }
        effects.append(.live)
        return effects
    }

    private mutating func greet(_ hello: Hello, _ effects: inout [Effect]) {
        guard hello.versions.overlaps(HubLimits.versions) else {
            return end(
                Goodbye(
                    .version,
                    "this cloud speaks versions \(HubLimits.versions) of the protocol, the edge \(hello.versions) (program \(hello.program)); update the older one",
                    retryAfterSeconds: 600), &effects)
        }
        helloDigest = hello.digest
        phase = .asking
        effects.append(.hello(hello))
    }

    // MARK: Receiving

    /// Takes a message.
    ///
    /// - Parameter wants: everything the node needs; asked for after an inventory.
    package mutating func receive(_ message: [UInt8], now: Duration, wants: () -> [(ObjectRef, Stamp)]) -> [Effect] {
        guard phase != .ended else { return [] }
        var effects: [Effect] = []
        do throws(FrameError) {
            let numbered = try NumberedFrame(message)
            heardAt = now
            switch order.judge(numbered) {
            case .seen: break
            case .missing: end(Goodbye(.gap, "a frame of the edge was lost: \(numbered.number) came after \(order.received)"), &effects)
            case .new: try take(numbered.frame, now, wants, &effects)
            }
        } catch {
            end(Goodbye(.violation, "what the edge sent is not understood: \(error)"), &effects)
        }
        return effects
    }

    private mutating func take(
        _ frame: Frame, _ now: Duration, _ wants: () -> [(ObjectRef, Stamp)], _ effects: inout [Effect]
    ) throws(FrameError) {
        switch (frame, phase) {
        case (.goodbye(let goodbye), _): end(goodbye, tells: false, &effects)
        case (.hello(let hello), .greeting): greet(hello, &effects)
        case (.heartbeat, .asking): break
        case (_, .greeting), (_, .asking), (.hello, _): throw FrameError("a frame at the wrong time: \(frame.name)")
        case (.heartbeat, _):
            // Answered only where nothing else has been said: both sides then know that the other lives.
            if now - spokeAt >= heartbeat / 2 { say(.heartbeat, now, &effects) }
        case (.inventory(let entries, let isLast), _): try list(entries, isLast, wants, &effects)
        case (.ack(let number), _): try acknowledge(number)
        case (.report(let report), _):
            reportCount += 1
            reportBytes += report.body.count
            guard reportCount <= HubLimits.reportsMax, reportCount == 1 || reportBytes <= HubLimits.reportBytesMax else {
                throw FrameError("\(reportCount) reports of \(reportBytes) bytes before any was answered")
            }
            effects.append(.report(report))
        case (.data(let stream, let part), _): effects.append(.stream(.data(stream, part)))
        case (.credit(let stream, let bytes), _): effects.append(.stream(.credit(stream, Int(bytes))))
        case (.close(let stream, let status), _): effects.append(.stream(.close(stream, status)))
        case (.welcome, _), (.change, _), (.gone, _), (.drop, _), (.results, _), (.digest, _), (.open, _):
            throw FrameError("a frame that only clouds send: \(frame.name)")
        }
    }

    private mutating func acknowledge(_ number: UInt32) throws(FrameError) {
        guard number <= order.sent else { throw FrameError("frame \(number) is acknowledged, \(order.sent) were sent") }
        let count = flying.prefix { $0.number <= number }.count
        flyingBytes -= flying.prefix(count).reduce(0) { $0 + $1.bytes }
        flying.removeFirst(count)
    }

    private mutating func list(
        _ entries: [HeldEntry], _ isLast: Bool, _ wants: () -> [(ObjectRef, Stamp)], _ effects: inout [Effect]
    ) throws(FrameError) {
        phase = .comparing
        for entry in entries {
            // Two that share a number are both sent again.
            listed[entry.number] = listed[entry.number] == nil ? entry.stamp : Stamp(body: 0, status: 0)
        }
        guard listed.count <= HubLimits.objectsMax else { throw FrameError("an inventory of more than \(HubLimits.objectsMax) objects") }
        guard isLast else { return }
        held = listed
        listed = [:]
        var unneeded = held
        var differing: [ObjectRef] = []
        for (ref, stamp) in wants() {
            let number = ref.number(seed: seed)
            unneeded[number] = nil
            if held[number] != stamp { differing.append(ref) }
        }
        for ref in differing.sorted() { mark(ref) }
        // What still waits in line was told before the inventory was made, or is looked at when its turn comes.
        for ref in queued.keys { unneeded[ref.number(seed: seed)] = nil }
        leftovers = unneeded.map { HeldEntry(number: $0.key, stamp: $0.value) }.sorted { $0.number < $1.number }
        for entry in leftovers { held[entry.number] = nil }
        isCompared = false
        phase = .live
    }

    /// What the edge holds and nobody knows by name, to be dropped.
    private var leftovers: [HeldEntry] = []

    // MARK: Sending

    /// An object that the node needs, needed or will need may have changed.
    ///
    /// - Parameter isForced: it is sent even if the edge seems to hold it.
    package mutating func mark(_ ref: ObjectRef, isForced: Bool = false) {
        guard phase != .ended else { return }
        if let known = queued.updateValue(isForced, forKey: ref) {
            queued[ref] = known || isForced
        } else {
            queue.append(ref)
        }
    }

    /// Sends what can be sent now.
    package mutating func pump(now: Duration, lookUp: (ObjectRef) -> Wanted) -> [Effect] {
        guard phase == .live else { return [] }
        var effects: [Effect] = []
        while !leftovers.isEmpty, hasRoom {
            let part = Array(leftovers.prefix(HubLimits.entriesMax))
            leftovers.removeFirst(part.count)
            fly(.drop(part), bytes: part.count * 24, now, &effects)
        }
        while queueHead < queue.count, hasRoom {
            let ref = queue[queueHead]
            queueHead += 1
            let isForced = queued.removeValue(forKey: ref) ?? false
            deliver(ref, isForced, lookUp(ref), now, &effects)
        }
        if queueHead == queue.count {
            queue = []
            queueHead = 0
        } else if queueHead > 256 {
            queue.removeFirst(queueHead)
            queueHead = 0
        }
        if queued.isEmpty, flying.isEmpty, leftovers.isEmpty, !isCompared || now - comparedAt >= HubLimits.comparison {
            isCompared = true
            comparedAt = now
            say(.digest(HoldingsDigest(held.values)), now, &effects)
        }
        return effects
    }

    private var hasRoom: Bool { flying.count < HubLimits.changesMax && (flying.isEmpty || flyingBytes < HubLimits.changeBytesMax) }

    private mutating func fly(_ frame: Frame, bytes: Int, _ now: Duration, _ effects: inout [Effect]) {
        say(frame, now, &effects)
        flying.append((order.sent, bytes))
        flyingBytes += bytes
    }

    private mutating func deliver(_ ref: ObjectRef, _ isForced: Bool, _ wanted: Wanted, _ now: Duration, _ effects: inout [Effect]) {
        let number = ref.number(seed: seed)
        switch wanted {
        case .object(let stamp, let bytes):
            guard isForced || held[number] != stamp else { return }
            held[number] = stamp
            fly(.change(ref, stamp, bytes), bytes: bytes.count + 64, now, &effects)
        case .absent:
            guard isForced || held[number] != nil else { return }
            held[number] = nil
            fly(.gone(ref), bytes: 64, now, &effects)
        }
    }

    /// Tells the edge what became of reports.
    ///
    /// - Parameter settled: with what stands for the object's status (`Stamp.status`) where there is an object now; for a report that expects
    ///   no status any number will do.
    package mutating func settle(_ settled: [(Report, ReportResult.Outcome, UInt64?)], now: Duration) -> [Effect] {
        guard isLive else { return [] }
        var effects: [Effect] = []
        var results: [ReportResult] = []
        for (report, outcome, status) in settled {
            reportCount -= 1
            reportBytes -= report.body.count
            var outcome = outcome
            if case .done = outcome {
                let number = report.ref.number(seed: seed)
                let isExpected = report.expected != 0 && status == report.expected && held[number] != nil && phase == .live
                if isExpected {
                    held[number]!.status = report.expected
                } else {
                    mark(report.ref, isForced: held[number] != nil && status != nil)
                }
                outcome = .done(isExpected: isExpected)
            } else if case .refused = outcome, held[report.ref.number(seed: seed)] != nil {
                mark(report.ref)
            }
            results.append(ReportResult(id: report.id, outcome))
        }
        while !results.isEmpty {
            say(.results(Array(results.prefix(HubLimits.resultsMax))), now, &effects)
            results.removeFirst(min(results.count, HubLimits.resultsMax))
        }
        return effects
    }

    /// Sends something of a call.
    package mutating func send(_ frame: StreamFrame, now: Duration) -> [Effect] {
        guard isLive else { return [] }
        var effects: [Effect] = []
        say(frame.frame, now, &effects)
        return effects
    }

    /// Time has passed.
    package mutating func tick(now: Duration) -> [Effect] {
        guard phase != .ended else { return [] }
        var effects: [Effect] = []
        let limit = phase == .greeting ? HubLimits.greeting : silence
        if now - heardAt >= limit { end(Goodbye(.silence, "nothing was heard from the edge for \(now - heardAt)"), &effects) }
        return effects
    }
}
