package import HubProtocol
package import Resources
import Synchronization

/// The cloud's side of the hub: a session for each connected node, all filled from one watch a kind.
///
/// It keeps nothing that another process could not rebuild: what nodes need is in the API, what they hold they say. Identity comes with the
/// link, from whoever has checked the certificate; what a node reports is written by a client of the node's own user.
package final class CloudHub: Sendable {
    /// How many and how often.
    package struct Limits: Sendable {
        /// Sessions; beyond, edges are sent away for a while.
        package var sessionsMax = 20_000
        /// New sessions a second in the long run.
        package var greetingsPerSecond = 500.0
        /// New sessions at once after a quiet time.
        package var greetingsBurst = 1000.0
        /// Sessions whose reports are written at the same time: writes of many share a commit.
        package var workers = 64
        /// Leases that are renewed at once: more would hold up whoever writes meanwhile.
        package var leasesAtOnce = 64
        /// How often a connected node's Lease is renewed.
        package var leaseInterval: Duration = .seconds(10)
        /// How long an older session of the same node may take to show that it lives.
        package var challenge: Duration = .seconds(3)
        /// How often a silent link carries a heartbeat.
        package var heartbeat = HubLimits.heartbeat
        /// How often sessions are looked at for what is due.
        package var tick: Duration = .seconds(1)

        /// Every bound at the value that stands here.
        package init() {}
    }

    private struct Challenge {
        let session: NodeSession
        let probedAt: Duration
    }

    private struct Table {
        var sessions: [String: NodeSession] = [:]
        /// New sessions that wait until the older one of their node has shown whether it lives.
        var challenges: [String: Challenge] = [:]
        /// New sessions that wait until everything is known, or until the last reports of the session before are written.
        var waiting: [NodeSession] = []
        /// Sessions that have ended, whose last reports are being written.
        var leaving: [String: [NodeSession]] = [:]
        var gate: AdmissionGate
        var lastNumber: UInt64 = 0
        var isStopping = false
    }

    private let client: any ObjectClient
    private let nodeClient: @Sendable (String) -> any ObjectClient
    private let renewal: LeaseRenewal?
    let environment: HubEnvironment
    private let limits: Limits
    private let seed: UInt64
    private let catalog = Mutex(HubCatalog())
    private let table: Mutex<Table>
    let work = WorkLine()

    /// A shorter way to renew the Leases of nodes than a patch each: returns the nodes for which there is none.
    package typealias LeaseRenewal = @Sendable (_ nodes: [String]) async -> [String]

    /// - Parameters:
    ///   - client: reads what nodes need, and tells of what goes wrong.
    ///   - nodeClient: writes as the agent of a node, with no more rights than that has.
    ///   - renewal: for nodes that have a session here; nil to patch each Lease as its node.
    package init(
        client: any ObjectClient, nodeClient: @escaping @Sendable (String) -> any ObjectClient, renewal: LeaseRenewal? = nil,
        environment: HubEnvironment, limits: Limits = Limits()
    ) {
        self.client = client
        self.nodeClient = nodeClient
        self.renewal = renewal
        self.environment = environment
        self.limits = limits
        seed = environment.random()
        table = Mutex(Table(gate: AdmissionGate(perSecond: limits.greetingsPerSecond, burst: limits.greetingsBurst)))
    }

    /// Names of the nodes with a session that stands, in order.
    package var connectedNodes: [String] { table.withLock { $0.sessions.values.filter(\.isLive).map(\.node) }.sorted() }
    /// Sessions whose node holds what it needs, as far as is known here.
    package var settledCount: Int { table.withLock { Array($0.sessions.values) }.count { $0.isSettled } }
    /// Objects that nodes may need.
    package var objectCount: Int { catalog.withLock { $0.count } }

    /// Serves until the task is cancelled; says goodbye to every node then.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            // Before requests: those who are being answered would else keep what is committed from the nodes.
            for kind in NodeNeeds.kinds { group.addTask(priority: .high) { await self.mirror(kind) } }
            for _ in 0..<limits.workers { group.addTask { await self.workOff() } }
            group.addTask { await self.keepTime() }
            group.addTask { await self.keepLeases() }
            await group.waitForAll()
        }
        let sessions = table.withLock { table in
            table.isStopping = true
            return Array(table.sessions.values) + table.challenges.values.map(\.session) + table.waiting
        }
        for session in sessions { session.leave(Goodbye(.stopping, "the cloud stops")) }
    }

    // MARK: Links

    /// Takes a link whose other end has proved to be a node's agent. What comes over it is to be handed to the result.
    ///
    /// - Parameter certificate: fingerprint of what the agent has shown; the session ends when the Node's record accepts it no more. Nil for a
    ///   link within this process.
    package func accept(node: String, certificate: String? = nil, _ link: any Link) -> any LinkPeer {
        let number = table.withLock { table in
            table.lastNumber += 1
            return table.lastNumber
        }
        return NodeSession(
            node: node, certificate: certificate, number: number, link: link, hub: self, seed: seed, now: environment.elapsed(),
            heartbeat: limits.heartbeat)
    }

    /// An edge has said hello: let it in, send it away, or have it wait.
    func greet(_ session: NodeSession, _ hello: Hello) {
        enum Decision { case admit, wait, leave(Goodbye), challenge(NodeSession), replace(NodeSession) }
        let now = environment.elapsed()
        let isComplete = catalog.withLock { $0.isComplete(NodeNeeds.kinds) }
        let decision = table.withLock { table -> Decision in
            if table.isStopping { return .leave(Goodbye(.stopping, "the cloud stops")) }
            if table.sessions[session.node] == nil, table.sessions.count >= limits.sessionsMax {
                return .leave(Goodbye(.busy, "this cloud has \(limits.sessionsMax) nodes connected", retryAfterSeconds: 60))
            }
            if let seconds = table.gate.refuses(now: now) {
                return .leave(Goodbye(.busy, "too many nodes come back at once", retryAfterSeconds: seconds))
            }
            if let old = table.sessions[session.node] {
                if table.challenges[session.node] != nil {
                    return .leave(Goodbye(.busy, "another link of node \"\(session.node)\" is being judged", retryAfterSeconds: 5))
                }
                table.challenges[session.node] = Challenge(session: session, probedAt: now)
                // The same program, which has given up its link.
                return hello.life != 0 && old.life == hello.life ? .replace(old) : .challenge(old)
            }
            guard isComplete, table.leaving[session.node] == nil else {
                table.waiting.append(session)
                return .wait
            }
            table.sessions[session.node] = session
            return .admit
        }
        switch decision {
        case .admit: admit(session)
        case .wait: break
        case .leave(let goodbye): session.leave(goodbye)
        case .challenge(let old): old.probe()
        case .replace(let old): old.leave(Goodbye(.silence, "this node's agent has come by another link"))
        }
    }

    /// Of a session that stands in the table: a certificate that was replaced before it stood there is found here, one that is replaced later by
    /// `deliver`.
    private func admit(_ session: NodeSession) {
        if let record = catalog.withLock({ $0.identity(of: session.node) }), let reason = Self.refusal(session, record) {
            return session.leave(Goodbye(.stranger, reason, retryAfterSeconds: 1))
        }
        session.admit({ wants(session.node) }, timeSeconds: environment.now().seconds)
    }

    /// Lets in who has waited, as far as nothing stands in the way any more.
    private func admitWaiting() {
        guard catalog.withLock({ $0.isComplete(NodeNeeds.kinds) }) else { return }
        let ready = table.withLock { table -> [NodeSession] in
            var ready: [NodeSession] = []
            table.waiting.removeAll { session in
                guard table.leaving[session.node] == nil, table.sessions[session.node] == nil else { return false }
                table.sessions[session.node] = session
                ready.append(session)
                return true
            }
            return ready
        }
        for session in ready { admit(session) }
    }

    /// A session ends by its own rules.
    func ended(_ session: NodeSession, _ goodbye: Goodbye) {
        switch goodbye.reason {
        case .violation, .store, .version: environment.report("the session of node \(session.node) ends: \(goodbye)")
        default: break
        }
    }

    /// A session's link is closed.
    func gone(_ session: NodeSession) {
        table.withLock { table in
            table.waiting.removeAll { $0 === session }
            if table.challenges[session.node]?.session === session { table.challenges[session.node] = nil }
            guard table.sessions[session.node] === session else { return }
            table.sessions[session.node] = nil
            // What it has reported is being written: a new session that reports on the same objects must not overtake.
            if !session.isIdle { table.leaving[session.node, default: []].append(session) }
            if let next = table.challenges.removeValue(forKey: session.node) { table.waiting.append(next.session) }
        }
        admitWaiting()
    }

    // MARK: Time

    /// Sessions that are looked at in one go, when there are so many that a tick is divided; and parts of a tick.
    private static let ticksAtOnce = 256
    private static let partsMax = 64

    /// Looks at each session once a tick, at some of them at a time: thousands at a stretch would hold up whoever writes or is answered.
    private func keepTime() async {
        while !Task.isCancelled {
            let count = table.withLock { $0.sessions.count + $0.waiting.count }
            let parts = max(1, min(Self.partsMax, count / Self.ticksAtOnce))
            for part in 0..<parts where !Task.isCancelled {
                await environment.sleep(limits.tick / parts)
                let now = environment.elapsed()
                func isDue(_ session: NodeSession) -> Bool { session.number % UInt64(parts) == UInt64(part) }
                let sessions = table.withLock { table in
                    table.sessions.values.filter(isDue) + table.waiting.filter(isDue) + table.challenges.values.map(\.session).filter(isDue)
                }
                for session in sessions { session.tick() }
                for node in judge(now) { await noteDuplicate(node) }
                admitWaiting()
            }
        }
    }

    /// Renews the Leases of connected nodes, each when its turn comes, whatever the disk does meanwhile; those of a turn in commits that are spread
    /// over its tick.
    private func keepLeases() async {
        let rounds = UInt64(max(1, Int(limits.leaseInterval / limits.tick)))
        var round: UInt64 = 0
        while !Task.isCancelled {
            round += 1
            let turn = round % rounds
            let due = table.withLock { $0.sessions.values.filter { $0.number % rounds == turn } }
            let commits = max(1, (due.count + limits.leasesAtOnce - 1) / limits.leasesAtOnce)
            for commit in 0..<commits where !Task.isCancelled {
                await environment.sleep(limits.tick / commits)
                await renew(due.dropFirst(commit * limits.leasesAtOnce).prefix(limits.leasesAtOnce).filter(\.isLive))
            }
        }
    }

    private func renew(_ sessions: [NodeSession]) async {
        guard let renewal, !sessions.isEmpty else {
            for session in sessions { session.markLease() }
            return
        }
        let left = Set(await renewal(sessions.map(\.node)))
        for session in sessions where left.contains(session.node) { session.markLease() }
    }

    /// Nodes with two links: who answers is the node.
    ///
    /// - Returns: nodes of which a second living link was refused.
    private func judge(_ now: Duration) -> [String] {
        let (living, dead) = table.withLock { table in
            var living: [(NodeSession, NodeSession)] = []
            var dead: [NodeSession] = []
            for (node, challenge) in table.challenges {
                guard let old = table.sessions[node] else { continue }
                if old.lastHeard > challenge.probedAt {
                    table.challenges[node] = nil
                    living.append((old, challenge.session))
                } else if now - challenge.probedAt >= limits.challenge {
                    dead.append(old)
                }
            }
            return (living, dead)
        }
        for session in dead { session.leave(Goodbye(.silence, "another link of this node has come, and this one did not answer")) }
        for (old, new) in living {
            new.leave(Goodbye(.duplicate, "node \"\(new.node)\" is connected already, by a link that answers", retryAfterSeconds: 60))
            environment.report("a second link of node \(old.node) was refused: the first one answers; its certificate may have been copied")
        }
        return living.map(\.0.node)
    }

    private func noteDuplicate(_ node: String) async {
        let time = environment.now().text
        let message =
            "A second link with this node's certificate was refused while the first one answers; the certificate may have been copied."
        let event: JSON = [
            "metadata": ["namespace": "default", "name": .string("\(node).\(String(environment.random(), radix: 16))")],
            "involvedObject": ["kind": "Node", "apiVersion": "v1", "name": .string(node)], "reason": "DuplicateNodeSession",
            "message": .string(message), "type": "Warning", "source": ["component": "hub"], "firstTimestamp": .string(time),
            "lastTimestamp": .string(time), "count": 1,
        ]
        do throws(APIStatus) { try await client.create(.event, event) } catch {
            environment.report("an event about node \(node): \(error.message)")
        }
    }

    // MARK: Objects

    func wants(_ node: String) -> [(ObjectRef, Stamp)] { catalog.withLock { $0.wants(node) } }

    func lookUp(_ node: String, _ ref: ObjectRef) -> HubSession.Wanted { catalog.withLock { $0.lookUp(node, ref) } }

    private func deliver(_ marks: [HubCatalog.Mark]) {
        guard !marks.isEmpty else { return }
        var byNode: [String: [ObjectRef]] = [:]
        for mark in marks { byNode[mark.node, default: []].append(mark.ref) }
        for (node, refs) in byNode {
            guard let session = table.withLock({ $0.sessions[node] }) else { continue }
            if let reason = refs.contains(where: { $0.kind == .node }) ? refusal(session) : nil {
                session.leave(Goodbye(.stranger, reason, retryAfterSeconds: 5))
            } else {
                session.mark(refs)
            }
        }
    }

    /// Why a session may not go on: its Node is gone, or has another certificate now; nil if it may.
    private func refusal(_ session: NodeSession) -> String? {
        guard let record = catalog.withLock({ $0.identity(of: session.node) }) else {
            return "node \"\(session.node)\" was removed from this cloud"
        }
        return Self.refusal(session, record)
    }

    private static func refusal(_ session: NodeSession, _ record: NodeIdentityRecord) -> String? {
        guard let certificate = session.certificate, !record.accepts(certificate) else { return nil }
        return "node \"\(session.node)\" has another certificate now; come back with that"
    }

    private static let pageMax = 250

    private func mirror(_ kind: ResourceKind) async {
        var backoff = Backoff(first: .milliseconds(200), limit: .seconds(30))
        var revision: String?
        while !Task.isCancelled {
            do throws(APIStatus) {
                if let known = revision {
                    revision = try await follow(kind, from: known)
                } else {
                    revision = try await list(kind)
                    admitWaiting()
                }
                backoff.succeeded()
            } catch {
                if Task.isCancelled { return }
                var wait = backoff.failed(random: environment.random(), asked: .seconds(error.retryAfterSeconds))
                if error.code == 410 {
                    revision = nil
                } else if revision == nil, [403, 404, 405].contains(error.code) {
                    // Not served here, or not shown to us: no node can need it.
                    deliver(catalog.withLock { $0.hasNone(kind) })
                    admitWaiting()
                    wait = .seconds(30)
                } else {
                    environment.report("the hub's watch of \(kind): \(error.message)")
                }
                await environment.sleep(wait)
            }
        }
    }

    private func list(_ kind: ResourceKind) async throws(APIStatus) -> String {
        var query = ListQuery(limit: Self.pageMax)
        catalog.withLock { $0.beginList(kind) }
        while true {
            let page = try await client.list(kind, query)
            deliver(catalog.withLock { $0.listed(kind, page.items) })
            guard !page.continueToken.isEmpty else {
                deliver(catalog.withLock { $0.endList(kind, resourceVersion: page.resourceVersion) })
                return page.resourceVersion
            }
            query.continueToken = page.continueToken
        }
    }

    /// - Returns: where the next watch goes on.
    private func follow(_ kind: ResourceKind, from revision: String) async throws(APIStatus) -> String {
        var query = WatchQuery(from: revision)
        query.timeoutSeconds = 240 + Int(environment.random() % 60)
        var last = revision
        for try await event in try await client.watch(kind, query) {
            if !event.resourceVersion.isEmpty { last = event.resourceVersion }
            deliver(catalog.withLock { $0.received(kind, event) })
        }
        // A server that ends a watch at once is not asked again at once.
        if last == revision { await environment.sleep(.milliseconds(200)) }
        return last
    }

    // MARK: Work

    private func workOff() async {
        while let session = await work.take() {
            let writer = ReportWriter(client: nodeClient(session.node))
            while !Task.isCancelled, let (reports, isLeaseDue) = session.takeWork() {
                if isLeaseDue { await renew(session, writer) }
                if !reports.isEmpty { session.settle(await write(reports, writer)) }
            }
            finished(session)
        }
    }

    private func renew(_ session: NodeSession, _ writer: ReportWriter) async {
        if let renewal, await renewal([session.node]).isEmpty { return }
        do throws(APIStatus) {
            try await writer.renewLease(of: session.node, now: environment.now())
        } catch {
            environment.report("the lease of node \(session.node): \(error.message)")
        }
    }

    /// Writes the reports of a session, those on one object in their order, the others at the same time: they share a commit, and one
    /// message answers them all.
    private func write(_ reports: [Report], _ writer: ReportWriter) async -> [(Report, ReportResult.Outcome, UInt64?)] {
        if reports.count == 1 { return [await write(reports[0], writer)] }
        return await withTaskGroup(of: [(Report, ReportResult.Outcome, UInt64?)].self) { group in
            for same in Dictionary(grouping: reports, by: \.ref).values {
                group.addTask {
                    var results: [(Report, ReportResult.Outcome, UInt64?)] = []
                    for report in same { results.append(await self.write(report, writer)) }
                    return results
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
    }

    /// - Returns: also what stands for the object's status now; nil without an object.
    private func write(_ report: Report, _ writer: ReportWriter) async -> (Report, ReportResult.Outcome, UInt64?) {
        let (outcome, object) = await writer.apply(report)
        if let object { deliver(catalog.withLock { $0.wrote(report.ref.kind, object) }) }
        // Most reports expect no status, and working it out costs as much as writing it.
        return (report, outcome, object.map { report.expected == 0 ? 0 : Stamp.status($0) })
    }

    private func finished(_ session: NodeSession) {
        let wasLeaving = table.withLock { table -> Bool in
            guard table.leaving[session.node]?.contains(where: { $0 === session }) ?? false else { return false }
            table.leaving[session.node]!.removeAll { $0 === session }
            if table.leaving[session.node]!.isEmpty { table.leaving[session.node] = nil }
            return true
        }
        if wasLeaving { admitWaiting() }
    }

    static func notConnected(_ node: String) -> APIStatus {
        var status = APIStatus(
            code: 503, reason: "ServiceUnavailable", message: "node \"\(node)\" is not connected to this cloud; see its Ready condition")
        status.retryAfterSeconds = 5
        return status
    }
}

extension CloudHub: NodeCalls {
    package func open(_ call: NodeCall, on node: String) async throws(APIStatus) -> any CallStream {
        guard let session = table.withLock({ $0.sessions[node] }) else { throw Self.notConnected(node) }
        return try session.open(call)
    }
}
