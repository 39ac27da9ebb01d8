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

/// A cloud and some edges on the loopback of this machine, each a process of its own, in one folder.
///
/// Its calls block. Any thread may stop it; what others wait for then fails.
package final class DemoCluster: Sendable {
    /// What a cluster is made of.
    package struct Settings: Sendable {
        /// Path of this program.
        package var program: String
        /// Of all processes.
        package var environment: [String: String]
        /// Folder of everything the cluster writes; made, and removed with the cluster unless it is kept.
        package var folder: String
        /// Number of edges, at least 1.
        package var edges: Int
        /// Whether processes and folder stay when the run has ended well.
        package var isKept = false

        /// Nothing is made yet.
        package init(program: String, environment: [String: String], folder: String, edges: Int, isKept: Bool = false) {
            self.program = program
            self.environment = environment
            self.folder = folder
            self.edges = edges
            self.isKept = isKept
        }
    }

    /// A node of the cluster and its way to the cloud.
    struct Edge: Sendable {
        let name: String
        /// Folder of its rows; the agent's own is another.
        let data: String
        let agent: ClusterProcess
        let relay: ClusterProcess
    }

    private struct State {
        var processes: [ClusterProcess] = []
        var edges: [Edge] = []
        var isStopping = false
    }

    let settings: Settings
    private let state = Mutex(State())
    private let made = Mutex<ClusterClient?>(nil)

    /// Starts nothing yet.
    package init(_ settings: Settings) {
        precondition(settings.edges >= 1, "at least one edge")
        self.settings = settings
    }

    /// Of everything the cluster writes.
    package var folder: String { settings.folder }
    /// Whether there are processes and logs.
    package var hasStarted: Bool { state.withLock { !$0.processes.isEmpty } }
    /// Path of the cloud's kubeconfig.
    package var kubeconfig: String { "\(settings.folder)/cloud/admin.kubeconfig" }
    var edges: [Edge] { state.withLock { $0.edges } }
    var client: ClusterClient { made.withLock { $0! } }

    // MARK: Start

    /// Starts cloud and edges and waits until every node is ready.
    ///
    /// - Throws: `ClusterError` naming the process and its log.
    func start() throws {
        Descendants.adopt()
        try makeFolder()
        let cloud = try spawn("cloud", ["cloud", "--data-dir", "\(settings.folder)/cloud", "--listen", "127.0.0.1:0"])
        let said = try until("the cloud serves") { try self.said(by: cloud, "export KUBECONFIG") }
        guard let port = Self.port(in: said, after: "https://127.0.0.1:") else {
            throw ClusterError("the cloud says no port; see \(cloud.log)")
        }
        let client = try ClusterClient(kubeconfig: kubeconfig)
        made.withLock { $0 = client }
        for number in 1...settings.edges { try join("edge-\(number)", cloud: port) }
        for edge in edges {
            try until("node \(edge.name) is ready") {
                try client.find(.node, edge.name).flatMap { Self.isTrue("Ready", of: $0) ? true : nil }
            }
        }
    }

    private func join(_ name: String, cloud port: UInt16) throws {
        let relay = try spawn("\(name)-relay", ["demo", "relay", "--to", "\(port)"])
        let said = try until("the way of \(name) to the cloud") { try self.said(by: relay, RelayProgram.serving) }
        guard let way = Self.port(in: said, after: RelayProgram.serving) else {
            throw ClusterError("the relay of \(name) says no port; see \(relay.log)")
        }
        let data = "\(settings.folder)/data/\(name)"
        try Self.make(data)
        let agent = try spawn(
            name,
            [
                "edge", "--data-dir", "\(settings.folder)/\(name)", "--listen", "127.0.0.1:0", "--join",
                try token(for: name, by: "127.0.0.1:\(way)"),
            ])
        state.withLock { $0.edges.append(Edge(name: name, data: data, agent: agent, relay: relay)) }
    }

    /// A token that admits one machine under one name.
    private func token(for node: String, by address: String) throws -> String {
        let words = ["token", "create", "--node", node, "--cloud", address, "--kubeconfig", kubeconfig]
        let command = try spawn("\(node)-token", words, isServer: false)
        defer { unlink(command.log) }
        try until("a token for \(node)") { command.isRunning ? nil : true }
        let said = try Self.text(command.log)
        guard said.hasPrefix("K1.") else { throw ClusterError("no token for \(node) could be made: \(said)") }
        return String(said.prefix { $0 != "\n" })
    }

    /// - Parameter isServer: false for one that is to end by itself.
    private func spawn(_ name: String, _ words: [String], isServer: Bool = true) throws -> ClusterProcess {
        try state.withLock { state in
            if state.isStopping { throw Self.stopped }
            let process = try ClusterProcess(
                name, [settings.program] + words, environment: settings.environment, log: "\(settings.folder)/\(name).log")
            if isServer { state.processes.append(process) }
            return process
        }
    }

    private static let stopped = ClusterError("the cluster is being stopped")

    /// What a process has said, once certain words are there.
    private func said(by process: ClusterProcess, _ words: String) throws -> String? {
        let text = try Self.text(process.log)
        return text.contains(words) && text.hasSuffix("\n") ? text : nil
    }

    // MARK: Waiting

    /// Asks again and again until there is an answer.
    ///
    /// - Parameters:
    ///   - what: what is waited for, as a clause.
    ///   - seconds: after so long it is given up.
    /// - Throws: `ClusterError` when the time is over, a process of the cluster has ended, or the cluster is stopped.
    @discardableResult
    func until<Answer>(_ what: @autoclosure () -> String, seconds: Int = 180, _ ask: () throws -> Answer?) throws -> Answer {
        let end = ContinuousClock.now + .seconds(seconds)
        while true {
            if state.withLock({ $0.isStopping }) { throw Self.stopped }
            do { if let answer = try ask() { return answer } } catch let status as APIStatus where [429, 503, 504].contains(status.code) {
                // A server under load: asked again.
            }
            for process in state.withLock({ $0.processes }) where !process.isRunning {
                throw ClusterError("\(process.name) has ended while the demo waited: \(what()); it said:\n\(process.lastWords)")
            }
            guard .now < end else { throw ClusterError("waited \(seconds) s in vain: \(what())") }
            usleep(100_000)
        }
    }

    static func isTrue(_ condition: String, of object: JSON) -> Bool {
        object["status"]?["conditions"]?.array?.contains { $0["type"]?.string == condition && $0["status"] == "True" } ?? false
    }

    // MARK: The way between edge and cloud

    /// Breaks the way of an edge to the cloud; returns once it is broken.
    func cut(_ edge: Edge) throws { try change(edge, SIGUSR1, RelayProgram.cut) }

    /// Lets an edge get to the cloud again.
    func mend(_ edge: Edge) throws { try change(edge, SIGUSR2, RelayProgram.mended) }

    private func change(_ edge: Edge, _ signal: Int32, _ words: String) throws {
        func count() throws -> Int { try Self.text(edge.relay.log).split(separator: "\n").count { $0.contains(words) } }
        let before = try count()
        edge.relay.send(signal)
        try until("the relay of \(edge.name) obeys") { try count() > before ? true : nil }
    }

    /// MiB that the largest process of the cluster, workers included, has held at once, of those that run now.
    var peakMemory: Double { Descendants.all().compactMap { PeakMemory.ofProcess($0.id) }.max() ?? 0 }

    /// What to try with a cluster that stays, as commands.
    package var invitation: String {
        let edges = edges
        let ids = state.withLock { $0.processes.map { "\($0.id)" } }.joined(separator: " ")
        return """

            The cluster stays: a cloud and \(edges.count) edges, in \(folder). Look at it:
              export KUBECONFIG='\(kubeconfig)'
              kubectl get nodes,datasets,ll,models,pods -o wide
              kubectl describe ll \(ComfortJob.name)
              kubectl get knowledgerounds,knowledgetasks,knowledgemodels,knowledgerelations
              kubectl logs -l lifelonglearningjob.sedna.io/name=\(ComfortJob.name) --prefix
            Cut \(edges.last?.name ?? "an edge") off from the cloud: its workers go on answering, and kubectl get nodes says NotReady after 40 s.
              kill -USR1 \(edges.last?.relay.id ?? 0)
            Mend its way again; what it did meanwhile is told:
              kill -USR2 \(edges.last?.relay.id ?? 0)
            Ask an edge for predictions, and label votes: docs/guides/thermal-comfort.md.
            End everything; kubectl waits until the nodes have ended their workers, which outlive an agent that is killed:
              kubectl delete ll,pods --all && kill \(ids)
            """
    }

    // MARK: End

    /// Ends all processes of the cluster and what they have started, and removes the folder.
    ///
    /// - Parameter keepsFolder: leaves logs and stores to be looked at.
    package func stop(keepsFolder: Bool = false) {
        let processes = state.withLock { state in
            state.isStopping = true
            return state.processes
        }
        guard !processes.isEmpty || access(settings.folder, F_OK) == 0 else { return }
        // Their Pods outlive them: whom they have started must be known while they are there to be asked.
        let pods = Self.started(by: Set(processes.map(\.id)))
        for process in processes.reversed() { process.send(SIGTERM) }
        // What is thrown away need not be left in order.
        let end = ContinuousClock.now + (keepsFolder ? Self.grace : Self.shortGrace)
        while processes.contains(where: \.isRunning), .now < end { usleep(20_000) }
        for process in processes { process.send(SIGKILL) }
        while processes.contains(where: \.isRunning) { usleep(1000) }
        // And those that an agent has started in its last moments.
        let late = Set(Descendants.all().filter { $0.name == "skerry-shim" }.map(\.id))
        for id in pods.union(late).union(Self.started(by: late)) { kill(id, SIGKILL) }
        if !keepsFolder { try? FileManager.default.removeItem(atPath: settings.folder) }
    }

    private static let grace = Duration.seconds(5)
    private static let shortGrace = Duration.milliseconds(500)

    private static func started(by servers: Set<pid_t>) -> Set<pid_t> {
        var found: Set<pid_t> = []
        for process in Descendants.all() where servers.contains(process.parent) || found.contains(process.parent) {
            found.insert(process.id)
        }
        return found.subtracting(servers)
    }

    // MARK: Files

    private func makeFolder() throws {
        let folder = settings.folder
        try? FileManager.default.removeItem(atPath: folder)
        try Self.make(folder)
        chmod(folder, 0o700)
        try Self.make("\(folder)/cloud")
    }

    static func make(_ folder: String) throws {
        do { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) } catch {
            throw ClusterError("cannot make folder \(folder): \(error); choose another by --out or TMPDIR")
        }
    }

    static func text(_ path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path) else { return "" }
        return String(decoding: data, as: UTF8.self)
    }

    private static func port(in text: String, after words: String) -> UInt16? {
        guard let range = text.firstRange(of: words) else { return nil }
        return UInt16(text[range.upperBound...].prefix { $0.isNumber })
    }
}
