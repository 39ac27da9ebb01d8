import ArgumentParser
import CloudHub
import HubProtocol
import Identity
import KubernetesClient
import Network
import Resources
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `skerry bench hub`: many nodes' links to one `skerry cloud` over TLS, each with a certificate of its own.
///
/// The agents are simulated in this process, without disks, on the same machine: what they take is not the cloud's, but the cores are shared.
struct BenchHubCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "hub", abstract: "Measure the cloud's links to nodes on this machine.")

    @Option(help: "Simulated nodes.") var nodes = 5000
    @Option(help: "Seconds for each load.") var seconds = 5
    @Option(help: "Changes a second, made by a controller within the cloud; as many are then asked for by requests.") var changes = 2000
    @Option(help: "Changes a second asked for by requests over TLS, before as many as there can be.") var requests = 1000
    @Option(help: "Requests of changes that share a connection, by HTTP/2; 0 for a connection each, by HTTP/1.1.") var streams = 100
    @Option(help: "Seconds of rest until what the handshakes took is given back and memory is read.") var rest = 30
    @Option(help: "Folder on the disk to use; a new folder is made in it and removed.") var dataDir = FileManager.default
        .temporaryDirectory.path
    @Option(name: .shortAndLong, help: "table, csv or json.") var output: AlignedTable.Format = .table

    func validate() throws {
        if min(nodes, seconds, changes, requests, rest) < 1 {
            throw ValidationError("--nodes, --seconds, --changes, --requests and --rest need at least 1")
        }
        if !(0...100).contains(streams) { throw ValidationError("--streams is from 0 to 100") }
    }

    func run() async throws {
        let folder = "\(dataDir)/skerry-bench-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try allowFiles()
        var table = AlignedTable(["figure", "value", "unit"])
        try await HubBench(
            folder: folder, nodes: nodes, seconds: Double(seconds), rest: rest, rate: changes, requestRate: requests, streams: streams
        ).measure(&table)
        try say(table.text(output))
    }

    /// Raises the limit of open files as far as this process may; the cloud inherits it.
    private func allowFiles() throws {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        let wanted = rlim_t(nodes + 1000)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { throw CloudError("the limit of open files cannot be read") }
        guard limit.rlim_cur < wanted else { return }
        limit.rlim_cur = min(limit.rlim_max, wanted)
        guard limit.rlim_cur == wanted, setrlimit(resource, &limit) == 0 else {
            throw CloudError(
                "\(nodes) nodes need \(wanted) open files, this shell allows \(limit.rlim_max); ask for fewer --nodes, or raise it with ulimit -n"
            )
        }
    }
}

/// One simulated node: the edge's own session and replica, whose disk is this memory.
final class BenchAgent: LinkPeer {
    private struct State {
        var replica = EdgeReplica()
        var session: EdgeSession?
        var link: (any Link)?
        var backoff = Backoff()
        var isSynced = false
        var isClosed = true
        var isDialling = false
        var dialAt: Duration = .zero
        /// Numbers of the changes that have come, and when each did.
        var arrivals: [(number: Int, at: Duration)] = []
        var bodies: [UInt64: [UInt8]] = [:]
        var reported = 0
        var reportsLeft = 0
        var received = Received()
    }

    /// What the cloud has sent and asked for.
    struct Received {
        var objects = 0
        var inventories = 0
    }

    let name: String
    let ref: ObjectRef
    let trust: TLSTrust
    let fingerprint: String
    private let start: ContinuousClock.Instant
    private let state = Mutex(State())

    init(_ number: Int, _ authority: Authority, _ users: CertificateUsers, start: ContinuousClock.Instant) throws {
        name = "node-\(number)"
        ref = ObjectRef(.node, ObjectKey(name: name))
        self.start = start
        let issued = try authority.issueUser(name: "system:node:\(name)", groups: ["system:nodes"], now: Date(), validFor: 3600)
        var trust = TLSTrust()
        trust.trustedPEM = authority.certificatePEM
        trust.chainPEM = issued.certificatePEM
        trust.keyPEM = issued.keyPEM
        self.trust = trust
        let der = Base64.decode(issued.certificatePEM.split(separator: "\n").filter { !$0.hasPrefix("-") }.joined()) ?? []
        fingerprint = users.holder(der)?.fingerprint ?? ""
    }

