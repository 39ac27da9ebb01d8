import APIServer
import ArgumentParser
import EdgeAccess
import EdgeHub
import Network
import NodeAgent
import Resources
import Storage
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What an edge does with its copy of objects, with or without a link: runs its Pods, and shows the copy on the loopback.
struct EdgeAgent {
    private static let configMap = ResourceKind(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")

    private let agent: NodeAgent
    private let local: LocalAPI
    private let pods: LocalPods
    private let files: EdgeFiles
    private let socket: AgentSocket

    /// - Parameters:
    ///   - membership: the name that the cloud knows this machine by, and the way to it.
    ///   - folder: of the edge; the files of its Pods lie in `pods` below it.
    init(_ membership: EdgeMembership, hub: EdgeHub, folder: String) async throws {
        let node = membership.identity.node
        let version = Skerry.configuration.version
        let place = realPath(folder) ?? folder
        let store = try ArtifactStore(folder: place + "/files", now: { Self.environment.now().seconds })
        files = EdgeFiles(store: store, hub: hub, membership)
        var settings = ProcessRuntime.Settings(
            folder: folder + "/pods", worker: [programPath(), "worker"], controlGroup: controlGroupName(folder), programVersion: version)
        settings.files = place + "/files"
        let runtime = try ProcessRuntime(settings)
        let begin = ContinuousClock.now
        socket = try AgentSocket(folder: folder, isMade: true)
        pods = try await LocalPods(.file(folder + "/local.db"), node: node, environment: Self.environment)
        var configuration = NodeAgent.Configuration(
            nodeName: node, address: machineAddress(), client: hub, runtime: runtime,
            facts: MachineFacts(
                folder: folder, runtimeVersion: runtime.version, programVersion: version, more: { WorkerLibraries.conditions() }),
            now: { Moment(time: Self.environment.now(), uptime: begin.duration(to: .now)) }, random: Self.environment.random,
            report: { writeError($0) })
        configuration.files = store
        configuration.secureProbes = TLSProbes()
        configuration.tokens = try EdgeTokens(membership)
        configuration.own = (pods.client, LocalPods.namespace)
        agent = NodeAgent(configuration)
        let verbs = EdgeVerbs(node: node, cloud: membership.identity.address, version: version, hub: hub, agent: agent)
        local = try await LocalAPI(
            client: hub, kinds: [.node, .pod, .event, .lease, Self.configMap],
            own: LocalAPI.Own(pods: pods, verbs: verbs, calls: LocalCalls(node: node, handler: agent.calls)),
            environment: Self.environment, programVersion: version)
    }

    /// Answers what the cloud asks of the Pods.
    var calls: any NodeCallHandler { agent.calls }

    /// Runs until its task is cancelled; the Pods then go on, and are found again by the next run.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                do { try await agent.run() } catch { writeError("the Pods of this node do not run: \(error)") }
            }
            group.addTask { await local.run() }
            group.addTask { await files.run() }
        }
    }

    /// Serves the copy, in plain text: only this machine's loopback may be given.
    func listen(host: String, port: Int) async throws -> HTTPServer {
        try await HTTPServer.start(host: host, port: port, tls: nil, responder: local)
    }

    /// Serves the node's owner on the socket in its folder.
    func listenToOwner() async throws -> HTTPServer { try await HTTPServer.start(socket: socket.path, responder: local.owner!) }

    /// To be called once, after `run` has returned.
    func close() { pods.close() }

    private static let environment = APIEnvironment(
        now: { Timestamp(seconds: Int64(time(nil))) }, random: { UInt64.random(in: 0 ... .max) })
}

/// The files that this node's objects name: brought from the cloud into its folder, and removed when nothing names them.
struct EdgeFiles {
    private let files: NodeFiles
    private let hub: EdgeHub

    init(store: ArtifactStore, hub: EdgeHub, _ membership: EdgeMembership) {
        self.hub = hub
        var limits = ArtifactFetcher.Limits()
        limits.failuresMax = NodeFiles.failuresMax
        let identity = membership.identity
        let fetcher = ArtifactFetcher(
            store: store, host: identity.host, port: identity.port, userAgent: "skerry/\(Skerry.configuration.version)", limits: limits,
            jitter: { .random(in: 0..<1) }, trust: { membership.trust })
        files = NodeFiles(store: store, fetcher: fetcher) { writeError($0) }
    }

    func run() async {
        let last = Mutex(NodeFiles.Wanted(files: [], mark: -1))
        await files.run {
            var wanted = last.withLock { $0 }
            if let (files, revision) = await hub.namedFiles(after: wanted.mark) { wanted = NodeFiles.Wanted(files: files, mark: revision) }
            wanted.isReachable = await hub.status.isConnected
            last.withLock { [wanted] in $0 = wanted }
            return wanted
        }
    }
}

/// Tokens of service accounts for the Pods of this node, from the cloud that it is a member of.
struct EdgeTokens: PodTokens {
    private let membership: EdgeMembership
    private let client: ServiceTokenClient

    init(_ membership: EdgeMembership) throws {
        self.membership = membership
        let identity = membership.identity
        client = try ServiceTokenClient(host: identity.host, port: identity.port) { membership.trust }
    }

    var authorityPEM: String { membership.identity.authorityPEM }
    var server: (host: String, port: Int) { (membership.identity.host, membership.identity.port) }

    func token(of account: ObjectKey, _ request: JSON) async throws(APIStatus) -> JSON { try await client.token(of: account, request) }
}

/// What the owner of the node may ask for.
struct EdgeVerbs: NodeVerbs {
    let node: String
    let cloud: String
    let version: String
    let hub: EdgeHub
    let agent: NodeAgent

    func status() async -> JSON {
        let status = await hub.status
        return [
            "node": .string(node), "version": .string(version),
            "cloud": [
                "address": .string(cloud), "isConnected": .bool(status.isConnected), "isSynced": .bool(status.isSynced),
                "failure": .string(status.failure),
            ],
            "reports": ["waiting": .integer(Int64(status.unansweredCount)), "dropped": .integer(Int64(status.droppedCount))],
            "objects": .integer(Int64(status.objectCount)),
        ]
    }

    func restart(_ pod: ObjectKey, container: String) async throws(APIStatus) -> [String] {
        try await agent.restart(pod, container: container)
    }
}