    var now: Duration { .now - start }
    var isSynced: Bool { state.withLock { $0.isSynced && $0.replica.heldCount > 0 } }
    var isClosed: Bool { state.withLock { $0.isClosed } }
    var reported: Int { state.withLock { $0.reported } }
    var unanswered: Int { state.withLock { $0.replica.outbox.unansweredCount } }
    /// What has come since the last time; it is counted anew then.
    func takeReceived() -> Received {
        state.withLock { state in
            defer { state.received = Received() }
            return state.received
        }
    }

    /// Numbers of the changes that have come since the last time, and when each did; then they are forgotten.
    func takeArrivals() -> [(number: Int, at: Duration)] {
        state.withLock { state in
            defer { state.arrivals = [] }
            return state.arrivals
        }
    }

    func connected(_ link: any Link) {
        state.withLock { state in
            state.link = link
            state.isClosed = false
            state.isDialling = false
            var session = EdgeSession(now: now)
            let effects = session.hello(store: 1, program: "bench", state.replica, now: now)
            state.session = session
            Self.perform(effects, &state)
        }
    }

    private static func perform(_ effects: [EdgeSession.Effect], _ state: inout State) {
        for effect in effects {
            switch effect {
            case .send(let message): state.link?.send(message)
            case .welcomed(let welcome):
                state.backoff.succeeded()
                if welcome.wantsInventory { state.received.inventories += 1 }
            case .compared(let isSame): state.isSynced = isSame
            case .end:
                state.link?.close()
                state.isSynced = false
            case .stream: break
            }
        }
    }

    func received(_ message: [UInt8]) {
        state.withLock { state in
            guard var session = state.session else { return }
            Self.perform(session.receive(message, &state.replica, now: now), &state)
            _ = state.replica.takeTouched()
            for operation in state.replica.takeOperations() { note(operation, &state) }
            refill(&state)
            Self.perform(session.stored(&state.replica, now: now), &state)
            let bodies = state.bodies
            Self.perform(session.pump(&state.replica, now: now) { bodies[$0] }, &state)
            state.session = session
        }
    }

    private static let mark = Array("\"\(BenchChange.label)\":\"".utf8)

    private func note(_ operation: EdgeReplica.Operation, _ state: inout State) {
        switch operation {
        case .putObject(ref, _, let bytes):
            state.received.objects += 1
            bytes.withUnsafeBytes { bytes in
                guard let number = BenchWatcher.number(behind: Self.mark, in: bytes) else { return }
                state.arrivals.append((Int(number), now))
            }
        case .removeReport(let id):
            state.bodies[id] = nil
            state.reported += 1
        default: break
        }
    }

    /// Keeps the window full.
    private func refill(_ state: inout State) {
        while state.reportsLeft > 0, state.replica.outbox.count < 32 {
            state.reportsLeft -= 1
            let id = state.replica.upcomingID
            let event: JSON = [
                "metadata": ["namespace": "default", "name": .string("\(name).\(id)")], "reason": "Bench", "type": "Normal",
                "involvedObject": ["kind": "Node", "name": .string(name)], "source": ["component": "bench", "host": .string(name)],
            ]
            let ref = ObjectRef(.event, ObjectKey(namespace: "default", name: "\(name).\(id)"))
            do throws(APIStatus) { try state.replica.create(ref, event, topic: .event, nowSeconds: 0) } catch { return }
            for case .putReport(let report, _) in state.replica.takeOperations() { state.bodies[report.id] = report.body }
        }
    }

    /// Reports events, each as soon as the window allows.
    func report(_ count: Int) {
        state.withLock { state in
            state.reported = 0
            state.reportsLeft = count
            guard var session = state.session else { return }
            refill(&state)
            let bodies = state.bodies
            Self.perform(session.pump(&state.replica, now: now) { bodies[$0] }, &state)
            state.session = session
        }
    }

    func stopReporting() { state.withLock { $0.reportsLeft = 0 } }

    func closed() {
        state.withLock { state in
            state.session = nil
            state.link = nil
            state.isSynced = false
            Self.rest(&state, now)
            state.replica.reopen()
        }
    }

    /// Whether it is time to dial.
    func beginDial() -> Bool {
        state.withLock { state in
            guard state.isClosed, !state.isDialling, state.dialAt <= now else { return false }
            state.isDialling = true
            return true
        }
    }

    /// There is no link; the next dial waits.
    func failed() { state.withLock { Self.rest(&$0, now) } }

    private static func rest(_ state: inout State, _ now: Duration) {
        state.isDialling = false
        state.isClosed = true
        state.dialAt = now + state.backoff.failed(random: UInt64.random(in: 0 ... .max))
    }
}

struct HubBench: Sendable {
    let folder: String
    let nodes: Int
    let seconds: Double
    /// Seconds.
    let rest: Int
    /// Changes a second: by a controller, and by requests.
    let rate: Int
    let requestRate: Int
    /// Requests of changes on a connection; 0 for one each.
    let streams: Int

    func measure(_ table: inout AlignedTable) async throws {
        func add(_ figure: String, _ value: Double, _ unit: String, decimals: Int = 1) {
            table.rows.append([figure, fixed(value, decimals: decimals), unit])
        }
        var (cloud, port) = try await start(port: KeptPort.choices()[0])
        defer { if cloud.process.isRunning { cloud.process.stop() } }
        let client = try restClient()
        let clock = BenchClock()
        let authority = try Authority(certificatePEM: text("ca.crt"), keyPEM: text("ca.key"))
        let users = CertificateUsers()
        let agents = try (0..<nodes).map { try BenchAgent($0, authority, users, start: clock.start) }
        try await each(agents, atOnce: 64) { agent in
            let annotations = NodeIdentityRecord(certificate: agent.fingerprint).annotations
            try await client.create(.node, ["metadata": ["name": .string(agent.name), "annotations": annotations]])
        }
        try await Task.sleep(for: .seconds(2))
        let memory = cloud.process.memoryMB
        add("memory of the cloud with \(nodes) Nodes and no links", memory, "MB")
        let serverPort = port
        let dialling = Task { await keepDialling(agents, port: serverPort) }
        let connecting = ContinuousClock.now
        let joining = Usage(cloud.process)
        try await until { agents.allSatisfy(\.isSynced) }
        add("\(nodes) sessions, all in sync after", (.now - connecting) / .seconds(1), "s")
        self.add(joining.soFar, per: nodes, "session", &table)
        // Until what the handshakes took is given back (`HeapKeeper`).
        try await Task.sleep(for: .seconds(rest))
        add("  memory a session", (cloud.process.memoryMB - memory) * 1000 / Double(nodes), "kB")
        let (idle, idleSeconds) = (cloud.process.cpuSeconds, min(rest, 10))
        try await Task.sleep(for: .seconds(idleSeconds))
        add("  CPU of the cloud while idle, Leases renewed", (cloud.process.cpuSeconds - idle) * 100 / Double(idleSeconds), "% of a core")
        try await measureController(agents, cloud, clock, &table)
        let first = Int(Double(rate) * seconds)
        for (first, rate) in [(first, requestRate), (first + Int(Double(requestRate) * seconds), rate)] {
            try await measureRequests(first: first, rate, agents, cloud.process, &table)
        }
        try await measureReports(agents, cloud.process, &table)
        for agent in agents { _ = agent.takeReceived() }
        cloud.crash()
        let restarting = ContinuousClock.now
        (cloud, port) = try await self.start(port: port)
        add("cloud killed and ready again after", (.now - restarting) / .seconds(1), "s")
        let asking = try beginAsking()
        try await until { agents.allSatisfy(\.isSynced) }
        add("  all \(nodes) back and in sync after", (.now - restarting) / .seconds(1), "s")
        try told(by: asking, &table)
        let received = agents.map { $0.takeReceived() }
        add("  inventories asked for meanwhile", Double(received.reduce(0) { $0 + $1.inventories }), "", decimals: 0)
        add("  objects sent to nodes again", Double(received.reduce(0) { $0 + $1.objects }), "", decimals: 0)
        dialling.cancel()
        await dialling.value
        await client.close()
    }

    /// Processor time of the cloud, and of this process with its agents and clients, from its making on.
    struct Usage {
        let cloud: BenchProcess
        let cloudBefore: Double
        let ownBefore: Double

        init(_ cloud: BenchProcess) {
            self.cloud = cloud
            cloudBefore = cloud.cpuSeconds
            ownBefore = Self.own
        }

        private static var own: Double {
            var usage = rusage()
            getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
            return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
        }

        /// In seconds.
        var soFar: (cloud: Double, own: Double) { (cloud.cpuSeconds - cloudBefore, Self.own - ownBefore) }
    }

    func add(_ cpu: (cloud: Double, own: Double), per count: Int, _ what: String, _ table: inout AlignedTable) {
        table.rows.append(["  CPU of the cloud", fixed(cpu.cloud, decimals: 1), "s"])
        table.rows.append(["  CPU of the cloud a \(what)", fixed(cpu.cloud * 1000 / Double(max(count, 1)), decimals: 3), "ms"])
        table.rows.append(["  CPU of the simulated nodes and clients", fixed(cpu.own, decimals: 1), "s"])
    }

    private func measureReports(_ agents: [BenchAgent], _ cloud: BenchProcess, _ table: inout AlignedTable) async throws {
        let used = Usage(cloud)
        let begin = ContinuousClock.now
        let reporting = Array(agents.prefix(500))
        for agent in reporting { agent.report(1_000_000) }
        try await Task.sleep(for: .seconds(seconds))
        let count = reporting.reduce(0) { $0 + $1.reported }
        let took = (.now - begin) / .seconds(1)
        let cpu = used.soFar
        for agent in reporting { agent.stopReporting() }
        table.rows.append([
            "reports of \(reporting.count) nodes, durable and acknowledged", fixed(Double(count) / took, decimals: 0), "1/s",
        ])
        add(cpu, per: count, "report", &table)
        try await until { reporting.allSatisfy { $0.unanswered == 0 } }
    }

    // MARK: The API while nodes come back

    /// Another process, as clients of the API are, asks until `told` is called: what waits for the nodes' own dials is not the cloud's doing.
    private func beginAsking() throws -> BenchProcess {
        try BenchProcess(
            ["/proc/self/exe", "bench", "ask", "\(folder)/cloud/admin.kubeconfig", "--nodes", "\(nodes)"], output: "\(folder)/asked.txt")
    }

    private func told(by asking: BenchProcess, _ table: inout AlignedTable) throws {
        asking.stop()
        let answers = BenchAskCommand.Answers(text: try String(contentsOf: URL(filePath: "\(folder)/asked.txt"), encoding: .utf8))
        table.rows.append(["  requests to the API meanwhile, answered", String(answers.milliseconds.count), ""])
        table.rows.append(["    refused or failed", String(answers.failures.count), ""])
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            guard let value = answers.latency(share) else { continue }
            table.rows.append(["    \(name)", fixed(value, decimals: 1), "ms"])
        }
        for failure in answers.failures.prefix(3) { writeError("a request to the API failed: \(failure)") }
    }

    // MARK: Surroundings

    private func start(port: Int) async throws -> (BenchHubCloud, Int) {
        let log = "\(folder)/cloud.log"
        let cloud = try BenchHubCloud(dataDir: "\(folder)/cloud", listen: "127.0.0.1:\(port)", output: log)
        var text = ""
        while !text.contains("export KUBECONFIG") {
            guard cloud.process.isRunning else { throw CloudError("the cloud does not start: \(text)") }
            try await Task.sleep(for: .milliseconds(5))
            text = (try? String(contentsOf: URL(filePath: log), encoding: .utf8)) ?? ""
        }
        let digits = text.split(separator: "127.0.0.1:").dropFirst().first?.prefix { $0.isNumber } ?? ""
        return (cloud, Int(digits) ?? port)
    }

    private func text(_ name: String) throws -> String {
        try String(contentsOf: URL(filePath: "\(folder)/cloud/\(name)"), encoding: .utf8)
    }

    private func restClient() throws -> RESTClient {
        try RESTClient(
            try Kubeconfig(path: "\(folder)/cloud/admin.kubeconfig", read: ForeignCluster.read).access(context: nil), userAgent: "bench",
            read: ForeignCluster.read)
    }

    private func until(_ isSo: () -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(300)
        while !isSo() {
            guard .now < end else { throw CloudError("after 300 s the nodes are not where they should be; see \(folder)/cloud.log") }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    private func each(_ agents: [BenchAgent], atOnce: Int, _ body: @escaping @Sendable (BenchAgent) async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, agent) in agents.enumerated() {
                if index >= atOnce { try await group.next() }
                group.addTask { try await body(agent) }
            }
            try await group.waitForAll()
        }
    }

    /// Connects every agent that has no link, again and again, as edges do.
    private func keepDialling(_ agents: [BenchAgent], port: Int) async {
        let client = WebSocketLink.client(host: "127.0.0.1", port: port) { nil }
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                for agent in agents where agent.beginDial() {
                    group.addTask {
                        let dialer = WebSocketDialer(client.showing { agent.trust }, path: "/hub/v1")
                        do throws(LinkError) { agent.connected(try await dialer.dial(agent)) } catch { agent.failed() }
                    }
                }
                try? await Task.sleep(for: .milliseconds(20))
            }
        }
        await client.close()
    }
}
